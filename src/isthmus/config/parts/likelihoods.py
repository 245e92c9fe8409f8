"""Descriptions of likelihoods: L(x, g(h)), one number an example, summed over its values."""

from __future__ import annotations

from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within


class Likelihood(Description):
    """Family of the likelihoods."""


@description
class Bernoulli(Likelihood):
    """Log loss for black-and-white values: ``L = -sum_i x_i ln p_i + (1 - x_i) ln(1 - p_i)``.

    The decoder gives logits; the reconstruction is ``p = sigmoid(logits)``. Nats. Values must lie
    in [0, 1] in model units, where scaling "auto" or "range" brings them; for grey ones L cannot
    fall below their entropy (Vincent et al. 2010, section 2.2).

    Parameters
    ----------
    sampled
        Whether values state probabilities, of which each use draws zeros and ones anew, the
        encoder's input and the target the same ones (dynamic binarisation; Salakhutdinov and Murray
        2008): in training a function of seed and step, for the evidence of seed and row. Then L is a
        density, comparable with what is published. Codes and reconstructions, which leave nothing to
        chance, take the values themselves.

    Examples
    --------
    >>> Bernoulli(sampled=True).to_dict()
    {'sampled': True}
    """

    sampled: bool = False


@description
class SquaredError(Likelihood):
    """Plain sum of squares for real values: ``L = sum_i (x_i - g_i)^2``, linear outputs.

    Not a density: there is no half and no normalising constant. Use :class:`Gaussian` for nats.

    Examples
    --------
    >>> SquaredError().to_dict()
    {}
    """


@description
class Gaussian(Likelihood):
    """Full negative log density of a normal distribution, in nats, linear outputs.

    ``L = sum_i (x_i - g_i)^2 / (2 scale^2) + ln scale + ln(2 pi) / 2``

    Source: Kingma and Welling (2014), appendix C.2; learned scale: Rybkin et al. (2021).

    Parameters
    ----------
    scale
        Standard deviation in model units, above 0; or ``"learned"``: one number for all values,
        fitted with the weights, whose optimum is the root of the mean squared error a value.

    Examples
    --------
    >>> Gaussian("learned").scale
    'learned'
    """

    scale: Annotated[
        float | Literal["learned"],
        numpy_scalars,
        within("(0, inf)", "It is a standard deviation; try 1.0 or 'learned'."),
    ] = 1.0


@description
class Mixed(Likelihood):
    """A loss for each column of a table, by its type; L is their sum.

    A category: cross-entropy ``-sum_k x_k ln p_k``, ``p`` the softmax of the outputs of its block; a
    boolean: log loss, as :class:`Bernoulli`; a number (continuous, count, date): squared error or a
    normal density. A gap is left out. Rows that are no table are numbers alone.

    In training each column's loss is divided by what the best constant loses on the training rows, a
    variance or an entropy, so that no type of column drowns the others; errors, evidence and draws
    know no such weights. With a Gaussian code the training objective then is a bound of no likelihood:
    ``balanced=False`` trains the evidence lower bound itself.

    Parameters
    ----------
    numbers
        ``"squared_error"``: ``(x - g)^2``; ``"gaussian"``: ``(x - g)^2 / (2 s^2) + ln s + ln(2 pi) / 2``
        with a scale s for each column, fitted with the weights and at least 0.01 in model units: then L
        is a density, in nats. ``"auto"``: gaussian with a Gaussian code, or a corruption of emphasis 1 that
        makes a model fill hidden values; else squared_error.
    balanced
        Whether training divides by the constant's loss.

    Examples
    --------
    >>> Mixed("gaussian").to_dict()
    {'numbers': 'gaussian', 'balanced': True}
    """

    numbers: Literal["auto", "squared_error", "gaussian"] = "auto"
    balanced: bool = True


@description
class DiscretisedLogistic(Likelihood):
    """Probabilities of exact levels, such as the 256 shades of a byte, in nats.

    ``P(x) = sigmoid((x + step / 2 - mean) / s) - sigmoid((x - step / 2 - mean) / s)``, ``step = 1 /
    (n_levels - 1)``, the ends open: all below the lowest level is the lowest, all above the highest the
    highest, so that the probabilities of the levels sum to 1. Mean and ``ln s`` of each value come from
    the decoder, which therefore has two outputs a value, three for each component of a mixture; the
    reconstruction is the expectation. L is what a value costs to store exactly, comparable in bits a
    value (``L / ln 2``) with what is published for pictures.

    Values must lie in [0, 1] in model units, where scaling "auto" or "range" brings them: pixels of 8
    bits as ``k / 255``. What lies between two levels is taken to the nearer one. s is kept between a
    sixteenth of a step and 8.

    Source: Kingma et al. (2016), section 5.3; mixtures: Salimans et al. (2017), equation 2.

    Parameters
    ----------
    n_levels
        Levels from 0 to 1, evenly spaced, in [2, 65536]: 256 of bytes, 65536 of 16 bits.
    n_mixtures
        Logistic components a value, at least 1. Several cost as many times the outputs, and follow
        values that may be one of two things.

    Examples
    --------
    >>> DiscretisedLogistic(n_levels=16).to_dict()
    {'n_levels': 16, 'n_mixtures': 1}
    """

    n_levels: Annotated[
        int, numpy_scalars, within("[2, 65536]", "It counts the values that x can take; bytes have 256.")
    ] = 256
    n_mixtures: Annotated[int, numpy_scalars, within("[1, 100]", "It counts components; try 1 or 5.")] = 1


WITHIN_0_AND_1 = (Bernoulli, DiscretisedLogistic)
"""Those that want values in [0, 1] in model units."""

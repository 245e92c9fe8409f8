"""Descriptions of corruptions: x~ = corruption(x), the input that the encoder is shown."""

from __future__ import annotations

from typing import Annotated

from isthmus.config.description import Description, description, numpy_scalars, within


class Corruption(Description):
    """Family of the corruptions."""


@description
class Masking(Corruption):
    """Hide each value independently: ``x~_i = 0`` with probability ``hidden_share``.

    Hidden values become 0 in model units: black in pictures, the mean in standardised columns.
    Kept values are not rescaled. Source: Vincent et al. (2010), JMLR 11, section 3.3.

    Parameters
    ----------
    hidden_share
        Probability that a value is hidden, in [0, 1).

    Examples
    --------
    >>> Masking(0.25).hidden_share
    0.25
    """

    hidden_share: Annotated[
        float,
        numpy_scalars,
        within("[0, 1)", "To hide everything is to learn nothing; try 0.25."),
    ] = 0.25


@description
class GaussianNoise(Corruption):
    """Add independent normal noise: ``x~ = x + scale * e``, ``e ~ N(0, I)``.

    Source: Vincent et al. (2010), JMLR 11, section 3.3.

    Parameters
    ----------
    scale
        Standard deviation of the noise in model units (pixels in [0, 1], standardised columns),
        at least 0; 0 leaves the input as it is.

    Examples
    --------
    >>> GaussianNoise(0.1).scale
    0.1
    """

    scale: Annotated[float, numpy_scalars, within("[0, inf)", "It is a standard deviation; try 0.3.")] = 0.3

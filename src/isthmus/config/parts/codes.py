"""Descriptions of codes: h = code(f(x~))."""

from __future__ import annotations

from typing import Annotated

from isthmus.config.description import Description, description, numpy_scalars, within
from isthmus.config.parts.activations import Activation


class Code(Description):
    """Family of the codes."""


@description
class DeterministicCode(Code):
    """A code that is a plain function of the input: ``h = activation(pre_code)``.

    Parameters
    ----------
    activation
        ``"identity"`` (the default), ``"relu"``, ``"sigmoid"``, ``"tanh"`` or another activation.

    Examples
    --------
    >>> DeterministicCode(activation="sigmoid").activation
    'sigmoid'
    """

    activation: Activation = "identity"


@description
class GaussianCode(Code):
    """A normal distribution for each code unit: ``h = mean + scale * e``, ``e ~ N(0, I)``.

    Its rate is ``KL(N(mean, scale^2) || N(0, I))`` in nats, summed over units; it joins the
    objective with weight ``beta``. Source: Kingma and Welling (2014), appendix B; beta: Higgins
    et al. (2017).

    Parameters
    ----------
    beta
        Weight of the rate, at least 0; 1 is the evidence lower bound.

    Examples
    --------
    >>> GaussianCode(beta=4.0).beta
    4.0
    """

    beta: Annotated[
        float, numpy_scalars, within("[0, inf)", "It weighs the rate; 1 is the evidence bound.")
    ] = 1.0

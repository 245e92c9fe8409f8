"""Descriptions of penalties: each adds ``weight * Omega`` to the loss of an example."""

from __future__ import annotations

from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within

Weight = Annotated[
    float, numpy_scalars, within("[0, inf)", "It weighs the penalty against the loss; try 0.001.")
]
WarmUp = Annotated[
    float, numpy_scalars, within("[0, 1]", "It is a share of all steps; try 0.2, or 0 for none.")
]


class Penalty(Description):
    """Family of the penalties."""


@description
class L1(Penalty):
    """``Omega = sum_j |h_j|``: a Laplace prior on the code, which gives exact zeros.

    Parameters
    ----------
    weight
        At least 0.
    warm_up_share
        Share of all steps over which the weight rises from 0, in [0, 1].

    Examples
    --------
    >>> L1(0.01).weight
    0.01
    """

    weight: Weight = 1e-3
    warm_up_share: WarmUp = 0.0


@description
class L2(Penalty):
    """``Omega = sum_j h_j^2``: a normal prior on the code, which gives small values, not zeros.

    Parameters
    ----------
    weight
        At least 0.
    warm_up_share
        Share of all steps over which the weight rises from 0, in [0, 1].

    Examples
    --------
    >>> L2(0.01).weight
    0.01
    """

    weight: Weight = 1e-3
    warm_up_share: WarmUp = 0.0


@description
class WeightDecay(Penalty):
    """``Omega = sum ||W||_F^2`` over the weights of encoder and decoder, biases left out.

    The prior on the weights rather than on the code. One number for the model, added to the mean
    loss of an example (Kunin et al. 2019: for a linear autoencoder the optimum is known exactly).

    Parameters
    ----------
    weight
        At least 0.
    warm_up_share
        Share of all steps over which the weight rises from 0, in [0, 1].

    Examples
    --------
    >>> WeightDecay(1e-4).weight
    0.0001
    """

    weight: Weight = 1e-4
    warm_up_share: WarmUp = 0.0


@description
class Contractive(Penalty):
    """``Omega = ||dh/dx||_F^2``: the squared Frobenius norm of the code's Jacobian.

    Taken at the input that the encoder is shown; for a Gaussian code h is its mean. Source: Rifai
    et al. (2011), equation 5.

    Parameters
    ----------
    weight
        At least 0.
    method
        ``"exact"``: for dense encoders of any depth in closed form, for others one backward pass
        a code unit. ``"estimate"``: one random projection a row (Hutchinson), unbiased, one
        backward pass. ``"auto"``: exact for dense encoders, the estimate for others.
    warm_up_share
        Share of all steps over which the weight rises from 0, in [0, 1].

    Examples
    --------
    >>> Contractive(0.1).method
    'auto'
    """

    weight: Weight = 0.1
    method: Literal["auto", "exact", "estimate"] = "auto"
    warm_up_share: WarmUp = 0.0

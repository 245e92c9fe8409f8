"""Descriptions of penalties: each adds ``weight * Omega`` to the loss of an example."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within

Weight = Annotated[
    float, numpy_scalars, within("[0, inf)", "It weighs the penalty against the loss; try 0.001.")
]
WarmUp = Annotated[
    float, numpy_scalars, within("[0, 1]", "It is a share of all steps; try 0.2, or 0 for none.")
]


Scale = Annotated[float, numpy_scalars, within("(0, inf)", "It is a standard width; try 1.0.")]


class Penalty(Description):
    """Family of the penalties."""

    def prior(self) -> Penalty | None:
        """The prior on each code unit that ``weight * Omega`` is the negative log of, up to a constant.

        None where it is of no prior on the code. Under a likelihood in nats the objective is then,
        up to that constant, ``-ln p(x, h)``, and training finds the code of largest posterior density.
        """
        return None


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

    def prior(self) -> LaplacePrior | None:
        """Laplace of scale ``1 / weight``; flat, and so none, at a weight of 0.

        >>> L1(0.1).prior()
        LaplacePrior(scale=10.0)
        """
        return LaplacePrior(1 / self.weight) if self.weight else None


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

    def prior(self) -> NormalPrior | None:
        """Normal of scale ``1 / sqrt(2 weight)``; flat, and so none, at a weight of 0.

        >>> L2(0.5).prior()
        NormalPrior(scale=1.0)
        """
        return NormalPrior(1 / math.sqrt(2 * self.weight)) if self.weight else None


@description
class WeightDecay(Penalty):
    """``Omega = sum ||W||_F^2`` over the weights of encoder and decoder, biases left out.

    The prior on the weights rather than on the code: normal. One number for the model, added to the mean
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

    def prior_on_weights(self, n_rows: int) -> NormalPrior | None:
        """Normal of scale ``1 / sqrt(2 weight n_rows)`` on each weight, when trained on ``n_rows`` rows.

        The objective is a mean over rows: the prior on the weights, given once, weighs ``1 / n_rows``
        in it. Flat, and so none, at a weight of 0.

        >>> WeightDecay(0.005).prior_on_weights(100)
        NormalPrior(scale=1.0)
        """
        return NormalPrior(1 / math.sqrt(2 * self.weight * n_rows)) if self.weight else None


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


@description
class ContractiveHessian(Penalty):
    """``Omega = E ||J(x + e) - J(x)||_F^2``, ``e ~ N(0, scale^2 I)``: how much J = dh/dx changes around a row.

    For small scales it is ``scale^2`` times the squared norm of the code's second derivatives. Beside
    :class:`Contractive` it makes the contractive autoencoder of higher order (CAE+H): Rifai et al.
    (2011b), equation 4. The Jacobians are exact for dense encoders; for others their difference is
    estimated by one random projection a draw, without bias.

    Parameters
    ----------
    weight
        At least 0.
    scale
        Standard deviation of e, in model units, above 0.
    n_probes
        Draws of e a row and step, at least 1: the cost grows with them, the noise of the estimate
        falls with their root.
    warm_up_share
        Share of all steps over which the weight rises from 0, in [0, 1].

    Examples
    --------
    >>> ContractiveHessian(10.0, scale=0.05).n_probes
    4
    """

    weight: Weight = 1.0
    scale: Scale = 0.1
    n_probes: Annotated[int, numpy_scalars, within("[1, inf)", "It is a count of draws; try 4.")] = 4
    warm_up_share: WarmUp = 0.0


@description
class KLSparsity(Penalty):
    """``Omega = sum_j KL(rho || q_j)``: each unit's mean activity q_j over the batch is drawn to rho.

    ``KL(rho || q) = rho ln(rho / q) + (1 - rho) ln((1 - rho) / (1 - q))``. Units must lie in (0, 1): it
    wants a sigmoid code, and refuses others. One number for the batch (scope ``batch``), whose rows
    count as they weigh; it is of no prior on the code, for it does not say what one row's units
    are. Source: Ng (2011), section 3, there with rho 0.01 or 0.05 and weight 3.

    Parameters
    ----------
    weight
        At least 0.
    target_activity
        rho, in (0, 1).
    warm_up_share
        Share of all steps over which the weight rises from 0, in [0, 1].

    Examples
    --------
    >>> KLSparsity(3.0, target_activity=0.01).target_activity
    0.01
    """

    weight: Weight = 1.0
    target_activity: Annotated[
        float, numpy_scalars, within("(0, 1)", "It is a share of full activity; try 0.05.")
    ] = 0.05
    warm_up_share: WarmUp = 0.0


@description
class StudentT(Penalty):
    """``Omega = sum_j (dof + 1) / 2 * ln(1 + h_j^2 / (dof * scale^2))``: a Student-t prior on the code.

    Many units near 0 and a few that are free to be large. With one degree of freedom it is
    ``ln(1 + h^2 / scale^2)`` (Olshausen and Field 1996).

    Parameters
    ----------
    weight
        At least 0.
    scale
        Of the units that count as small, above 0.
    dof
        Degrees of freedom, above 0: the fewer, the heavier the tails.
    warm_up_share
        Share of all steps over which the weight rises from 0, in [0, 1].

    Examples
    --------
    >>> StudentT(0.5, scale=2.0).dof
    1.0
    """

    weight: Weight = 1e-2
    scale: Scale = 1.0
    dof: Annotated[float, numpy_scalars, within("(0, inf)", "They are degrees of freedom; try 1.0.")] = 1.0
    warm_up_share: WarmUp = 0.0

    def prior(self) -> StudentTPrior | None:
        """Student-t of ``weight (dof + 1) - 1`` degrees of freedom; none where that is not above 0.

        A smaller weight is of no prior: its density would have no finite sum.

        >>> StudentT(2.0).prior()
        StudentTPrior(scale=0.57735..., dof=3.0)
        """
        dof = self.weight * (self.dof + 1) - 1
        return StudentTPrior(self.scale * math.sqrt(self.dof / dof), dof) if dof > 0 else None


@description
class Decorrelation(Penalty):
    """``Omega = sum_{i<j} C_ij^2``: the units of a code are kept from saying the same.

    C is the covariance, or the correlation, of the units over the batch, whose rows count as they
    weigh. One number for the batch (scope ``batch``). A statement about pairs of units over rows, it
    is of no prior on the code. Source: Cogswell et al. (2016), equation 2, there with the covariance.

    Parameters
    ----------
    weight
        At least 0.
    measure
        ``"covariance"``, as published, or ``"correlation"``, which does not fall when units shrink.
    warm_up_share
        Share of all steps over which the weight rises from 0, in [0, 1].

    Examples
    --------
    >>> Decorrelation(0.1).measure
    'covariance'
    """

    weight: Weight = 0.1
    measure: Literal["covariance", "correlation"] = "covariance"
    warm_up_share: WarmUp = 0.0


@description
class LaplacePrior(Penalty):
    """``Omega = -ln p(h)``, ``p(h_j) = exp(-|h_j| / scale) / (2 scale)``: what :class:`L1` is up to a constant.

    In nats, with its constant: under a likelihood that is a density, the objective is ``-ln p(x, h)``.

    Parameters
    ----------
    scale
        Mean absolute value of a unit, above 0; ``1 / weight`` of the same :class:`L1`.

    Examples
    --------
    >>> LaplacePrior(10.0).prior()
    LaplacePrior(scale=10.0)
    """

    scale: Scale = 1.0

    def prior(self) -> LaplacePrior:
        """Itself."""
        return self


@description
class NormalPrior(Penalty):
    """``Omega = -ln p(h)``, ``p(h_j) = N(h_j; 0, scale^2)``: what :class:`L2` is up to a constant.

    In nats, with its constant: under a likelihood that is a density, the objective is ``-ln p(x, h)``.

    Parameters
    ----------
    scale
        Standard deviation of a unit, above 0; ``1 / sqrt(2 weight)`` of the same :class:`L2`.

    Examples
    --------
    >>> NormalPrior(1.0).prior()
    NormalPrior(scale=1.0)
    """

    scale: Scale = 1.0

    def prior(self) -> NormalPrior:
        """Itself."""
        return self


@description
class StudentTPrior(Penalty):
    """``Omega = -ln p(h)``, p a Student-t density of each unit: what :class:`StudentT` is up to a constant.

    In nats, with its constant: under a likelihood that is a density, the objective is ``-ln p(x, h)``.

    Parameters
    ----------
    scale
        Of ``h / scale``, which has the standard density, above 0.
    dof
        Degrees of freedom, above 0; 1 is Cauchy's density.

    Examples
    --------
    >>> StudentTPrior(1.0, dof=3.0).prior()
    StudentTPrior(scale=1.0, dof=3.0)
    """

    scale: Scale = 1.0
    dof: Annotated[float, numpy_scalars, within("(0, inf)", "They are degrees of freedom; try 3.0.")] = 3.0

    def prior(self) -> StudentTPrior:
        """Itself."""
        return self

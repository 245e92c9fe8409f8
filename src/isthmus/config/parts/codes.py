"""Descriptions of codes: h = code(f(x~))."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within
from isthmus.config.parts.activations import Activation
from isthmus.errors import ParameterError

Noise = Annotated[float, numpy_scalars, within("[0, inf)", "It is a share of each unit's scale; try 0.1.")]
Active = Annotated[int, numpy_scalars, within("[1, inf)", "It is a count of units; try 8.")]


class Code(Description):
    """Family of the codes."""


@description
class DeterministicCode(Code):
    """A code that is a plain function of the input: ``h = activation(pre_code)``.

    With ``noise`` the decoder is shown ``h + noise * s * e``, ``e ~ N(0, I)``, in training alone; s is
    each unit's standard deviation over the batch, so that a larger code cannot outgrow the noise.
    The rows of a batch then depend on each other (scope ``batch``).

    Parameters
    ----------
    activation
        ``"identity"`` (the default), ``"relu"``, ``"sigmoid"``, ``"tanh"`` or another activation.
    noise
        Standard deviation of the noise, as a share of each unit's own, at least 0; 0 adds none.
    final_noise
        What it has become, in a straight line, at the end of the training, at least 0; None stays.

    Examples
    --------
    >>> DeterministicCode(activation="sigmoid").activation
    'sigmoid'
    """

    activation: Activation = "identity"
    noise: Noise = 0.0
    final_noise: Noise | None = None


@description
class TopKCode(Code):
    """The ``n_active`` largest units of each row, zeros elsewhere.

    ``h = a`` where a is among the largest of its row, else 0, with ``a = activation(pre_code)``; each
    row has exactly ``n_active`` units that may differ from 0. Source: Makhzani and Frey (2014); with
    ``activation="relu"``: Gao et al. (2024).

    Parameters
    ----------
    n_active
        Units kept, at least 1 and at most the code's size, where all are kept; ``"auto"``: the square
        root of the code's size.
    activation
        Taken before the units are ranked.
    first_n_active
        Units kept at first, at least ``n_active``; the number falls in a straight line over the first
        half of the training, so that no unit dies early (section 4.2.1 there). None begins with
        ``n_active``. Evaluation always keeps ``n_active``.
    ranked_by
        ``"value"``, as published, or ``"magnitude"``: ``|a|``.

    Examples
    --------
    >>> TopKCode(n_active=10, first_n_active=40).n_active
    10
    """

    n_active: Active | Literal["auto"] = "auto"
    activation: Activation = "identity"
    first_n_active: Active | None = None
    ranked_by: Literal["value", "magnitude"] = "value"

    def __post_init__(self) -> None:
        if (
            self.first_n_active is not None
            and self.n_active != "auto"
            and self.first_n_active < self.n_active
        ):
            raise ParameterError(
                f"TopKCode: first_n_active must be at least n_active, got {self.first_n_active} and "
                f"{self.n_active}. The number of units falls; begin with more."
            )


@description
class BatchTopKCode(Code):
    """The ``n_active * rows`` largest units of each batch, zeros elsewhere: ``n_active`` a row on average.

    Rows with more to tell may use more units. In evaluation a unit is kept where it is above a
    threshold that was followed in training, so that rows do not depend on each other. In training
    they do (scope ``batch``); what rows weigh does not matter to the choice. Source: Bussmann et al. (2024).

    Parameters
    ----------
    n_active
        Units kept a row on average, at least 1 and at most the code's size, where all are kept;
        ``"auto"``: the square root of the code's size.
    activation
        Taken before the units are ranked.

    Examples
    --------
    >>> BatchTopKCode(n_active=8).activation
    'relu'
    """

    n_active: Active | Literal["auto"] = "auto"
    activation: Activation = "relu"


@description
class WinnerTakeAllCode(Code):
    """Each unit keeps its largest values over the batch: ``ceil(active_share * rows)`` of them, exactly.

    No unit can die, for each wins as often as any other. In training the rows of a batch depend on
    each other (scope ``batch``); what rows weigh does not matter to the choice. Evaluation, as
    published, keeps all units: ``h = activation(pre_code)``. Source: Makhzani and Frey (2015), section 2.

    Parameters
    ----------
    active_share
        Share of a batch's rows in which a unit is kept, in (0, 1]; 1 is no sparsity.
    activation
        Taken before the rows are ranked.

    Examples
    --------
    >>> WinnerTakeAllCode(0.1).active_share
    0.1
    """

    active_share: Annotated[
        float, numpy_scalars, within("(0, 1]", "It is a share of the rows; try 0.05.")
    ] = 0.05
    activation: Activation = "relu"


def n_active_of(n_active: int | Literal["auto"], size: int) -> int:
    """How many units of a code of ``size`` are kept; ``"auto"`` is the square root of its size.

    >>> n_active_of("auto", 64), n_active_of(5, 64)
    (8, 5)
    """
    return max(1, round(math.sqrt(size))) if n_active == "auto" else n_active


def check_active(who: str, name: str, n_active: int, size: int) -> None:
    """Refuse to keep more units than there are."""
    if n_active > size:
        raise ParameterError(
            f"{who}: {name} must be at most the code's size, got {name} {n_active} and code size {size}. "
            f"Lower {name}, or take a larger code."
        )


@description
class GaussianCode(Code):
    """A normal distribution for each code unit: ``h = mean + scale * e``, ``e ~ N(0, I)``.

    Its rate is ``KL(N(mean, scale^2) || N(0, I))`` in nats, summed over units; ``beta * rate`` joins
    the objective, the evidence lower bound where L is in nats and beta is 1. Source: Kingma and
    Welling (2014), appendix B; beta: Higgins et al. (2017).

    Parameters
    ----------
    beta
        Weight of the rate, at least 0; 1 is the evidence lower bound. Under squared error, which is
        no density, beta is twice the variance of the Gaussian that it stands for.
    warm_up_share
        Share of the training, in [0, 1], over which beta goes from ``first_beta`` to its value, linearly
        from 0 (Bowman et al. 2016; Sonderby et al. 2016); 0 does not warm up.
    first_beta
        Where beta begins, at least 0. Above 0 it goes by equal ratios: falling from far above beta, it
        finds what is common to many rows first and details later (deterministic annealing, Rose 1998),
        which places modes that lie apart; under a Gaussian likelihood this is a scale that falls by the
        root of the same ratio. Needs ``warm_up_share`` above 0.
    free_bits
        Nats, at least 0, that each unit may cost for nothing: ``beta * sum_j max(free_bits, mean over
        the batch of KL_j)`` (Kingma et al. 2016, equation 15); 0 leaves the rate as it is.
    capacity
        Nats in all, at least 0, that the code is held to: ``beta * |rate - C|``, ``rate`` the mean
        over the batch, and C rising linearly from 0 to ``capacity`` (Burgess et al. 2018, equation
        8); None holds it to nothing.
    capacity_share
        Share of the training, in [0, 1], over which C rises; 0 is ``capacity`` from the start.
    n_draws
        Draws of h a row, at least 1. More than one train the importance-weighted bound ``ln mean_k
        p(x, h_k) / q(h_k given x)`` (Burda et al. 2016), at the cost of as many passes of the decoder.

    Notes
    -----
    Free bits and capacity look at the whole batch in training. In evaluation, and so for the
    choice of the best epoch, each row counts as a batch of its own: ``beta * sum_j max(free_bits,
    KL_j)``, and ``beta * |rate - capacity|``, which are never below the training's.

    Examples
    --------
    >>> GaussianCode(beta=4.0).beta
    4.0
    >>> GaussianCode(beta=4.0, n_draws=5)
    Traceback (most recent call last):
    isthmus.errors.ParameterError: GaussianCode: n_draws must be 1 beside beta=4.0, got 5...
    """

    beta: Annotated[
        float, numpy_scalars, within("[0, inf)", "It weighs the rate; 1 is the evidence bound.")
    ] = 1.0
    warm_up_share: Annotated[
        float, numpy_scalars, within("[0, 1]", "It is a share of the training; try 0.25.")
    ] = 0.0
    free_bits: Annotated[
        float, numpy_scalars, within("[0, inf)", "It is nats a unit; try 0.1, or 0 for none.")
    ] = 0.0
    capacity: (
        Annotated[float, numpy_scalars, within("[0, inf)", "It is nats in all; try 25, or None.")] | None
    ) = None
    capacity_share: Annotated[
        float, numpy_scalars, within("[0, 1]", "It is a share of the training; try 0.5.")
    ] = 0.5
    n_draws: Annotated[int, numpy_scalars, within("[1, inf)", "It is a count of draws; try 5, or 1.")] = 1
    first_beta: Annotated[
        float, numpy_scalars, within("[0, inf)", "Beta begins there; try 100, or 0 to warm up.")
    ] = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot work together."""
        if self.free_bits > 0 and self.capacity is not None:
            raise ParameterError(
                f"GaussianCode: free_bits must be 0 beside capacity={self.capacity}, got {self.free_bits}. "
                "Both change what the rate costs; choose one."
            )
        if self.first_beta > 0 and self.warm_up_share == 0:
            raise ParameterError(
                f"GaussianCode: first_beta needs a warm_up_share above 0, got first_beta={self.first_beta} and none. "
                "It tells from where beta goes to its value; try warm_up_share=0.7."
            )
        others = {
            "beta": (self.beta, 1.0),
            "warm_up_share": (self.warm_up_share, 0.0),
            "free_bits": (self.free_bits, 0.0),
            "capacity": (self.capacity, None),
        }
        if self.n_draws > 1:
            for name, (value, plain) in others.items():
                if value != plain:
                    raise ParameterError(
                        f"GaussianCode: n_draws must be 1 beside {name}={value}, got {self.n_draws}. The "
                        f"importance-weighted bound has no rate of its own; draw once, or set {name}={plain}."
                    )


@description
class QuantisedCode(Code):
    """Whole steps, and a learned distribution of them: a code made to be stored in few bits.

    ``h = step * round(pre_code / step)``, a learned step for each unit. The rate of a unit is ``-ln
    P(h_j)`` in nats, what an entropy coder needs to store it; ``P(h_j) = F_j(h_j + step_j / 2) - F_j(h_j
    - step_j / 2)``, each ``F_j`` the distribution function of a mixture of logistics, fitted with the
    weights. The objective is ``distortion + beta * rate``: a point on the rate-distortion curve, chosen
    by beta.

    Rounding has no slope: in training the decoder is shown ``h = pre_code + step * u``, u uniform in
    [-1/2, 1/2) (Balle et al. 2017, equations 7 to 10); codes, reconstructions and evaluation are rounded,
    and derivatives go straight through. A unit that is not worth its bits becomes constant.

    Source: Theis et al. (2017); Balle et al. (2017); mixture: Salimans et al. (2017). Theirs have steps of
    1 and encoders that scale their outputs: on a line, four times the epochs did not reach what a step to
    learn does.

    Parameters
    ----------
    beta
        Weight of the rate, above 0. Under a likelihood in nats 1 makes the objective what exact storage
        costs; under squared error each unit that carries something adds about ``beta / 2`` to the error
        at the optimum, because a nat more divides what rounding adds by ``e^2``.
    first_step
        Step of every unit at the beginning, above 0. A large one drowns what the untrained encoder says.
    n_mixtures
        Logistic components of each unit's distribution, at least 1.
    warm_up_share
        Share of the training, in [0, 1], over which beta rises linearly from 0; 0 does not warm up.

    Examples
    --------
    >>> QuantisedCode(beta=0.1).to_dict()
    {'beta': 0.1, 'first_step': 0.1, 'n_mixtures': 3, 'warm_up_share': 0.0}
    """

    beta: Annotated[
        float,
        numpy_scalars,
        within("(0, inf)", "It weighs the rate, which teaches the code's distribution; try 0.1."),
    ] = 1.0
    first_step: Annotated[
        float, numpy_scalars, within("(0, inf)", "h is rounded to its multiples; try 0.1.")
    ] = 0.1
    n_mixtures: Annotated[int, numpy_scalars, within("[1, 100]", "It counts components; try 3.")] = 3
    warm_up_share: Annotated[
        float, numpy_scalars, within("[0, 1]", "It is a share of the training; try 0.25.")
    ] = 0.0

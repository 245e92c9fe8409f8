"""What to try when a training has left units of the code, or all of it, with nothing to carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.config import Config
from isthmus.config.defaults import fills
from isthmus.config.parts.codes import (
    BatchTopKCode,
    DeterministicCode,
    GaussianCode,
    TopKCode,
    WinnerTakeAllCode,
)
from isthmus.config.parts.likelihoods import Gaussian
from isthmus.config.parts.penalties import WeightDecay
from isthmus.errors import ParameterError
from isthmus.evaluation.metrics import ACTIVE_VARIANCE, Measured, dead_units
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.sources import Source
from isthmus.training.dead_units import check_can_revive

IDLE_RATE = 0.01
"""Nats; a unit whose mean rate is below carries nothing."""
AS_GOOD_AS_THE_MEAN = 0.99
"""Share of the mean's squared error from which on a reconstruction counts as the mean."""
COLLAPSE, NO_BETTER, DEAD, INACTIVE = (
    "Posterior collapse",
    "No better than the mean",
    "Dead units",
    "Inactive units",
)


def advice(inference: Inference, measured: Measured, more: Source | None = None) -> list[str]:
    """One sentence for each trouble that a training has ended in, with what to try; none for a sound one.

    Parameters
    ----------
    measured
        On rows of the same model.
    more
        Further rows, such as some that were trained on: a unit that no row of ``measured`` needs may be that of
        a rare thing. They are encoded only if there are units to tell of.
    """
    model = inference.model
    found, dead = measured.to_dict(), measured.dead
    mean = found["baselines"].get("mean", {}).get("sse")
    rates = None
    if measured.rates is not None:
        rates = np.average(measured.rates.astype(np.float64), axis=0, weights=measured.weights)
    if dead.any() and more is not None:
        dead = dead & dead_units(inference.encode(more), has_distribution=rates is not None)
    code = model.config.model.code
    if rates is not None:
        collapse = collapse_words(rates, found["error"]["sse"], mean, code, model.config.model.likelihood)
        if collapse is not None:
            return [collapse]
        return [_inactive_words(dead, code)] if dead.any() else []
    said: list[str] = []
    if mean is not None and _is_mean(found["error"]["sse"], mean) and not fills(model.config.model):
        said.append(_mean_words(model, found["error"]["sse"], mean, found["baselines"]["pca"]["sse"]))
    if dead.any():
        said.append(_dead_words(model, dead))
    return said


def is_advice(note: str) -> bool:
    """Whether :func:`advice` gave a note.

    >>> is_advice("Dead units: 1 of 3 code units carries nothing."), is_advice("1 row has gaps.")
    (True, False)
    """
    return note.partition(":")[0] in (COLLAPSE, NO_BETTER, DEAD, INACTIVE)


def collapse_words(
    rates: NDArray[Any], sse: float, mean_sse: float | None, code: object, likelihood: object
) -> str | None:
    """One sentence about units that the prior has taken, and what to do; None if few were.

    Parameters
    ----------
    rates
        Mean rate of each unit in nats, ``(code_size,)``.
    sse, mean_sse
        Mean squared error of the reconstructions, and of the training rows' mean if it is known.
    code, likelihood
        Descriptions of the model's, whose present settings are then told.
    """
    n_idle, n = int((np.asarray(rates) < IDLE_RATE).sum()), len(rates)
    is_mean = _is_mean(sse, mean_sse)
    if 2 * n_idle <= n and not is_mean:
        return None
    found = f"{n_idle} of {n} code units {_carry(n_idle)} nothing (a rate under {IDLE_RATE} nats)"
    if is_mean:
        found += " and the reconstructions are no better than the mean"
    tries = _tries_of_gaussian(code)
    if not isinstance(likelihood, Gaussian):
        tries.append("learn the output's scale (likelihood Gaussian('learned'))")
    return f"{COLLAPSE}: {found}; if they should carry more, {_any_of(tries)}."


def _is_mean(sse: float, mean_sse: float | None) -> bool:
    return mean_sse is not None and mean_sse > 0 and sse >= AS_GOOD_AS_THE_MEAN * mean_sse


def _inactive_words(dead: NDArray[np.bool_], code: object) -> str:
    """Of a Gaussian code, by the statistic of Burda et al. (2016), section 5.1."""
    n_dead, n = int(dead.sum()), len(dead)
    return (
        f"{INACTIVE}: {n_dead} of {n} code units {_carry(n_dead)} nothing (a mean that varies by {ACTIVE_VARIANCE} or "
        f"less), so that code_size={n - n_dead} would be enough; if they should carry more, "
        f"{_any_of(_tries_of_gaussian(code))}."
    )


def _tries_of_gaussian(code: object) -> list[str]:
    if not isinstance(code, GaussianCode):  # of the user's own
        return ["weigh its rate less"]
    if code.capacity is not None:
        return [f"raise capacity ({code.capacity:g} nats now)"]
    tries = [f"lower beta ({code.beta:g} now)"] if code.beta > 0 else []
    if code.warm_up_share == 0 and code.beta > 0:
        tries.append("let it rise (warm_up_share=0.25)")
    if code.free_bits == 0:
        tries.append("grant free bits (free_bits=0.05)")
    else:
        tries.append(f"grant more free bits (free_bits={code.free_bits:g} now)")
    return tries


def _dead_words(model: FittedModel, dead: NDArray[np.bool_]) -> str:
    n_dead, n = int(dead.sum()), len(dead)
    found = f"{DEAD}: {n_dead} of {n} code units {_carry(n_dead)} nothing (the same for every row)"
    tries = _tries_of(model.config, model.module)
    if n_dead == n:
        return f"{found}; {_any_of(tries)}."
    return f"{found}, so that code_size={n - n_dead} would be enough; if they should carry more, {_any_of(tries)}."


def _tries_of(config: Config, module: AutoencoderModule) -> list[str]:
    """What lets units of a code without a distribution live."""
    code, tries = config.model.code, list[str]()
    if isinstance(code, (TopKCode, BatchTopKCode)):
        tries.append(f"raise n_active ({code.n_active} now)")
        if isinstance(code, TopKCode) and code.first_n_active is None and isinstance(code.n_active, int):
            tries.append(f"begin with more (first_n_active={min(4 * code.n_active, module.code.size)})")
    elif isinstance(code, WinnerTakeAllCode):
        tries.append(f"raise active_share ({code.active_share:g} now)")
    tries += _lower_weights(config)
    if config.training.dead_units == "left" and _can_revive(config, module):
        tries.append("have them revived (dead_units='revived')")
    if not tries or getattr(code, "activation", "") == "relu":
        tries.append(_lower_rate(config))
    if isinstance(code, DeterministicCode) and code.activation == "relu" and not config.model.penalties:
        tries.append("take another activation of the code")
    return tries


def _lower_weights(config: Config) -> list[str]:
    """Of penalties that hold the code small or flat."""
    weights = [
        f"{type(penalty).__name__} ({penalty.weight:g} now)"  # pyright: ignore[reportAttributeAccessIssue]
        for penalty in config.model.penalties
        if not isinstance(penalty, WeightDecay) and getattr(penalty, "weight", 0) > 0
    ]
    return [f"lower the weight of {' and '.join(weights)}"] if weights else []


def _lower_rate(config: Config) -> str:
    return f"lower learning_rate ({config.training.learning_rate:g} now)"


def _can_revive(config: Config, module: AutoencoderModule) -> bool:
    """What gives units new weights knows neither labels nor flags of gaps."""
    try:
        check_can_revive(module)
    except ParameterError:
        return False
    return config.model.condition == "none" and config.data.missing != "mask"


def _mean_words(model: FittedModel, sse: float, mean_sse: float, pca_sse: float) -> str:
    plan = model.config.training
    found = (
        f"{NO_BETTER}: the reconstructions have {sse / mean_sse:.2f} of the error of the training rows' mean, where "
        f"PCA has {pca_sse / mean_sse:.2f}"
    )
    if _is_mean(pca_sse, mean_sse):
        return f"{found} too: these rows may have nothing in common that a code of this size could carry."
    tries = [
        *_lower_weights(model.config),
        _lower_rate(model.config),
        f"train longer (epochs={plan.epochs} now)",
    ]
    if model.config.model.corruption is not None:
        tries.append("corrupt less")
    return f"{found}; {_any_of(tries)}."


def _carry(n: int) -> str:
    return "carries" if n == 1 else "carry"


def _any_of(tries: Sequence[str]) -> str:
    """Words with "or" before the last.

    >>> _any_of(["a"]), _any_of(["a", "b", "c"])
    ('a', 'a, b, or c')
    """
    return tries[0] if len(tries) == 1 else f"{', '.join(tries[:-1])}, or {tries[-1]}"


def without_advice(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes that stay true when a model is trained further."""
    return tuple(note for note in notes if not is_advice(note))

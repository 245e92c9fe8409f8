"""A network that sees what is around a value, learned from pictures, as a coder in whole numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.codec.coding.context import Canvas
from isthmus.codec.coding.context_coder import MOST_LEVELS, ContextCoder, ContextFacts, numbers_of
from isthmus.codec.coding.context_model import ContextModel
from isthmus.codec.frozen.modules import freeze
from isthmus.config.training import Training
from isthmus.likelihoods.discretised_logistic import LARGEST_SCALE, SMALLEST_SCALE
from isthmus.shapes import n_values
from isthmus.training.callbacks import Callback
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows

REACH, SLOPE = 5, 4
"""Lines and columns that a place sees; columns by which a wave's lines are behind each other."""
N_KNOTS = 7
"""Of what is read of a line or a column."""
SCALE = 255
"""What the highest level is read as above the lowest, about."""
OUTPUT_BITS = 12
N_MIXTURES = 6
MOST_MARKED, LEAST_SHARE = 4, 0.01
"""Levels that have a logit each, and the share of all values that such a level has at least."""
FEW_LEVELS = 8
"""Where there are no more, all have a logit."""
MOST_UNSEEN = 32
"""Levels below which none but those of the sample are expected."""
WEIGHT_BITS = 8
"""Of a network's weights: more than its error shows, and the archive carries them."""
BATCH, DRAWN = 128, 2048
"""Pictures of a step, and places of all of them."""
MOST_GATHERED = 1 << 22
"""Values of a step's pictures."""
HIDDEN, FEW_HIDDEN, MANY_VALUES = 64, 32, 1 << 22
"""Units of both hidden layers: the more where there are many values, for the archive carries them."""
N_SAMPLE = 4000
"""Places by which networks are put into whole numbers."""
WORK_OF_A_MIXTURE, WORK_OF_A_STEP = 3000, 3e7
"""What the likelihood of a place costs beside the network, and a step beside its places, in multiplications."""


def levels_of(values: NDArray[Any]) -> NDArray[Any] | None:
    """The values that pictures like these may have, in order; None where they are too many to have a level each."""
    found = np.unique(values)
    if len(found) < 2:
        return None
    if len(found) <= MOST_UNSEEN:
        return found
    low, high = int(found[0]), int(found[-1])
    if values.dtype.itemsize == 1:
        low, high = np.iinfo(values.dtype).min, np.iinfo(values.dtype).max
    if high - low < MOST_LEVELS:
        return np.arange(low, high + 1).astype(values.dtype)
    return found if len(found) <= MOST_LEVELS else None


def facts_of(values: NDArray[Any], levels: NDArray[Any]) -> ContextFacts:
    """What a coder knows of pictures ``(n, height, width[, channels])`` before it learns."""
    shape = values.shape[1:]
    picture = (shape[0], shape[1], shape[2] if len(shape) > 2 else 1)
    n = len(levels)
    counts = np.zeros(n, np.int64)
    for part in _numbers(values, levels):
        counts += np.bincount(part.ravel(), minlength=n)
    order = np.argsort(-counts, kind="stable")
    marked = order[:MOST_MARKED][counts[order[:MOST_MARKED]] >= LEAST_SHARE * counts.sum()]
    marked = order[: n - 1] if n <= FEW_LEVELS else marked
    n_others = n - len(marked)
    one, n_mixtures, ends, log_levels = 1 << OUTPUT_BITS, 0, (0, 0), 0
    if n_others > 1:
        steps, n_mixtures = n_others - 1, N_MIXTURES
        ends = round(math.log(SMALLEST_SCALE / steps) * one), round(math.log(LARGEST_SCALE) * one)
        log_levels = round(math.log(steps) * one)
    return ContextFacts(
        shape,
        picture,
        _offsets(),
        SLOPE,
        tuple(marked.tolist()),
        int(order[0]),
        max(1, SCALE // (n - 1)),
        n_mixtures,
        ends,
        log_levels,
    )


def _numbers(values: NDArray[Any], levels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Numbers of levels of pictures, in parts: on the way to them each value takes some twenty bytes."""
    held = np.uint8 if len(levels) <= 256 else np.int32
    n = max(1, (1 << 20) // max(1, values[:1].size))
    for start in range(0, len(values), n):
        numbers = numbers_of(values[start : start + n], levels)
        assert numbers is not None
        yield numbers.astype(held)


def _offsets() -> tuple[tuple[int, int], ...]:
    """All within reach that come before, the nearest first."""
    sides = range(-REACH, REACH + 1)
    found = [
        (up, right)
        for up in range(REACH + 1)
        for right in sides
        if right < SLOPE * up and up * up + right * right <= REACH * (REACH + 1)
    ]
    return tuple(sorted(found, key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset)))


def hats(n: int, scale: int) -> Canvas:
    """Of each of n places how near it is to each of some knots, ``(n, knots)``, whole numbers from 0 to ``scale``.

    A function of the place that is straight between knots is a sum of these. The knots next to the ends are where
    the neighbourhood begins to lie outside.

    Examples
    --------
    >>> hats(3, 10).tolist()
    [[10, 0, 0], [0, 10, 0], [0, 0, 10]]
    """
    knots = np.linspace(0, n - 1, min(n, N_KNOTS))
    if n > 4 * REACH:
        knots[1:-1] = np.linspace(REACH, n - 1 - REACH, N_KNOTS - 2)
    each = np.eye(len(knots))
    found = np.stack([np.interp(np.arange(n), knots, hat) for hat in each], axis=1)
    return np.rint(found * scale).astype(np.int32)


def _model(facts: ContextFacts, n_levels: int, n_rows: int, seed: int = 0) -> ContextModel:
    is_large = n_rows * n_values(facts.picture) >= MANY_VALUES
    scale = facts.step * (n_levels - 1)
    places = [torch.from_numpy(hats(n, scale) / scale).float() for n in facts.picture[:2]]
    return ContextModel(
        facts.neighbourhood,
        (places[0], places[1]),
        facts.observed(n_levels, OUTPUT_BITS),
        common=facts.common,
        n_levels=n_levels,
        n_drawn=_drawn(n_rows, facts)[1],
        hidden_sizes=[HIDDEN if is_large else FEW_HIDDEN] * 2,
        seed=seed,
    )


def _drawn(n_rows: int, facts: ContextFacts) -> tuple[int, int]:
    """Pictures of a step, and places of each."""
    batch = max(1, min(BATCH, n_rows // 4, MOST_GATHERED // n_values(facts.picture)))
    return batch, max(1, DRAWN // batch)


def work_of_a_row(facts: ContextFacts, n_levels: int, n_rows: int) -> float:
    """Multiplications that learning from a picture once is worth, about, in the time that it takes."""
    model = _model(facts, n_levels, n_rows)
    n_weights = sum(parameter.numel() for parameter in model.networks.parameters())
    work = 3 * n_weights + facts.picture[2] * WORK_OF_A_MIXTURE * (facts.n_mixtures > 0)
    return model.n_drawn * work + WORK_OF_A_STEP / _drawn(n_rows, facts)[0]


def fit_context(
    facts: ContextFacts,
    levels: NDArray[Any],
    values: NDArray[Any],
    *,
    epochs: int,
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
) -> ContextCoder:
    """Learn pictures.

    Parameters
    ----------
    facts
        Of :func:`facts_of`.
    levels
        Of :func:`levels_of`.
    values
        ``(n, height, width[, channels])``, all of them levels.
    epochs
        Times through all rows, at some places of each.
    seed
        Of weights, orders and places.
    callbacks
        What watches.
    """
    batch, _ = _drawn(len(values), facts)
    model = _model(facts, len(levels), len(values), seed)
    numbers = np.concatenate(list(_numbers(values, levels)))
    rows = torch.from_numpy(numbers.reshape(len(values), *facts.picture))
    plan = Training(
        epochs=epochs, batch_size=batch, learning_rate=3e-3, weight_decay=0.0, seed=seed, device="cpu",
        validation_share=0.0, threads=1, patience=None, micro_batch="auto",
    )  # fmt: skip
    Trainer(model, plan).fit(TensorRows(rows), callbacks=callbacks)
    model.eval()
    scale = facts.step * (len(levels) - 1)
    some = rows[:: max(1, len(rows) // N_SAMPLE)]
    chance = np.random.Generator(np.random.PCG64(seed))
    n_places = facts.picture[0] * facts.picture[1]
    at = torch.from_numpy(chance.integers(0, n_places, (len(some), max(1, N_SAMPLE // len(some)))))
    with torch.no_grad():
        networks = [
            freeze(
                network,
                model.seen(some, at, channel)[0].double().numpy(),
                scale,
                weight_bits=WEIGHT_BITS,
                output_bits=OUTPUT_BITS,
            )
            for channel, network in enumerate(model.networks)
        ]
    lines, columns = (hats(n, scale) for n in facts.picture[:2])
    return ContextCoder(facts, levels, lines, columns, networks)

"""What is learned from an array of pictures for its archive."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from numpy.typing import NDArray

from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.context_coder import MOST_VALUES, MOST_WAVES
from isthmus.training.callbacks import Callback

RATE = 2e10
"""Multiplications a second that a fit is planned by: what one core was measured to do."""
MOST_EPOCHS = 1000
FEWEST_ROWS = 16
"""Of a block."""
SMALLEST_SIDE = 4
"""Of a picture: with less there is little around a value."""


def is_pictures(values: NDArray[Any]) -> bool:
    """Whether rows are grids of whole numbers: ``(n, height, width)``, or with 1 to 4 channels behind."""
    sides, channels = values.shape[1:3], values.shape[3:]
    is_grid = (
        len(sides) == 2 and min(sides) >= SMALLEST_SIDE and values.ndim <= 4 and max(channels, default=1) <= 4
    )
    return is_grid and values.dtype.kind in "iu" and values.size > 0


def fitted_context(
    values: NDArray[Any],
    seconds: float,
    plan: Callable[[int, float], None],
    watch: AbstractContextManager[Callback],
) -> Coder | None:
    """A network that sees what is around a value, as a coder; None where no network can learn such values.

    Parameters
    ----------
    values
        Pictures, ``(n, height, width[, channels])``.
    seconds
        That it may take, about.
    plan
        Told the times through the pictures and the seconds that are planned.
    watch
        What watches.
    """
    from isthmus.codec.coding.context_fit import facts_of, fit_context, levels_of, work_of_a_row

    levels = levels_of(values)
    if levels is None or FEWEST_ROWS * values[0].size > MOST_VALUES:
        return None
    facts = facts_of(values, levels)
    if facts.neighbourhood.n_waves * facts.picture[2] > MOST_WAVES:
        return None
    cost = work_of_a_row(facts, len(levels), len(values)) * len(values)
    epochs = int(max(1, min(MOST_EPOCHS, seconds * RATE / cost)))
    plan(epochs, epochs * cost / RATE)
    with watch as bar:
        return fit_context(facts, levels, values, epochs=epochs, callbacks=[bar])

"""Rows that take more than their budget: told from those that fit, and split without a list of them all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.config import Data
from isthmus.errors import DataError
from isthmus.memory import budget_of, bytes_text
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing.table_fit import columns_of, sizes_of
from isthmus.sources import Source
from isthmus.sources.rest import Rest
from isthmus.sources.subset import Subset
from isthmus.workflows.row_order import Indices, Part, normalised

KEPT_A_ROW = 64
"""Bytes that the order of held rows takes for each of them, beside its values."""
SHARE_HELD_OUT = 8
"""One part in so many of the budget is for validation rows, which are held."""
MOST_LOOKED_AT = 65_536
"""Rows that the baseline and the figures are found from, at most, where not all of them are held."""


def row_bytes(source: Source, data: Data) -> int:
    """Bytes that a row takes where it is held for a training.

    >>> from isthmus.sources import ArraySource
    >>> (
    ...     row_bytes(ArraySource(np.zeros((2, 8))), Data()),
    ...     row_bytes(ArraySource(np.zeros((2, 8), np.uint8)), Data()),
    ... )
    (32, 8)
    """
    schema = source.schema
    stay_bytes = schema.dtype == "uint8" and data.missing != "mask" and data.scaling != "quantile"
    features = sum(sizes_of(columns_of(schema))) if schema.kind == "tables" else schema.n_values
    return features * (1 if stay_bytes else 4)


def budget_if_streamed(source: Source, data: Data) -> int | None:
    """The budget of rows that do not fit into it, or are a part of what does not; None of those that are held."""
    budget = budget_of(data.memory)
    if source.block_ends is not None:
        return budget
    return budget if len(source) * (row_bytes(source, data) + KEPT_A_ROW) > budget else None


def split_streamed(
    source: Source,
    sample_weight: NDArray[np.float64] | None,
    validation_share: float,
    seed: int,
    room: int,
    bytes_a_row: int,
    who: str = "fit",
    *,
    labelled: bool = False,
    allows_gaps: bool = False,
) -> tuple[Part, Part | None]:
    """Training rows, which are not held, and validation rows, which are: a function of places and the seed.

    The rows of positive weight are cut into as many stretches as rows are to be held out, and one is drawn from
    each: they are spread over the whole file, and nothing is kept in mind of the others. Equal rows are not
    merged. Labels of which a training row would be missing keep the first of those drawn.

    Parameters
    ----------
    room
        Bytes that rows may take; an eighth is for validation rows, of ``bytes_a_row`` each.

    Raises
    ------
    DataError
        Fewer than two rows of positive weight.
    """
    nothing = np.empty(0, np.int64)
    weightless = nothing if sample_weight is None else np.flatnonzero(sample_weight <= 0)
    n_rows = len(source) - len(weightless)
    if n_rows < 2:
        raise DataError(
            f"fit: expected at least 2 rows, got {n_rows} (n_samples = {len(source)}). "
            "1 sample has no structure to learn; give more rows."
        )
    weighing = Rest(source, weightless, allows_gaps=allows_gaps, who=who)
    wanted = min(int(validation_share * n_rows), held_out_at_most(room, bytes_a_row))
    held_out = weighing.places(one_of_each_stretch(n_rows, wanted, seed))
    if labelled and source.labels is not None:
        held_out = _leaving_each_label(source.labels, held_out, weightless)
    left_out = np.union1d(held_out, weightless)
    rest = Rest(source, left_out, allows_gaps=allows_gaps, who=who)
    weights = None if sample_weight is None else np.delete(sample_weight, left_out)
    training = Part(rest, None if weights is None else normalised(weights), len(rest), room)
    if len(held_out) == 0:
        return training, None
    own = None if sample_weight is None else normalised(sample_weight[held_out])
    looked_at = Rest(source, nothing, allows_gaps=allows_gaps, who=who)
    return training, Part(Subset(looked_at, held_out), own, len(held_out))


def held_out_at_most(room: int, bytes_a_row: int) -> int:
    """Validation rows that a budget has room for."""
    return max(1, room // SHARE_HELD_OUT // bytes_a_row)


def one_of_each_stretch(n_rows: int, n_wanted: int, seed: int) -> Indices:
    """So many different rows, rising: one of each stretch of nearly equal length, a function of the seed.

    >>> one_of_each_stretch(1_000, 4, 0) // 250
    array([0, 1, 2, 3])
    """
    ends = np.arange(n_wanted + 1) * n_rows // max(1, n_wanted)
    shares = Randomness(seed, "validation split").uniform((n_wanted,)).numpy().astype(np.float64)
    return ends[:-1] + (shares * np.diff(ends)).astype(np.int64)


def held_out_of(validation: Source, room: int, bytes_a_row: int, *, allows_gaps: bool) -> Part:
    """Rows that were given to validate by, which are held: all of them, or as many as there is room for."""
    rows = Rest(validation, np.empty(0, np.int64), allows_gaps=allows_gaps, who="validation")
    return evenly_spaced(Part(rows, None, len(rows)), held_out_at_most(room, bytes_a_row))


def as_many_as_fit(part: Part, bytes_a_row: int, most: int = MOST_LOOKED_AT) -> Part:
    """Rows of a part to look at more closely, evenly spaced: all that are held, or as many as there is room for."""
    if part.room is None:
        return part
    return evenly_spaced(part, max(2, min(most, part.room // SHARE_HELD_OUT // bytes_a_row)))


def evenly_spaced(part: Part, n_rows: int) -> Part:
    """A part of at most so many rows, evenly spaced."""
    if len(part.source) <= n_rows:
        return part
    rows = np.linspace(0, len(part.source) - 1, n_rows).round().astype(np.int64)
    weights = None if part.weights is None else normalised(part.weights[rows].astype(np.float64))
    return Part(Subset(part.source, rows), weights, n_rows)


def streaming_notes(training: Part, room: int, data: Data) -> list[str]:
    """What people should know about training rows that are read by block."""
    need = len(training.source) * row_bytes(training.source, data)
    return [
        f"Memory: {len(training.source):,} training rows take {bytes_text(need)}, and data.memory allows "
        f"{bytes_text(room)}: they are read by block in every pass. Their order in the file then matters, and equal "
        "rows are not merged."
    ]


def _leaving_each_label(labels: NDArray[Any], held_out: Indices, weightless: Indices) -> Indices:
    """Rows to hold out without the first of each label that would have no training row."""
    is_left = np.ones(len(labels), bool)
    is_left[held_out] = is_left[weightless] = False
    found, first = np.unique(labels[held_out], return_index=True)
    missing = ~np.isin(found, np.unique(labels[is_left]))
    return np.delete(held_out, first[missing])

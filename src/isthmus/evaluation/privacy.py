"""Whether made rows are copies: how near they are to the rows of the training, beside rows held out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from isthmus.errors import DataError
from isthmus.preprocessing import Preprocessing
from isthmus.preprocessing.table_fit import columns_of
from isthmus.sources import Source

MOST_ROWS, MOST_VALUES = 20_000, 1 << 24
"""Rows of each set, and values in them, whose distances are looked at, evenly spaced; copies are looked for among
all."""
_BLOCK_ROWS = 4096
_BLOCK_VALUES = 1 << 22

Array = NDArray[np.float64]
Distances = Callable[[Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Privacy:
    """How near made rows are to the rows of the training.

    Between rows of columns with gaps, as of tables, the distance is the mean over columns: of numbers and
    dates the share of real rows that lie between the two values, 1 of two categories that differ, 1 of a gap
    and a value (Gower 1971, with ranks instead of ranges). Between others it is the root of the mean squared
    difference in model units.
    """

    n_copies: int
    """Made rows that equal a training row in every value."""
    n_held_out_copies: int | None
    """Held-out rows that do: where rows are few words, chance makes equal ones."""
    median: float
    """Distance of a made row to the closest training row, median over made rows."""
    low: float
    """The same, 5 % quantile."""
    held_out_median: float | None
    """Distance of a held-out row to the closest training row, median."""
    held_out_low: float | None
    """The same, 5 % quantile."""
    nearer_share: float | None
    """Of made rows that are nearer to a training row than to any held-out one, as if there were as many
    held-out rows as training rows: 0.5 if the model knows no more of one than of the other, 1 of a copier."""

    def to_dict(self) -> dict[str, Any]:
        """The documented keys; see ``docs/metrics.md``."""
        return {
            "copies": self.n_copies,
            "held_out_copies": self.n_held_out_copies,
            "closest_training_median": self.median,
            "closest_training_low": self.low,
            "held_out_closest_training_median": self.held_out_median,
            "held_out_closest_training_low": self.held_out_low,
            "nearer_training_share": self.nearer_share,
        }


def privacy(made: NDArray[Any], training: Source, held_out: Source | None, scaling: Preprocessing) -> Privacy:
    """Measure copies, and distances to the closest real rows.

    If made rows are independent of which real rows were trained on, each of the ``T + H`` real rows is as
    likely as any other to be the closest, so that a share ``p = T / (T + H)`` is nearer to training rows; of
    several closest ones each counts alike. ``p H / (p H + (1 - p) T)`` therefore is 0.5 then, whatever
    the numbers of rows (Platzer and Reutterer 2021, *Frontiers in Big Data* 4, who take as many of both).

    Parameters
    ----------
    made
        ``(rows, *sample_shape)`` in data units.
    training
        Real rows that the model was fitted on.
    held_out
        Real rows that it never saw, of the same source; None leaves the comparison out.
    scaling
        Of the model: its schema tells what a value is.

    Examples
    --------
    >>> from isthmus.preprocessing import Scaling
    >>> from isthmus.sources.arrays import ArraySource
    >>> rows = np.random.default_rng(0).normal(size=(300, 3))
    >>> training, held_out = ArraySource(rows[:100]), ArraySource(rows[100:200])
    >>> scaling = Scaling.fit(training, np.arange(100))
    >>> round(privacy(rows[200:], training, held_out, scaling).nearer_share, 1)
    0.5
    >>> copier = privacy(rows[:100], training, held_out, scaling)
    >>> copier.n_copies, copier.nearer_share
    (100, 1.0)
    """
    for name, rows in (("made", made), ("training", training), ("held-out", held_out)):
        if rows is not None and not len(rows):
            raise DataError(f"privacy: expected at least one {name} row, got none. Give some.")
    n_copies, n_held_out_copies = _copies(made, training, held_out)
    sets = [_spread(made), *(None if each is None else _spread_of(each) for each in (training, held_out))]
    distances, (a, b, c) = _measure(sets, scaling)
    assert a is not None  # a held-out set alone may be missing
    assert b is not None
    to_training, n_training = _closest(a, b, distances)
    median, low = map(float, np.quantile(to_training, (0.5, 0.05)))
    if c is None:
        return Privacy(n_copies, None, median, low, None, None, None)
    held_out_median, held_out_low = map(float, np.quantile(_closest(c, b, distances)[0], (0.5, 0.05)))
    to_held_out, n_held_out = _closest(a, c, distances)
    ours = np.where(to_training <= to_held_out, n_training, 0)
    theirs = np.where(to_held_out <= to_training, n_held_out, 0)
    share = float((ours / (ours + theirs)).mean())
    odds = share * len(c), (1 - share) * len(b)
    return Privacy(
        n_copies, n_held_out_copies, median, low, held_out_median, held_out_low, odds[0] / sum(odds)
    )


def _copies(made: NDArray[Any], training: Source, held_out: Source | None) -> tuple[int, int | None]:
    """How many rows made, and how many held out, equal a training row; one pass over either."""
    ours = _as_bytes(made)
    theirs = (
        None
        if held_out is None
        else [one for block in _blocks(held_out, made.dtype) for one in _as_bytes(block)]
    )
    wanted = {*ours, *(theirs or ())}
    found: set[bytes] = set()
    for block in _blocks(training, made.dtype):
        found |= wanted.intersection(_as_bytes(block))
    return sum(one in found for one in ours), None if theirs is None else sum(one in found for one in theirs)


def _blocks(source: Source, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(source), _BLOCK_ROWS):
        yield source.read(slice(start, min(start + _BLOCK_ROWS, len(source)))).astype(dtype, copy=False)


def _as_bytes(rows: NDArray[Any]) -> list[bytes]:
    """A digest of each row; gaps are equal, and so are the two zeros."""
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    if flat.dtype.kind == "f":
        flat = np.where(np.isnan(flat), np.asarray(np.nan, flat.dtype), flat) + np.asarray(0, flat.dtype)
    return [blake2b(row.tobytes(), digest_size=16).digest() for row in flat]


def _places(n_rows: int, n_values: int) -> NDArray[np.int64]:
    n = min(n_rows, MOST_ROWS, max(1, MOST_VALUES // n_values))
    return np.linspace(0, n_rows - 1, n).round().astype(np.int64)


def _spread(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[_places(len(rows), rows[0].size)]


def _spread_of(source: Source) -> NDArray[Any]:
    return source.read(_places(len(source), source.schema.n_values))


def _measure(sets: list[NDArray[Any] | None], scaling: Preprocessing) -> tuple[Distances, list[Array | None]]:
    """A distance, and the rows of each set as it wants them."""
    if scaling.layout is None:
        units = [None if rows is None else scaling.to_model(rows).reshape(len(rows), -1) for rows in sets]
        return _root_mean_square, [None if rows is None else rows.astype(np.float64) for rows in units]
    is_number = np.array([column.categories is None for column in columns_of(scaling.schema)])
    ranked: list[Array | None] = [None if rows is None else rows.astype(np.float64) for rows in sets]
    for place in np.flatnonzero(is_number):
        # Ranks among training and held-out rows alike, so that neither lies on a finer grid than the other.
        real = np.concatenate([rows[:, place] for rows in ranked[1:] if rows is not None])
        values, counts = np.unique(real[~np.isnan(real)], return_counts=True)
        shares = (np.cumsum(counts) - counts / 2) / max(counts.sum(), 1)
        for rows in ranked:
            if rows is not None and len(values):
                rows[:, place] = np.interp(rows[:, place], values, shares)

    def gower(a: Array, b: Array) -> Array:
        total = np.zeros((len(a), len(b)))
        for place, number in enumerate(is_number):
            x, y = a[:, place, None], b[None, :, place]
            apart = np.abs(x - y) if number else (x != y).astype(np.float64)
            gaps = np.isnan(x).astype(np.float64) + np.isnan(y)
            total += np.where(gaps > 0, gaps % 2, apart)
        return total / len(is_number)

    return gower, ranked


def _root_mean_square(a: Array, b: Array) -> Array:
    return cdist(a, b) / np.sqrt(a.shape[1])


def _closest(rows: Array, others: Array, distances: Distances) -> tuple[Array, Array]:
    """Distance of each row to the closest of the others, and how many are as close."""
    nearest, how_many = np.empty(len(rows)), np.empty(len(rows))
    step = max(1, _BLOCK_VALUES // len(others))
    for start in range(0, len(rows), step):
        found = distances(rows[start : start + step], others)
        least = found.min(axis=1)
        nearest[start : start + step] = least
        how_many[start : start + step] = (found <= least[:, None]).sum(axis=1)
    return nearest, how_many

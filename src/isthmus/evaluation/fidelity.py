"""How alike two sets of rows are, column by column and pair by pair: made ones beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.preprocessing.table_fit import columns_of
from isthmus.schema import Column, Schema

N_BINS = 10
"""Bins of equal width, over the range of the real rows, that a number is put into beside a category."""
MOST_COLUMNS = 256
"""Columns, evenly spaced, whose pairs are looked at."""
MOST_NAMED = 5
"""Columns and pairs that are named as the least alike."""

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """How alike the columns, and the pairs of columns, of two sets of rows are; 1 is alike, 0 nothing in common.

    Differences between two sets of rows of one and the same source lower it too, the more the fewer rows
    there are: what real rows reach against other real rows is the measure of it.
    """

    columns: Rows
    """Of each column, ``(columns,)``: see :func:`column_shapes`."""
    pairs: Rows
    """Of each pair of columns, ``(pairs,)``, NaN where a correlation is undefined; see :func:`pair_trends`."""
    names: tuple[str, ...]
    """Of the columns."""
    pair_names: tuple[tuple[str, str], ...]
    """Of the pairs."""

    @property
    def shapes(self) -> float:
        """Mean over the columns."""
        return float(self.columns.mean())

    @property
    def trends(self) -> float | None:
        """Mean over the pairs; None of a single column, or of correlations that are undefined."""
        known = self.pairs[~np.isnan(self.pairs)]
        return float(known.mean()) if len(known) else None

    def to_dict(self) -> dict[str, Any]:
        """The documented keys; see ``docs/metrics.md``."""
        return {
            "column_shapes": self.shapes,
            "pair_trends": self.trends,
            "least_alike_columns": _lowest(self.columns, self.names),
            "least_alike_pairs": _lowest(self.pairs, self.pair_names),
        }


def likeness(real: NDArray[Any], made: NDArray[Any], schema: Schema) -> Likeness:
    """Column shapes and pair trends of made rows beside real ones.

    Parameters
    ----------
    real, made
        ``(rows, columns)`` in data units, NaN for gaps; at least one row each.
    schema
        Of a table, or of vectors, whose features are numbers.

    Examples
    --------
    >>> schema = Schema("vectors", (2,), "float64")
    >>> rows = np.random.default_rng(0).normal(size=(200, 2))
    >>> likeness(rows, rows, schema).shapes, likeness(rows, rows + 100.0, schema).shapes
    (1.0, 0.0)
    """
    columns = columns_of(schema)
    a, b = real.astype(np.float64), made.astype(np.float64)
    names = tuple(column.name for column in columns)
    some = np.unique(np.linspace(0, len(columns) - 1, min(len(columns), MOST_COLUMNS)).round().astype(int))
    first, second = np.triu_indices(len(some), 1)
    return Likeness(
        column_shapes(a, b, columns),
        pair_trends(a[:, some], b[:, some], [columns[place] for place in some]),
        names,
        tuple((names[some[i]], names[some[j]]) for i, j in zip(first, second, strict=True)),
    )


def column_shapes(real: Rows, made: Rows, columns: Sequence[Column]) -> Rows:
    """One minus the distance between the distributions of each column, ``(columns,)``.

    Of numbers and dates the Kolmogorov-Smirnov distance ``sup_x |F(x) - G(x)|``, F and G the shares of
    rows up to x, of categories and booleans the total variation ``sum_c |p_c - q_c| / 2``: KSComplement
    and TVComplement of SDMetrics. A gap is one more category; among numbers it counts as a value
    below, or above, all others, whichever is the farther (SDMetrics leaves gaps of numbers out).

    Examples
    --------
    >>> from isthmus.schema import Column
    >>> real, made = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([[2.0], [3.0], [4.0], [np.nan]])
    >>> column_shapes(real, made, [Column("x", "continuous", "double")])
    array([0.5])
    """
    found = np.empty(len(columns))
    for place, column in enumerate(columns):
        a, b = real[:, place], made[:, place]
        if column.categories is None:
            found[place] = 1.0 - _step_distance(a, b)
        else:
            n = len(column.categories)
            found[place] = 1.0 - np.abs(_shares(_places(a, n), n) - _shares(_places(b, n), n)).sum() / 2
    return found


def pair_trends(real: Rows, made: Rows, columns: Sequence[Column]) -> Rows:
    """How alike the two columns of each pair go together, ``(pairs,)``, the pairs of ``np.triu_indices``.

    Two numbers: ``1 - |r - s| / 2``, r and s their correlations over the rows that have both, NaN where a
    column does not vary. Otherwise ``1 - sum_ab |p_ab - q_ab| / 2``, the shares of rows with each
    combination; a number is put into 10 bins of equal width between the lowest and the highest real
    value, the outer ones open, and a gap is one more value. CorrelationSimilarity and
    ContingencySimilarity of SDMetrics, put together as its report does (Column Pair Trends).

    Examples
    --------
    >>> from isthmus.schema import Column
    >>> up, down = np.array([[0.0, 0], [1, 1], [2, 2]]), np.array([[0.0, 2], [1, 1], [2, 0]])
    >>> pair_trends(up, down, [Column("x", "continuous", "double"), Column("y", "continuous", "double")])
    array([0.])
    """
    first, second = np.triu_indices(len(columns), 1)
    is_number = np.array([column.categories is None for column in columns], bool)
    both = is_number[first] & is_number[second]
    found = np.empty(len(first))
    found[both] = 1.0 - np.abs(_correlations(real) - _correlations(made))[first, second][both] / 2
    if not both.all():
        found[~both] = _contingencies(real, made, columns)[first, second][~both]
    return found


def _step_distance(a: Rows, b: Rows) -> float:
    """Kolmogorov and Smirnov's, gaps below all values or above them."""
    points = np.unique(np.concatenate([a[~np.isnan(a)], b[~np.isnan(b)]]))
    steps = [
        np.searchsorted(np.sort(each[~np.isnan(each)]), points, side="right") / len(each) for each in (a, b)
    ]
    apart = steps[0] - steps[1]
    gaps = np.isnan(a).mean() - np.isnan(b).mean()
    return float(max(np.abs(apart).max(initial=0.0), np.abs(apart + gaps).max(initial=0.0), abs(gaps)))


def _places(values: Rows, n: int) -> NDArray[np.int64]:
    """Numbers of categories, a gap behind the last."""
    return np.where(np.isnan(values), n, values).astype(np.int64)


def _shares(places: NDArray[np.int64], n: int) -> Rows:
    return np.bincount(places, minlength=n + 1) / len(places)


def _correlations(rows: Rows) -> Rows:
    """Of each pair over the rows that have both, ``(columns, columns)``; NaN where one does not vary."""
    seen = ~np.isnan(rows)
    n = seen.astype(np.float64)
    # Shifted and scaled by each column's own mean and spread, so that sums of squares keep their digits.
    count = n.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(seen, rows, 0.0).sum(axis=0) / count
        centred = np.where(seen, rows - mean, 0.0)
        scale = np.sqrt(np.square(centred).sum(axis=0) / count)
        # What only rounding moves does not vary.
        centred = np.where(scale > 1e-12 * np.abs(mean), centred / scale, np.nan)
        together = n.T @ n
        square, value = np.square(centred).T @ n, centred.T @ n
        spread = square - np.square(value) / together
        spread = np.where(spread > 1e-9 * square, spread, np.nan)
        cross = centred.T @ centred - value * value.T / together
        return np.clip(cross / np.sqrt(spread * spread.T), -1.0, 1.0)


def _contingencies(real: Rows, made: Rows, columns: Sequence[Column]) -> Rows:
    """One minus the total variation of each pair of columns, ``(columns, columns)``."""
    sizes = [N_BINS if column.categories is None else len(column.categories) for column in columns]
    starts = np.concatenate([[0], np.cumsum([size + 1 for size in sizes])])
    counted: list[Rows] = []
    for rows in (real, made):
        spread = np.zeros((len(rows), starts[-1]))
        for place, column in enumerate(columns):
            values = rows[:, place]
            if column.categories is None:
                values = _binned(values, real[:, place])
            spread[np.arange(len(rows)), starts[place] + _places(values, sizes[place])] = 1.0
        counted.append(spread.T @ spread / len(rows))
    apart = np.abs(counted[0] - counted[1])
    blocks = np.add.reduceat(np.add.reduceat(apart, starts[:-1], axis=0), starts[:-1], axis=1)
    return 1.0 - blocks / 2


def _binned(values: Rows, real: Rows) -> Rows:
    known = real[~np.isnan(real)]
    inner = np.linspace(known.min(), known.max(), N_BINS + 1)[1:-1] if len(known) else np.zeros(1)
    return np.where(np.isnan(values), np.nan, np.searchsorted(inner, values, side="right"))


def _lowest(scores: Rows, names: Sequence[Any]) -> list[dict[str, Any]]:
    """The names of the lowest scores, undefined ones left out."""
    order = [int(place) for place in np.argsort(scores, kind="stable") if not np.isnan(scores[place])]
    return [
        {"name": list(names[place]) if isinstance(names[place], tuple) else names[place],
         "likeness": float(scores[place])}
        for place in order[:MOST_NAMED]
    ]  # fmt: skip

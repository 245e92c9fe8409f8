"""How the maps of a table's columns are found from training rows, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from isthmus.errors import DataError
from isthmus.preprocessing.scaling_fit import n_used, used_rows
from isthmus.schema import Column, Schema
from isthmus.shapes import Block, Layout
from isthmus.sources.base import Indices, Source

N_KNOTS = 256
"""Knots of a quantile map, at most: half of them equally far apart in rank, half in normal score."""
HEAP_SHARE, HEAP_ROWS = 0.02, 5
"""Share of the rows, and rows, from which on a value is a heap: as zero of what is mostly nothing, or round numbers."""
MOST_ROWS = 200_000
"""Rows from which quantiles are found, at most, evenly spaced."""
LARGEST = 1e150
"""Magnitude whose square float64 still holds."""
CONSTANT_BELOW = 1e-7
"""A column whose standard deviation is no more than this share of its magnitude counts as constant."""
SMALLEST_LOSS = 0.1
"""Least loss that a constant predictor is said to have: a column that hardly varies is not blown up."""
_BLOCK_VALUES = 1 << 20
_NAMED_COLUMNS = 5

Array = NDArray[np.float64]
Known = Literal["quantile", "standardise", "range", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """What is known of each column; numbers by knots, or by a shift and a scale."""

    method: Known
    shift: Array
    """``(columns,)``; 0 of categories and booleans, and of quantile maps."""
    scale: Array
    """``(columns,)``, above 0; 1 of categories and booleans, and of quantile maps."""
    knots: tuple[Array, ...]
    """Values in data units at the knots of each column, strictly rising; none where there is no quantile map."""
    scores: tuple[Array, ...]
    """Model units at the knots, strictly rising; float32 holds them, so that a knot comes back exactly."""
    low: tuple[Array, ...]
    """Lowest model units that come back as the value of the knot; the score itself but of heaps."""
    high: tuple[Array, ...]
    """Highest ones; the intervals of two knots have no more than an end in common."""
    typical: Array
    """Best constant in data units, ``(columns,)``: the median, or the place of the mode."""
    centre: Array
    """Mean of each feature in model units, ``(features,)``."""
    constant_loss: Array
    """Variance in model units, or entropy in nats, ``(columns,)``; at least :data:`SMALLEST_LOSS`."""

    def forward(self, place: int, values: Array) -> Array:
        """A column of numbers in model units; NaN stays."""
        if len(self.knots[place]):
            return np.interp(values, self.knots[place], self.scores[place])
        return (values - self.shift[place]) / self.scale[place]

    def backward(self, place: int, scores: Array) -> Array:
        """A column of numbers in data units; NaN stays."""
        if len(self.knots[place]):
            ends = np.stack([self.low[place], self.high[place]], axis=1).ravel()
            return np.interp(scores, ends, np.repeat(self.knots[place], 2))
        return scores * self.scale[place] + self.shift[place]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the method."""
        return {
            "shift": self.shift,
            "scale": self.scale,
            "knots": np.concatenate([*self.knots, np.empty(0)]),
            "scores": np.concatenate([*self.scores, np.empty(0)]),
            "low": np.concatenate([*self.low, np.empty(0)]),
            "high": np.concatenate([*self.high, np.empty(0)]),
            "n_knots": np.array([len(knots) for knots in self.knots], np.int64),
            "typical": self.typical,
            "centre": self.centre,
            "constant_loss": self.constant_loss,
        }

    @classmethod
    def from_arrays(
        cls, method: Any, arrays: dict[str, NDArray[Any]], columns: tuple[Column, ...], sizes: list[int]
    ) -> Maps:
        """What :meth:`to_arrays` gave; ValueError or KeyError if it cannot be that."""
        n = len(columns)
        shapes = {name: (n,) for name in ("shift", "scale", "typical", "constant_loss")}
        shapes["centre"] = (sum(sizes),)
        for name, shape in shapes.items():
            _check_array(name, arrays[name], shape)
        if method not in get_args(Known):
            raise ValueError(f"no method is {method!r}")
        counts = arrays["n_knots"]
        if counts.dtype != np.int64 or counts.shape != (n,) or bool((counts < 0).any()):
            raise ValueError("n_knots is no list of counts")
        total = int(counts.sum())
        if total > N_KNOTS * n:
            raise ValueError("there are too many knots")
        names = ("knots", "scores", "low", "high")
        # Models from before heaps were told have scores alone.
        listed = {name: arrays[name] for name in names[:2]}
        listed |= {name: arrays.get(name, arrays["scores"]) for name in names[2:]}
        for name, array in listed.items():
            _check_array(name, array, (total,))
        ends = np.cumsum(counts)[:-1]
        knots, scores, low, high = (tuple(np.split(listed[name], ends)) for name in names)
        maps = cls(
            cast("Known", method),
            arrays["shift"],
            arrays["scale"],
            knots,
            scores,
            low,
            high,
            arrays["typical"],
            arrays["centre"],
            arrays["constant_loss"],
        )
        if bool((maps.scale <= 0).any()) or bool((maps.constant_loss < SMALLEST_LOSS).any()):
            raise ValueError("a scale or a loss is too small")
        if any((np.diff(one) <= 0).any() for one in (*maps.knots, *maps.scores)):
            raise ValueError("knots do not rise")
        for one, first, last in zip(maps.scores, maps.low, maps.high, strict=True):
            if (first > one).any() or (one > last).any() or (last[:-1] > first[1:]).any():
                raise ValueError("heaps overlap")
        wants = [method == "quantile" and column.categories is None for column in columns]
        if [len(one) > 0 for one in maps.knots] != wants:
            raise ValueError("knots are of the wrong columns")
        return maps


def columns_of(schema: Schema) -> tuple[Column, ...]:
    """The columns of a table; every feature of vectors is a continuous one."""
    if schema.table is not None:
        return schema.table
    names = schema.columns or tuple(str(place) for place in range(schema.n_values))
    return tuple(Column(name, "continuous", "double") for name in names)


def sizes_of(columns: Sequence[Column]) -> list[int]:
    """Features of each column."""
    return [len(c.categories) if c.type == "category" and c.categories else 1 for c in columns]


def make_layout(columns: Sequence[Column], maps: Maps) -> Layout:
    """The blocks of a row in model units."""
    kinds: dict[str, Literal["category", "boolean"]] = {"category": "category", "boolean": "boolean"}
    return tuple(
        Block(kinds.get(column.type, "number"), size, float(loss))
        for column, size, loss in zip(columns, sizes_of(columns), maps.constant_loss, strict=True)
    )


def check_values(values: Array, columns: Sequence[Column], *, allows_gaps: bool) -> None:
    """Refuse infinity, what is no category and, unless they are allowed, gaps."""
    _check_finite(values, columns, allows_gaps=allows_gaps)
    for place, column in enumerate(columns):
        if column.categories is None:
            continue
        given = values[:, place]
        known = np.isnan(given) | (
            (given >= 0) & (given < len(column.categories)) & (given == np.rint(given))
        )
        if not known.all():
            raise DataError(
                f"TableScaling: expected a place among the {len(column.categories)} categories of column "
                f"{column.name!r}, got {given[~known][0]:g}; open the rows with the categories of the model."
            )


def _check_finite(values: Array, columns: Sequence[Column], *, allows_gaps: bool) -> None:
    bad = ~np.isfinite(values) if not allows_gaps else np.isinf(values)
    if not bad.any():
        return
    row, place = np.argwhere(bad)[0]
    infinite = bool(np.isinf(values[row, place]))
    what = "infinity" if infinite else "a gap"
    then = "remove or clip such rows" if infinite else "set missing='mask', or fill the gaps first"
    raise DataError(
        f"TableScaling: expected finite values, got {what} in column {columns[int(place)].name!r} of row {int(row)} "
        f"of a block; {then}."
    )


def fit_columns(
    source: Source,
    rows: Indices | None,
    sample_weight: NDArray[Any] | None,
    method: Known,
    *,
    allows_gaps: bool,
) -> tuple[Maps, tuple[str, ...]]:
    """The maps of all columns, and notes for people; see :class:`isthmus.preprocessing.table_scaling.TableScaling`."""
    columns = columns_of(source.schema)
    rows, given = used_rows(source, rows, sample_weight, "TableScaling")
    n_rows = n_used(source, rows)
    if n_rows > MOST_ROWS:
        chosen = np.linspace(0, n_rows - 1, MOST_ROWS).round().astype(np.int64)
        rows, given = chosen if rows is None else rows[chosen], None if given is None else given[chosen]
        n_rows = MOST_ROWS
    weights = np.ones(n_rows) if given is None else given.astype(np.float64)
    values = np.empty((n_rows, len(columns)))
    step = max(1, _BLOCK_VALUES // len(columns))
    for start in range(0, n_rows, step):
        part = slice(start, min(start + step, n_rows))
        block = source.read(part if rows is None else rows[part]).astype(np.float64)
        check_values(block, columns, allows_gaps=allows_gaps)
        values[part] = block
    return _found(values, weights, columns, method, jointly=source.schema.kind == "vectors")


def _found(
    values: Array, weights: Array, columns: tuple[Column, ...], method: Known, *, jointly: bool
) -> tuple[Maps, tuple[str, ...]]:
    n = len(columns)
    shift, scale, typical, losses = np.zeros(n), np.ones(n), np.zeros(n), np.ones(n)
    none = np.empty(0)
    found_knots: list[tuple[Array, Array, Array, Array]] = [(none, none, none, none)] * n
    centres: list[Array] = []
    constant: list[str] = []
    if method == "range" and jointly:
        shift[:] = np.nanmin(values) if not np.isnan(values).all() else 0.0
        scale[:] = (np.nanmax(values) - shift[0]) or 1.0 if not np.isnan(values).all() else 1.0
    for place, column in enumerate(columns):
        seen = ~np.isnan(values[:, place])
        given, weight = values[seen, place], weights[seen]
        if not len(given):
            raise DataError(
                f"TableScaling: expected a value in every column, got none but gaps in column {column.name!r} of the "
                "training rows; leave the column out."
            )
        if np.abs(given).max() > LARGEST:
            raise DataError(
                f"TableScaling: values must stay below 1e150 in magnitude, got larger ones in column {column.name!r}; "
                "give them in another unit."
            )
        found, inverse = np.unique(given, return_inverse=True)
        counts = np.bincount(inverse.ravel(), weights=weight)
        shares = counts / counts.sum()
        if column.categories is not None:
            likely = np.zeros(max(1, len(column.categories)))
            likely[found.astype(np.int64)] = shares
            typical[place] = float(likely.argmax())
            losses[place] = _entropy(likely)
            centres.append(
                likely if column.type == "category" else likely[1:2] if len(likely) > 1 else np.zeros(1)
            )
            continue
        typical[place] = found[min(int(np.searchsorted(np.cumsum(shares), 0.5)), len(found) - 1)]
        if len(found) == 1:
            constant.append(column.name)
        if method == "quantile":
            found_knots[place] = quantile_knots(found, shares, (shares >= HEAP_SHARE) & (counts >= HEAP_ROWS))
            moved = np.interp(found, *found_knots[place][:2])
        else:
            if method == "standardise":
                shift[place], scale[place] = _moments(found, shares)
            elif method == "range" and not jointly:
                shift[place], scale[place] = found[0], (found[-1] - found[0]) or 1.0
            moved = (found - shift[place]) / scale[place]
        mean = float(shares @ moved)
        losses[place] = float(shares @ np.square(moved - mean))
        centres.append(np.array([mean]))
    if not losses.any():
        raise DataError(
            f"TableScaling: expected columns that vary, got {len(values)} rows that are all alike; there is nothing "
            "to learn from them, give other rows."
        )
    knots, scores, low, high = (tuple(each) for each in zip(*found_knots, strict=True))
    maps = Maps(
        method,
        shift,
        scale,
        knots,
        scores,
        low,
        high,
        typical,
        np.concatenate(centres),
        np.maximum(losses, SMALLEST_LOSS),
    )
    return maps, _notes(constant, n)


def quantile_knots(
    values: Array, shares: Array, is_heap: NDArray[np.bool_]
) -> tuple[Array, Array, Array, Array]:
    """Knots of the map to normal scores, from different values in order and the share of each.

    The score of a value is the normal quantile of the share below it and half of its own; both ends are
    knots, and heaps are. Returned are values and scores, both strictly rising, and the lowest and the
    highest score that stand for the value: of a heap the quantiles of the share below it, and of that with
    its own, so that a number drawn at random is it as often as rows are; of others the score.

    Examples
    --------
    >>> values, scores, low, high = quantile_knots(
    ...     np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.25, 0.25]), np.array([True, False, False])
    ... )
    >>> values.tolist(), scores.round(3).tolist(), high.round(3).tolist()
    ([0.0, 1.0, 2.0], [-0.674, 0.319, 1.15], [0.0, 0.319, 1.15])
    """
    upto = np.cumsum(shares)
    middle = upto - shares / 2
    exact, low, high = (ndtri(np.clip(each, 1e-15, 1 - 1e-15)) for each in (middle, upto - shares, upto))
    kept = np.arange(len(values))
    if len(values) > N_KNOTS:
        heaps = np.flatnonzero(is_heap)
        n = (N_KNOTS - len(heaps)) // 2
        ranks = np.linspace(middle[0], middle[-1], n)
        heights = np.linspace(exact[0], exact[-1], n)
        places = [np.searchsorted(middle, ranks), np.searchsorted(exact, heights)]
        chosen = np.unique(np.clip(np.concatenate(places), 0, len(values) - 1).astype(np.int64))
        ends = np.array([0, len(values) - 1])
        # Both ends, and all heaps, may come on top.
        others = np.setdiff1d(chosen, np.concatenate([ends, heaps]))[: N_KNOTS - 2 - len(heaps)]
        kept = np.unique(np.concatenate([ends, heaps, others]))
    scores = exact[kept].astype(np.float32).astype(np.float64)
    rises = np.concatenate([[True], np.diff(scores) > 0])
    kept, scores = kept[rises], scores[rises]
    low = np.where(is_heap[kept], np.minimum(low[kept], scores), scores)
    high = np.where(is_heap[kept], np.maximum(high[kept], scores), scores)
    # Beyond the ends every score stands for the end.
    low[0], high[-1] = scores[0], scores[-1]
    low[1:] = np.maximum(low[1:], high[:-1])
    return values[kept], scores, low, high


def _moments(values: Array, shares: Array) -> tuple[float, float]:
    mean = float(shares @ values)
    std = float(np.sqrt(shares @ np.square(values - mean)))
    return mean, 1.0 if std <= CONSTANT_BELOW * np.abs(values).max() else std


def _entropy(shares: Array) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())


def _notes(constant: list[str], n: int) -> tuple[str, ...]:
    if not constant:
        return ()
    named = ", ".join(constant[:_NAMED_COLUMNS]) + (", ..." if len(constant) > _NAMED_COLUMNS else "")
    return (f"{len(constant)} of {n} columns are constant ({named}): they carry nothing.",)


def _check_array(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.dtype != np.float64 or array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite float64 of {shape}")

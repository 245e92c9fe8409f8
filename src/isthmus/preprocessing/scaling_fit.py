"""How the shift and scale of a scaling are found from training rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, ParameterError
from isthmus.preprocessing.moments import Moments
from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.check import check_rows

Method = Literal["auto", "standardise", "range", "none"]
CONSTANT_BELOW = 1e-7
"""A column whose standard deviation is no more than this share of its magnitude counts as constant."""
LARGEST = 1e150
"""Magnitude whose square float64 still holds."""
_BLOCK_VALUES = 1 << 20
_NAMED_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class Affine:
    """A method that has been decided, its float64 shift and scale, and notes for people."""

    method: Literal["standardise", "range", "none"]
    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def fit_affine(
    source: Source, rows: Indices | None, sample_weight: NDArray[Any] | None, method: Method, block: int
) -> Affine:
    """Decide the method and find shift and scale; see :class:`isthmus.preprocessing.scaling.Scaling`."""
    used, weights = used_rows(source, rows, sample_weight, "Scaling")
    step = max(1, min(block, _BLOCK_VALUES // source.schema.n_values))
    if source.schema.kind == "pictures" and method == "standardise":
        raise ParameterError(
            "Scaling: method for pictures must be auto, range or none, got 'standardise'; "
            "to standardise every pixel, give the pictures as vectors."
        )
    if method == "none":
        _read_all(source, used, step)
        return _affine("none", 0.0, 1.0)
    sequences = source.schema.kind == "sequences"
    known = source.schema.value_range
    if known is not None and (source.schema.kind == "pictures" or method != "standardise"):
        return _known_range(source, used, step, known)
    if source.schema.kind == "pictures":
        return _known_range(source, used, step, _found_range(source, used, step))
    moments = _moments(source, used, weights, step)
    if bool((moments.low == moments.high).all()):
        raise DataError(
            f"Scaling: expected values that vary, got {n_used(source, used)} rows that are all alike; "
            f"there is nothing to learn from them, give other rows."
        )
    if sequences and method == "range":
        constant = moments.low == moments.high
        scale = np.where(constant, 1.0, moments.high - moments.low)
        return Affine("range", moments.low, scale, _constant_note(constant, None, "channels"))
    if method == "range" or (method == "auto" and not sequences and _share_one_unit(moments)):
        low, high = float(moments.low.min()), float(moments.high.max())
        return _affine("range", low, high - low)
    return _standardised(
        moments, n_used(source, used), source.schema.columns, "channels" if sequences else "columns"
    )


def used_rows(
    source: Source, rows: Indices | None, sample_weight: NDArray[Any] | None, who: str
) -> tuple[Indices | None, NDArray[Any] | None]:
    """The rows of positive weight, two of them at least, and their weights; None stays all rows."""
    n_rows = n_used(source, rows)
    if sample_weight is not None:
        fits = sample_weight.shape == (n_rows,) and bool(np.isfinite(sample_weight).all())
        if not fits or bool((sample_weight < 0).any()):
            raise ParameterError(
                f"{who}: sample_weight must be one finite number, 0 or more, for each of {n_rows} "
                f"rows, got {sample_weight!r}; leave it out for equal weights."
            )
        positive = sample_weight > 0
        if not positive.all():
            rows = np.flatnonzero(positive) if rows is None else rows[positive]
            sample_weight = sample_weight[positive]
            n_rows = len(rows)
    if n_rows < 2:
        raise DataError(
            f"{who}: at least 2 rows (of positive weight) are needed to fit, got {n_rows}; give more rows."
        )
    return rows, sample_weight


def n_used(source: Source, rows: Indices | None) -> int:
    """How many rows are meant; None are all."""
    return len(source) if rows is None else len(rows)


def _blocks(source: Source, rows: Indices | None, step: int) -> Iterator[tuple[int, Rows]]:
    n_rows = n_used(source, rows)
    for start in range(0, n_rows, step):
        part = slice(start, min(start + step, n_rows))
        block = source.read(part if rows is None else rows[part])
        check_rows(block, "Scaling", start)
        yield start, block


def _read_all(source: Source, rows: Indices | None, step: int) -> None:
    """Look for NaN and infinity, which only floats have."""
    if np.dtype(source.schema.dtype).kind == "f":
        for _ in _blocks(source, rows, step):
            pass


def _known_range(source: Source, rows: Indices | None, step: int, known: tuple[float, float]) -> Affine:
    _read_all(source, rows, step)
    low, high = known
    if low == high:
        raise DataError(
            f"Scaling: expected values that vary, got nothing but {low:g}; "
            f"there is nothing to learn from them, give other rows."
        )
    if source.schema.dtype == "uint8" and all(
        int(block.max()) <= 1 for _, block in _blocks(source, rows, step)
    ):
        note = "uint8 values are all 0 or 1: taken as flags of range (0, 1), not as shades of (0, 255)."
        return _affine("range", 0.0, 1.0, note)
    return _affine("range", low, high - low)


def _found_range(source: Source, rows: Indices | None, step: int) -> tuple[float, float]:
    """(0, 1) for floats that all lie in it, else the lowest and the highest value of these rows."""
    ends = [(float(block.min()), float(block.max())) for _, block in _blocks(source, rows, step)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if max(-low, high) > LARGEST:
        raise _too_large()
    if np.dtype(source.schema.dtype).kind == "f" and low >= 0.0 and high <= 1.0:
        return 0.0, 1.0
    return low, high


def _moments(source: Source, rows: Indices | None, weights: NDArray[Any] | None, step: int) -> Moments:
    """Of each column, or of each channel over all steps."""
    sequences = source.schema.kind == "sequences"
    n_columns = source.schema.sample_shape[-1] if sequences else source.schema.n_values
    with np.errstate(over="ignore", invalid="ignore"):
        moments = Moments(n_columns)
        for start, block in _blocks(source, rows, step):
            flat = block.reshape(-1, n_columns)
            weight = None if weights is None else weights[start : start + step]
            moments.update(flat, None if weight is None else np.repeat(weight, len(flat) // len(block)))
    if not np.isfinite(moments.std).all():
        raise _too_large()
    return moments


def _too_large() -> DataError:
    return DataError(
        "Scaling: values must stay below 1e150 in magnitude, got larger ones; give them in another unit."
    )


def _share_one_unit(moments: Moments) -> bool:
    """Whether half of the columns that vary, and two at least, reach both ends of the whole table."""
    varies = moments.low < moments.high
    reach = varies & (moments.low == moments.low.min()) & (moments.high == moments.high.max())
    return int(reach.sum()) >= max(2, int(varies.sum()) / 2)


def _standardised(
    moments: Moments, n_rows: int, columns: tuple[str, ...] | None, what: Literal["columns", "channels"]
) -> Affine:
    magnitude = np.maximum(np.abs(moments.low), np.abs(moments.high))
    constant = moments.std <= CONSTANT_BELOW * magnitude
    if constant.all():
        raise DataError(
            f"Scaling: expected {what} that vary, got {n_rows} rows whose {what} are all constant "
            f"(up to {CONSTANT_BELOW:g} of their magnitude); "
            f"subtract their common offset, or give other rows."
        )
    scale = np.where(constant, 1.0, moments.std)
    return Affine("standardise", moments.mean, scale, _constant_note(constant, columns, what))


def _constant_note(
    constant: NDArray[np.bool_], columns: tuple[str, ...] | None, what: Literal["columns", "channels"]
) -> tuple[str, ...]:
    found = np.flatnonzero(constant)
    if len(found) == 0:
        return ()
    shown = [int(column) for column in found[:_NAMED_COLUMNS]]
    names = [str(column) if columns is None else columns[column] for column in shown]
    more = ", ..." if len(found) > _NAMED_COLUMNS else ""
    listed = ", ".join(names) + more
    return (f"{len(found)} of {len(constant)} {what} are constant ({listed}): centred, not scaled.",)


def _affine(method: Literal["range", "none"], shift: float, scale: float, *notes: str) -> Affine:
    return Affine(method, np.array([shift]), np.array([scale]), notes)

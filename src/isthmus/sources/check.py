"""Refuses rows that no model can learn from, infinity and NaN, and those that a model was not fitted on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.schema import Audio, Column, Schema

_BLOCK_VALUES = 1 << 20
_NAMED = 5
TYPE_RANGES = {"bool": (0.0, 1.0), "uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}
"""Lowest and highest value of the types that pictures are kept in."""


def check_alike(got: Schema, expected: Schema, who: str) -> None:
    """Refuse rows of another shape than expected, and pictures whose type has another unit.

    Units are told by types and by what was fitted, never by the values of the rows, so that a row's
    fate does not depend on the rows beside it. Floats and wide integers are taken to be in the unit
    of the rows that are expected.

    Raises
    ------
    DataError
        Another shape; tables of other columns or categories; or pictures of bytes, of 16 bits or
        booleans where another of these types, or values in [-1, 1], are expected.
    """
    if got.audio is not None and expected.audio is not None and not _sounds_alike(got.audio, expected.audio):
        raise DataError(
            f"{who}: expected {expected.describe()}, got {got.describe()}. "
            "Open the files with the data options of the model's config."
        )
    if expected.kind == "tables" and got.table is not None:
        _check_columns(got.table, expected.table or (), who)
    if got.lists and expected.lists and got.lists != expected.lists:
        raise DataError(
            f"{who}: expected lists of {_lists_words(expected)}, got lists of {_lists_words(got)}. "
            "Rename the columns, or name them in data.array in the order of the model's."
        )
    if got.sample_shape != expected.sample_shape or (got.kind == "tables") != (expected.kind == "tables"):
        raise DataError(
            f"{who}: expected {expected.describe()}, got {got.describe()}. "
            "Give rows of the kind that the model is fitted on."
        )
    if expected.kind == "pictures" and _has_another_unit(got, expected):
        raise DataError(
            f"{who}: expected pictures in {_unit(expected)}, got {_unit(got)}. {_conversion(got, expected)}"
        )


def _lists_words(schema: Schema) -> str:
    return ", ".join(f"{name!r} ({length})" for name, length in schema.lists)


def _sounds_alike(got: Audio, expected: Audio) -> bool:
    """Whether rows mean the same sound; how far windows are apart is no part of a row."""
    return replace(got, hop=expected.hop) == expected


def _check_columns(got: tuple[Column, ...], expected: tuple[Column, ...], who: str) -> None:
    """Refuse a table whose numbers would mean something else: other columns, or categories in another order."""
    for place, wanted in enumerate(expected):
        found = got[place] if place < len(got) else None
        if found is None or (found.name, found.type, found.categories) != (
            wanted.name,
            wanted.type,
            wanted.categories,
        ):
            given = "none" if found is None else f"{found.name!r} ({_type_words(found)})"
            raise DataError(
                f"{who}: expected column {place} to be {wanted.name!r} ({_type_words(wanted)}), got {given}. "
                "Read the table with the model's columns: sources.conform(table, model.scaling.schema)."
            )


def _type_words(column: Column) -> str:
    if column.categories is None:
        return column.type
    named = ", ".join(str(one) for one in column.categories[:_NAMED])
    return f"{column.type}: {named}{', ...' if len(column.categories) > _NAMED else ''}"


def _has_another_unit(got: Schema, expected: Schema) -> bool:
    if got.dtype == expected.dtype or got.value_range is None or expected.value_range is None:
        return False
    low, high = expected.value_range
    fixed = expected.dtype in TYPE_RANGES or max(-low, high) <= 1.0
    return got.dtype in TYPE_RANGES and fixed and got.value_range != expected.value_range


def _unit(schema: Schema) -> str:
    low, high = schema.value_range or (0.0, 0.0)
    return f"{schema.dtype} from {low:g} to {high:g}"


def _conversion(got: Schema, expected: Schema) -> str:
    (_, top), (low, high) = got.value_range or (0.0, 1.0), expected.value_range or (0.0, 1.0)
    if low != 0.0 or high <= 0.0:
        return "Convert them as the rows were that the model is fitted on."
    change = f"/ {top / high:g}" if top > high else f"* {high / top:g}"
    return f"Convert them with rows.astype('float32') {change}, or fit on pictures like these."


def check_rows(rows: NDArray[Any], who: str, first_row: int = 0, *, allows_gaps: bool = False) -> None:
    """Raise unless every value is finite or, where gaps are allowed, NaN.

    Integers and booleans are always finite and are not looked at. Floats are looked at a block at
    a time, so that no second array of the data's size is made.

    Parameters
    ----------
    rows
        Any numeric array whose first axis counts the rows.
    who
        What the message begins with: a part's name or a file.
    first_row
        The number of ``rows[0]`` in the whole source, for the message.
    allows_gaps
        Whether NaN is a gap.

    Raises
    ------
    DataError
        On infinity or NaN; the message has the first such row and how many rows there are.

    Examples
    --------
    >>> check_rows(np.array([[1.0, 2.0]]), "Scaling")
    >>> check_rows(np.array([[1.0], [np.nan]]), "Scaling")
    Traceback (most recent call last):
        ...
    isthmus.errors.DataError: Scaling: values must be finite, got NaN in 1 of 2 rows, first in row 1; \
remove these rows or fill their gaps first.
    """
    if rows.dtype.kind != "f":
        return
    per_row = max(1, rows.size // max(1, len(rows)))
    step = max(1, _BLOCK_VALUES // per_row)
    for start in range(0, len(rows), step):
        if not _is_fine(rows[start : start + step], allows_gaps):
            raise _complaint(rows, who, first_row, step)


def _is_fine(block: NDArray[Any], allows_gaps: bool) -> bool:
    return not np.isinf(block).any() if allows_gaps else bool(np.isfinite(block).all())


def check_block(
    block: NDArray[Any], who: str, first_row: int | NDArray[np.int64], *, allows_gaps: bool = False
) -> None:
    """As :func:`check_rows`, for a block of rows whose source is not looked at as a whole.

    ``first_row`` is the number of its first row there, or the numbers of all of them.

    Examples
    --------
    >>> check_block(np.array([[1.0], [np.nan]]), "x.npy", 128)
    Traceback (most recent call last):
        ...
    isthmus.errors.DataError: x.npy: values must be finite, got NaN in row 129; \
remove such rows or fill their gaps first.
    """
    if block.dtype.kind != "f" or _is_fine(block, allows_gaps):
        return
    infinite, gaps = _rows_with(block, max(1, len(block)))
    what, bad, advice = (
        ("infinity", infinite, "remove or clip such rows")
        if len(infinite)
        else ("NaN", gaps, "remove such rows or fill their gaps")
    )
    row = int(bad[0]) + first_row if isinstance(first_row, int) else int(first_row[bad[0]])
    raise DataError(
        f"{who}: values must be finite, got {what} in row {row}{_column_of(block[bad[0]])}; {advice} first."
    )


def _complaint(rows: NDArray[Any], who: str, first_row: int, step: int) -> DataError:
    infinite, gaps = _rows_with(rows, step)
    what, bad, advice = ("infinity", infinite, "remove or clip") if len(infinite) else ("NaN", gaps, "remove")
    then = "these rows" if what == "infinity" else "these rows or fill their gaps"
    return DataError(
        f"{who}: values must be finite, got {what} in {len(bad)} of {len(rows)} rows, "
        f"first in row {first_row + int(bad[0])}{_column_of(rows[bad[0]])}; {advice} {then} first."
    )


def _column_of(row: NDArray[Any]) -> str:
    """Where the first value of a row of several columns is that is not finite, infinity before NaN.

    >>> _column_of(np.array([1.0, np.nan, np.inf])), _column_of(np.array([np.nan]))
    (', column 2', '')
    """
    if row.ndim != 1 or len(row) == 1:
        return ""
    infinite = np.isinf(row)
    return f", column {int(np.flatnonzero(infinite if infinite.any() else np.isnan(row))[0])}"


def _rows_with(rows: NDArray[Any], step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the rows that hold infinity, and of those that hold NaN."""
    infinite: list[NDArray[np.int64]] = []
    gaps: list[NDArray[np.int64]] = []
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        axes = tuple(range(1, block.ndim))
        infinite.append(start + np.flatnonzero(np.isinf(block).any(axis=axes)))
        gaps.append(start + np.flatnonzero(np.isnan(block).any(axis=axes)))
    return np.concatenate(infinite), np.concatenate(gaps)

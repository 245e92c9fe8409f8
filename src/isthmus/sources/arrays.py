"""Rows that are already in an array, in memory or memory-mapped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, cast, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.errors import DataError
from isthmus.schema import Kind, Schema
from isthmus.shapes import Shape, n_values, shape_text
from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.check import TYPE_RANGES


@final
class ArraySource(Source):
    """The rows of one array; nothing is copied, and a memory map stays a map.

    ======================================  =========================================
    array                                   rows
    ======================================  =========================================
    ``(rows, features)``                    vectors
    ``(rows, features)``, ``sample_shape``  pictures (or vectors) of that shape
    ``(rows, height, width)``               pictures of one channel
    ``(rows, height, width, channels)``     pictures, channels last
    ======================================  =========================================

    With ``row_kind="sequences"``:

    ======================================  =========================================
    array                                   rows
    ======================================  =========================================
    ``(rows, steps)``                       sequences of one channel
    ``(rows, values)``, ``sample_shape``    sequences of that shape
    ``(rows, steps, channels)``             sequences, channels last
    ======================================  =========================================

    With ``row_kind="vectors"`` the values of a row of any shape are its features.

    ``schema.value_range`` is the range that the type gives. Booleans: (0, 1). uint8: (0, 255).
    Pictures of uint16: (0, 65535). All others: None, for the values of rows that no model may learn
    from must not decide how rows are scaled.

    Parameters
    ----------
    array
        Booleans, integers or floats; anything that NumPy can view as an array.
    labels
        One integer or string a row.
    columns
        Names of the features, for vectors.
    sample_shape
        Shape of one row, channels last: ``(height, width)`` or ``(height, width, channels)``; of
        sequences ``(steps,)`` or ``(steps, channels)``.
    row_kind
        ``"vectors"``, ``"sequences"`` or ``"pictures"``; ``"auto"`` goes by the number of axes alone.
    who
        What error messages begin with.

    Raises
    ------
    DataError
        Values that are not numbers, an array without rows, or lengths and shapes that do not match.

    Notes
    -----
    A slice is read as a view: whoever reads it must not write to it.

    Examples
    --------
    >>> source = ArraySource(np.zeros((10, 64), np.uint8), sample_shape=(8, 8))
    >>> len(source), source.schema.describe(), source.read(slice(0, 3)).shape
    (10, 'pictures 8 x 8 x 1, uint8', (3, 8, 8, 1))
    """

    def __init__(
        self,
        array: ArrayLike,
        labels: ArrayLike | None = None,
        columns: Sequence[str] | None = None,
        sample_shape: Sequence[int] | None = None,
        *,
        row_kind: Kind | Literal["auto"] = "auto",
        who: str = "ArraySource",
    ) -> None:
        values = _numbers(array, who)
        wanted = None if sample_shape is None else tuple(sample_shape)
        if row_kind == "sequences":
            shape = _sequence_shape(values.shape, wanted, who)
        elif row_kind == "vectors" and wanted is None and values.ndim > 1:
            shape = (n_values(values.shape[1:]),)
        else:
            shape = _sample_shape(values.shape, wanted, who)
        kind: Kind = "sequences" if len(shape) == 2 else "vectors" if len(shape) == 1 else "pictures"
        if row_kind not in ("auto", kind):
            raise DataError(
                f"{who}: expected {row_kind}, got {kind} {shape_text(shape)}; give sample_shape as the "
                f"shape of one of the {row_kind}, or row_kind={kind!r}."
            )
        self.name = who
        self._array = values
        self._dtype = values.dtype.newbyteorder("=")
        self.labels = None if labels is None else _labels(labels, len(values), who)
        dtype = _name_of(self._dtype)
        self.schema = Schema(
            kind=kind,
            sample_shape=shape,
            dtype=dtype,
            value_range=_value_range(dtype, kind),
            columns=None if columns is None else _columns(columns, shape, who),
        )

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._array)

    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, in the order asked, as ``(n, *schema.sample_shape)``.

        Raises
        ------
        DataError
            A row number that the array does not have.
        """
        try:
            # NumPy's take is some times as fast, and would copy all of an array that lies otherwise.
            flags = self._array.flags
            if (
                isinstance(rows, np.ndarray)
                and rows.dtype.kind in "iu"
                and flags.c_contiguous
                and flags.aligned
            ):
                block = self._array.take(rows, axis=0)
            else:
                block = self._array[rows]
        except IndexError as error:
            raise DataError(
                f"ArraySource: row numbers must be below {len(self)}, got {rows}; the first row is 0."
            ) from error
        return block.reshape(len(block), *self.schema.sample_shape).astype(self._dtype, copy=False)


@cache
def _name_of(dtype: np.dtype[Any]) -> str:
    """Which NumPy puts together anew each time, in a twentieth of what a row's code takes."""
    return dtype.name


def _numbers(array: ArrayLike, who: str) -> NDArray[Any]:
    if isinstance(array, np.ma.MaskedArray):
        raise DataError(
            f"{who}: expected a plain array, got a masked one, whose mask would be lost; "
            f"fill it first with array.filled(value)."
        )
    try:
        values = cast("NDArray[Any]", array) if isinstance(array, np.memmap) else np.asarray(array)
    except ValueError as error:
        raise DataError(
            f"{who}: expected rows of equal length, got ragged ones ({error}); pad or cut them."
        ) from error
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"{who}: values must be booleans, integers or floats, got type {values.dtype}; "
            f"convert them first, for example with array.astype('float32')."
        )
    if values.size == 0:
        raise DataError(
            f"{who}: expected at least one row and one value, got shape {values.shape}; give it some data."
        )
    return values


def _sequence_shape(shape: Shape, wanted: Shape | None, who: str) -> Shape:
    """``(steps, channels)``, or why there are none."""
    full = shape[1:] if wanted is None else wanted
    full = (*full, 1) if len(full) == 1 else full
    if len(full) != 2 or min(full) < 1:
        raise DataError(
            f"{who}: expected sequences (rows, steps) or (rows, steps, channels), or sample_shape=(steps, "
            f"channels), got {shape if wanted is None else wanted}; give them so, or leave row_kind out."
        )
    return _fitting(shape, full if wanted is None else wanted, full, who)


def _sample_shape(shape: Shape, wanted: Shape | None, who: str) -> Shape:
    """Shape of one row, or why there is none."""
    if wanted is not None:
        return _wanted_shape(shape, wanted, who)
    if len(shape) == 2 or len(shape) == 4:
        return shape[1:]
    if len(shape) == 3:
        return (*shape[1:], 1)
    raise DataError(
        f"{who}: expected (rows, features), (rows, height, width) or (rows, height, width, channels), "
        f"got shape {shape}; one column alone is array.reshape(-1, 1)."
    )


def _wanted_shape(shape: Shape, wanted: Shape, who: str) -> Shape:
    full = (*wanted, 1) if len(wanted) == 2 else wanted
    if len(full) not in (1, 3) or min(full) < 1:
        raise DataError(
            f"{who}: sample_shape must be (height, width) or (height, width, channels), got {wanted}; "
            f"leave it out for plain vectors, and set row_kind='sequences' for (steps, channels)."
        )
    return _fitting(shape, wanted, full, who)


def _fitting(shape: Shape, wanted: Shape, full: Shape, who: str) -> Shape:
    same = n_values(full) == shape[1] if len(shape) == 2 else shape[1:] in (wanted, full)
    if not same:
        raise DataError(
            f"{who}: sample_shape {shape_text(wanted)} does not fit rows of "
            f"{shape_text(shape[1:]) or 'no axis'}; they must hold the same values."
        )
    return full


def _value_range(dtype: str, kind: str) -> tuple[float, float] | None:
    return None if dtype == "uint16" and kind != "pictures" else TYPE_RANGES.get(dtype)


def _labels(labels: ArrayLike, n_rows: int, who: str) -> NDArray[Any]:
    values: NDArray[Any] = np.asarray(labels)
    if values.shape != (n_rows,):
        raise DataError(
            f"{who}: expected one label a row, {n_rows} in all, got labels of shape {values.shape}; "
            f"give the labels of these rows."
        )
    if values.dtype.kind == "O":
        return values.astype(str)
    if values.dtype.kind == "f" and np.array_equal(values, np.rint(values)):
        return values.astype(np.int64)
    if values.dtype.kind not in "biuU":
        raise DataError(
            f"{who}: labels must be integers or strings, got type {values.dtype}; "
            f"convert them first, for example with labels.astype(str)."
        )
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def _columns(columns: Sequence[str], shape: Shape, who: str) -> tuple[str, ...]:
    names = tuple(str(name) for name in columns)
    if len(shape) != 1 or len(names) != shape[0]:
        raise DataError(
            f"{who}: columns must name each feature of vectors, got {len(names)} names for rows of "
            f"{shape_text(shape)}; leave columns out or give one name a feature."
        )
    return names

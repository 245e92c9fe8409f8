"""Rows as a table again: original names, order and types, values that the columns may hold."""

from __future__ import annotations

import decimal
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from isthmus.errors import ArtifactError, DataError
from isthmus.schema import Column, Schema
from isthmus.shapes import shape_text
from isthmus.sources.arrow import is_date, is_text, pc, plain
from isthmus.sources.table_dates import dates_of, texts_of

_DICTIONARY = re.compile(r"dictionary<values=(.+), indices=(\w+), ordered=([01])>")
_TIMESTAMP = re.compile(r"timestamp\[(\w+), tz=(.+)\]")
_DECIMAL = re.compile(r"decimal(\d+)\((\d+), (-?\d+)\)")


def table_of(rows: ArrayLike, schema: Schema) -> Any:
    """Rows of a table as an Arrow table.

    Categories and booleans are the nearest of those that the column has, in their own words; counts and
    integers are rounded to what their type holds; dates go back to their unit, time zone or written form;
    NaN becomes null. Constants stand in their places again.

    Parameters
    ----------
    rows
        ``(n, columns)`` as :class:`~isthmus.sources.TableSource` reads them.
    schema
        That of the source that the columns come from.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    DataError
        Rows of another width, or infinite values.

    Examples
    --------
    >>> from isthmus.sources import TableSource
    >>> schema = TableSource(pa.table({"age": [63, 41, 35], "sex": ["male", "female", None]})).schema
    >>> table_of([[40.2, 0.7], [float("nan"), 5.0]], schema).to_pydict()
    {'age': [40, None], 'sex': ['male', 'male']}
    """
    values = np.asarray(rows, np.float64)
    columns: tuple[Column, ...] = schema.table or ()
    if values.ndim != 2 or values.shape[1] != len(columns) or schema.kind != "tables":
        raise DataError(
            f"table_of: expected rows of {len(columns)} columns, got shape {shape_text(values.shape)} for "
            f"{schema.describe()}; give rows as the source of that table has them."
        )
    if np.isinf(values).any():
        row, place = map(int, np.argwhere(np.isinf(values))[0])
        raise DataError(
            f"table_of: values must be finite or NaN, got infinity in row {row}, column {columns[place].name!r}; "
            f"clip them first."
        )
    named = [(column.name, array_of(values[:, at], column)) for at, column in enumerate(columns)]
    for constant in sorted(schema.constants, key=lambda one: one.place):
        alone = np.full(len(values), constant.value)
        named.insert(constant.place, (constant.column.name, array_of(alone, constant.column)))
    return pa.table([array for _, array in named], names=[name for name, _ in named])


def gaps_of(table: Any, schema: Schema) -> dict[str, NDArray[np.bool_]]:
    """Where the columns that a schema knows have gaps, for those that have any: null or NaN.

    A category that the schema does not know is no gap.

    >>> from isthmus.sources import TableSource
    >>> schema = TableSource(pa.table({"age": [63, 41, 35], "sex": ["male", "female", "male"]})).schema
    >>> gaps_of(pa.table({"sex": ["other", None], "age": [50, 60]}), schema)
    {'sex': array([False,  True])}
    """
    known = {column.name for column in schema.table or ()} | {one.column.name for one in schema.constants}
    found = {
        name: pc.is_null(plain(table.column(name)), nan_is_null=True).to_numpy(zero_copy_only=False)
        for name in table.column_names
        if name in known
    }
    return {name: gaps for name, gaps in found.items() if gaps.any()}


def with_gaps_filled(
    table: Any, rows: ArrayLike, schema: Schema, gaps: Mapping[str, NDArray[np.bool_]] | None = None
) -> Any:
    """A table with the gaps of its columns filled from rows; every other cell is what it was, bit for bit.

    Parameters
    ----------
    table
        An Arrow table with the columns of the schema, in any order and among others, which are left alone.
    rows
        ``(n, columns)`` as :class:`~isthmus.sources.TableSource` reads them, a row for each of the table's.
    schema
        That of the source that the columns come from.
    gaps
        Where there are gaps, by names of columns; None: wherever :func:`gaps_of` finds some.

    Returns
    -------
    pyarrow.Table
        Columns in the order and of the types of ``table``; a column that was nothing but null is of the
        schema's.

    Examples
    --------
    >>> from isthmus.sources import TableSource
    >>> schema = TableSource(pa.table({"age": [63, 41, 35], "sex": ["male", "female", "male"]})).schema
    >>> gappy = pa.table({"sex": ["other", None], "age": [None, 60], "note": ["a", None]})
    >>> with_gaps_filled(gappy, [[50.2, 0.0], [41.0, 1.0]], schema).to_pydict()
    {'sex': ['other', 'male'], 'age': [50, 60], 'note': ['a', None]}
    """
    values = np.asarray(rows, np.float64)
    filled = {column.name: (column, values[:, at]) for at, column in enumerate(schema.table or ())}
    for constant in schema.constants:
        filled[constant.column.name] = constant.column, np.full(len(values), constant.value)
    for name, mask in (gaps_of(table, schema) if gaps is None else gaps).items():
        column, found = filled[name]
        place = table.column_names.index(name)
        table = table.set_column(place, name, _filled(table.column(name), mask, column, found))
    return table


def typed_table(table: Any, rows: ArrayLike, schema: Schema) -> Any:
    """A table of text with its numbers as numbers, where the schema has them so.

    Columns that the schema does not know stay text, and so do those of which a cell is no value of theirs.

    >>> from isthmus.sources import TableSource
    >>> schema = TableSource(pa.table({"age": [63, 41, 35], "sex": ["male", "female", "male"]})).schema
    >>> text = pa.table({"age": ["50", None], "sex": ["male", None], "note": ["a", "b"]})
    >>> typed_table(text, [[50.0, 1.0], [np.nan, np.nan]], schema).to_pydict()
    {'age': [50, None], 'sex': ['male', None], 'note': ['a', 'b']}
    """
    values = np.asarray(rows, np.float64)
    for at, column in enumerate(schema.table or ()):
        array = table.column(column.name)
        lost = int(np.isnan(values[:, at]).sum()) > array.null_count
        if is_text(array.type) and not is_text(type_named(column.dtype)) and not lost:
            place = table.column_names.index(column.name)
            table = table.set_column(place, column.name, array_of(values[:, at], column))
    return table


def _filled(array: Any, gaps: NDArray[np.bool_], column: Column, values: NDArray[np.float64]) -> Any:
    """A column with its gaps filled, of its own type."""
    own, dtype = array.type, str(array.type)
    if pa.types.is_null(own):
        return array_of(values, column)
    if pa.types.is_dictionary(own):
        dtype = str(own.value_type)
    if is_text(own) and column.dtype.startswith(("int", "uint")):
        # Numbers of a file of text: whole ones are written without a point.
        made = pc.cast(array_of(values, column), pa.string())
    else:
        made = array_of(values, replace(column, dtype=dtype))
    mask, words = pa.array(gaps), plain(array)
    if not pa.types.is_dictionary(own):
        return pc.if_else(mask, made.cast(words.type), words).cast(own)
    words = pc.if_else(mask, plain(made).cast(words.type), words)
    listed = [plain(chunk.dictionary).to_pylist() for chunk in getattr(array, "chunks", [array])]
    known = list(dict.fromkeys([*(word for some in listed for word in some), *pc.unique(words).to_pylist()]))
    dictionary = _typed(known, own.value_type)
    places = pc.index_in(words, value_set=plain(dictionary)).cast(own.index_type)
    return pa.DictionaryArray.from_arrays(places, dictionary, ordered=own.ordered)


def array_of(values: NDArray[np.float64], column: Column) -> Any:
    """One column of rows as an Arrow array of its own type."""
    dtype = type_named(column.dtype)
    if column.type == "date":
        return _dates(values, column, dtype)
    if column.categories is not None:
        return _categories(values, column, dtype)
    whole = np.maximum(np.rint(values), 0.0) if column.type == "count" else values
    return _numbers(whole, dtype)


def type_named(name: str) -> Any:
    """The Arrow type of a name that ``str(type)`` gave.

    Raises
    ------
    ArtifactError
        No type of Arrow's has that name.

    Examples
    --------
    >>> type_named("timestamp[ns, tz=UTC]"), type_named("decimal128(10, 2)")
    (TimestampType(timestamp[ns, tz=UTC]), Decimal128Type(decimal128(10, 2)))
    """
    try:
        if found := _DICTIONARY.fullmatch(name):
            return pa.dictionary(type_named(found[2]), type_named(found[1]), found[3] == "1")
        if found := _TIMESTAMP.fullmatch(name):
            return pa.timestamp(found[1], found[2])
        if found := _DECIMAL.fullmatch(name):
            return getattr(pa, f"decimal{found[1]}")(int(found[2]), int(found[3]))
        return pa.type_for_alias(name)
    except (ValueError, AttributeError, TypeError):
        raise ArtifactError(
            f"Schema: expected the name of a type of Arrow's, got {name!r}; install a newer pyarrow, or take "
            "another copy of the model."
        ) from None


def _dates(values: NDArray[np.float64], column: Column, dtype: Any) -> Any:
    if is_date(dtype):
        return dates_of(values, dtype)
    form = column.form or "%Y-%m-%d %H:%M:%S"
    return texts_of(values, form).cast(dtype)


def _categories(values: NDArray[np.float64], column: Column, dtype: Any) -> Any:
    truths = column.type == "boolean" and pa.types.is_boolean(dtype)
    words = (False, True) if truths else column.categories or ()
    gaps = np.isnan(values)
    places = np.clip(np.rint(np.where(gaps, 0.0, values)), 0, len(words) - 1).astype(np.int64)
    if pa.types.is_dictionary(dtype):
        indices = pa.array(places, mask=gaps).cast(dtype.index_type)
        return pa.DictionaryArray.from_arrays(
            indices, _typed(list(words), dtype.value_type), ordered=dtype.ordered
        )
    held = pa.string() if pa.types.is_string_view(dtype) else dtype  # views cannot be taken from
    return pc.take(_typed(list(words), held), pa.array(places, mask=gaps)).cast(dtype)


def _numbers(values: NDArray[np.float64], dtype: Any) -> Any:
    gaps = np.isnan(values)
    safe = np.where(gaps, 0.0, values)
    if pa.types.is_integer(dtype):
        kind = np.dtype(dtype.to_pandas_dtype())
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        rounded = np.rint(safe)
        whole = np.clip(rounded, float(low), np.nextafter(float(high), 0.0) if high >= 2**53 else float(high))
        return pa.array(whole.astype(kind), dtype, mask=gaps)
    if pa.types.is_decimal(dtype):
        return _decimals(safe, gaps, dtype)
    if pa.types.is_boolean(dtype):
        return pa.array(safe >= 0.5, dtype, mask=gaps)
    if is_text(dtype):
        return _typed(
            [None if gap else repr(float(value)) for gap, value in zip(gaps, safe, strict=True)], dtype
        )
    kind = np.dtype(dtype.to_pandas_dtype())
    most = float(np.finfo(kind).max)
    return pa.array(np.clip(safe, -most, most).astype(kind), dtype, mask=gaps)


def _decimals(safe: NDArray[np.float64], gaps: NDArray[np.bool_], dtype: Any) -> Any:
    step = decimal.Decimal(1).scaleb(-dtype.scale)
    most = decimal.Decimal(10) ** (dtype.precision - dtype.scale) - step
    with decimal.localcontext() as context:
        context.prec = 100
        values = [
            None if gap else max(-most, min(most, decimal.Decimal(value).quantize(step)))
            for gap, value in zip(gaps, safe.tolist(), strict=True)
        ]
    return pa.array(values, dtype)


def _typed(words: list[Any], dtype: Any) -> Any:
    """An Arrow array of a type that Arrow may not build directly."""
    if is_text(dtype):
        return pa.array([None if word is None else str(word) for word in words], pa.string()).cast(dtype)
    if pa.types.is_integer(dtype):
        return pa.array([int(word) for word in words], dtype)
    return pa.array(words, dtype)

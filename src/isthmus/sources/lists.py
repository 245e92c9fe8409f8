"""List columns of Parquet and Arrow files: embeddings and other vectors, one list of numbers a row.

Where a file has list columns of numbers, these alone are its rows, side by side in the order of the file
unless some of them are named; columns of single values beside them are left out and said so, but for
labels (``label``, ``labels``, ``y``) and the names of rows (``row``, ``id``, ``name``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.errors import DataError, ParameterError
from isthmus.schema import Kind
from isthmus.sources.arrays import ArraySource
from isthmus.sources.arrow import is_number, is_text, pc, plain
from isthmus.sources.labels import as_labels
from isthmus.sources.limits import texts
from isthmus.sources.table import arrow_schema, read_arrow
from isthmus.sources.table_types import setting_for

LABEL_COLUMNS = ("label", "labels", "y")
NAME_COLUMNS = ("row", "id", "name")


def list_names(schema: Any) -> list[str]:
    """Names of the columns of an Arrow schema that are lists of numbers.

    >>> list_names(pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), 8))]))
    ['embedding']
    """
    return [field.name for field in schema if _is_list(_stored(field.type))]


def beside_names(schema: Any) -> list[str]:
    """Names of the columns of labels and of names of rows, the first of each that there is."""
    found = [
        next((name for name in some if name in schema.names), None) for some in (LABEL_COLUMNS, NAME_COLUMNS)
    ]
    return [name for name in found if name is not None]


def open_lists(
    path: Path,
    names: Sequence[str],
    *,
    labels: Callable[[int], NDArray[Any]] | None = None,
    sample_shape: Sequence[int] | None = None,
    row_kind: Kind | Literal["auto"] = "auto",
    types: Mapping[str, str] | None = None,
) -> ArraySource:
    """Open a Parquet, Arrow or Feather file whose rows are the values of list columns.

    Parameters
    ----------
    path
        The file. Only the lists, labels and names of rows are read.
    names
        The list columns that are the rows, in order.
    labels
        What gives so many labels, instead of those of the file.
    sample_shape, row_kind
        As :class:`ArraySource` takes them.
    types
        Columns that are to be left out, ``"ignore"``; other types are for tables of single values.

    Raises
    ------
    DataError
        Lists of unequal lengths, or rows without one.
    ParameterError
        Types of columns that are left out beside the lists.
    """
    schema = arrow_schema(path)
    given = [name for name, type_ in (types or {}).items() if type_ != "ignore"]
    unknown = [name for name in types or {} if name not in schema.names]
    if given or unknown:
        lists = ", ".join(map(repr, names))
        got = f"got one for {given[0]!r}" if given else f"got {unknown[0]!r}, which it has not"
        raise ParameterError(
            f"data.types: rows of {path} are the lists of {lists}, beside which no column has a type, {got}; "
            f"leave that out, or set each list column to 'ignore' to read the others as a table."
        )
    table = read_arrow(path, [*names, *beside_names(schema)])
    own = None if labels is None else labels(len(table))
    return source_of_lists(
        table, names, str(path), labels=own, sample_shape=sample_shape, row_kind=row_kind, others=schema.names
    )


def source_of_lists(
    table: Any,
    names: Sequence[str],
    who: str,
    *,
    labels: NDArray[Any] | None = None,
    sample_shape: Sequence[int] | None = None,
    row_kind: Kind | Literal["auto"] = "auto",
    others: Sequence[str] = (),
) -> ArraySource:
    """Rows that are the values of list columns, side by side.

    Parameters
    ----------
    table
        An Arrow table that has them, and the columns of labels and names where the file has such.
    names
        The list columns, in the order in which their values stand in a row.
    who
        The file, for messages.
    labels
        One a row, instead of those of the table.
    sample_shape, row_kind
        As :class:`ArraySource` takes them.
    others
        Columns of the file that are left out.

    Raises
    ------
    DataError
        Lists of unequal lengths, or rows without one.

    Examples
    --------
    >>> table = pa.table({"embedding": [[1.0, 2.0], [3.0, None]], "label": ["a", "b"]})
    >>> source = source_of_lists(table, ["embedding"], "some.parquet")
    >>> source.schema.lists, source.read(slice(None)).tolist(), source.labels.tolist()
    ((('embedding', 2),), [[1.0, 2.0], [3.0, nan]], ['a', 'b'])
    """
    if not len(table):
        raise DataError(f"{who}: expected rows, got a table without any; give it some.")
    blocks = [values_of_lists(table.column(name), name, who) for name in names]
    columns = None
    if len(names) > 1:
        columns = [
            f"{name}[{at}]" for name, block in zip(names, blocks, strict=True) for at in range(block.shape[1])
        ]
    own, row_names, taken = _beside(table, who)
    with np.errstate(invalid="ignore"):  # of a signalling NaN, which a wider type holds as a quiet one
        beside = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    source = ArraySource(
        beside,
        labels=own if labels is None else labels,
        columns=columns if row_kind in ("auto", "vectors") and sample_shape is None else None,
        sample_shape=sample_shape,
        row_kind=row_kind,
        who=who,
    )
    widths = tuple((name, block.shape[1]) for name, block in zip(names, blocks, strict=True))
    if source.schema.kind == "vectors":
        source.schema = replace(source.schema, lists=widths)
    source.row_names = row_names
    said = [f"Rows are the lists of {_named(widths)}."]
    left_out = [name for name in others if name not in (*names, *taken)]
    if left_out:
        shown = ", ".join(map(repr, left_out[:5])) + ", ..." * (len(left_out) > 5)
        said.append(f"Left out, for they stand beside the lists: {shown}.")
    source.notes = tuple(said)
    return source


def values_of_lists(column: Any, name: str, who: str) -> NDArray[Any]:
    """The values of a list column as ``(rows, length)``; gaps within a list are NaN.

    Raises
    ------
    DataError
        A row without a list, or lists of unequal or no length; with the row, counted from 0.
    """
    chunks = [_storage(chunk) for chunk in column.chunks if len(chunk)]
    if not chunks:
        raise DataError(f"{who}: expected rows, got a table without any; give it some.")
    length, first, flat = _length_of(chunks[0]), 0, list[Any]()
    for chunk in chunks:
        if chunk.null_count:
            row = first + int(np.flatnonzero(pc.is_null(chunk).to_numpy(zero_copy_only=False))[0])
            raise DataError(f"{who}: column {name!r}: expected a list in each row, got none in row {row}; "
                            f"leave such rows out.")  # fmt: skip
        lengths: NDArray[Any] = pc.list_value_length(chunk).to_numpy(zero_copy_only=False)
        other = np.flatnonzero(lengths != length)
        if len(other):
            raise DataError(
                f"{who}: column {name!r}: expected lists of one length, got {length} values in row 0 and "
                f"{lengths[other[0]]} in row {first + int(other[0])}; mend that row, or leave the column out with "
                f"{setting_for(name, 'ignore')}."
            )
        flat.append(chunk.flatten())
        first += len(chunk)
    if length == 0:
        raise DataError(
            f"{who}: column {name!r}: expected lists of values, got empty ones; leave the column out."
        )
    kind = flat[0].type
    gaps = any(values.null_count for values in flat)
    if pa.types.is_decimal(kind) or (gaps and not pa.types.is_floating(kind)):
        flat = [
            pc.cast(pc.cast(each, pa.uint8()) if pa.types.is_boolean(kind) else each, pa.float64())
            for each in flat
        ]
    arrays = [values.to_numpy(zero_copy_only=False) for values in flat]
    return (arrays[0] if len(arrays) == 1 else np.concatenate(arrays)).reshape(-1, length)


def chosen_lists(found: Sequence[str], array: str | Sequence[str] | None, who: str) -> list[str]:
    """Which of a file's list columns are its rows: all of them, or those that are named.

    Raises
    ------
    ParameterError
        A name that no list column has.
    """
    if array is None:
        return list(found)
    wanted = [array] if isinstance(array, str) else list(array)
    missing = [name for name in wanted if name not in found]
    if missing or not wanted:
        got = f"lists named {', '.join(map(repr, found))}" if found else "a file without any"
        raise ParameterError(
            f"{who}: expected a column of lists of numbers named {', '.join(map(repr, missing)) or 'in data.array'}, "
            f"got {got}; name one of them in data.array, or rename the column."
        )
    return wanted


def _beside(table: Any, who: str) -> tuple[NDArray[Any] | None, NDArray[Any] | None, list[str]]:
    """Labels and names of rows that stand beside lists, and the columns that they are from."""
    labels, names, taken = None, None, list[str]()
    for name in beside_names(table.schema):
        values = plain(table.column(name))
        whole = is_text(values.type) or pa.types.is_integer(values.type)
        if values.null_count or not whole:
            continue
        words = [str(word) for word in values.to_pylist()]
        if name in LABEL_COLUMNS:
            labels = as_labels(words, who)
            taken.append(name)
        elif len(set(words)) == len(words):
            names = texts(words, who, "names of rows")
            taken.append(name)
    return labels, names, taken


def _named(widths: Sequence[tuple[str, int]]) -> str:
    shown = [f"{name!r} ({length:,} value{'s' * (length != 1)})" for name, length in widths]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}, side by side"


def _stored(dtype: Any) -> Any:
    """Arrow's type of what is stored, of tensors that are fixed-size lists by another name."""
    return dtype.storage_type if isinstance(dtype, pa.BaseExtensionType) else dtype


def _storage(chunk: Any) -> Any:
    return chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk


def _is_list(dtype: Any) -> bool:
    lists = pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype)
    return lists and (is_number(dtype.value_type) or pa.types.is_boolean(dtype.value_type))


def _length_of(chunk: Any) -> int:
    """Values of the first list that is there."""
    lengths = pc.drop_null(pc.list_value_length(chunk.slice(0, 1)))
    return int(lengths[0].as_py()) if len(lengths) else 0

"""Frames of any library: into Arrow, and out again as the library that they came from.

None of these libraries is needed: frames tell Arrow themselves what they hold (the PyCapsule
interface), and a frame goes out through the library of the frame that came in.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from isthmus.errors import DataError
from isthmus.sources.arrow import pc, plain
from isthmus.sources.delimited import check_unique


def is_frame(data: object) -> bool:
    """Whether something is a table of named columns: of pyarrow, pandas, polars or any that speaks Arrow.

    >>> is_frame(pa.table({"a": [1]})), is_frame([[1.0]])
    (True, False)
    """
    return isinstance(data, (pa.Table, pa.RecordBatch)) or (
        hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns")
    ) or hasattr(data, "__dataframe__")  # fmt: skip


def table_from(frame: Any, who: str) -> Any:
    """A frame as an Arrow table; the index of pandas is no column.

    Raises
    ------
    DataError
        No frame, columns of the same name, or a column that Arrow cannot hold.

    Examples
    --------
    >>> table_from(pa.record_batch({"a": [1, 2]}), "frame").column_names
    ['a']
    """
    if not is_frame(frame):
        raise DataError(
            f"{who}: expected a frame of pandas, polars or pyarrow, got {type(frame).__name__}; "
            f"give one, or a file of rows."
        )
    try:
        check_unique([str(name) for name in _names(frame)], who)
        if isinstance(frame, (pa.Table, pa.RecordBatch)):
            table = pa.Table.from_batches([frame]) if isinstance(frame, pa.RecordBatch) else frame
        elif hasattr(frame, "__arrow_c_stream__"):
            table = pa.table(frame)
        else:
            from pyarrow.interchange import from_dataframe

            table = from_dataframe(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{who}: expected columns of one type each, got what Arrow cannot hold ({_reason(error)}); "
            f"convert that column."
        ) from None
    if len(table) == 0:
        raise DataError(f"{who}: expected rows, got a frame without any; give it some.")
    return table.drop_columns(_index_columns(table)).replace_schema_metadata(None)


def frame_like(table: Any, like: object) -> Any:
    """An Arrow table as a frame of the library, the names and the column types of ``like``.

    Parameters
    ----------
    table
        What :func:`isthmus.sources.table_of` gave.
    like
        The frame that came in. Of pandas, its index comes along where there are as many rows. Anything
        of no frame library that is known here gets the Arrow table.
    """
    library = type(like).__module__.partition(".")[0]
    if library == "pandas":
        return _pandas_like(table, like)
    if library == "polars":
        return _polars_like(table, like)
    return table


def empty_like(frame: Any) -> Any:
    """A frame without its rows: its library, its columns and their types.

    >>> empty_like(pa.table({"a": [1]})).num_rows
    0
    """
    library = type(frame).__module__.partition(".")[0]
    if library == "pandas":
        return frame.iloc[:0].copy()
    if library == "polars":
        return frame.clear()
    table = table_from(frame, "frame")
    return table.slice(0, 0)


def stacked(first: Any, second: Any, who: str) -> Any:
    """The rows of two frames, one frame like the first: its library, its columns.

    Raises
    ------
    DataError
        Something that is no frame, or a column of the first that the second does not have.

    Examples
    --------
    >>> stacked(pa.table({"a": [1]}), pa.table({"b": [0], "a": [2]}), "rows").to_pydict()
    {'a': [1, 2]}
    """
    top, below = table_from(first, who), table_from(second, who)
    missing = [name for name in top.column_names if name not in below.column_names]
    if missing:
        raise DataError(
            f"{who}: expected {len(top.column_names)} columns in both frames, got none named "
            f"{', '.join(map(repr, missing))} in the second; add what is missing, empty where nothing is known."
        )
    return frame_like(joined([top, below.select(top.column_names)]), first)


def joined(tables: Sequence[Any]) -> Any:
    """Arrow tables of the same columns, one below the other; categories and words go together.

    >>> words = pa.table({"a": pa.array(["x"]).dictionary_encode()})
    >>> joined([words, pa.table({"a": ["y"]}), pa.table({"a": pa.nulls(1)})]).to_pydict()
    {'a': ['x', 'y', None]}
    """
    columns = {name: [plain(table.column(name)) for table in tables] for name in tables[0].column_names}
    single = [pa.table({name: columns[name][at] for name in columns}) for at in range(len(tables))]
    return pa.concat_tables(single, promote_options="permissive")


def with_columns(frame: Any, columns: Any) -> Any:
    """A frame with some of its columns exchanged, everything else as it is, the very types if they can hold it.

    Parameters
    ----------
    frame
        Of pandas, polars or pyarrow; it stays as it is.
    columns
        An Arrow table of columns that the frame has, with as many rows.
    """
    library = type(frame).__module__.partition(".")[0]
    if library == "pandas":
        changed, new = frame.copy(), _pandas_like(columns, frame)
        for name in new.columns:
            changed[name] = new[name]
        return changed
    if library == "polars":
        return frame.with_columns(_polars_like(columns, frame))
    table = table_from(frame, "frame")
    for name in columns.column_names:
        table = table.set_column(table.column_names.index(name), name, columns.column(name))
    return table


def _names(frame: Any) -> list[Any]:
    if isinstance(frame, (pa.Table, pa.RecordBatch)):
        return list(frame.schema.names)
    return list(frame.columns if hasattr(frame, "columns") else frame.__dataframe__().column_names())


def _index_columns(table: Any) -> list[str]:
    told = (table.schema.metadata or {}).get(b"pandas")
    try:
        index = json.loads(told)["index_columns"] if told else []
    except (ValueError, LookupError, TypeError, RecursionError):  # not what pandas writes
        index = []
    return [name for name in index if name in table.column_names] if isinstance(index, list) else []


def _reason(error: Exception) -> str:
    return " ".join(str(part) for part in error.args).strip().rstrip(".") or type(error).__name__


def _pandas_like(table: Any, like: Any) -> Any:
    frame = table.to_pandas()
    names = {str(name): name for name in like.columns}
    for name in frame.columns:
        wanted = like[names[name]].dtype if name in names else None
        if wanted is None or wanted == frame[name].dtype:
            continue
        try:
            frame[name] = frame[name].astype(_with_words(wanted, table.column(name)))
        except (TypeError, ValueError):
            continue  # gaps that the type cannot hold; Arrow's choice stays
    frame.columns = [names.get(name, name) for name in frame.columns]
    if len(frame) == len(like):
        frame.index = like.index
    return frame


def _polars_like(table: Any, like: Any) -> Any:
    frame = sys.modules["polars"].from_arrow(table)
    wanted = {
        name: _with_words(dtype, table.column(name))
        for name, dtype in like.schema.items()
        if name in frame.columns
    }
    return frame.cast(wanted, strict=False)


def _with_words(wanted: Any, column: Any) -> Any:
    """A type of categories with those of a column that it lacks, which a cast would make gaps of."""
    if not hasattr(wanted, "categories") or type(wanted).__name__ not in ("CategoricalDtype", "Enum"):
        return wanted
    known = list(wanted.categories)
    new = [word for word in pc.unique(plain(column).drop_null()).to_pylist() if word not in known]
    if not new:
        return wanted
    if type(wanted).__name__ == "Enum":
        return type(wanted)([*known, *new])
    return type(wanted)([*known, *new], ordered=wanted.ordered)

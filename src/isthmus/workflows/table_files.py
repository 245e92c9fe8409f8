"""Tables as files: CSV, TSV, Parquet and Arrow."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as arrow_feather
from numpy.typing import NDArray

from isthmus.artifact.file import write_atomically
from isthmus.errors import OutputError
from isthmus.schema import Schema
from isthmus.sources.delimited import TextForm
from isthmus.sources.seal import write_sealed

TABLE_OUTPUTS = (".csv", ".tsv", ".parquet", ".arrow", ".feather")
"""Endings of the files that a table can be written to."""
TEXT_OUTPUTS = (".csv", ".tsv")
"""Those among them that hold no lists."""


def table_of_vectors(rows: NDArray[Any], schema: Schema, *, lists: bool) -> Any:
    """Vectors as an Arrow table: of list columns as they came in, or of a column a feature.

    Parameters
    ----------
    rows
        ``(rows, features)``.
    schema
        What a row is; its ``lists`` name the list columns, its ``columns`` the features.
    lists
        Whether the file can hold lists. Vectors without names are then one list column ``vector``, and else
        columns ``value_0``, ``value_1``, ...

    Examples
    --------
    >>> table_of_vectors(np.ones((1, 2)), Schema("vectors", (2,), "float64"), lists=True).to_pydict()
    {'vector': [[1.0, 1.0]]}
    """
    if lists and (schema.lists or not schema.columns):
        named, first = dict[str, Any](), 0
        for name, length in schema.lists or (("vector", rows.shape[1]),):
            block = np.ascontiguousarray(rows[:, first : first + length])
            named[name] = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), length)
            first += length
        return pa.table(named)
    names = schema.columns or tuple(f"value_{at}" for at in range(rows.shape[1]))
    return pa.table([pa.array(values) for values in np.ascontiguousarray(rows.T)], names=list(names))


def write_table(path: Path, table: Any, form: TextForm | None = None) -> None:
    """Write an Arrow table, whole or not at all.

    Parameters
    ----------
    path
        ``.csv`` and ``.tsv`` are UTF-8 text, gaps empty cells and dates as ISO 8601; ``.parquet``;
        ``.arrow`` and ``.feather`` are Arrow's own file format.
    table
        Any Arrow table, for example from :func:`isthmus.sources.table_of`.
    form
        How a ``.csv`` file separates its columns, and which of them have decimal commas, in a ``.tsv`` file too;
        commas between columns and decimal points if None.

    Raises
    ------
    OutputError
        Another ending, a place that cannot be written, or a column that the format cannot hold.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_OUTPUTS:
        raise OutputError(
            f"{path}: a table goes into {', '.join(TABLE_OUTPUTS)}, got {path.suffix or 'no ending'!r}. "
            f"Try {path.with_suffix('.csv').name}."
        )
    buffer = io.BytesIO()
    try:
        if suffix in TEXT_OUTPUTS:
            form = TextForm() if form is None else form
            buffer.write(_text(table, form if suffix == ".csv" else form._replace(separator="\t")).encode())
        elif suffix == ".parquet":
            write_sealed(buffer, [table])
        else:
            arrow_feather.write_feather(table, buffer, compression="uncompressed")
    except pa.ArrowException as error:
        raise OutputError(f"{path}: cannot be written: {error}. Choose another format.") from None
    write_atomically(buffer.getvalue(), path)


def _text(table: Any, form: TextForm) -> str:
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, delimiter=form.separator, lineterminator=form.line_end)
    writer.writerow(table.column_names)
    columns = [_cells(table.column(place)) for place in range(table.num_columns)]
    for place, name in enumerate(table.column_names):
        if name in form.commas:
            columns[place] = [cell.replace(".", ",") for cell in columns[place]]
    if len(columns) == 1:  # a lone gap is an empty line, which csv would write as ""
        writer.writerows([cell] if cell else [] for cell in columns[0])
    else:
        writer.writerows(zip(*columns, strict=True))
    return lines.getvalue()


def _cells(column: Any) -> list[str]:
    """A column as text that reads back as the same values; gaps are empty."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type) or pa.types.is_date64(column.type):
        column = _shortest(column)
    if pa.types.is_floating(column.type):
        kind = np.dtype(column.type.to_pandas_dtype()).type
        return ["" if value is None else str(kind(value)) for value in column.to_pylist()]
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _shortest(column: Any) -> Any:
    """Timestamps in the coarsest unit that loses nothing, so that whole seconds have no fraction."""
    zone = None if pa.types.is_date64(column.type) else column.type.tz
    for unit in ("s", "ms", "us"):
        try:
            return column.cast(pa.timestamp(unit, zone))
        except pa.ArrowInvalid:
            continue
    return column

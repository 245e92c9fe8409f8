"""Tables as rows: columns of several types, with gaps, one float64 a value."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.feather as arrow_feather
import pyarrow.parquet as arrow_parquet
from numpy.typing import ArrayLike, NDArray

from isthmus.errors import DataError, IsthmusError, SourceError
from isthmus.schema import Column, Constant, Schema
from isthmus.sources.arrow import by_column, is_text, pc, plain
from isthmus.sources.arrow_sizes import check_arrow, check_parquet
from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.delimited import TextForm, check_unique, read_delimited
from isthmus.sources.frames import table_from
from isthmus.sources.labels import labels_of
from isthmus.sources.limits import texts
from isthmus.sources.parquet_facts import parquet_facts
from isthmus.sources.seal import check_seal
from isthmus.sources.shards import shards_note
from isthmus.sources.table_types import Found, infer_columns, is_id
from isthmus.sources.table_values import Values, values_of

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
ARROW_SUFFIXES = (".parquet", ".arrow", ".feather")
TABLE_SUFFIXES = (*TEXT_SUFFIXES, *ARROW_SUFFIXES)
"""Files that hold tables."""
LEFT_OUT = "Left out, for the model does not know them:"
"""What a note on columns begins with that new data have and the model has not."""
_MOST_TOLD = 8
"""Notes on how the files of one table were read that are told."""


@final
class TableSource(Source):
    """The rows of a table: what :mod:`isthmus.sources.table_types` makes of its columns, as float64.

    Columns are looked at when the schema or a row is first asked for, so that a table that is meant
    for a fitted schema is never judged by itself: see :func:`conform`.

    Parameters
    ----------
    frame
        An Arrow table or a frame of pandas or polars.
    types
        Names of columns and what they are, whatever the rules say: ``"continuous"``, ``"count"``,
        ``"category"``, ``"boolean"``, ``"date"``, or ``"ignore"`` to leave one out.
    labels
        One integer or string a row.
    who
        What messages begin with.
    written
        Whether the table is a file of text, in which numbers stand as text.
    schema
        The columns as they were fitted; None infers them.
    told
        Notes on how the table was read, to go before those on its columns.
    form
        Of a file of text, how it is written.

    Raises
    ------
    DataError
        What is no frame, or one without rows; and when columns are looked at, values that no model
        can learn from.

    Examples
    --------
    >>> frame = pa.table({"age": [63.5, None, 41.0], "sex": ["male", "female", "male"]})
    >>> people = TableSource(frame)
    >>> people.schema.describe(), people.read(slice(0, 2)).tolist()
    ('rows of 2 columns', [[63.5, 1.0], [nan, 0.0]])
    """

    def __init__(
        self,
        frame: Any,
        types: Mapping[str, str] | None = None,
        labels: ArrayLike | None = None,
        *,
        who: str = "TableSource",
        written: bool = False,
        schema: Schema | None = None,
        told: tuple[str, ...] = (),
        form: TextForm | None = None,
    ) -> None:
        self.name, self.form = who, form
        self._table = table_from(frame, who)
        self._types, self._written, self._given, self._told = types, written, schema, told
        self._whole: TableSource | None = None
        self.labels = None if labels is None else labels_of(labels, len(self._table), who)

    @cached_property
    def schema(self) -> Schema:  # pyright: ignore[reportIncompatibleVariableOverride]  # seen when first asked for
        """What a row is."""
        if self._given is not None:
            return self._given
        found = self._found
        names = tuple(column.name for column in found.columns)
        return Schema(
            "tables", (len(names),), "float64", columns=names, table=found.columns, constants=found.constants
        )

    @cached_property
    def notes(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What a user should know of how the table was read, a sentence each."""
        first = (*self._told, *self._extra) if self._given is not None else (*self._told, *self._found.notes)
        return (*first, *self._read[1])

    def tell(self, note: str) -> None:
        """Add a sentence on how the table was read, to go before those on its columns."""
        self._told = (*self._told, note)
        if "notes" in self.__dict__:
            del self.notes

    @property
    def table(self) -> Any:
        """The Arrow table as it came: all columns, with those that are no part of a row."""
        return self._table

    @property
    def written(self) -> bool:
        """Whether the table is a file of text, in which numbers stand as text."""
        return self._written

    @cached_property
    def column_names(self) -> list[str]:
        """All columns of the table, with those that are no part of a row."""
        return self._table.column_names

    @cached_property
    def row_names(self) -> NDArray[Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What an identifier calls each row, or None where the table has none.

        It is the first column that is no part of the rows, is named like an identifier and differs in every row.

        >>> TableSource(
        ...     pa.table({"customer_id": ["c7", "c3", "c5"], "age": [1.5, 2.5, 3.5]})
        ... ).row_names.tolist()
        ['c7', 'c3', 'c5']
        """
        for name in self.column_names:
            if name in (self.schema.columns or ()) or not is_id(name):
                continue
            values = plain(self._table.column(name))
            named = is_text(values.type) or pa.types.is_integer(values.type)
            if named and not values.null_count and pc.count_distinct(values).as_py() == len(values):
                return texts(values.cast(pa.string()).to_pylist(), self.name, "identifiers")
        return None

    def numbers(self) -> Values:
        """The whole table as ``(rows, columns)`` of float64, whatever the numbers mean; NaN for gaps.

        Raises
        ------
        DataError
            A column that holds something other than numbers.
        """
        columns = [Column(name, "continuous", "double") for name in self.column_names]
        found = [values_of(self._table.column(each.name), each, self.name).values for each in columns]
        return np.stack(found, axis=1)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._table)

    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, in the order asked, as ``(n, columns)`` of float64; NaN for gaps.

        Raises
        ------
        DataError
            A row number that the table does not have, or a value that its column cannot hold.
        """
        try:
            return self._read[0][rows]
        except IndexError as error:
            raise DataError(
                f"{self.name}: row numbers must be below {len(self)}, got {rows}; the first row is 0."
            ) from error

    def take(self, rows: Indices) -> TableSource:
        """Some rows as a table of their own; what its columns are is still told from all rows.

        >>> TableSource(pa.table({"a": [1.5, 2.5]})).take(np.array([1])).read(slice(None))
        array([[2.5]])
        """
        part = TableSource(
            self._table.take(pa.array(np.asarray(rows, np.int64))),
            labels=None if self.labels is None else self.labels[rows],
            who=self.name,
            written=self._written,
            form=self.form,
            told=self._told,
        )
        part._whole = self
        return part

    def conformed(self, schema: Schema) -> TableSource:
        """The same table, read by the columns of a fitted schema."""
        return TableSource(
            self._table,
            labels=self.labels,
            who=self.name,
            written=self._written,
            form=self.form,
            schema=schema,
            told=self._told,
        )

    @cached_property
    def _found(self) -> Found:
        if self._whole is not None:
            return self._whole._found
        return infer_columns(self._table, self.name, types=self._types, written=self._written)

    @cached_property
    def _extra(self) -> tuple[str, ...]:
        """What is said of columns that a fitted schema does not know."""
        constants = self.schema.constants
        known = {column.name for column in self.schema.table or ()} | {one.column.name for one in constants}
        extra = [name for name in self.column_names if name not in known]
        said = [f"{LEFT_OUT} {', '.join(map(repr, extra))}."] if extra else []
        for one in constants:
            if one.column.name in self.column_names and not self._is_constant(one):
                said.append(f"Column {one.column.name!r}: held one value alone when the model was fitted, "
                            f"and that is what comes back; the values here are not looked at.")  # fmt: skip
        return tuple(said)

    def _is_constant(self, constant: Constant) -> bool:
        try:
            values = values_of(self._table.column(constant.column.name), constant.column, self.name).values
        except DataError:
            return False
        return bool((values == constant.value).all())

    @cached_property
    def _read(self) -> tuple[Values, tuple[str, ...]]:
        """All rows, and what is said of values that became gaps."""
        columns = self.schema.table or ()
        there = set(self.column_names)
        missing = [column.name for column in columns if column.name not in there]
        if missing:
            raise DataError(
                f"{self.name}: expected the {len(columns)} columns that the model is fitted on, got none named "
                f"{', '.join(map(repr, missing))}; add what is missing, empty where nothing is known."
            )
        rows, notes = np.empty((len(self._table), len(columns)), np.float64), list[str]()

        def put(place: int, column: Column) -> tuple[str, ...]:
            reading = values_of(self._table.column(column.name), column, self.name)
            rows[:, place] = reading.values
            return reading.notes

        for said in by_column(put, list(enumerate(columns)), rows.size):
            notes.extend(said)
        rows.flags.writeable = False
        return rows, tuple(notes)


def conform(data: Any, schema: Schema, *, who: str = "rows") -> TableSource:
    """New data in the columns of a fitted schema, put in order by their names.

    Columns that the schema does not know are left out, categories that it has not seen become gaps,
    and both are said in the result's ``notes``.

    Parameters
    ----------
    data
        A :class:`TableSource`, or a frame of pandas, polars or pyarrow.
    schema
        That of the table that a model is fitted on.
    who
        What messages begin with, where ``data`` is a frame.

    Raises
    ------
    DataError
        Columns that are missing, or values that their column cannot hold: text among numbers, infinity.

    Examples
    --------
    >>> fitted = TableSource(pa.table({"age": [63.5, 41.0], "sex": ["male", "female"]})).schema
    >>> new = conform(pa.table({"sex": ["other"], "age": [50.0], "city": ["Ulm"]}), fitted, who="new.csv")
    >>> new.read(slice(None)), len(new.notes)
    (array([[50., nan]]), 2)
    """
    if schema.kind != "tables":
        raise DataError(
            f"{who}: expected {schema.describe()}, got a table. Give rows of the kind that the model is fitted on."
        )
    if isinstance(data, Source) and not isinstance(data, TableSource):
        raise DataError(
            f"{data.name}: expected a table of {len(schema.table or ())} columns, got {data.schema.describe()}. "
            "Give rows of the kind that the model is fitted on."
        )
    source = data if isinstance(data, TableSource) else TableSource(data, who=who)
    found = source.conformed(schema)
    found.read(slice(0, 1))
    return found


def open_table(path: Path, *, types: Mapping[str, str] | None = None) -> TableSource:
    """Open a file that holds a table: CSV, TSV or other text, Parquet, Arrow or Feather.

    Raises
    ------
    SourceError
        A file that is empty, damaged or of another kind than its name says.
    DataError
        Lines of different numbers of fields, or columns of the same name.
    """
    if path.name.lower().endswith(TEXT_SUFFIXES):
        found = read_delimited(path)
        return TableSource(found.table, types, who=str(path), written=True, told=found.notes, form=found.form)
    return TableSource(read_arrow(path), types, who=str(path))


def open_tables(folder: Path, names: Sequence[str], *, types: Mapping[str, str] | None = None) -> TableSource:
    """Open files that hold parts of one table, one below the other.

    Parameters
    ----------
    folder
        Where they are.
    names
        Their names within it, in the order of their rows, all of one kind.
    types
        As :class:`TableSource` takes them.

    Raises
    ------
    SourceError
        A file that is empty, damaged or of another kind than its name says.
    DataError
        A file of other columns than the first, or of columns of other types; the message names it.
    """
    tables, told = list[Any](), list[str]()
    written = names[0].lower().endswith(TEXT_SUFFIXES)
    for name in names:
        path = folder / name
        if written:
            found = read_delimited(path)
            tables.append(found.table)
            told += [f"{name}: {note}" for note in found.notes]
        else:
            tables.append(read_arrow(path))
        tables[-1] = _like_first(tables[-1], tables[0], path, names[0])
    whole = pa.concat_tables(tables, promote_options="default")
    said = (
        told if len(told) <= _MOST_TOLD else [*told[:_MOST_TOLD], f"... and {len(told) - _MOST_TOLD} more."]
    )
    return TableSource(whole, types, who=str(folder), written=written, told=(shards_note(names), *said))


def _like_first(table: Any, first: Any, path: Path, first_name: str) -> Any:
    """A part of a table with the columns of the first part, in their order; a column without values fits any."""
    ours, theirs = set(first.column_names), set(table.column_names)
    missing = [name for name in first.column_names if name not in theirs]
    extra = [name for name in table.column_names if name not in ours]
    if missing or extra:
        lacks = (
            f"none named {', '.join(map(repr, missing[:3]))}"
            if missing
            else f"also {', '.join(map(repr, extra[:3]))}"
        )
        raise DataError(
            f"{path}: expected the columns of {first_name}, got {lacks}; mend that file, or move it away."
        )
    table = table.select(first.column_names)
    for one, other in zip(first.schema, table.schema, strict=True):
        if one.type != other.type and not (pa.types.is_null(one.type) or pa.types.is_null(other.type)):
            raise DataError(
                f"{path}: column {one.name!r}: expected the type {one.type}, as in {first_name}, got {other.type}; "
                f"write that file with the types of the others."
            )
    return table


def arrow_schema(path: Path) -> Any:
    """The columns of a Parquet, Arrow or Feather file, by name and type of Arrow's.

    Raises
    ------
    SourceError
        A file that is damaged or of another kind than its name says.
    DataError
        Columns of the same name.
    """
    with whole_file(path):
        parquet = path.suffix.lower() == ".parquet"
        if parquet:
            check_seal(path, whole=False)
            parquet_facts(path)  # Arrow ends the process over some that are wrong
        else:
            check_arrow(path)
        schema: Any = arrow_parquet.read_schema(path) if parquet else _ipc_schema(path)
    check_unique(schema.names, str(path))
    return schema


def read_arrow(path: Path, columns: Sequence[str] | None = None) -> Any:
    """The table of a Parquet, Arrow or Feather file, or some columns of it; as :func:`arrow_schema`."""
    with whole_file(path):
        wanted = None if columns is None else list(columns)
        if path.suffix.lower() == ".parquet":
            check_seal(path)
            check_parquet(path)
            with arrow_parquet.ParquetFile(path, page_checksum_verification=True) as file:
                table: Any = file.read(columns=wanted)
        else:
            check_arrow(path)
            table = arrow_feather.read_table(path, columns=wanted)
        table.validate(full=True)  # offsets and codes that lead elsewhere, letters that are none
    check_unique(table.column_names, str(path))
    return table


def _ipc_schema(path: Path) -> Any:
    with pa.memory_map(str(path)) as memory, pa.ipc.open_file(memory) as file:
        return file.schema


@contextmanager
def whole_file(path: Path) -> Generator[None]:
    """Tell what Arrow raises on a damaged file in one sentence."""
    try:
        yield
    except IsthmusError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError) as error:
        if isinstance(error, PermissionError):
            raise
        what = "Parquet" if path.suffix.lower() == ".parquet" else "Arrow"
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise SourceError(
            f"{path}: expected a whole {what} file, got a damaged or truncated one ({reason}); "
            f"take another copy of it."
        ) from None

"""Tables of Arrow's: in memory, Parquet, Arrow and Feather files, which come back with equal values and schema."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from isthmus.codec.columns import Columns
from isthmus.codec.contents.arrow_columns import decoded, encoded, is_supported
from isthmus.codec.contents.base import Content, Facts, Form, beside, check_rows, fact, unfit
from isthmus.errors import DataError
from isthmus.sources.arrow_sizes import check_arrow, check_parquet
from isthmus.sources.seal import check_seal
from isthmus.sources.table import whole_file

_MOST_SCHEMA = 1 << 23
_MOST_GROUP = 1 << 20
"""Rows of a row group that is written."""
_PACKINGS = ("none", "snappy", "gzip", "brotli", "lz4", "zstd")
_SUFFIXES = {"parquet": ".parquet", "arrow": ".arrow"}


@final
class ArrowForm(Form):
    """A table.

    Parameters
    ----------
    facts
        ``n_rows``; ``file``, ``"parquet"`` or ``"arrow"``; ``schema``, Arrow's in base64; ``group_rows``, rows of a row
        group; ``packing``, how its pages were packed.
    """

    kind = "table"

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        self._file, self._packing = fact(facts, "file", str), fact(facts, "packing", str)
        self._group = min(_MOST_GROUP, max(1, fact(facts, "group_rows", int)))
        text = fact(facts, "schema", str)
        if self._file not in _SUFFIXES or self._packing not in _PACKINGS or len(text) > _MOST_SCHEMA:
            raise unfit(f"a table in a file of {self._file[:20]!r}, packed by {self._packing[:20]!r}")
        try:
            self.schema: Any = pa.ipc.read_schema(pa.py_buffer(b64decode(text, validate=True)))
        except (pa.ArrowException, OSError, ValueError):
            raise unfit("a schema that is none") from None
        if not _is_supported(self.schema):
            raise unfit("columns of types that are never written")

    @property
    def suffix(self) -> str:
        """``.parquet`` or ``.arrow``."""
        return _SUFFIXES[self._file]

    def rows(self, columns: Columns) -> Any:
        """Rows as an Arrow table of the schema that came in."""
        arrays = [self.array(place, columns) for place in range(len(self.schema))]
        if len({len(array) for array in arrays}) != 1:
            raise unfit("columns of different lengths")
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def array(self, number: int, columns: Columns) -> Any:
        """A column of a block as :meth:`rows` has it."""
        return decoded(f"{number}", self.schema.types[number], columns)

    def no_rows(self) -> Any:
        """A table of the schema without rows."""
        return self.schema.empty_table()

    def some(self, n_rows: int) -> ArrowForm:
        """Such a table."""
        return ArrowForm({**self.facts, "n_rows": n_rows})

    def part(self, columns: Columns, start: int, stop: int) -> Columns:
        """Columns of some rows."""
        return _columns(self.rows(columns).slice(start, stop - start))

    def write(self, blocks: Iterable[Columns], path: Path) -> None:
        """Write a file of the same kind, with row groups of about the same size, its pages packed alike."""
        with beside(path) as place:
            try:
                if self._file == "parquet":
                    writer: Any = arrow_parquet.ParquetWriter(
                        place,
                        self.schema,
                        compression=self._packing,
                        use_compliant_nested_type=False,  # which gives lists' columns other names
                    )
                else:
                    writer = pa.ipc.new_file(str(place), self.schema)
                with writer:
                    for table in self._groups(blocks):
                        writer.write_table(table.combine_chunks())
            except pa.ArrowException as error:
                raise unfit(f"what makes no {self._file} file ({str(error).splitlines()[0][:100]})") from None

    def _groups(self, blocks: Iterable[Columns]) -> Iterator[Any]:
        """Tables of so many rows as a row group had, or of a block where that has more."""
        held, n_held, n_rows = list[Any](), 0, 0
        for columns in blocks:
            table = self.rows(columns)
            n_rows += len(table)
            while n_held + len(table) >= self._group:
                part = self._group - n_held
                yield pa.concat_tables([*held, table.slice(0, part)])
                table, held, n_held = table.slice(part), [], 0
            if len(table):
                held, n_held = [*held, table], n_held + len(table)
        check_rows(n_rows, self)
        if held:
            yield pa.concat_tables(held)


@final
class ArrowContent(Content):
    """A table that is read a row group at a time.

    Parameters
    ----------
    facts
        Of its form.
    sizes
        Rows of each row group.
    read
        Gives one of them.
    row_bytes
        Bytes of a row.
    name
        What messages begin with.
    """

    def __init__(
        self, facts: Facts, sizes: Sequence[int], read: Callable[[int], Any], row_bytes: float, name: str
    ) -> None:
        self.name, self.facts, self.row_bytes = name, facts, row_bytes
        form = ArrowForm(facts)
        self.form, self._schema = form, form.schema
        self._ends, self._read = np.cumsum(sizes).astype(np.int64), read
        self._held: tuple[int, Any] = (-1, None)

    @property
    def numbers(self) -> dict[str, int]:
        """Columns of whole numbers and floats."""
        types = pa.types
        return {
            f"{place}": 0
            for place, dtype in enumerate(self._schema.types)
            if types.is_integer(dtype) or types.is_floating(dtype)
        }

    def block(self, rows: slice) -> Columns:
        """Columns by the number of theirs in the table; see :mod:`isthmus.codec.contents.arrow_columns`."""
        start, stop, _ = rows.indices(self.n_rows)
        parts = list[Any]()
        first = int(np.searchsorted(self._ends, start, side="right"))
        for group in range(first, len(self._ends)):
            before = int(self._ends[group - 1]) if group else 0
            if before >= stop:
                break
            begin = max(0, start - before)
            parts.append(self._group(group).slice(begin, min(stop, int(self._ends[group])) - before - begin))
        return _columns(pa.concat_tables(parts) if parts else self._schema.empty_table())

    def check(self) -> None:
        """Read all of it; a table of one row group is held, and not read again.

        Raises
        ------
        SourceError
            It is damaged.
        """
        for group in range(len(self._ends)):
            self._group(group)

    def _group(self, group: int) -> Any:
        """A row group; the one that was read last is held."""
        if self._held[0] != group:
            self._held = (-1, None)  # before the next one takes its memory
            self._held = (group, self._read(group))
        return self._held[1]


def _columns(table: Any) -> Columns:
    """Of a table, by the number of its own."""
    columns = Columns()
    for place, column in enumerate(table.unify_dictionaries().combine_chunks().columns):
        array = column.combine_chunks()
        encoded(f"{place}", array.chunk(0) if isinstance(array, pa.ChunkedArray) else array, columns)
    return columns


def table_content(table: Any, name: str = "table") -> ArrowContent | None:
    """The content of an Arrow table in memory; None of one with a column of a type that is not kept as values."""
    if not _is_supported(table.schema):
        return None
    try:
        _valid(table)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{name}: expected values of the types of its columns, got others ({str(error)[:200]}); make it anew."
        ) from None
    facts = _facts(table.schema, [len(table)], "arrow", "none")
    return ArrowContent(facts, [len(table)], lambda _: table, table.nbytes / max(1, len(table)), name)


def open_arrow(path: Path) -> ArrowContent | None:
    """The content of a Parquet, Arrow or Feather file; None of one that has columns of other types.

    All of it is read once, for damage may be anywhere, and what is found later would end what was begun with it.

    Raises
    ------
    SourceError
        It is damaged.
    """
    with whole_file(path), path.open("rb") as file:
        start = file.read(4)
        content = _open_parquet(path) if start == b"PAR1" else _open_ipc(path)
    if content is not None:
        content.check()
    return content


def _open_parquet(path: Path) -> ArrowContent | None:
    check_seal(path)
    check_parquet(path, by_group=True)
    file = arrow_parquet.ParquetFile(path, page_checksum_verification=True)
    if not _is_supported(file.schema_arrow):
        return None
    found: Any = file.metadata
    groups = [found.row_group(group) for group in range(found.num_row_groups)]
    sizes = [group.num_rows for group in groups]
    packing = groups[0].column(0).compression.lower() if groups else "none"
    facts = _facts(file.schema_arrow, sizes, "parquet", packing if packing in _PACKINGS else "none")
    n_bytes = sum(group.total_byte_size for group in groups)

    def read(group: int) -> Any:
        with whole_file(path):
            return _valid(file.read_row_group(group))

    return ArrowContent(facts, sizes, read, n_bytes / max(1, sum(sizes)), str(path))


def _open_ipc(path: Path) -> ArrowContent | None:
    check_arrow(path)
    file: Any = pa.ipc.open_file(pa.memory_map(str(path)))
    if not _is_supported(file.schema):
        return None
    sizes, n_bytes = list[int](), 0
    for number in range(file.num_record_batches):
        batch = file.get_batch(number)
        sizes.append(len(batch))
        n_bytes += batch.nbytes
    facts = _facts(file.schema, sizes, "arrow", "none")

    def read(group: int) -> Any:
        with whole_file(path):
            return _valid(pa.Table.from_batches([file.get_batch(group)]))

    return ArrowContent(facts, sizes, read, n_bytes / max(1, sum(sizes)), str(path))


def _valid(table: Any) -> Any:
    """A table, every value of which was looked at.

    Raises
    ------
    ArrowInvalid
        One that its type does not have.
    """
    table.validate(full=True)
    return table


def _facts(schema: Any, sizes: Sequence[int], file: str, packing: str) -> Facts:
    return {
        "kind": ArrowForm.kind,
        "n_rows": sum(sizes),
        "file": file,
        "packing": packing,
        "group_rows": min(_MOST_GROUP, max([1, *sizes])),
        "schema": b64encode(schema.serialize().to_pybytes()).decode(),
    }


def _is_supported(schema: Any) -> bool:
    is_short = len(schema.names) > 0 and schema.serialize().size <= _MOST_SCHEMA // 2
    return is_short and all(is_supported(dtype) for dtype in schema.types)

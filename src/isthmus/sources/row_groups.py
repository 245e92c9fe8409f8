"""Parquet tables that are more than memory holds: read by row group."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
from numpy.typing import ArrayLike, NDArray

from isthmus.errors import DataError, SourceError
from isthmus.memory import bytes_text
from isthmus.schema import Schema
from isthmus.sources.arrow import is_text, pc, plain
from isthmus.sources.arrow_sizes import check_parquet
from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.delimited import check_unique
from isthmus.sources.labels import labels_of
from isthmus.sources.limits import most_unpacked
from isthmus.sources.parquet_facts import parquet_facts
from isthmus.sources.seal import check_seal
from isthmus.sources.table import TableSource, whole_file

BYTES_A_VALUE = 16
"""What a value of a table takes as it is read: as Arrow has it, and as float64."""
MOST_LOOKED_AT = 200_000
"""Rows from which the types of columns are told, at most."""
MOST_WORDS = 10_000
"""Different words of a column that are looked for beyond these rows; more of them are no categories."""
MOST_SAID = 8
"""Notes on values that became gaps, from the first row groups that had some."""
SHARE_HELD = 8
"""One part in so many of the budget is for row groups that are held, a few of which are read anew as needed."""


@final
class RowGroups(Source):
    """The rows of a Parquet file, of which only some row groups are held at a time.

    The types of the columns are told from the first rows, the words of categories from all of them, as
    :mod:`isthmus.sources.table_types` does of a whole table. Rows are read fastest in their order.

    Parameters
    ----------
    path
        The file.
    budget
        Bytes that rows may take.
    types
        Columns and what they are, see :class:`TableSource`.
    labels
        One integer or string a row.
    schema
        The columns as they were fitted; None infers them.

    Raises
    ------
    DataError
        Row groups that are too large for the budget, or what :class:`TableSource` refuses.
    SourceError
        A damaged file, or one whose row groups hold other rows than its facts tell.
    """

    def __init__(
        self,
        path: Path,
        budget: int,
        types: Mapping[str, str] | None = None,
        labels: ArrayLike | None = None,
        *,
        schema: Schema | None = None,
    ) -> None:
        self.name, self._path, self._budget, self._types = str(path), path, budget, types
        with whole_file(path):
            check_seal(
                path, whole=False
            )  # pages have checksums of their own, which are checked as they are read
            check_parquet(path, by_group=True)
        self._file: Any = arrow_parquet.ParquetFile(path, page_checksum_verification=True)
        facts = self._file.metadata
        sizes = [facts.row_group(group).num_rows for group in range(facts.num_row_groups)]
        if not sum(sizes):
            raise DataError(f"{path}: expected rows, got a table without any; give it some.")
        self._ends = np.cumsum(sizes)
        self.block_ends = np.unique(self._ends[self._ends > 0])
        self.column_names: list[str] = list(self._file.schema_arrow.names)
        check_unique(self.column_names, self.name)
        most = max(sizes)
        largest = most * len(self.column_names) * BYTES_A_VALUE
        if largest > budget // SHARE_HELD:
            fitting = budget // SHARE_HELD // (len(self.column_names) * BYTES_A_VALUE)
            raise DataError(
                f"{path}: expected row groups of at most {bytes_text(budget // SHARE_HELD)}, an eighth of the memory "
                f"that rows may take, got one of {most:,} rows, {bytes_text(largest)}; write it with "
                f"row_group_size={max(1, fitting):,}, or raise --memory."
            )
        self._most_held = max(1, budget // SHARE_HELD // largest)
        self._held: OrderedDict[int, Rows] = OrderedDict()
        self.labels = None if labels is None else labels_of(labels, len(self), self.name)
        self._told, self._said = tuple[str, ...](), dict[str, None]()
        if schema is None:
            sample = TableSource(self._looked_at(), types, who=self.name)
            schema = sample.schema
            self._told = (
                *sample.notes,
                f"Table: {len(self):,} rows are read by row group ({len(sizes)} of them); types of columns are told "
                f"from the first {min(len(self), MOST_LOOKED_AT):,} rows, the words of categories from all.",
            )
        self.schema = schema

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, in the order asked, as ``(n, columns)`` of float64; NaN for gaps."""
        if isinstance(rows, slice) and rows.indices(len(self))[2] == 1:
            return self._stretch(*rows.indices(len(self))[:2])
        wanted = rows if isinstance(rows, np.ndarray) else np.arange(*rows.indices(len(self)))
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise DataError(
                f"{self.name}: row numbers must be below {len(self)}, got {rows}; the first row is 0."
            )
        groups = np.searchsorted(self._ends, wanted, side="right")
        result = np.empty((len(wanted), len(self.schema.table or ())))
        for group in np.unique(groups):
            here = groups == group
            first = self._ends[group - 1] if group else 0
            result[here] = self._group(int(group))[wanted[here] - first]
        return result

    def take(self, rows: Indices) -> TableSource:
        """Some rows as a table of their own."""
        groups = np.searchsorted(self._ends, rows, side="right")
        tables = [
            self._read(int(group)).slice(int(row - (self._ends[group - 1] if group else 0)), 1)
            for row, group in zip(rows, groups, strict=True)
        ]
        own = None if self.labels is None else self.labels[rows]
        return TableSource(pa.concat_tables(tables), labels=own, who=self.name, schema=self.schema)

    def conformed(self, schema: Schema) -> RowGroups:
        """The same table, read by the columns of a fitted schema.

        Raises
        ------
        DataError
            Columns that are missing, or values that their column cannot hold.
        """
        found = RowGroups(self._path, self._budget, labels=self.labels, schema=schema)
        found.read(slice(0, 1))
        return found

    @property
    def notes(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]  # grow as rows are read
        """What a user should know, a sentence each; of values that became gaps in the row groups read so far."""
        return (*self._told, *self._said)

    def _stretch(self, start: int, stop: int) -> Rows:
        """Rows that follow each other; those of one row group are not copied."""
        first, last = np.searchsorted(self._ends, [start, max(start, stop - 1)], side="right")
        parts = list[Rows]()
        for group in range(int(first), min(int(last), len(self._ends) - 1) + 1):
            before = int(self._ends[group - 1]) if group else 0
            parts.append(self._group(group)[max(0, start - before) : max(0, stop - before)])
        if not parts:
            return np.empty((0, len(self.schema.table or ())))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _group(self, group: int) -> Rows:
        """The values of a row group; those that were asked for last are held."""
        if group not in self._held:
            while len(self._held) >= self._most_held:
                self._held.popitem(last=False)
            table = TableSource(self._read(group), who=self.name, schema=self.schema)
            self._held[group] = table.read(slice(None))
            if len(self._said) < MOST_SAID:
                self._said.update(dict.fromkeys(table.notes))
        self._held.move_to_end(group)
        return self._held[group]

    def _read(self, group: int, columns: list[str] | None = None) -> Any:
        """A row group as Arrow has it."""
        with whole_file(self._path):
            table = self._file.read_row_group(group, columns=columns)
            table.validate(full=True)
            n_rows = int(self._ends[group] - (self._ends[group - 1] if group else 0))
            self._check_rows(len(table), n_rows, f"row group {group}")
            return table

    def _check_rows(self, found: int, n_rows: int, where: str) -> None:
        """Raise if pages hold other rows than those that numbers were given to."""
        if found != n_rows:
            raise SourceError(
                f"{self.name}: expected {n_rows:,} rows in {where}, as the facts of the file tell, got {found:,}; "
                f"take another copy of the file."
            )

    def _looked_at(self) -> Any:
        """The first rows; words, and ends of columns of few values, that stand beyond them take some rows' places."""
        batches, n_rows, n_bytes = list[Any](), 0, 0
        with whole_file(self._path):
            for batch in self._file.iter_batches(batch_size=1 << 16):
                batch.validate(full=True)
                batches.append(batch)
                n_rows += len(batch)
                n_bytes += batch.nbytes
                if n_rows >= MOST_LOOKED_AT or n_bytes > self._budget // 2:
                    break
            else:
                self._check_rows(n_rows, len(self), "all row groups")
        first = pa.Table.from_batches(batches).slice(0, MOST_LOOKED_AT)
        if len(first) == len(self):
            return first
        for name, values in {**self._new_words(first), **self._new_ends(first)}.items():
            dtype, column = first.schema.field(name).type, first.column(name)
            shown = pa.concat_arrays([pc.unique(plain(column)).drop_null(), values]).cast(dtype)
            column = pa.chunked_array([shown, *column.slice(len(shown)).chunks])
            first = first.set_column(first.column_names.index(name), first.schema.field(name), column)
        return first

    def _new_words(self, first: Any) -> dict[str, Any]:
        """Words of columns of text that no first row has."""
        known = {name: _words(first.column(name)) for name in first.column_names if _has_words(first, name)}
        known = {name: words for name, words in known.items() if len(words) <= MOST_WORDS}
        found = dict(known)
        for group in range(len(self._ends)):
            if not found:
                break
            table = self._read(group, list(found))
            for name, words in list(found.items()):
                found[name] = pc.unique(pa.concat_arrays([words, _words(table.column(name))]))
                if len(found[name]) > MOST_WORDS:
                    del found[name]
        new = {
            name: words.filter(pc.invert(pc.is_in(words, value_set=known[name])))
            for name, words in found.items()
        }
        return {name: words for name, words in new.items() if len(words)}

    def _new_ends(self, first: Any) -> dict[str, Any]:
        """Lowest and highest value of columns that have no more than two in the first rows, as the file tells them."""
        found: dict[str, Any] = {}
        facts = self._file.metadata
        for place in range(facts.num_columns):
            name = facts.schema.column(place).path
            if name not in first.column_names or _has_words(first, name):
                continue
            values = pc.unique(first.column(name))
            told = [facts.row_group(group).column(place).statistics for group in range(len(self._ends))]
            ends = [end for one in told if one is not None and one.has_min_max for end in (one.min, one.max)]
            if len(values.drop_null()) <= 2 and ends:
                dtype = first.schema.field(name).type
                both = pc.unique(pa.array([min(ends), max(ends)], dtype))
                found[name] = both.filter(pc.invert(pc.is_in(both, value_set=values)))
        return {name: ends for name, ends in found.items() if len(ends)}


def _has_words(table: Any, name: str) -> bool:
    dtype = table.schema.field(name).type
    return is_text(dtype.value_type if pa.types.is_dictionary(dtype) else dtype)


def _words(column: Any) -> Any:
    """The different words of a column, gaps left out."""
    return pc.unique(plain(column)).drop_null()


def open_row_groups(
    path: Path, budget: int, types: Mapping[str, str] | None, labels: NDArray[Any] | None = None
) -> RowGroups | None:
    """A Parquet table that takes more than its budget; None of one that does not, or that cannot be opened."""
    try:
        parquet_facts(path)
        with arrow_parquet.ParquetFile(path) as file:
            n_bytes = file.metadata.num_rows * len(file.schema_arrow.names) * BYTES_A_VALUE
    except (pa.ArrowException, OSError, ValueError):
        return None  # whoever reads it whole says why
    budget = min(budget, most_unpacked(path))
    return RowGroups(path, budget, types, labels) if n_bytes > budget else None

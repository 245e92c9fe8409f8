"""What a Parquet or Arrow file unpacks to, told from its own facts before its columns are read.

A column of one value in a million rows takes some bytes, and so does a word of a megabyte that each row repeats. What
would take far more memory than its file makes likely is refused, see :mod:`isthmus.sources.limits`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from isthmus.errors import SourceError
from isthmus.memory import bytes_text
from isthmus.sources.arrow import pc
from isthmus.sources.limits import most_unpacked
from isthmus.sources.parquet_facts import (
    BYTES,
    DELTA_BYTE_ARRAY,
    FIXED,
    PLAIN_DICTIONARY,
    RLE_DICTIONARY,
    Chunk,
    ParquetFacts,
    parquet_facts,
)
from isthmus.sources.parquet_pages import check_lengths, look_into_pages

_A_VALUE = 8
"""Bytes that a value counts, whatever its type: most become float64."""
_FEW = 64
"""Rows that are read at a time of texts whose length no fact tells."""
_OLD = b"FEA1"
_MARK = b"ARROW1"


def check_parquet(path: Path, *, by_group: bool = False) -> None:
    """Refuse a Parquet file that unpacks to far more than its size, or one of whose row groups does.

    Parameters
    ----------
    path
        The file.
    by_group
        Whether row groups are read one at a time.

    Raises
    ------
    SourceError
        With what it would take.
    """
    most = most_unpacked(path) // (2 if by_group else 1)  # a group is held beside what was told from others
    facts = parquet_facts(path)
    _check_facts(path, facts, most, by_group=by_group)
    facts = look_into_pages(path, facts)
    _check_facts(path, facts, most, by_group=by_group)
    check_lengths(path, facts)
    _check_texts(path, facts, most, by_group=by_group)


def _check_facts(path: Path, facts: ParquetFacts, most: int, *, by_group: bool) -> None:
    groups = [_group_bytes(n_rows, chunks, facts) for n_rows, chunks in facts.groups]
    needed = max(groups, default=0) if by_group else sum(groups)
    if needed > most:
        raise _refused(path, needed, most)


def _group_bytes(n_rows: int, chunks: Sequence[Chunk], facts: ParquetFacts) -> int:
    """Bytes of a row group as its facts tell: of its values, of its rows and of its pages, whichever are most."""
    values = sum(
        chunk.n_values * max(_A_VALUE, leaf.length if leaf.type == FIXED else 0)
        for chunk, leaf in zip(chunks, facts.leaves, strict=True)
    )
    return max(values, _A_VALUE * n_rows * max(1, facts.n_columns), sum(chunk.n_bytes for chunk in chunks))


def _check_texts(path: Path, facts: ParquetFacts, most: int, *, by_group: bool) -> None:
    """Refuse words that rows repeat so often that they take far more memory than the file."""
    taken = 0
    for place, leaf in enumerate(facts.leaves):
        if leaf.type != BYTES:
            continue
        for group, (_, chunks) in enumerate(facts.groups):
            taken = 0 if by_group else taken
            chunk = chunks[place]
            if DELTA_BYTE_ARRAY in chunk.encodings:  # each word may repeat the one before
                taken += _dense_bytes(path, group, leaf.path, most - taken)
            elif chunk.encodings & {RLE_DICTIONARY, PLAIN_DICTIONARY}:
                longest = _longest_word(path, group, leaf.path)
                if longest * chunk.n_values > most - taken:
                    taken += _coded_bytes(path, group, leaf.path)
                else:
                    taken += longest * chunk.n_values if longest > _FEW else 0
            if taken > most:
                raise _refused(path, taken, most)


def _batches(path: Path, group: int, name: str, n_rows: int, *, coded: bool) -> Iterator[Any]:
    """One column of a row group, some rows at a time, as codes and words where ``coded``."""
    with arrow_parquet.ParquetFile(path, read_dictionary=[name] if coded else None) as file:
        for batch in file.iter_batches(n_rows, row_groups=[group], columns=[name], use_threads=False):
            yield batch.column(0)


def _longest_word(path: Path, group: int, name: str) -> int:
    """Bytes of the longest word of a dictionary, which one row brings along."""
    first = next(_batches(path, group, name, 1, coded=True), None)
    return max((int(lengths.max(initial=0)) for _, lengths in _coded(first)), default=0)


def _coded_bytes(path: Path, group: int, name: str) -> int:
    """Bytes of all words of a column, each as often as it occurs, none of them made."""
    total = 0
    for batch in _batches(path, group, name, 1 << 20, coded=True):
        for codes, lengths in _coded(batch):
            total += int(lengths[codes].sum()) if len(lengths) else 0
    return total


def _dense_bytes(path: Path, group: int, name: str, most: int) -> int:
    """Bytes of a column, counted until they are too many."""
    total = 0
    for batch in _batches(path, group, name, _FEW, coded=False):
        total += batch.nbytes
        if total > most:
            break
    return total


def _coded(array: Any) -> Iterator[tuple[Any, Any]]:
    """The codes and the lengths of words of a column, wherever in lists or structures it lies."""
    if array is None or not hasattr(array, "type"):
        return
    if pa.types.is_dictionary(array.type):
        lengths = (
            pc.fill_null(pc.binary_length(array.dictionary), 0)
            .to_numpy(zero_copy_only=False)
            .astype(np.int64)
        )
        yield pc.drop_null(array.indices).to_numpy(zero_copy_only=False), lengths
    elif pa.types.is_struct(array.type):
        for inner in array.flatten():
            yield from _coded(inner)
    elif pa.types.is_nested(array.type) and hasattr(array, "flatten"):
        yield from _coded(array.flatten())


def check_arrow(path: Path) -> None:
    """Refuse an Arrow file whose packed buffers or whose rows take far more than its size.

    Raises
    ------
    SourceError
        With what it would take, or a file of the first version of Feather.
    ValueError
        Facts that lead outside the file.
    """
    most = most_unpacked(path)
    with path.open("rb") as file:
        start = file.read(6)
    if start[:4] == _OLD:
        raise SourceError(
            f"{path}: expected an Arrow file, got Feather of its first version, which is read no more; write it "
            f"anew with pyarrow.feather.write_feather(table, path)."
        )
    if start != _MARK:
        raise ValueError("no Arrow file")
    with pa.memory_map(str(path)) as memory, pa.ipc.open_file(memory) as opened:
        n_columns = max(1, len(opened.schema.names))
    data: Any = np.memmap(path, mode="r")
    try:
        n_rows, n_bytes = _facts(memoryview(data))
    except struct.error as error:
        raise ValueError(str(error)) from None
    needed = max(n_bytes, _A_VALUE * n_rows * n_columns)
    if needed > most:
        raise _refused(path, needed, most)


def _facts(data: memoryview) -> tuple[int, int]:
    """Rows, and bytes of all buffers once unpacked, as the messages of a file tell."""
    (length,) = struct.unpack_from("<i", data, len(data) - 10)
    footer = _Table.root(data, len(data) - 10 - length)
    n_rows = n_bytes = 0
    for field in (2, 3):  # dictionaries, batches of rows
        for block in footer.structs(field, 24):
            offset, metadata, body = struct.unpack_from("<qi4xq", data, block)
            (mark,) = struct.unpack_from("<i", data, offset)
            message = _Table.root(data, offset + (8 if mark == -1 else 4))
            if min(offset, metadata, body) < 0 or max(offset + metadata + body, message.number(3)) > len(
                data
            ):
                raise ValueError("a message that leads out of the file")
            batch = message.table(2)
            batch = batch.table(1) if field == 2 and batch is not None else batch
            if batch is None:
                continue
            n_rows += max(0, batch.number(0)) if field == 3 else 0
            n_bytes += _unpacked(data, batch, offset + metadata)
    return n_rows, n_bytes


def _unpacked(data: memoryview, batch: _Table, start: int) -> int:
    """Bytes that the buffers of a batch promise to unpack to; those that are not packed take none."""
    total = 0
    if batch.table(3) is None:
        return total
    for place in batch.structs(2, 16):
        offset, length = struct.unpack_from("<qq", data, place)
        if length >= 8:
            (promised,) = struct.unpack_from("<q", data, start + offset)
            if promised < -1:
                raise ValueError(f"a buffer of {promised} bytes")
            total += max(0, promised)
    return total


class _Table:
    """A table of a flatbuffer: where its fields are."""

    def __init__(self, data: memoryview, place: int) -> None:
        self._data, self._place = data, place
        (back,) = struct.unpack_from("<i", data, place)
        self._fields = place - back
        (self._n_bytes,) = struct.unpack_from("<H", data, self._fields)

    @classmethod
    def root(cls, data: memoryview, start: int) -> _Table:
        """The table that a flatbuffer begins with."""
        return cls(data, start + int(struct.unpack_from("<I", data, start)[0]))

    def _at(self, field: int) -> int | None:
        if 4 + 2 * field + 2 > self._n_bytes:
            return None
        (offset,) = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * field)
        return self._place + int(offset) if offset else None

    def _target(self, at: int) -> int:
        return at + int(struct.unpack_from("<I", self._data, at)[0])

    def table(self, field: int) -> _Table | None:
        """The table in a field."""
        at = self._at(field)
        return None if at is None else _Table(self._data, self._target(at))

    def number(self, field: int) -> int:
        """The number of 8 bytes in a field."""
        at = self._at(field)
        return 0 if at is None else int(struct.unpack_from("<q", self._data, at)[0])

    def structs(self, field: int, size: int) -> range:
        """Where the structures of a field are."""
        at = self._at(field)
        if at is None:
            return range(0)
        start = self._target(at)
        (n,) = struct.unpack_from("<I", self._data, start)
        if start + 4 + n * size > len(self._data):
            raise ValueError(f"a list of {n} members")
        return range(start + 4, start + 4 + n * size, size)


def _refused(path: Path, needed: int, most: int) -> SourceError:
    return SourceError(
        f"{path}: expected columns of at most {bytes_text(most)} in a file of its size, got "
        f"{bytes_text(needed)} or more "
        f"once unpacked; save it in parts, or as .npy if it is meant so."
    )

"""The facts at the end of a Parquet file, read by ourselves: Arrow's reader ends the process over some that are wrong.

They stand in Thrift's compact protocol: a structure is fields of a number, a type and a value, to a zero byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

_MARK = b"PAR1"
_DEEPEST = 64
"""Levels of lists and structures."""
FIXED, BYTES = 7, 6
"""Numbers of the types that have a length of their own, and of those whose values each have one."""
PLAIN_DICTIONARY, DELTA_BYTE_ARRAY, RLE_DICTIONARY = 2, 7, 8
"""Numbers of encodings that repeat what stands once."""
DELTA_LENGTHS = 6
"""Number of the encoding of texts whose lengths stand before them."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column of values, wherever in lists and structures it lies."""

    path: str
    type: int
    length: int
    levels: tuple[int, int]
    """The highest level of repetition and of definition."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One column of a row group."""

    n_values: int
    n_bytes: int
    """Of its pages once unpacked."""
    encodings: frozenset[int]
    codec: int
    """Number of how its pages are packed."""
    start: int
    """Where its first page is."""
    n_packed: int
    """Bytes of its pages in the file."""


@dataclass(frozen=True, slots=True)
class ParquetFacts:
    """What the end of a file tells of it."""

    leaves: tuple[Leaf, ...]
    n_columns: int
    """Columns of the table, lists and structures as one each."""
    groups: tuple[tuple[int, tuple[Chunk, ...]], ...]
    """Rows of each row group, and its columns."""


def parquet_facts(path: Path) -> ParquetFacts:
    """The facts of a file.

    Raises
    ------
    ValueError
        What is no Parquet file, or one whose facts do not fit each other.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        end = file.read(8)
        if size < 12 or end[4:] != _MARK:
            raise ValueError("no Parquet file, or one that is cut short or encrypted")
        (length,) = struct.unpack("<I", end[:4])
        if length > size - 12:
            raise ValueError(f"facts of {length:,} bytes in a file of {size:,}")
        file.seek(size - 8 - length)
        footer = Compact(file.read(length)).structure()
    try:
        leaves, n_columns = _leaves(footer[2])
        groups = tuple((int(group[3]), _chunks(group[1], leaves)) for group in footer.get(4, []))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"facts that lack something ({error})") from None
    if any(
        min(rows, chunk.n_values, chunk.n_bytes, chunk.start, chunk.n_packed) < 0
        for rows, chunks in groups
        for chunk in chunks
    ):
        raise ValueError("sizes below 0")
    for n_rows, chunks in groups:
        for chunk, leaf in zip(chunks, leaves, strict=True):
            if chunk.n_values < n_rows or (not leaf.levels[0] and chunk.n_values > n_rows):
                raise ValueError(f"{chunk.n_values:,} values of {leaf.path!r} in {n_rows:,} rows")
    return ParquetFacts(leaves, n_columns, groups)


def _chunks(listed: list[dict[int, Any]], leaves: tuple[Leaf, ...]) -> tuple[Chunk, ...]:
    if len(listed) != len(leaves):
        raise ValueError(f"{len(listed)} columns in a row group, {len(leaves)} in the schema")
    found: list[Chunk] = []
    for column, leaf in zip(listed, leaves, strict=True):
        facts = column[3]
        for field, level in zip((2, 3), leaf.levels, strict=True):
            histogram = facts.get(16, {}).get(field)
            if histogram and len(histogram) != level + 1:
                raise ValueError(f"a histogram of {len(histogram)} levels for {level + 1}")
        if facts[1] != leaf.type:
            raise ValueError(f"a column of the type {facts[1]} for one of {leaf.type}")
        first, words = int(facts[9]), int(facts.get(11, 0))
        start = words if 0 < words < first else first
        encodings = frozenset(facts.get(2, []))
        found.append(Chunk(int(facts[5]), int(facts[6]), encodings, int(facts[4]), start, int(facts[7])))
    return tuple(found)


def _leaves(elements: list[dict[int, Any]]) -> tuple[tuple[Leaf, ...], int]:
    """The columns of values of a schema, which is a tree whose nodes stand in a row, each before its children."""
    found: list[Leaf] = []
    root = elements[0]
    to_come, open_nodes = [int(root.get(5, 0))], [("", 0, 0)]  # children; path and levels
    for element in elements[1:]:
        while open_nodes and not to_come[-1]:
            open_nodes.pop()
            to_come.pop()
        if not open_nodes or len(open_nodes) > _DEEPEST:
            raise ValueError("a schema that is no tree, or too deep a one")
        to_come[-1] -= 1
        above, repeated, defined = open_nodes[-1]
        repetition = element.get(3, 0)
        levels = repeated + (repetition == 2), defined + (repetition != 0)
        name = element[4].decode("utf-8", "replace")
        path = f"{above}.{name}" if above else name
        if element.get(5):
            open_nodes.append((path, *levels))
            to_come.append(int(element[5]))
        else:
            found.append(Leaf(path, int(element.get(1, -1)), int(element.get(2, 0)), levels))
    return tuple(found), int(root.get(5, 0))


class Compact:
    """Reads Thrift's compact protocol; structures are dictionaries by the numbers of their fields.

    Parameters
    ----------
    data
        What it is read from.
    at
        Where it begins.
    """

    def __init__(self, data: bytes | mmap, at: int = 0) -> None:
        self._data, self.at = data, at
        """Where it goes on."""

    def structure(self, depth: int = 0) -> dict[int, Any]:
        """Fields to a zero byte."""
        if depth > _DEEPEST:
            raise ValueError("facts that go too deep")
        found, number = dict[int, Any](), 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._signed()
            if number in found:
                raise ValueError(f"a field {number} that stands twice")
            found[number] = self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind in (3, 4, 5, 6):
            return self._byte() if kind == 3 else self._signed()
        if kind in (7, 8):
            return self._some(8 if kind == 7 else self.unsigned())
        if kind in (9, 10):
            return self._list(depth)
        if kind == 12:
            return self.structure(depth + 1)
        raise ValueError(f"a value of the kind {kind}")

    def _list(self, depth: int) -> list[Any]:
        if depth > _DEEPEST:
            raise ValueError("facts that go too deep")
        head = self._byte()
        n, kind = head >> 4, head & 15
        n = self.unsigned() if n == 15 else n
        if n > len(self._data) - self.at:
            raise ValueError(f"a list of {n} members")
        if kind in (1, 2):
            return [self._byte() == 1 for _ in range(n)]
        return [self._value(kind, depth + 1) for _ in range(n)]

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise ValueError("facts that are cut short")
        self.at += 1
        return self._data[self.at - 1]

    def _some(self, n: int) -> bytes:
        if n > len(self._data) - self.at:
            raise ValueError("facts that are cut short")
        self.at += n
        return self._data[self.at - n : self.at]

    def unsigned(self) -> int:
        """A number of seven bits a byte."""
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number of too many bytes")
        return value | byte << shift

    def _signed(self) -> int:
        value = self.unsigned()
        return value >> 1 ^ -(value & 1)

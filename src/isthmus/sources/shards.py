"""Rows in several pieces, files of a folder or row groups of one file, as one source."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, SourceError
from isthmus.schema import Schema
from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.folder import file_names

MOST_OPEN = 128
"""Pieces that are open at a time, at most."""
MOST_BYTES = 1 << 30
"""Bytes of pieces that are held in memory at a time, at most; one larger piece is held alone."""


@final
class ShardedSource(Source):
    """The rows of several sources of one schema, one after the other; few of them are open at a time.

    Parameters
    ----------
    openers
        What opens each piece, in order. Each is called once to learn what it holds, and again whenever its
        rows are read after others took its place.
    who
        What messages begin with.
    in_memory
        Whether an open piece holds its rows in memory, as the reader of Parquet does, and a memory map
        does not.
    note
        A sentence on the pieces, to go before their own notes.
    most_bytes
        Of pieces that are held in memory at a time, at most; a gibibyte if None. One larger piece is held alone.

    Raises
    ------
    DataError
        A piece whose rows are others than those of the first; the message names it.

    Examples
    --------
    >>> from isthmus.sources import ArraySource
    >>> pieces = [ArraySource(np.full((2, 3), value)) for value in (0.0, 1.0)]
    >>> source = ShardedSource([lambda piece=piece: piece for piece in pieces], "two pieces", in_memory=True)
    >>> len(source), source.read(np.array([3, 0]))[:, 0].tolist()
    (4, [1.0, 0.0])
    """

    def __init__(
        self,
        openers: Sequence[Callable[[], Source]],
        who: str,
        *,
        in_memory: bool,
        note: str | None = None,
        most_bytes: int | None = None,
    ) -> None:
        self.name = who
        self._openers, self._in_memory = openers, in_memory
        self._most_bytes = MOST_BYTES if most_bytes is None else most_bytes
        self._open: OrderedDict[int, tuple[Source, int]] = OrderedDict()
        lengths, labels, names = list[int](), list[NDArray[Any] | None](), list[NDArray[Any] | None]()
        notes: dict[str, None] = {} if note is None else {note: None}
        first: Source | None = None
        for at in range(len(openers)):
            piece = self._piece(at)
            first = piece if first is None else first
            if _kept(piece.schema) != _kept(first.schema):
                raise DataError(
                    f"{who}: expected pieces of one kind, got {_words(first.schema)} in {first.name} and "
                    f"{_words(piece.schema)} in {piece.name}; convert that piece, or move it away."
                )
            lengths.append(len(piece))
            labels.append(piece.labels)
            names.append(piece.row_names)
            notes |= dict.fromkeys(piece.notes)
        if first is None:
            raise DataError(f"{who}: expected pieces with rows, got none; give it some data.")
        self.schema, self.notes = first.schema, tuple(notes)
        self.labels, self.row_names = _joined(labels), _joined(names)
        self._ends = np.cumsum(lengths)
        n_bytes = len(self) * self.schema.n_values * np.dtype(self.schema.dtype).itemsize
        if in_memory and n_bytes > self._most_bytes:
            self.block_ends = self._ends

    def __len__(self) -> int:
        """How many rows there are in all pieces."""
        return int(self._ends[-1])

    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, in the order asked; each piece that holds some of them is read once.

        Raises
        ------
        DataError
            A row number that the pieces do not have.
        """
        if (
            not isinstance(rows, slice)
            and len(rows)
            and not -len(self) <= rows.min() <= rows.max() < len(self)
        ):
            raise DataError(
                f"{self.name}: row numbers must be below {len(self)}, got {rows}; the first row is 0."
            )
        numbers = (
            np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows) % len(self)
        )
        piece_of = np.searchsorted(self._ends, numbers, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        found = np.empty((len(numbers), *self.schema.sample_shape), self.schema.dtype)
        for at in np.unique(piece_of):
            places = np.flatnonzero(piece_of == at)
            wanted = numbers[places] - starts[at]
            alone = _as_slice(wanted)
            found[places] = self._piece(int(at)).read(wanted if alone is None else alone)
        return found

    def _piece(self, at: int) -> Source:
        """One piece, opened; the least recently read ones make room for it."""
        if at not in self._open:
            piece = self._openers[at]()
            n_bytes = len(piece) * piece.schema.n_values * np.dtype(piece.schema.dtype).itemsize
            self._open[at] = (piece, n_bytes if self._in_memory else 0)
        self._open.move_to_end(at)
        while len(self._open) > 1 and (
            len(self._open) > MOST_OPEN or sum(size for _, size in self._open.values()) > self._most_bytes
        ):
            self._open.popitem(last=False)
        return self._open[at][0]


def shard_names(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Names of the files below a folder with one of these endings, in natural order: 2 before 10.

    Hidden files, and those that begin with an underscore as the markers of big-data tools do, are none.
    """
    return sorted(file_names(folder, suffixes, hidden=(".", "_")), key=natural)


def natural(name: str) -> list[tuple[bool, int, str]]:
    """What sorts names as people do, runs of digits by their value.

    >>> sorted(["part-10.npy", "part-9.npy", "part-010.npy", "a.npy"], key=natural)
    ['a.npy', 'part-9.npy', 'part-010.npy', 'part-10.npy']
    """
    pieces = re.split(r"([0-9]+)", name)
    return [
        (not part.isdigit(), int(part) if part.isdigit() else 0, part.lower()) for part in pieces if part
    ] + [(True, 0, name)]


def check_one_kind(folder: Path, names: Sequence[str]) -> str:
    """The one ending of all shards of a folder, that of gzip aside.

    Raises
    ------
    SourceError
        Files of several endings.
    """
    endings = Counter(Path(name.lower().removesuffix(".gz")).suffix for name in names)
    if len(endings) > 1:
        got = " and ".join(f"{n:,} {ending}" for ending, n in endings.most_common())
        raise SourceError(
            f"{folder}: expected shards of one kind, got {got} files; give each kind a folder of its own."
        )
    return next(iter(endings))


def shards_note(names: Sequence[str]) -> str:
    """How many files there are and which is the first and the last."""
    if len(names) == 1:
        return f"One shard: {names[0]}."
    return f"{len(names):,} shards one after the other, from {names[0]} to {names[-1]}."


def _kept(schema: Schema) -> Schema:
    """What all pieces have to have in common."""
    return replace(schema, value_range=None)


def _words(schema: Schema) -> str:
    lists = ", ".join(f"{name!r} ({length})" for name, length in schema.lists)
    return f"{schema.describe()} of lists {lists}" if lists else schema.describe()


def _joined(pieces: list[NDArray[Any] | None]) -> NDArray[Any] | None:
    """What all pieces have one of a row, or None where some have none."""
    there = [piece for piece in pieces if piece is not None]
    if len(there) < len(pieces):
        return None
    kinds = {piece.dtype.kind in "iu" for piece in there}
    return np.concatenate(there if len(kinds) == 1 else [piece.astype(str) for piece in there])


def _as_slice(rows: Indices) -> slice | None:
    """Rows that follow each other as a slice, which a memory map reads without a copy of indices."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return None

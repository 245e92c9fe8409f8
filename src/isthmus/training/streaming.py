"""Rows that are more than memory holds: read by block, ahead of the loop, in an order of blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, cycle, repeat
from threading import Event
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Preprocessing
from isthmus.sources import Source
from isthmus.sources.base import Indices
from isthmus.training.rows import Packed, Rows

SHARE_MIXED = 0.25
"""Of the budget, what the rows of one mixture take; the next one is read while they are used."""
BLOCK_BYTES = 2**20
"""Of a block: so many that finding its place on a disk costs little beside reading it."""
FEWEST_MIXED = 16
"""Blocks of a mixture, at least, as far as a block may be smaller."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mixing:
    """The order of rows that are read by block: a function of chance and what is told here.

    Blocks of rows that stand side by side are put in a random order; as many as are mixed together are
    read, and their rows are put in a random order. So a row meets others from anywhere in the file, but in
    every epoch its neighbours of the block too: where a file is sorted, a mixture should hold many blocks.

    Examples
    --------
    >>> mixing = Mixing(n_rows=10, block=2, mixed=2)
    >>> [mixing.rows_of(part).tolist() for part in mixing.parts(Randomness(1))]
    [[0, 1, 8, 9], [4, 5, 6, 7], [2, 3]]
    """

    n_rows: int
    block: int
    """Rows that are read together, at most: the last block may have fewer, and any where ``ends`` are told."""
    mixed: int
    """Blocks of so many rows that are mixed, at most."""
    ends: tuple[int, ...] | None = field(default=None, repr=False)
    """The row before which each block ends; None where all are of one size."""

    @classmethod
    def within(cls, n_rows: int, row_bytes: int, budget: int, ends: Indices | None = None) -> Mixing:
        """What a budget of bytes allows, for rows that take so many each.

        >>> Mixing.within(10**9, 256, 2 * 10**9)
        Mixing(n_rows=1000000000, block=4096, mixed=476)
        """
        most = max(1, int(SHARE_MIXED * budget) // row_bytes)
        if ends is not None:
            block = int(np.diff(ends, prepend=0).max())
            return cls(n_rows, block, max(1, most // block), tuple(ends.tolist()))
        block = max(1, min(BLOCK_BYTES // row_bytes, most // FEWEST_MIXED))
        return cls(n_rows, block, max(1, most // block))

    def parts(self, chance: Randomness) -> Iterator[NDArray[np.int64]]:
        """Numbers of the blocks of each mixture, one mixture after the other, nearly all of one size."""
        if self.ends is not None:
            yield from self._uneven_parts(chance)
            return
        n_blocks = math.ceil(self.n_rows / self.block)
        order = chance.at("blocks").permutation(n_blocks)
        yield from (part.numpy() for part in order.tensor_split(math.ceil(n_blocks / self.mixed)))

    def _uneven_parts(self, chance: Randomness) -> Iterator[NDArray[np.int64]]:
        """As :meth:`parts`: a mixture ends where it has its share of the rows, or has no room for another block."""
        sizes = np.diff(np.array(self.ends), prepend=0)
        most = self.block * self.mixed
        share = self.n_rows / math.ceil(self.n_rows / most)
        part, held = list[int](), 0
        for block in chance.at("blocks").permutation(len(sizes)).tolist():
            if part and (held >= share or held + sizes[block] > most):
                yield np.array(part)
                part, held = [], 0
            part.append(block)
            held += int(sizes[block])
        yield np.array(part)

    def rows_of(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the rows of some blocks, block by block."""
        return np.concatenate([np.arange(rows.start, rows.stop) for rows in map(self.slice_of, blocks)])

    def slice_of(self, block: int | np.int64) -> slice:
        """The rows of one block."""
        if self.ends is not None:
            return slice(self.ends[block - 1] if block else 0, self.ends[block])
        start = int(block) * self.block
        return slice(start, min(start + self.block, self.n_rows))


class StreamedRows(Rows[Tensor]):
    """The rows of a source that are not held: a mixture of blocks at a time, see :class:`Mixing`.

    Two mixtures are in memory at once, the one that is used and the next, which a thread reads. Bytes stay
    bytes until the batch; other types are brought to model units as they are read, in every pass anew.

    Parameters
    ----------
    source
        Where rows come from; best read forwards.
    scaling
        Brings them to model units.
    budget
        Bytes that rows may take in all; a quarter is for one mixture.
    """

    def __init__(self, source: Source, scaling: Preprocessing, budget: int) -> None:
        self._source, self._scaling = source, scaling
        self._packed = Packed(source, scaling)
        self.mixing = Mixing.within(len(source), self._packed.n_bytes, budget, source.block_ends)

    def __len__(self) -> int:
        return len(self._source)

    def given(self, indices: Tensor) -> Tensor:
        """Their numbers in the data that were given."""
        return torch.from_numpy(self._source.given(indices.numpy()))

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``, read now."""
        places, inverse = np.unique(indices.numpy(), return_inverse=True)  # forwards through a file
        x = torch.from_numpy(self._scaling.to_model(self._source.read(places)))
        return x.index_select(0, torch.from_numpy(inverse.ravel()))

    def in_order(
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Generator[tuple[Tensor, Tensor]]:
        """Every row once, mixture by mixture; a batch may hold rows of two of them."""
        with closing(self.packed_in_order(chance, n_batches, n_done)) as batches:
            for indices, held in batches:
                yield indices, self._packed.unpacked(held)

    def unpacker(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Bytes become numbers on the device."""
        return self._packed.on(device).unpacked

    def packed_in_order(
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Generator[tuple[Tensor, Tensor]]:
        """As :meth:`in_order`, each batch in memory of its own.

        Mixtures whose rows are all of the ``n_done`` batches that are left out are not read.
        """
        least, n_larger = divmod(len(self), n_batches)
        sizes = chain(repeat(least + 1, n_larger), repeat(least, n_batches - n_larger))
        n_left_out = least * n_done + min(n_larger, n_done)  # rows
        for _ in range(n_done):
            next(sizes)
        waiting: list[tuple[Tensor, Tensor]] = []
        wanted = next(sizes, 0)  # rows that the batch still needs
        with closing(ahead(lambda stop: self._mixtures(chance, stop, n_left_out))) as mixtures:
            for number, begin, places, held in mixtures:
                order = chance.at("rows", number).permutation(len(places))
                start = max(0, n_left_out - begin)
                while start < len(order):
                    taken = order[start : start + wanted]
                    waiting.append((places.index_select(0, taken), held.index_select(0, taken)))
                    start, wanted = start + len(taken), wanted - len(taken)
                    if wanted == 0:
                        yield _batch(waiting)
                        waiting, wanted = [], next(sizes, 0)

    def _mixtures(
        self, chance: Randomness, stop: Event, n_left_out: int
    ) -> Generator[tuple[int, int, Tensor, Tensor]]:
        """Each mixture that has more than the rows to leave out: the rows are held until the next but one is made.

        Its number, how many rows are in those before it, the numbers of its rows, and the rows as they are held.
        """
        # Two rooms in turn: fresh memory for each would cost as much as reading into it.
        rooms = [self._packed.empty(min(self.mixing.block * self.mixing.mixed, len(self))) for _ in range(2)]
        end = 0
        for number, (room, blocks) in enumerate(zip(cycle(rooms), self.mixing.parts(chance), strict=False)):
            places = self.mixing.rows_of(blocks)
            begin, end = end, end + len(places)
            if end <= n_left_out:
                continue
            held, at = room[: len(places)], 0
            for block in blocks:
                if stop.is_set():
                    return
                rows = self._source.read(self.mixing.slice_of(block))
                self._packed.put(rows, held[at : at + len(rows)])
                at += len(rows)
            yield number, begin, torch.from_numpy(places), held


def _batch(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Numbers of rows, and the rows."""
    indices, rows = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
    return indices, rows


def ahead(make: Callable[[Event], Iterator[T]]) -> Generator[T]:
    """What ``make`` gives, the next one made in a thread while the present one is used.

    ``make`` is handed an event that is set when nobody wants any more.

    >>> list(ahead(lambda stop: iter(range(3))))
    [0, 1, 2]
    """
    stop = Event()
    source = make(stop)
    with ThreadPoolExecutor(1, "isthmus-read-ahead") as thread:
        try:
            coming = thread.submit(next, source, None)
            while (made := coming.result()) is not None:
                coming = thread.submit(next, source, None)
                yield made
                del made
        finally:
            stop.set()

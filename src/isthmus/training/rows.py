"""Rows in model units, gathered by index: what the loop reads."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Preprocessing, Scaling
from isthmus.shapes import to_channels_first
from isthmus.sources import Source

BLOCK = 4096
BLOCK_VALUES = 1 << 17
"""Values that are brought to model units at a time, as far as a block may be smaller."""
MOST_HELD_BYTES = 2**30
"""What is computed of rows is held up to this size, unless they say otherwise."""


B = TypeVar("B")


class Rows(ABC, Generic[B]):
    """Rows that a loop can gather in any order, in model units, as batches of one kind.

    A batch is a tensor, or anything else that moves by ``to`` as a tensor does.
    """

    room: int = MOST_HELD_BYTES
    """Bytes that may be held beside the rows, of what is computed of them."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def gather(self, indices: Tensor) -> B:
        """The rows at ``indices``: float32, ``(n, *sample_shape)``, torch side."""

    def given(self, indices: Tensor) -> Tensor:
        """Numbers of the rows at ``indices`` where they come from."""
        return indices

    def in_order(self, chance: Randomness, n_batches: int, n_done: int = 0) -> Generator[tuple[Tensor, B]]:
        """Every row once, as batches of nearly equal size with their indices, in an order that chance gives.

        Nearly equal, so that no last batch is left with a row or two. The first ``n_done`` are left out. A batch may
        stand where the next one will.
        """
        for indices in self._indices(chance, n_batches, n_done):
            yield indices, self.gather(indices)

    def packed_in_order(
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Generator[tuple[Tensor, B]]:
        """As :meth:`in_order`, of rows as they are held: what travels to a device, to be unpacked there."""
        yield from self.in_order(chance, n_batches, n_done)

    def unpacker(self, device: torch.device) -> Callable[[B], B]:
        """What brings a packed batch that is on ``device`` to model units."""
        return lambda batch: batch

    def held_on(self, device: torch.device, most_bytes: int) -> Self | None:
        """The same rows, held on a CUDA device and gathered there; None where they are not held or would take more."""
        return None

    def _indices(self, chance: Randomness, n_batches: int, n_done: int) -> tuple[Tensor, ...]:
        return chance.permutation(len(self)).tensor_split(n_batches)[n_done:]


class Packed:
    """How rows of a source are held: bytes stay bytes until the batch, other types are scaled once.

    Parameters
    ----------
    source
        Where rows come from.
    scaling
        Brings them to model units.
    """

    def __init__(self, source: Source, scaling: Preprocessing) -> None:
        self._scaling = scaling
        self.shift = self.scale = None
        self.shape, self.dtype = scaling.model_shape, torch.float32
        if source.schema.dtype == "uint8" and isinstance(scaling, Scaling):
            self.dtype, self.shape = torch.uint8, to_channels_first(source.schema.sample_shape)
            column = (-1, *[1] * (len(self.shape) - 1))
            self.shift = torch.from_numpy(scaling.shift.astype(np.float32)).reshape(column)
            self.scale = torch.from_numpy(scaling.scale.astype(np.float32)).reshape(column)
        self._moves = self.shift is not None and bool(self.shift.any())
        self.n_bytes = int(np.prod(self.shape)) * (1 if self.dtype == torch.uint8 else 4)
        """Of a row."""

    def on(self, device: torch.device) -> Packed:
        """The same for rows that are held on a device."""
        there = copy.copy(self)
        if self.shift is not None and self.scale is not None:
            there.shift, there.scale = self.shift.to(device), self.scale.to(device)
        return there

    def empty(self, n_rows: int, device: torch.device | None = None) -> Tensor:
        """Room for rows."""
        return torch.empty((n_rows, *self.shape), dtype=self.dtype, device=device)

    def put(self, block: NDArray[Any], into: Tensor) -> None:
        """Hold rows as they were read, ``(n, *sample_shape)``, a few at a time."""
        step = max(1, BLOCK_VALUES // int(np.prod(self.shape)))
        for start in range(0, len(block), step):
            part = block[start : start + step]
            packed = np.moveaxis(part, -1, 1) if self.shift is not None else self._scaling.to_model(part)
            into[start : start + step].numpy()[...] = packed

    def unpacked(self, held: Tensor, into: Tensor | None = None) -> Tensor:
        """Rows that were held, in model units: new ones, or in the memory given, or the same if they are so already."""
        if self.shift is None or self.scale is None:
            return held
        rows = held.float() if into is None else into.copy_(held)
        return (rows.sub_(self.shift) if self._moves else rows).div_(self.scale)


class SourceRows(Rows[Tensor]):
    """The rows of a source, all of them held as :class:`Packed` says.

    Parameters
    ----------
    source
        Where rows come from.
    scaling
        Brings them to model units.
    """

    def __init__(self, source: Source, scaling: Preprocessing) -> None:
        self._source, self._packed = source, Packed(source, scaling)
        self._held = self._packed.empty(len(source))
        for start in range(0, len(source), BLOCK):
            rows = slice(start, min(start + BLOCK, len(source)))
            self._packed.put(source.read(rows), self._held[rows])

    def __len__(self) -> int:
        return len(self._held)

    def given(self, indices: Tensor) -> Tensor:
        """Their numbers in the data that were given."""
        return torch.from_numpy(self._source.given(indices.numpy()))

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        return self._packed.unpacked(rows_at(self._held, indices))

    def in_order(
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Generator[tuple[Tensor, Tensor]]:
        """All batches in the same memory: taken anew for each, it would lie in ever more places."""
        if self._packed.shift is None:
            yield from self.packed_in_order(chance, n_batches, n_done)
            return
        rows = torch.empty((-(-len(self) // n_batches), *self._packed.shape), device=self._held.device)
        some = rows
        for indices, held in self.packed_in_order(chance, n_batches, n_done):
            some = some if some.shape[0] == held.shape[0] else rows[: held.shape[0]]
            yield indices, self._packed.unpacked(held, some)

    def packed_in_order(
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Generator[tuple[Tensor, Tensor]]:
        """All batches in the same memory."""
        packed = self._packed.empty(-(-len(self) // n_batches), self._held.device)
        some = packed
        for indices in self._indices(chance, n_batches, n_done):
            n = indices.shape[0]
            some = some if some.shape[0] == n else packed[:n]
            yield indices, rows_at(self._held, indices, out=some)

    def unpacker(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Bytes become numbers on the device."""
        return self._packed.on(device).unpacked

    def held_on(self, device: torch.device, most_bytes: int) -> Self | None:
        """Bytes stay bytes there too."""
        if self._held.nbytes > most_bytes:
            return None
        there = copy.copy(self)
        there._held, there._packed = self._held.to(device), self._packed.on(device)
        return there


class TensorRows(Rows[Tensor]):
    """Rows that are already a tensor in model units."""

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __len__(self) -> int:
        return len(self._x)

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        return rows_at(self._x, indices)

    def held_on(self, device: torch.device, most_bytes: int) -> Self | None:
        """A copy of the tensor there."""
        if self._x.nbytes > most_bytes:
            return None
        there = copy.copy(self)
        there._x = self._x.to(device)
        return there


class Labelled(NamedTuple):
    """A batch of inputs and their labels."""

    x: Tensor
    """``(rows, *sample_shape)``"""
    labels: Tensor
    """Numbers of classes, ``(rows,)``."""

    def to(self, device: torch.device | str) -> Labelled:
        """The same on a device."""
        return Labelled(*(tensor.to(device) for tensor in self))


class LabelledRows(Rows[Labelled]):
    """Rows with a label each.

    Parameters
    ----------
    rows
        The inputs.
    labels
        ``(rows,)``, a class's number for each.
    """

    def __init__(self, rows: Rows[Tensor], labels: Tensor) -> None:
        self._rows, self._labels = rows, labels

    def __len__(self) -> int:
        return len(self._rows)

    def given(self, indices: Tensor) -> Tensor:
        """As the inputs alone."""
        return self._rows.given(indices)

    def gather(self, indices: Tensor) -> Labelled:
        """The rows at ``indices`` with their labels."""
        return Labelled(self._rows.gather(indices), rows_at(self._labels, indices))

    def in_order(
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Generator[tuple[Tensor, Labelled]]:
        """As the inputs alone."""
        return self._labelled(self._rows.in_order(chance, n_batches, n_done))

    def packed_in_order(
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Generator[tuple[Tensor, Labelled]]:
        """As the inputs alone."""
        return self._labelled(self._rows.packed_in_order(chance, n_batches, n_done))

    def _labelled(self, inputs: Generator[tuple[Tensor, Tensor]]) -> Generator[tuple[Tensor, Labelled]]:
        with closing(inputs) as batches:
            for indices, x in batches:
                yield indices, Labelled(x, rows_at(self._labels, indices))

    def unpacker(self, device: torch.device) -> Callable[[Labelled], Labelled]:
        """As the inputs alone."""
        unpacked = self._rows.unpacker(device)
        return lambda batch: Labelled(unpacked(batch.x), batch.labels)

    def held_on(self, device: torch.device, most_bytes: int) -> Self | None:
        """Inputs and labels."""
        rows = self._rows.held_on(device, most_bytes - self._labels.nbytes)
        if rows is None:
            return None
        there = copy.copy(self)
        there._rows, there._labels = rows, self._labels.to(device)
        return there


class ActivationRows(Rows[Tensor]):
    """What a frozen layer makes of rows: computed once and held, or by batch where it is too large.

    Parameters
    ----------
    rows
        The layer's inputs.
    layer
        Maps ``(n, *shape)`` to ``(n, width)``; it stands on ``device``.
    width
        Values of a row that it gives.
    device
        Where the layer stands.
    """

    def __init__(
        self, rows: Rows[Tensor], layer: Callable[[Tensor], Tensor], width: int, device: torch.device
    ) -> None:
        self._rows, self._layer, self._device = rows, layer, device
        self._held: Tensor | None = None
        self.room = rows.room
        if 4 * len(rows) * width <= rows.room:
            blocks = torch.arange(len(rows)).split(BLOCK)
            self._held = torch.cat([self._made(block).cpu() for block in blocks])

    def __len__(self) -> int:
        return len(self._rows)

    def given(self, indices: Tensor) -> Tensor:
        """As the inputs alone."""
        return self._rows.given(indices)

    def gather(self, indices: Tensor) -> Tensor:
        """The activations of the rows at ``indices``."""
        return self._made(indices) if self._held is None else rows_at(self._held, indices)

    def in_order(
        self, chance: Randomness, n_batches: int, n_done: int = 0
    ) -> Generator[tuple[Tensor, Tensor]]:
        """In an order of their own where they are held, else as the layer's inputs."""
        if self._held is not None:
            yield from super().in_order(chance, n_batches, n_done)
            return
        with closing(self._rows.in_order(chance, n_batches, n_done)) as batches:
            for indices, x in batches:
                yield indices, self._of(x)

    def held_on(self, device: torch.device, most_bytes: int) -> Self | None:
        """A copy of the activations there, where they are held."""
        if self._held is None or self._held.nbytes > most_bytes:
            return None
        there = copy.copy(self)
        there._held = self._held.to(device)
        return there

    def _made(self, indices: Tensor) -> Tensor:
        return self._of(self._rows.gather(indices))

    @torch.no_grad()
    def _of(self, x: Tensor) -> Tensor:
        return self._layer(x.to(self._device))


def rows_at(held: Tensor, indices: Tensor, out: Tensor | None = None) -> Tensor:
    """Rows of a tensor by numbers that are on the CPU, wherever the tensor is."""
    # Numbers in ordinary memory are read before the call returns: nothing waits, and nothing is read too late.
    there = indices if held.device == indices.device else indices.to(held.device, non_blocking=held.is_cuda)
    return torch.index_select(held, 0, there, out=out)

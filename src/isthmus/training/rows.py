"""Rows in model units, gathered by index: what the loop reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from isthmus.preprocessing import Preprocessing, Scaling
from isthmus.shapes import n_values
from isthmus.sources import Source

BLOCK = 4096
MOST_HELD_BYTES = 2**30
"""Rows of bytes are copied into one contiguous tensor up to this size; larger sources are read by batch."""


B = TypeVar("B")


class Rows(ABC, Generic[B]):
    """Rows that a loop can gather in any order, in model units, as batches of one kind.

    A batch is a tensor, or anything else that moves by ``to`` as a tensor does.
    """

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def gather(self, indices: Tensor) -> B:
        """The rows at ``indices``: float32, ``(n, *sample_shape)``, torch side."""


class SourceRows(Rows[Tensor]):
    """The rows of a source. Bytes stay bytes until the batch; other types are scaled once.

    Parameters
    ----------
    source
        Where rows come from.
    scaling
        Brings them to model units.
    """

    def __init__(self, source: Source, scaling: Preprocessing) -> None:
        self._source, self._scaling = source, scaling
        self._scaled: Tensor | None = None
        self._bytes: Tensor | None = None
        if source.schema.dtype != "uint8" or not isinstance(scaling, Scaling):
            self._scaled = torch.from_numpy(scaling.to_model(source.read(slice(0, len(source)))))
        elif len(source) * n_values(source.schema.sample_shape) <= MOST_HELD_BYTES:
            first = np.moveaxis(source.read(slice(0, len(source))), -1, 1)
            self._bytes = torch.from_numpy(np.ascontiguousarray(first))
            column = (-1, *[1] * (self._bytes.ndim - 2))
            self._shift = torch.from_numpy(scaling.shift.astype(np.float32)).reshape(column)
            self._scale = torch.from_numpy(scaling.scale.astype(np.float32)).reshape(column)

    def __len__(self) -> int:
        return len(self._source)

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        if self._scaled is not None:
            return self._scaled.index_select(0, indices)
        if self._bytes is not None:
            return self._bytes.index_select(0, indices).float().sub_(self._shift).div_(self._scale)
        return torch.from_numpy(self._scaling.to_model(self._source.read(indices.numpy())))


class TensorRows(Rows[Tensor]):
    """Rows that are already a tensor in model units."""

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __len__(self) -> int:
        return len(self._x)

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        return self._x.index_select(0, indices)


class Labelled(NamedTuple):
    """A batch of inputs and their labels."""

    x: Tensor
    """``(rows, *sample_shape)``"""
    labels: Tensor
    """Numbers of classes, ``(rows,)``."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Labelled:
        """The same on a device."""
        return Labelled(*(tensor.to(device, non_blocking=non_blocking) for tensor in self))


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

    def gather(self, indices: Tensor) -> Labelled:
        """The rows at ``indices`` with their labels."""
        return Labelled(self._rows.gather(indices), self._labels.index_select(0, indices))


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
        if 4 * len(rows) * width <= MOST_HELD_BYTES:
            blocks = torch.arange(len(rows)).split(BLOCK)
            self._held = torch.cat([self._made(block) for block in blocks])

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, indices: Tensor) -> Tensor:
        """The activations of the rows at ``indices``."""
        return self._made(indices) if self._held is None else self._held.index_select(0, indices)

    @torch.no_grad()
    def _made(self, indices: Tensor) -> Tensor:
        return self._layer(self._rows.gather(indices).to(self._device)).cpu()

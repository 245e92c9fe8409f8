"""Rows in model units, gathered by index: what the loop reads."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from isthmus.preprocessing import Scaling
from isthmus.shapes import n_values
from isthmus.sources import Source

MOST_HELD_BYTES = 2**30
"""Rows of bytes are copied into one contiguous tensor up to this size; larger sources are read by batch."""


class Rows(ABC):
    """Rows that a loop can gather in any order, in model units."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``, float32, ``(n, *sample_shape)``, torch side."""


class SourceRows(Rows):
    """The rows of a source. Bytes stay bytes until the batch; other types are scaled once.

    Parameters
    ----------
    source
        Where rows come from.
    scaling
        Brings them to model units.
    """

    def __init__(self, source: Source, scaling: Scaling) -> None:
        self._source, self._scaling = source, scaling
        self._scaled: Tensor | None = None
        self._bytes: Tensor | None = None
        if source.schema.dtype != "uint8":
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


class TensorRows(Rows):
    """Rows that are already a tensor in model units."""

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __len__(self) -> int:
        return len(self._x)

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        return self._x.index_select(0, indices)

"""Rows in model units, gathered by index: what the loop reads."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from isthmus.preprocessing import Scaling
from isthmus.sources import Source


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
        if source.schema.dtype != "uint8":
            self._scaled = torch.from_numpy(scaling.to_model(source.read(slice(0, len(source)))))

    def __len__(self) -> int:
        return len(self._source)

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        if self._scaled is not None:
            return self._scaled[indices]
        return torch.from_numpy(self._scaling.to_model(self._source.read(indices.numpy())))


class TensorRows(Rows):
    """Rows that are already a tensor in model units."""

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __len__(self) -> int:
        return len(self._x)

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        return self._x[indices]

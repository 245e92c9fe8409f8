"""Rows in model units, gathered by index: what the loop reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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
    """Some rows of a source. Bytes stay bytes until the batch; other types are scaled once.

    Parameters
    ----------
    source
        Where rows come from.
    scaling
        Brings them to model units.
    rows
        Which rows of the source, in the order that positions here count them.
    """

    def __init__(self, source: Source, scaling: Scaling, rows: NDArray[np.int64]) -> None:
        self._source, self._scaling, self._rows = source, scaling, rows
        self._scaled: Tensor | None = None
        if source.schema.dtype != "uint8":
            self._scaled = torch.from_numpy(scaling.to_model(source.read(rows)))

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        if self._scaled is not None:
            return self._scaled[indices]
        return torch.from_numpy(self._scaling.to_model(self._source.read(self._rows[indices.numpy()])))


class TensorRows(Rows):
    """Rows that are already a tensor in model units."""

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __len__(self) -> int:
        return len(self._x)

    def gather(self, indices: Tensor) -> Tensor:
        """The rows at ``indices``."""
        return self._x[indices]



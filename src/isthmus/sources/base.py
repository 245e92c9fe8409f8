"""The contract of a source: where rows come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.schema import Schema

Rows = NDArray[np.generic]
Indices = NDArray[np.int64]


class Source(ABC):
    """Rows that can be counted, described and read in any order, in data units.

    A source may be larger than memory: whoever reads it asks for a block at a time.
    """

    name: str = "rows"
    """What messages about the rows begin with: a file, or what was given."""
    schema: Schema
    """What a row is."""
    labels: NDArray[Any] | None
    """One label a row, integers or strings, or None. Only a model that is conditional on them learns from them."""
    row_names: NDArray[Any] | None = None
    """What each row is called where it comes from, such as the name of its file, or None."""
    block_ends: Indices | None = None
    """Where stretches of rows end that are read at the cost of one, such as row groups; None where each has its own."""
    notes: tuple[str, ...] = ()
    """Sentences for people: what was done to the data on the way in, and what was left out."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, in the order asked, as ``(n, *schema.sample_shape)`` of ``schema.dtype``."""

    def given(self, rows: Indices) -> Indices:
        """Numbers of rows where they come from, which a user knows: of a part of a source, those in the whole."""
        return rows

    def sounds(self, rows: slice | Indices) -> NDArray[np.float32] | None:
        """Samples that rows of sound were made of, ``(n, window, channels)``; None where there are no others."""
        return None

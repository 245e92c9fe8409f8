"""Columns of symbols, each coded given those before it: a chain of networks in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.coding.bits_back import WholeNetwork
from isthmus.codec.coding.observed import Observed
from isthmus.codec.coding.stack import Ints, Stack
from isthmus.errors import DataError


@dataclass(frozen=True)
class Chain:
    """Rows of symbols by ``P(row) = prod_j P(symbol_j given the symbols before it)``.

    Nothing is hidden, so no bits have to come back, and rows of a block are coded beside each other: a column of all
    rows at a time.

    Parameters
    ----------
    places
        Of each column and symbol, where the networks see it, ``(n_symbols, n_dimensions)`` whole numbers.
    networks
        Of each column, from the places of those before it, side by side, to what ``observed`` asks for. The first one
        is given a zero.
    observed
        Of each column, how its symbols are coded given the network's outputs.
    """

    places: Sequence[NDArray[np.float64]]
    networks: Sequence[WholeNetwork]
    observed: Sequence[Observed]

    def packed(self, symbols: Ints) -> bytes:
        """Rows ``(n, n_columns)`` as bytes."""
        stack = Stack(np.zeros(0, np.uint32))
        for column in reversed(range(len(self.places))):
            self.observed[column].push(stack, symbols[:, column : column + 1], self._outputs(symbols, column))
        return stack.words().astype("<u4").tobytes()

    def unpacked(self, data: bytes, n_rows: int) -> Ints:
        """The rows again; DataError of bytes that are no words."""
        if len(data) % 4:
            raise DataError("a block of a chain: its bytes are no words; the archive is damaged.")
        stack = Stack.opened(np.frombuffer(data, "<u4").astype(np.uint32))
        symbols = np.zeros((n_rows, len(self.places)), np.int64)
        for column in range(len(self.places)):
            symbols[:, column : column + 1] = self.observed[column].pop(stack, self._outputs(symbols, column))
        return symbols

    def _outputs(self, symbols: Ints, column: int) -> Ints:
        """What a column's network says, given the columns before it."""
        seen = [places[symbols[:, at]] for at, places in enumerate(self.places[:column])]
        rows = np.concatenate(seen, axis=1) if seen else np.zeros((len(symbols), 1))
        return self.networks[column](rows).astype(np.int64)

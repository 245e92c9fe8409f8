"""Columns of symbols, each coded given those before it: a chain of networks in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.bits_back import WholeNetwork
from isthmus.codec.distributions import Tables
from isthmus.codec.stack import Cumulative, Ints, Stack, pop_numbers, push_numbers


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
        Of each column, from the places of those before it, side by side, to a logit a symbol. The first one is given
        a zero.
    tables
        What stands in place of functions.
    """

    places: Sequence[NDArray[np.float64]]
    networks: Sequence[WholeNetwork]
    tables: Tables

    def packed(self, symbols: Ints) -> bytes:
        """Rows ``(n, n_columns)`` as bytes."""
        stack = Stack(np.zeros(0, np.uint32))
        for column in reversed(range(len(self.places))):
            mass, n_halvings = self._mass(symbols, column)
            push_numbers(stack, symbols[:, column], mass, n_halvings)
        return stack.words().astype("<u4").tobytes()

    def unpacked(self, data: bytes, n_rows: int) -> Ints:
        """The rows again."""
        stack = Stack.opened(np.frombuffer(data, "<u4").astype(np.uint32))
        symbols = np.zeros((n_rows, len(self.places)), np.int64)
        for column in range(len(self.places)):
            mass, n_halvings = self._mass(symbols, column)
            found = pop_numbers(stack, (n_rows,), mass, n_halvings)
            symbols[:, column] = np.minimum(found, len(self.places[column]) - 1)
        return symbols

    def _mass(self, symbols: Ints, column: int) -> tuple[Cumulative, int]:
        """Of a column, given those before it."""
        n_rows, n_symbols = len(symbols), len(self.places[column])
        seen = [places[symbols[:, at]] for at, places in enumerate(self.places[:column])]
        network = self.networks[column]
        logits = network(np.concatenate(seen, axis=1) if seen else np.zeros((n_rows, 1)))
        powers = self.tables.powers(logits.astype(np.int64), network.output_bits, axis=1)
        sums = np.zeros((n_rows, n_symbols + 1), np.int64)
        np.cumsum(powers, axis=1, out=sums[:, 1:])
        rows = np.arange(n_rows)

        def cumulative(numbers: Ints) -> Ints:
            return sums[rows, np.minimum(numbers, n_symbols)] + numbers

        return cumulative, (n_symbols - 1).bit_length()

"""How the symbols of a table's row are coded, given what a decoder of mixed columns says of the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from isthmus.codec.coding.distributions import Tables, with_open_ends
from isthmus.codec.coding.observed import Symbols
from isthmus.codec.coding.stack import Cumulative, Ints, Stack, pop_numbers, push_numbers

FARTHEST = 1 << 31
"""Magnitude of means and edges, as whole numbers: with a step of a table, 2^30 at most, products stay below 2^62."""


@dataclass(frozen=True, eq=False)
class Known:
    """What a decoder says of a column's symbols but the last one, which stands for all values that it does not know.

    Parameters
    ----------
    others
        Share of the last symbol, of 65,536, from 1 to 65,535: the same of all rows.
    outputs
        Of a number the place of its mean among the outputs, ``(1,)``; of a category that of each symbol's logit,
        ``(n,)``, -1 of one whose logit is 0.
    edges
        Of a number, where the stretch of each symbol begins, and where the last one ends, ``(n + 1,)``, growing; none
        of a category.
    scale
        Of a number, which scale its normal distribution has; 0 of a category.
    """

    others: int
    outputs: Ints
    edges: Ints
    scale: int

    @property
    def is_number(self) -> bool:
        """Rather than a category."""
        return len(self.edges) > 0


@dataclass(frozen=True, eq=False)
class TableRow:
    """Symbols of the columns of a table, each by a likelihood of its own.

    First, of all columns, whether the symbol is the last one. Then all numbers, each by the mass that a normal
    distribution has between the edges of its symbol, the outermost open; then the categories, one column after the
    other, each by a softmax.

    Parameters
    ----------
    tables, point
        As of :class:`~isthmus.codec.coding.observed.Binary`.
    columns
        See there.
    """

    tables: Tables
    point: int
    columns: Sequence[Known]

    def push(self, stack: Stack, numbers: Ints, outputs: Ints) -> None:
        """Push symbols ``(n, n_columns)``, given outputs ``(n, n_outputs)``."""
        is_other = numbers == self._last
        for at in reversed(self._categories):
            rows = np.flatnonzero(~is_other[:, at])
            if len(rows):
                self._symbols.push(stack, numbers[rows, at, None], self._logits(outputs, rows, at))
        rows, at = np.nonzero(~is_other[:, self._numbers])
        mass = self._between_edges(outputs, rows, at)
        push_numbers(stack, numbers[:, self._numbers][rows, at], mass, self._n_halvings)
        stack.push(is_other.astype(np.int64), self._others(len(numbers)))

    def pop(self, stack: Stack, outputs: Ints) -> Ints:
        """Pop them."""
        is_other = stack.pop(self._others(len(outputs))) > 0
        found = np.where(is_other, self._last, 0)
        rows, at = np.nonzero(~is_other[:, self._numbers])
        columns = np.array(self._numbers, np.int64)[at]
        popped = pop_numbers(stack, rows.shape, self._between_edges(outputs, rows, at), self._n_halvings)
        found[rows, columns] = np.minimum(popped, self._last[columns] - 1)
        for column in self._categories:
            rows = np.flatnonzero(~is_other[:, column])
            if len(rows):
                logits = self._logits(outputs, rows, column)
                found[rows, column] = self._symbols.pop(stack, logits)[:, 0]
        return found

    def _others(self, n_rows: int) -> Ints:
        return np.broadcast_to([column.others for column in self.columns], (n_rows, len(self.columns)))

    @cached_property
    def _last(self) -> Ints:
        """Of each column the symbol that stands for all other values."""
        return np.array([_n_symbols(column) for column in self.columns], np.int64)

    @cached_property
    def _numbers(self) -> list[int]:
        return [at for at, column in enumerate(self.columns) if column.is_number]

    @cached_property
    def _categories(self) -> list[int]:
        return [at for at, column in enumerate(self.columns) if not column.is_number]

    @cached_property
    def _symbols(self) -> Symbols:
        return Symbols(self.tables, self.point)

    @cached_property
    def _n_halvings(self) -> int:
        """That lead to a symbol of any number."""
        return max((_n_symbols(self.columns[at]) - 1 for at in self._numbers), default=0).bit_length()

    @cached_property
    def _edges(self) -> Ints:
        """Of all numbers, each filled up with its last one."""
        edges = [self.columns[at].edges for at in self._numbers]
        width = max((len(each) for each in edges), default=1)
        filled = [np.pad(each, (0, width - len(each)), mode="edge") for each in edges]
        return np.array(filled, np.int64).reshape(len(edges), width)

    def _between_edges(self, outputs: Ints, rows: Ints, at: Ints) -> Cumulative:
        """The mass of a number's symbols; ``at`` counts numbers alone."""
        numbers = [self.columns[number] for number in self._numbers]
        places = np.array([number.outputs[0] for number in numbers], np.int64)
        scales = np.array([number.scale for number in numbers], np.int64)[at]
        n = self._last[self._numbers][at]
        means = np.clip(outputs[rows, places[at]], -FARTHEST, FARTHEST)
        most = self._edges.shape[1] - 1

        def below(symbols: Ints) -> Ints:
            edges = self._edges[at, np.minimum(symbols, most)]
            return self.tables.normal[self.tables.places(edges, means, scales, self.point)]

        return with_open_ends(below, n)

    def _logits(self, outputs: Ints, rows: Ints, at: int) -> Ints:
        places = self.columns[at].outputs
        return np.where(places < 0, 0, outputs[rows[:, None], places])


def _n_symbols(column: Known) -> int:
    """But the last one."""
    return len(column.edges) - 1 if column.is_number else len(column.outputs)

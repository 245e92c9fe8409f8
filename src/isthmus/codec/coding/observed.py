"""How the numbers of a row are coded, given what the decoder says of the row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from isthmus.codec.coding.distributions import Tables, scale_numbers, with_open_ends
from isthmus.codec.coding.stack import Cumulative, Ints, Stack, pop_numbers, push_numbers

FARTHEST_MEAN = 4
"""Magnitude of a mean where levels lie from 0 to 1: what lies farther has the mass of the last level all the same."""


class Observed(Protocol):
    """Numbers ``(n, n_places)``, given whole outputs ``(n, n_outputs)`` of a decoder."""

    def push(self, stack: Stack, numbers: Ints, outputs: Ints) -> None:
        """Push them."""
        ...

    def pop(self, stack: Stack, outputs: Ints) -> Ints:
        """Pop them."""
        ...


@dataclass(frozen=True)
class Binary:
    """Zeros and ones, of which outputs are the logits.

    Parameters
    ----------
    tables
        What stands in place of functions.
    point
        Bits after the point of outputs.
    """

    tables: Tables
    point: int

    def push(self, stack: Stack, numbers: Ints, outputs: Ints) -> None:
        """Push them with their shares."""
        stack.push(numbers, self.tables.ones(outputs, self.point))

    def pop(self, stack: Stack, outputs: Ints) -> Ints:
        """Pop them."""
        return stack.pop(self.tables.ones(outputs, self.point))


@dataclass(frozen=True)
class Symbols:
    """One symbol a row, of which outputs are the logits.

    Parameters
    ----------
    tables, point
        As of :class:`Binary`.
    """

    tables: Tables
    point: int

    def push(self, stack: Stack, numbers: Ints, outputs: Ints) -> None:
        """Push them, which half first."""
        push_numbers(stack, numbers, self._mass(outputs), (outputs.shape[1] - 1).bit_length())

    def pop(self, stack: Stack, outputs: Ints) -> Ints:
        """Pop them, ``(n, 1)``."""
        shape, n_symbols = (len(outputs), 1), outputs.shape[1]
        found = pop_numbers(stack, shape, self._mass(outputs), (n_symbols - 1).bit_length())
        return np.minimum(found, n_symbols - 1)

    def _mass(self, outputs: Ints) -> Cumulative:
        n_rows, n_symbols = outputs.shape
        sums = np.zeros((n_rows, n_symbols + 1), np.int64)
        np.cumsum(self.tables.powers(outputs, self.point, axis=1), axis=1, out=sums[:, 1:])
        rows = np.arange(n_rows)[:, None]

        def cumulative(numbers: Ints) -> Ints:
            return sums[rows, np.minimum(numbers, n_symbols)] + numbers

        return cumulative


@dataclass(frozen=True)
class Levels:
    """Levels of a discretised logistic distribution, or a mixture of such.

    Parameters
    ----------
    tables, point
        As of :class:`Binary`.
    n_levels
        Of a value; they lie evenly from 0 to 1 in units of the outputs.
    n_mixtures
        Components. The outputs of a channel stand together: log weights (of several), means, log scales.
    n_channels
        Of a row.
    log_scale_ends
        Between which logarithms of scales are held, in units of the outputs.
    log_levels
        Logarithm of the levels to a unit of the outputs. All three are whole, with ``point`` bits after the point.
    """

    tables: Tables
    point: int
    n_levels: int
    n_mixtures: int
    n_channels: int
    log_scale_ends: tuple[int, int]
    log_levels: int

    @property
    def n_halvings(self) -> int:
        """That lead to a level."""
        return (self.n_levels - 1).bit_length()

    def push(self, stack: Stack, numbers: Ints, outputs: Ints) -> None:
        """Push them, which half first."""
        push_numbers(stack, numbers, self._mass(outputs, numbers.shape), self.n_halvings)

    def pop(self, stack: Stack, outputs: Ints) -> Ints:
        """Pop them."""
        n_parameters = 2 if self.n_mixtures == 1 else 3 * self.n_mixtures
        shape = len(outputs), math.prod(outputs.shape[1:]) // n_parameters
        found = pop_numbers(stack, shape, self._mass(outputs, shape), self.n_halvings)
        return np.minimum(found, self.n_levels - 1)

    def _mass(self, outputs: Ints, shape: tuple[int, ...]) -> Cumulative:
        n, m = shape[0], self.n_mixtures
        n_parameters = 2 if m == 1 else 3
        split = outputs.reshape(n, self.n_channels, n_parameters, m, shape[1] // self.n_channels)
        *logits, means, log_scales = (split[:, :, part] for part in range(split.shape[2]))
        top = self.n_levels - 1
        scales = scale_numbers(np.clip(log_scales, *self.log_scale_ends) + self.log_levels, self.point)
        means = means * top + (1 << self.point - 1)  # a level begins half a level before itself
        weights = self.tables.powers(logits[0], self.point, axis=2) if logits else None
        total = 1 if weights is None else weights.sum(axis=2)

        def below(numbers: Ints) -> Ints:
            edges = (numbers << self.point).reshape(n, self.n_channels, 1, shape[1] // self.n_channels)
            found = self.tables.logistic[self.tables.places(edges, means, scales, self.point)]
            if weights is None:
                return found.reshape(shape)
            return ((found * weights).sum(axis=2) // total).reshape(shape)

        return with_open_ends(below, self.n_levels)


@dataclass(frozen=True)
class Marked:
    """Levels of which some are asked for one by one, each with a logit, and the others as :class:`Levels` has them.

    A level that stands out, such as the black of a picture's ground, costs one decision; a mixture has to know only
    what lies between.

    Parameters
    ----------
    tables, point
        As of :class:`Binary`.
    marked
        Numbers of levels in the order in which they are asked for.
    others
        Numbers of all other levels, in order.
    levels
        How these are coded, by their place among the others; None where there is but one, which costs nothing.
    """

    tables: Tables
    point: int
    marked: Ints
    others: Ints
    levels: Levels | None

    @property
    def n_outputs(self) -> int:
        """That each number takes: the marked levels' logits, then those of the others."""
        return len(self.marked) + (3 * self.levels.n_mixtures if self.levels else 0)

    def push(self, stack: Stack, numbers: Ints, outputs: Ints, which: Ints) -> None:
        """Push numbers ``(n,)``, of which number i is given the outputs ``outputs[which[i]]``."""
        asked: list[tuple[Ints, Ints]] = []
        for at, mark in enumerate(self.marked.tolist()):
            is_mark = numbers == mark
            asked.append((is_mark.astype(np.int64), self.tables.ones(outputs[:, at], self.point)[which]))
            numbers, which = numbers[~is_mark], which[~is_mark]
        if self.levels is not None and len(numbers):
            places = np.searchsorted(self.others, numbers)
            self.levels.push(stack, places[None], self._of_others(outputs, which))
        for is_mark, ones in reversed(asked):
            stack.push(is_mark, ones)

    def pop(self, stack: Stack, outputs: Ints, which: Ints) -> Ints:
        """Pop them."""
        numbers = np.full(len(which), self.others[0])
        left = np.arange(len(which))
        for at, mark in enumerate(self.marked.tolist()):
            is_mark = stack.pop(self.tables.ones(outputs[:, at], self.point)[which[left]]) > 0
            numbers[left[is_mark]] = mark
            left = left[~is_mark]
        if self.levels is not None and len(left):
            numbers[left] = self.others[self.levels.pop(stack, self._of_others(outputs, which[left]))[0]]
        return numbers

    def _of_others(self, outputs: Ints, which: Ints) -> Ints:
        """Outputs as :class:`Levels` takes those of one row, ``(1, n_outputs, n)``; means far out are held nearer."""
        assert self.levels is not None
        m, farthest = self.levels.n_mixtures, FARTHEST_MEAN << self.point
        found = np.ascontiguousarray(outputs[which, len(self.marked) :].T)
        found[m : 2 * m] = np.clip(found[m : 2 * m], -farthest, farthest)
        return found[None]

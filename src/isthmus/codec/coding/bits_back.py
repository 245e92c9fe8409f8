"""Bits-back coding of whole numbers with a model of a Gaussian code: near its evidence, exact everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.coding.distributions import (
    SCALES_AN_OCTAVE,
    UNIT_SCALE,
    Tables,
    scale_numbers,
    with_open_ends,
)
from isthmus.codec.coding.observed import Observed
from isthmus.codec.coding.stack import Cumulative, Ints, Stack, pop_numbers, push_numbers
from isthmus.errors import DataError

GRID_BITS = 4
"""Cells of a code unit are 2^-4 wide."""
GRID_LEVELS = 8
"""And there are 2^8 of them, from -8 to 8: the prior is N(0, 1)."""
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)
"""Rows that are coded at once."""
MOST_OUTPUTS = 1 << 24
"""Of the decoder in a step of several rows; a reader takes twice as many."""
SPREAD = 4.0
"""Standard deviations of what a step may take from the stack that are held ready."""
RESERVE = 96
"""Bits that are held ready beside."""
HALF_LOG_2_PI_E = 0.5 * float(np.log2(2 * np.pi * np.e))
"""Entropy of a normal distribution of scale 1, in bits."""


class WholeNetwork(Protocol):
    """A network in whole numbers."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of a row."""
        ...

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of a row."""
        ...

    @property
    def output_bits(self) -> int:
        """Bits after the point of what comes out."""
        ...

    def __call__(self, a: NDArray[np.float64] | NDArray[np.int32]) -> NDArray[np.float64]:
        """Whole numbers of whole numbers, ``(rows, ...)``."""
        ...


@dataclass(frozen=True)
class BitsBack:
    """Rows of whole numbers through a latent code whose bits come back (Townsend et al. 2019).

    For each step of rows: pop the code from the stack as its posterior has it, push the rows given the code, push
    the code as its prior has it. The cost is ``-ELBO``. The first step's code is popped from words that cost their
    own length; each step is as long as what lies on the stack allows, so that these are few and steps soon long.

    Parameters
    ----------
    encoder
        To means and log variances of the code, ``(n, 2 * size)``.
    decoder
        From places on the grid, in 32nds, to what ``observed`` asks for.
    inputs
        Of numbers ``(n, n_places)`` what the encoder reads, whole numbers ``(n, ...)``.
    observed
        How rows are coded given the decoder's outputs.
    tables
        What stands in place of functions.
    n_places
        Numbers of a row.
    """

    encoder: WholeNetwork
    decoder: WholeNetwork
    inputs: Callable[[Ints], NDArray[np.float64]]
    observed: Observed
    tables: Tables
    n_places: int

    def packed(self, numbers: Ints) -> bytes:
        """Rows ``(n, n_places)`` as bytes."""
        means, scales = self._posterior(numbers)
        needed = _needed(scales)
        n_first = int(needed[:1].sum() + SPREAD * np.sqrt(scales.shape[1]) + RESERVE) // 32 + 2
        stack = Stack(np.random.Generator(np.random.PCG64(0)).integers(0, 1 << 32, n_first, np.uint32))
        steps, start = bytearray(), 0
        while start < len(numbers):
            step = _longest(needed[start:], scales.shape[1], stack.n_bits, self._most_rows)
            rows = slice(start, start + STEPS[step])
            code = pop_numbers(
                stack, means[rows].shape, self._posterior_mass(means[rows], scales[rows]), GRID_LEVELS
            )
            self.observed.push(stack, numbers[rows], self._outputs(code))
            push_numbers(stack, code, self._prior_mass(code.shape), GRID_LEVELS)
            steps.append(step)
            start += STEPS[step]
        words = stack.words().astype("<u4").tobytes()
        return len(steps).to_bytes(4, "little") + bytes(steps) + words

    def unpacked(self, data: bytes, n_rows: int, size: int) -> Ints:
        """The rows again.

        Parameters
        ----------
        data
            What :meth:`packed` gave.
        n_rows
            How many rows there are.
        size
            Units of the code.

        Raises
        ------
        DataError
            Bytes that hold no such rows.
        """
        steps, words = self._parts(data, n_rows)
        stack = Stack.opened(words)
        blocks: list[Ints] = []
        for n in reversed(list(steps)):
            code = pop_numbers(stack, (n, size), self._prior_mass((n, size)), GRID_LEVELS)
            numbers = self.observed.pop(stack, self._outputs(code))
            push_numbers(stack, code, self._posterior_mass(*self._posterior(numbers)), GRID_LEVELS)
            blocks.append(numbers)
        blocks.append(np.zeros((0, self.n_places), np.int64))
        return np.concatenate(blocks[::-1])

    @property
    def _most_rows(self) -> int:
        """Of a step."""
        return max(1, MOST_OUTPUTS // math.prod(self.decoder.output_shape))

    def _parts(self, data: bytes, n_rows: int) -> tuple[list[int], NDArray[np.uint32]]:
        n_steps = int.from_bytes(data[:4], "little")
        known, rest = data[4 : 4 + n_steps], data[4 + n_steps :]
        if len(known) < n_steps or any(step >= len(STEPS) for step in known) or len(rest) % 4:
            raise DataError("a block coded with a model: its steps are none; the archive is damaged.")
        steps = [STEPS[step] for step in known]
        if steps:
            steps[-1] = min(steps[-1], n_rows - sum(steps[:-1]))
        if sum(steps) != n_rows or any(step < 1 for step in steps):
            raise DataError("a block coded with a model: its steps are not its rows; the archive is damaged.")
        if max(steps, default=1) > 2 * self._most_rows:
            raise DataError(
                "a block coded with a model: its steps take too much memory; the archive is damaged."
            )
        return steps, np.frombuffer(rest, "<u4").astype(np.uint32)

    def _posterior(self, numbers: Ints) -> tuple[Ints, Ints]:
        """Mean and number of the scale of each unit of each row."""
        seen = self.inputs(numbers).reshape(len(numbers), *self.encoder.input_shape)
        said = self.encoder(seen).astype(np.int64)
        means, log_variances = np.split(said, 2, axis=1)
        return means, scale_numbers(log_variances, self.encoder.output_bits + 1)

    def _outputs(self, code: Ints) -> Ints:
        centres = 2 * code + 1 - (1 << GRID_LEVELS)
        return self.decoder(centres.astype(np.float64)).astype(np.int64).reshape(len(code), -1)

    def _posterior_mass(self, means: Ints, scales: Ints) -> Cumulative:
        return self._mass(means, scales, self.encoder.output_bits)

    def _prior_mass(self, shape: tuple[int, ...]) -> Cumulative:
        return self._mass(np.zeros(shape, np.int64), np.full(shape, UNIT_SCALE), GRID_BITS)

    def _mass(self, means: Ints, scales: Ints, point: int) -> Cumulative:
        """Of a normal distribution, below each cell of the grid."""
        first, width = -1 << GRID_LEVELS - 1 + point - GRID_BITS, 1 << point - GRID_BITS

        def below(cells: Ints) -> Ints:
            return self.tables.normal[self.tables.places(first + width * cells, means, scales, point)]

        return with_open_ends(below, 1 << GRID_LEVELS)


def _needed(scales: Ints) -> NDArray[np.float64]:
    """Bits that drawing each row's code takes from a stack, on average."""
    in_cells = (scales - UNIT_SCALE) / SCALES_AN_OCTAVE + GRID_BITS
    return np.maximum(in_cells + HALF_LOG_2_PI_E, 0.1).sum(axis=1)


def _longest(needed: NDArray[np.float64], size: int, n_bits: int, most: int) -> int:
    """The step of the most rows that the stack has bits for, and no longer than they need; the first at least."""
    ready = np.cumsum(needed[: min(most, STEPS[-1])])
    ready += SPREAD * np.sqrt(size * np.arange(1, len(ready) + 1)) + RESERVE
    n = max(1, int(np.searchsorted(ready, n_bits, side="right")))
    n_left = len(needed)
    return next(
        at for at in reversed(range(len(STEPS))) if STEPS[at] <= n or (n == n_left and STEPS[at - 1] < n)
    )

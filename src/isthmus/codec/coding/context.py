"""Pictures of whole numbers, each value coded given those around it that were coded before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.coding.bits_back import WholeNetwork
from isthmus.codec.coding.observed import Marked
from isthmus.codec.coding.stack import Ints, Stack

AT_ONCE = 2048
"""Places that a network is given at a time."""

NEAREST = ((0, -1), (1, 0), (1, -1))
"""Offsets of what guesses are made of."""

Canvas = NDArray[np.int32]
"""What networks read of each place, ``(lines * columns * channels, rows)``, with a margin of zeros."""


@dataclass(frozen=True)
class Neighbourhood:
    """Which places a place sees, and which places can be done at once.

    Place ``(y, x)`` belongs to wave ``x + slope y``. All that it sees belongs to earlier waves, so that a wave is
    done at once: a picture of h x w takes ``w + slope (h - 1)`` steps and not ``h w``.

    Parameters
    ----------
    shape
        Lines, columns and channels of a picture.
    offsets
        Lines up and columns to the right, of each place that is seen: ``(0, -1)`` is the one to the left.
    slope
        Columns by which a line is behind the one above it: ``right < slope * up`` for each offset.
    """

    shape: tuple[int, int, int]
    offsets: tuple[tuple[int, int], ...]
    slope: int

    @property
    def margin(self) -> tuple[int, int, int]:
        """Lines above, columns to the left and to the right that places look out of the picture."""
        up, right = zip(*self.offsets, strict=True)
        return max(up), max(0, -min(right)), max(0, *right)

    @property
    def n_waves(self) -> int:
        """Steps."""
        height, width, _ = self.shape
        return width + self.slope * (height - 1)

    def wave(self, number: int) -> tuple[Ints, Ints]:
        """Lines and columns of a wave's places, from the top."""
        height, width, _ = self.shape
        first = max(0, -(-(number - width + 1) // self.slope))
        y = np.arange(first, min(height - 1, number // self.slope) + 1)
        return y, number - self.slope * y

    def n_seen(self, channel: int) -> int:
        """Values that a value of a channel sees."""
        return len(self.offsets) * self.shape[2] + channel

    def guess(self, seen: Canvas, channel: int, low: int, high: int) -> Canvas:
        """What values may be, given what they see, ``(n_seen, n)``: as the plane through three neighbours has it.

        Of one channel ``left + above - corner``, held between the lower and the higher of left and above (Weinberger
        et al. 2000, LOCO-I); of a later channel as much more as the value of the one before is above its own guess,
        held between ``low`` and ``high``.
        """
        n_channels, n_offsets = self.shape[2], len(self.offsets)
        of_channels = seen[: n_offsets * n_channels].reshape(n_offsets, n_channels, -1)
        left, above, corner = (of_channels[self.offsets.index(offset)] for offset in NEAREST)
        plane = np.clip(left + above - corner, np.minimum(left, above), np.maximum(left, above))
        if not channel:
            return plane[0]
        return np.clip(plane[channel] + seen[-1] - plane[channel - 1], low, high)

    def seen(self, channel: int) -> Ints:
        """Where these lie on a canvas, beside the value itself: of each offset all channels, then those before it."""
        _, width, n_channels = self.shape
        _, left, right = self.margin
        line = left + width + right
        around = [
            (across - up * line) * n_channels + other - channel
            for up, across in self.offsets
            for other in range(n_channels)
        ]
        return np.array([*around, *range(-channel, 0)])


class _Wave(NamedTuple):
    """A channel of a wave's places."""

    y: Ints
    x: Ints
    channel: int
    first: int
    """Line of the canvas that has the uppermost."""
    step: int
    """From place to place."""

    def lines(self, offset: int = 0) -> slice:
        """Lines of the canvas that have the places, or those that lie so far beside them."""
        start = self.first + offset
        return slice(start, start + self.step * (len(self.y) - 1) + 1, self.step)


@dataclass(frozen=True)
class Context:
    """Rows of pictures by ``P(picture) = prod_i P(value_i given what its neighbourhood had before)``.

    All rows of a block are coded beside each other. Where all that a place sees is the commonest level, or lies
    outside, what a network says is the same for all rows, and computed once.

    Parameters
    ----------
    neighbourhood
        What is seen.
    lines, columns
        Of each line and each column, what networks read of it, ``(height, a)`` and ``(width, b)``.
    networks
        Of each channel, from what is seen, the guess where levels have a distribution, the line's numbers and the
        column's, to what ``observed`` asks for.
    observed
        How values are coded, given that.
    common
        Number of the level that is read as 0.
    step
        What the level above is read as.
    """

    neighbourhood: Neighbourhood
    lines: Canvas
    columns: Canvas
    networks: Sequence[WholeNetwork]
    observed: Marked
    common: int
    step: int

    def packed(self, numbers: Ints) -> bytes:
        """Numbers of levels, ``(n, lines, columns, channels)``, as bytes."""
        n = len(numbers)
        canvas = self._canvas(n)
        self._inside(canvas)[...] = (np.moveaxis(numbers, 0, -1) - self.common) * self.step
        stack = Stack(np.zeros(0, np.uint32))
        for wave in self._waves(backwards=True) if n else ():
            coded = numbers[:, wave.y, wave.x, wave.channel].T.ravel()
            self.observed.push(stack, coded, *self._outputs(canvas, wave))
        return stack.words().astype("<u4").tobytes()

    def unpacked(self, data: bytes, n_rows: int) -> Ints:
        """The rows again."""
        stack = Stack.opened(np.frombuffer(data, "<u4").astype(np.uint32))
        canvas = self._canvas(n_rows)
        for wave in self._waves(backwards=False) if n_rows else ():
            numbers = self.observed.pop(stack, *self._outputs(canvas, wave))
            canvas[wave.lines()] = (numbers.reshape(len(wave.y), n_rows) - self.common) * self.step
        return np.moveaxis(self._inside(canvas) // self.step + self.common, -1, 0).astype(np.int64)

    def _waves(self, *, backwards: bool) -> Iterator[_Wave]:
        around = self.neighbourhood
        _, width, n_channels = around.shape
        up, left, right = around.margin
        line = left + width + right
        step = (line - around.slope) * n_channels
        numbers, channels = range(around.n_waves), range(n_channels)
        for number in reversed(numbers) if backwards else numbers:
            y, x = around.wave(number)
            for channel in reversed(channels) if backwards else channels:
                first = ((up + int(y[0])) * line + left + int(x[0])) * n_channels + channel
                yield _Wave(y, x, channel, first, step)

    def _canvas(self, n_rows: int) -> Canvas:
        height, width, n_channels = self.neighbourhood.shape
        up, left, right = self.neighbourhood.margin
        return np.zeros(((up + height) * (left + width + right) * n_channels, n_rows), np.int32)

    def _inside(self, canvas: Canvas) -> Canvas:
        """The canvas without its margin, ``(lines, columns, channels, rows)``."""
        height, width, n_channels = self.neighbourhood.shape
        up, left, right = self.neighbourhood.margin
        whole = canvas.reshape(up + height, left + width + right, n_channels, -1)
        return whole[up:, left : left + width]

    def _outputs(self, canvas: Canvas, wave: _Wave) -> tuple[Ints, Ints]:
        """What the network says of distinct neighbourhoods, and which each place of each row has."""
        seen = self.neighbourhood.seen(wave.channel)
        n_places, n_rows = len(wave.y), canvas.shape[1]
        anything = np.zeros((n_places, n_rows), np.int32)
        for offset in seen.tolist():
            anything |= canvas[wave.lines(offset)]
        busy = np.flatnonzero(anything)
        which = np.repeat(np.arange(n_places), n_rows)
        which[busy] = np.arange(n_places, n_places + len(busy))
        place = np.concatenate([self.lines[wave.y], self.columns[wave.x]], axis=1).T
        outputs = [self._said(np.zeros((len(seen), n_places), np.int32), place, wave.channel)]
        at, row = np.divmod(busy, n_rows)
        here = (wave.first + wave.step * at) * n_rows + row
        for start in range(0, len(busy), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            values = canvas.ravel().take(here[some] + (seen * n_rows)[:, None])
            outputs.append(self._said(values, place[:, at[some]], wave.channel))
        return np.concatenate(outputs), which

    def _said(self, seen: Canvas, place: Canvas, channel: int) -> Ints:
        """What a channel's network says, with means beside what is guessed, ``(n, n_outputs)``."""
        levels = self.observed.levels
        if levels is None:
            return self._network(channel, [seen, place])
        highest = len(self.observed.marked) + len(self.observed.others) - 1
        low, high = -self.common * self.step, (highest - self.common) * self.step
        guess = self.neighbourhood.guess(seen, channel, low, high)
        outputs = self._network(channel, [seen, guess[None], place])
        first = len(self.observed.marked) + levels.n_mixtures
        beside = ((guess.astype(np.int64) - low) << levels.point) // (high - low)
        outputs[:, first : first + levels.n_mixtures] += beside[:, None]
        return outputs

    def _network(self, channel: int, read: Sequence[Canvas]) -> Ints:
        return self.networks[channel](np.concatenate(read).T).astype(np.int64)

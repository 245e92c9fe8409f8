"""Layers of maps in whole numbers: convolutions, pooling, and what moves values.

A row of maps lies position by position, line by line, the channels of a position side by side:
``(rows, height * width * channels)``. What has one axis is a map of width 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, final

import numpy as np

from isthmus.codec.frozen.layers import (
    EXACT,
    Layer,
    Numbers,
    Whole,
    check_shifts,
    check_sums,
    clamped,
    unfit,
)
from isthmus.errors import ParameterError

Pair = tuple[int, int]

VALUES_AT_ONCE = 2**19
"""Values of the patches that are laid out at once: 4 MiB."""
SHARE_BITS = 16
"""An average's divisor is a whole number / 2^16."""


class Phase(NamedTuple):
    """Outputs whose windows are one another's, shifted: of a convolution all."""

    taps: Whole
    """Which of the kernel's taps they see, ``kernel[0] * kernel[1]`` in a row; as the window lies."""
    window: Pair
    first: Pair
    """Where the first window begins in the padded map."""
    step: Pair
    """From one window to the next."""
    outputs: tuple[slice, slice]
    counts: Pair


@final
class Windows:
    """What each output of a convolution sees.

    Of a convolution, output o sees input ``o stride + t - before`` through tap t. Of a transposed one
    every input i is seen by output ``i stride + t - before`` through tap t. Beyond the edges are zeros.

    Parameters
    ----------
    size_in, size_out
        Height and width of the maps.
    kernel, stride, before
        As above, an axis each.
    transposed
        Which of the two it is.
    """

    def __init__(
        self, size_in: Pair, size_out: Pair, kernel: Pair, stride: Pair, before: Pair, *, transposed: bool
    ) -> None:
        self.size_in, self.size_out = size_in, size_out
        self.kernel, self.stride, self.before, self.transposed = kernel, stride, before, transposed
        along = [
            _transposed(*axis) if transposed else _straight(*axis)
            for axis in zip(size_in, size_out, kernel, stride, before, strict=True)
        ]
        self._pads = tuple(_pads(phases, n) for phases, n in zip(along, size_in, strict=True))
        most = [max(k, min(s, n)) for k, s, n in zip(kernel, stride, size_in, strict=True)]
        if any(max(pads) > n for pads, n in zip(self._pads, most, strict=True)):
            raise ParameterError(
                "frozen network: windows must begin and end within a kernel or a step of the map, got maps of "
                f"{size_in} and {size_out} with kernel {kernel}, stride {stride}, before {before}. Give sizes that fit."
            )
        self.phases = [self._phase(y, x, transposed) for y in along[0] for x in along[1] if y.n and x.n]

    def _phase(self, y: _Along, x: _Along, transposed: bool) -> Phase:
        taps = np.array([a * self.kernel[1] + b for a in y.taps for b in x.taps], np.int64)
        return Phase(
            taps,
            (len(y.taps), len(x.taps)),
            (y.first + self._pads[0][0], x.first + self._pads[1][0]),
            (1, 1) if transposed else self.stride,
            (slice(y.start, None, y.step), slice(x.start, None, x.step)),
            (y.n, x.n),
        )

    def padded(self, a: Numbers, channels: int) -> Numbers:
        """``(rows, height, width, channels)`` with zeros around."""
        maps = a.reshape(len(a), *self.size_in, channels)
        if self._pads == ((0, 0), (0, 0)):
            return maps
        (top, bottom), (left, right) = self._pads
        height, width = self.size_in
        found = np.zeros((len(a), top + height + bottom, left + width + right, channels))
        found[:, top : top + height, left : left + width] = maps
        return found

    def patches(self, padded: Numbers, phase: Phase) -> Iterator[tuple[slice, Numbers]]:
        """Lines of a phase's outputs, and for each of their positions what it sees.

        ``(rows * lines * width, taps * channels)``, of bounded size.
        """
        n, _, _, channels = padded.shape
        (height, width), per_output = phase.counts, len(phase.taps) * channels
        lines = max(1, VALUES_AT_ONCE // max(1, n * width * per_output))
        rows, y, x, c = padded.strides
        start = padded[:, phase.first[0] :, phase.first[1] :]
        for line in range(0, height, lines):
            count = min(lines, height - line)
            seen = np.lib.stride_tricks.as_strided(
                start[:, line * phase.step[0] :],
                (n, count, width, *phase.window, channels),
                (rows, y * phase.step[0], x * phase.step[1], y, x, c),
                writeable=False,
            )
            yield slice(line, line + count), seen.reshape(n * count * width, per_output)

    def products(self, a: Numbers, weights: Sequence[Numbers], n_out: int) -> Numbers:
        """``(rows, height, width, n_out)`` of maps ``(rows, values)``, by the weights of each phase."""
        n = len(a)
        padded = self.padded(a, a.shape[1] // (self.size_in[0] * self.size_in[1]))
        found = np.empty((n, *self.size_out, n_out))
        for phase, weight in zip(self.phases, weights, strict=True):
            outputs = found[:, phase.outputs[0], phase.outputs[1]]
            if not len(phase.taps):
                outputs[...] = 0.0
                continue
            for lines, seen in self.patches(padded, phase):
                outputs[:, lines] = np.matmul(seen, weight).reshape(n, -1, phase.counts[1], n_out)
        return found

    def weights(self, weight: Numbers) -> list[Numbers]:
        """Of ``(n_out, taps, channels)`` each phase's, ``(taps * channels, n_out)``."""
        return [
            np.ascontiguousarray(weight[:, phase.taps].reshape(len(weight), -1).T) for phase in self.phases
        ]


class _Along(NamedTuple):
    """A phase along one axis; ``first`` is where its first window begins, before padding."""

    taps: list[int]
    first: int
    start: int
    step: int
    n: int
    last: int
    """One past the last input that its windows reach."""


def _straight(n_in: int, n_out: int, kernel: int, stride: int, before: int) -> list[_Along]:
    return [_Along(list(range(kernel)), -before, 0, 1, n_out, (n_out - 1) * stride + kernel - before)]


def _transposed(n_in: int, n_out: int, kernel: int, stride: int, before: int) -> list[_Along]:
    """Output ``start + j stride`` sees inputs ``base + j - m`` through taps ``rest + m stride``."""
    found = list[_Along]()
    for start in range(min(stride, n_out)):
        base, rest = divmod(start + before, stride)
        taps = list(range(rest, kernel, stride))[::-1]
        count = -(-(n_out - start) // stride)
        found.append(_Along(taps, base - len(taps) + 1, start, stride, count, base + count))
    return found


def _pads(phases: Sequence[_Along], n_in: int) -> Pair:
    seeing = [phase for phase in phases if phase.taps]
    before = max((-phase.first for phase in seeing), default=0)
    after = max((phase.last - n_in for phase in seeing), default=0)
    return max(before, 0), max(after, 0)


@final
class Convolution(Layer):
    """``floor((sum over taps of W_t a + b) / 2^shift)`` at every position, clamped to ``[-limit, limit]``.

    Parameters
    ----------
    windows
        What each output sees.
    weight
        ``(n_out, taps, channels)``, the taps line by line.
    bias, shift
        ``(n_out,)``
    limit, within
        Largest magnitude of results, and of what it is given.
    """

    def __init__(
        self, windows: Windows, weight: Whole, bias: Whole, shift: Whole, limit: int, within: int
    ) -> None:
        check_sums(weight.reshape(len(weight), -1), bias, within)
        check_shifts(shift)
        self.windows, self.limit = windows, limit
        self.weight, self.bias, self.shift = weight, bias, shift
        scaled = np.ldexp(weight.astype(np.float64), -shift[:, None, None])
        self._weights = windows.weights(scaled)
        self._bias = np.ldexp(bias.astype(np.float64), -shift)

    def __call__(self, a: Numbers) -> Numbers:
        """Maps of maps."""
        z = self.windows.products(a, self._weights, len(self._bias))
        return clamped(z, self._bias, self.limit).reshape(len(a), -1)

    def size(self, n_in: int) -> int:
        """``height * width * n_out``."""
        height, width = self.windows.size_in
        if n_in != height * width * self.weight.shape[2]:
            raise unfit(height * width * self.weight.shape[2], n_in)
        return self.windows.size_out[0] * self.windows.size_out[1] * len(self.weight)

    def facts(self) -> dict[str, Any]:
        """Geometry, channels and limit."""
        w = self.windows
        return {
            "kind": "transposed_convolution" if w.transposed else "convolution",
            "size_in": w.size_in,
            "size_out": w.size_out,
            "kernel": w.kernel,
            "stride": w.stride,
            "before": w.before,
            "in": self.weight.shape[2],
            "out": len(self.weight),
            "limit": self.limit,
        }

    def arrays(self) -> list[Whole]:
        """Weight, bias, shift."""
        return [self.weight, self.bias, self.shift]


@final
class Swap(Layer):
    """``(rows, a, b)`` becomes ``(rows, b, a)``: from channels first to channels last, and back."""

    def __init__(self, shape: Pair, limit: int) -> None:
        self.shape, self.limit = shape, limit

    def __call__(self, a: Numbers) -> Numbers:
        """As many values."""
        return a.reshape(len(a), *self.shape).swapaxes(1, 2).reshape(len(a), -1)

    def size(self, n_in: int) -> int:
        """As many."""
        if n_in != self.shape[0] * self.shape[1]:
            raise unfit(self.shape[0] * self.shape[1], n_in)
        return n_in

    def facts(self) -> dict[str, Any]:
        """Its shape."""
        return {"kind": "swap", "shape": self.shape}

    def arrays(self) -> list[Whole]:
        """None."""
        return []


@final
class Spread(Layer):
    """Output ``(y, x)`` is input ``(lines[y], columns[x])``, or zero where either is -1."""

    def __init__(self, size_in: Pair, channels: int, lines: Whole, columns: Whole, limit: int) -> None:
        for n, places in zip(size_in, (lines, columns), strict=True):
            if places.min() < -1 or places.max() >= n:
                raise ParameterError(
                    f"frozen network: positions must be from -1 to {n - 1}, got {places.min()} to {places.max()}. "
                    "Name positions of the map."
                )
        self.size_in, self.channels, self.lines, self.columns = size_in, channels, lines, columns
        self.limit = limit

    def __call__(self, a: Numbers) -> Numbers:
        """Larger maps."""
        maps = a.reshape(len(a), *self.size_in, self.channels)
        found = maps.take(np.maximum(self.lines, 0), axis=1).take(np.maximum(self.columns, 0), axis=2)
        found[:, self.lines < 0] = 0.0
        found[:, :, self.columns < 0] = 0.0
        return found.reshape(len(a), -1)

    def size(self, n_in: int) -> int:
        """``lines * columns * channels``."""
        expected = self.size_in[0] * self.size_in[1] * self.channels
        if n_in != expected:
            raise unfit(expected, n_in)
        return len(self.lines) * len(self.columns) * self.channels

    def facts(self) -> dict[str, Any]:
        """Sizes and channels."""
        size_out = len(self.lines), len(self.columns)
        return {"kind": "spread", "size_in": self.size_in, "size_out": size_out, "channels": self.channels}

    def arrays(self) -> list[Whole]:
        """Lines, columns."""
        return [self.lines, self.columns]


@final
class Pool(Layer):
    """The largest value of each window, or its mean; the last windows may reach over the edge.

    The mean of k values is ``floor((s r + 2^15) / 2^16)`` of their sum s, with r the whole number
    nearest to ``2^16 / k``, the larger of two.
    """

    def __init__(self, size_in: Pair, channels: int, window: Pair, limit: int, *, mean: bool) -> None:
        self.size_in, self.channels, self.window, self.limit = size_in, channels, window, limit
        self.mean = mean
        self.size_out = -(-size_in[0] // window[0]), -(-size_in[1] // window[1])
        held = [
            np.minimum(w, n - w * np.arange(m))
            for n, w, m in zip(size_in, window, self.size_out, strict=True)
        ]
        self.counts = (held[0][:, None] * held[1])[:, :, None]
        shares = ((1 << SHARE_BITS + 1) + self.counts) // (2 * self.counts)
        if mean and limit * int((self.counts * shares).max()) + (1 << SHARE_BITS) >= EXACT:
            raise ParameterError(
                "frozen network: every sum must stay below 2^53, but an average could leave it. "
                "Freeze with a coarser input_scale."
            )
        self._shares = np.ldexp(shares.astype(np.float64), -SHARE_BITS)

    def __call__(self, a: Numbers) -> Numbers:
        """Smaller maps."""
        found = self.reduced(a)
        if self.mean:
            found *= self._shares
            found += 0.5
            np.floor(found, out=found)
        return found.reshape(len(a), -1)

    def real(self, a: Numbers) -> Numbers:
        """What it does to real numbers."""
        found = self.reduced(a)
        return (found / self.counts if self.mean else found).reshape(len(a), -1)

    def reduced(self, a: Numbers) -> Numbers:
        """Sums or largest values, ``(rows, *size_out, channels)``."""
        maps = a.reshape(len(a), *self.size_in, self.channels)
        join = np.add if self.mean else np.maximum
        found = maps[:, :: self.window[0], :: self.window[1]].copy()
        for y in range(self.window[0]):
            for x in range(self.window[1]):
                if y or x:
                    more = maps[:, y :: self.window[0], x :: self.window[1]]
                    part = found[:, : more.shape[1], : more.shape[2]]
                    join(part, more, out=part)
        return found

    def size(self, n_in: int) -> int:
        """``height * width * channels`` of the smaller map."""
        expected = self.size_in[0] * self.size_in[1] * self.channels
        if n_in != expected:
            raise unfit(expected, n_in)
        return self.size_out[0] * self.size_out[1] * self.channels

    def facts(self) -> dict[str, Any]:
        """Sizes, channels, window."""
        kind = "average_pool" if self.mean else "max_pool"
        return {"kind": kind, "size_in": self.size_in, "channels": self.channels, "window": self.window}

    def arrays(self) -> list[Whole]:
        """None."""
        return []


@final
class Residual(Layer):
    """``a`` and what some layers make of it, summed, clamped to ``[-limit, limit]``."""

    def __init__(self, layers: Sequence[Layer], limit: int) -> None:
        self.layers, self.limit = tuple(layers), limit

    def __call__(self, a: Numbers) -> Numbers:
        """Of any shape that its layers keep."""
        found = a.copy()
        for layer in self.layers:
            found = layer(found)
        found += a
        np.maximum(found, -self.limit, out=found)
        return np.minimum(found, self.limit, out=found)

    def size(self, n_in: int) -> int:
        """As many as it is given."""
        size = n_in
        for layer in self.layers:
            size = layer.size(size)
        if size != n_in:
            raise unfit(n_in, size)
        return n_in

    def facts(self) -> dict[str, Any]:
        """Its limit; its layers are written by themselves."""
        return {"kind": "residual", "limit": self.limit}

    def arrays(self) -> list[Whole]:
        """None of its own."""
        return []

"""Sound, each sample predicted from those before it by filters that travel along; what is left goes to the stack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.coding.distributions import SCALES_AN_OCTAVE, SMALLEST_BITS, Tables, with_open_ends
from isthmus.codec.coding.stack import Cumulative, Ints, Stack, pop_numbers, push_numbers

Reals = NDArray[np.float64]

STRETCH = 1 << 14
"""Frames of a stretch, which has filters of its own; the last of a piece may have fewer."""
SPAN = 256
"""Frames with a scale."""
ORDERS = (32, 128)
"""Frames that filters see, of which one is chosen."""
COEFFICIENT_BITS = 15
"""Of a coefficient, after the point."""
MOST_COEFFICIENT = 1 << 19
SCALE_STEP = 4
"""Scales are every fourth of the tables."""
OCTAVE = SCALES_AN_OCTAVE // SCALE_STEP
LARGEST_OCTAVE = SMALLEST_BITS + 6
"""Of a scale that numbers are coded with: with a larger one lower bits are kept as they are."""
MOST_SCALE = (SMALLEST_BITS + 24) * OCTAVE
MOST_NUMBER_BITS = 17
"""Of what is left of a sample, its lower bits aside."""
PART = 1 << 18
"""Numbers whose decisions of a level go to the stack together."""
MOST_SAMPLES = 1 << 24
MOST_CHANNELS = 8
MOST_SEEN, MOST_COEFFICIENTS = 256, 1 << 24
"""Samples before that a filter sees, and coefficients in all."""


@dataclass(frozen=True)
class Predicted:
    """What is stored of sound.

    Parameters
    ----------
    sample_bits
        Of a sample: filters give numbers modulo two to their power.
    number_bits
        Of what is left of a sample without its lower bits, 1 to 17: it lies from minus half of two to their power.
    coefficients
        ``(stretches, channels, order + 1, channels)``: of each channel of a stretch for frames from the farthest
        before to the own one, and for each channel.
    scales
        ``(stretches, spans, channels)``, every fourth of those of the tables.
    low
        Lower bits, the highest ones of all samples that have as many first.
    words
        Of the stack.
    """

    sample_bits: int
    number_bits: int
    coefficients: Ints
    scales: Ints
    low: NDArray[np.uint8]
    words: NDArray[np.uint32]


def n_stretches(n_pieces: int, n_frames: int) -> int:
    """How many all pieces have."""
    return n_pieces * -(-n_frames // STRETCH)


def n_spans(n_frames: int) -> int:
    """How many a stretch has, with those of the longest."""
    return -(-min(n_frames, STRETCH) // SPAN)


def is_suited(n_pieces: int, n_frames: int, n_channels: int, order: int) -> bool:
    """Whether pieces of this shape may have filters that see so many frames."""
    if not (n_pieces > 0 and n_frames >= SPAN and 1 <= n_channels <= MOST_CHANNELS):
        return False
    n = n_stretches(n_pieces, n_frames) * n_channels * n_channels * (order + 1)
    is_small = n_pieces * n_frames * n_channels <= MOST_SAMPLES and n <= MOST_COEFFICIENTS
    return is_small and order >= 1 and order * n_channels <= MOST_SEEN


def predicted(pieces: NDArray[Any], sample_bits: int) -> Predicted | None:
    """What is stored of pieces ``(n, frames, channels)``; None where they are none that filters suit.

    Filters are the least squares of what is left, in shares of its spread in each span.
    """
    n_pieces, n_frames, n_channels = pieces.shape
    orders = [order for order in ORDERS if is_suited(n_pieces, n_frames, n_channels, order)]
    if not orders:
        return None
    stretches, lengths = _stretches(pieces), _lengths(n_pieces, n_frames)
    coefficients = _best_filters(stretches, lengths, orders)
    if coefficients is None:
        return None
    left = _wrapped(stretches - _told(stretches, coefficients), sample_bits)
    scales, is_there = _scales(left, lengths), _is_there(lengths, left.shape)
    own, numbers = _of_each(scales, left.shape)[is_there], left[is_there]
    low = _n_low(own)
    high = numbers >> low
    number_bits = max(2, int(max(high.max(), -high.min() - 1)).bit_length() + 1)
    if number_bits > MOST_NUMBER_BITS:
        return None
    stack, high = Stack(np.zeros(0, np.uint32)), high + (1 << number_bits - 1)
    for start in reversed(range(0, len(high), PART)):
        part = slice(start, start + PART)
        push_numbers(stack, high[part], _mass(own[part], number_bits), number_bits)
    return Predicted(sample_bits, number_bits, coefficients, scales, _low_packed(numbers, low), stack.words())


def restored(stored: Predicted, n_pieces: int, n_frames: int, n_channels: int) -> Ints:
    """The pieces again.

    Raises
    ------
    ValueError
        Scales or coefficients that are too large, or other lower bits than samples have.
    """
    if stored.scales.max() > MOST_SCALE or abs(stored.coefficients).max() >= MOST_COEFFICIENT:
        raise ValueError("filters of sound that are none")
    lengths = _lengths(n_pieces, n_frames)
    shape = len(lengths), min(n_frames, STRETCH), n_channels
    is_there, n_bits = _is_there(lengths, shape), stored.number_bits
    own = _of_each(stored.scales, shape)[is_there]
    stack, high = Stack.opened(stored.words), list[Ints]()
    for start in range(0, len(own), PART):
        part = own[start : start + PART]
        high.append(pop_numbers(stack, part.shape, _mass(part, n_bits), n_bits) - (1 << n_bits - 1))
    low, left = _n_low(own), np.zeros(shape, np.int64)
    left[is_there] = (np.concatenate(high) << low) + _low_unpacked(stored.low, low)
    samples = _filtered(left, stored.coefficients, stored.sample_bits)
    return samples.reshape(n_pieces, -1, n_channels)[:, :n_frames]


def _n_low(scales: Ints) -> Ints:
    """How many lower bits a number has that are kept as they are."""
    return np.maximum(scales // OCTAVE - LARGEST_OCTAVE, 0)


def _low_packed(numbers: Ints, n_low: Ints) -> NDArray[np.uint8]:
    bits = [numbers[n_low > bit] >> bit & 1 for bit in reversed(range(int(n_low.max(initial=0))))]
    return np.packbits(np.concatenate([*bits, np.zeros(0, np.int64)]).astype(np.uint8))


def _low_unpacked(low: NDArray[np.uint8], n_low: Ints) -> Ints:
    bits, found, at = np.unpackbits(low), np.zeros(len(n_low), np.int64), 0
    if len(low) != -(-int(n_low.sum()) // 8):
        raise ValueError("other lower bits than numbers have")
    for bit in reversed(range(int(n_low.max(initial=0)))):
        has = n_low > bit
        n = int(has.sum())
        found[has] += bits[at : at + n].astype(np.int64) << bit
        at += n
    return found


def _stretches(pieces: NDArray[Any]) -> Ints:
    """Pieces cut into stretches, ``(stretches, frames, channels)``, with zeros after their ends."""
    n_pieces, n_frames, n_channels = pieces.shape
    size = min(n_frames, STRETCH)
    n = -(-n_frames // size)
    whole = np.zeros((n_pieces, n * size, n_channels), np.int64)
    whole[:, :n_frames] = pieces
    return whole.reshape(n_pieces * n, size, n_channels)


def _lengths(n_pieces: int, n_frames: int) -> Ints:
    """Frames of each stretch."""
    size = min(n_frames, STRETCH)
    return np.tile(np.minimum(size, n_frames - np.arange(0, n_frames, size)), n_pieces)


def _is_there(lengths: Ints, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.broadcast_to((np.arange(shape[1]) < lengths[:, None])[..., None], shape)


def _of_each(scales: Ints, shape: tuple[int, ...]) -> Ints:
    """The scale of each sample."""
    return np.repeat(scales, SPAN, axis=1)[:, : shape[1]]


def _mass(scales: Ints, number_bits: int) -> Cumulative:
    tables, inner = Tables.made(), (scales - _n_low(scales) * OCTAVE) * SCALE_STEP
    means = (1 << number_bits) + (
        _n_low(scales) == 0
    )  # a number begins half before itself, with lower bits at itself

    def below(numbers: Ints) -> Ints:
        return tables.logistic[tables.places(numbers << 1, means, inner, 1)]

    return with_open_ends(below, 1 << number_bits)


def _scales(left: Ints, lengths: Ints) -> Ints:
    """Of each span the scale of a logistic distribution whose numbers are as far from 0 as its own."""
    n, size, n_channels = left.shape
    spans = -(-size // SPAN)
    far = np.zeros((n, spans * SPAN, n_channels))
    far[:, :size] = np.abs(left) * _is_there(lengths, left.shape)
    counts = np.clip(lengths[:, None] - np.arange(spans) * SPAN, 1, SPAN)[..., None]
    means = far.reshape(n, spans, SPAN, n_channels).sum(axis=2) / counts
    numbers = (np.log2(means / (2 * math.log(2)) + 0.05) + SMALLEST_BITS) * OCTAVE
    return np.clip(np.rint(numbers), 0, MOST_SCALE).astype(np.int64)


def _wrapped(values: Ints, bits: int) -> Ints:
    """Values modulo two to the power of ``bits``, from minus half of that."""
    half = 1 << bits - 1
    return (values + half & (1 << bits) - 1) - half


def _windows(stretches: Ints, order: int) -> Ints:
    """Of each frame those that filters see, and its own, ``(stretches, frames, order + 1, channels)``."""
    n, size, n_channels = stretches.shape
    padded = np.zeros((n, order + size, n_channels), np.int64)
    padded[:, order:] = stretches
    return np.lib.stride_tricks.sliding_window_view(padded, order + 1, axis=1).swapaxes(2, 3)


def _best_filters(stretches: Ints, lengths: Ints, orders: list[int]) -> Ints | None:
    """Coefficients of all stretches, of the order with which they leave least; None where all are too large."""
    best, least = None, math.inf
    for order in orders:
        found = [_filters(one[:n], order) for one, n in zip(stretches, lengths.tolist(), strict=True)]
        coefficients, bits = np.stack([own for own, _ in found]), sum(bits for _, bits in found)
        if bits < least and abs(coefficients).max() < MOST_COEFFICIENT:
            best, least = coefficients, bits
    return best


def _filters(stretch: Ints, order: int) -> tuple[Ints, float]:
    """Coefficients of a stretch ``(frames, channels)``, as whole numbers, and about how many bits all takes."""
    n, n_channels = stretch.shape
    found, bits = np.zeros((n_channels, order + 1, n_channels)), 0.0
    windows = _windows(stretch[None], order)[0].reshape(n, -1).astype(np.float64)
    for channel in range(n_channels):
        n_used = order * n_channels + channel
        x, y = windows[:, :n_used], stretch[:, channel].astype(np.float64)
        solved = _least_squares(x, y, np.ones(n))
        solved = _least_squares(x, y, np.repeat(1 / (_spreads(y - x @ solved) + 0.5) ** 2, SPAN)[:n])
        spans = _spreads(y - x @ solved)
        found[channel].reshape(-1)[:n_used] = solved
        bits += SPAN * float(np.log2(spans + 0.5).sum()) + COEFFICIENT_BITS * n_used
    return np.rint(found * (1 << COEFFICIENT_BITS)).astype(np.int64), bits


def _least_squares(x: Reals, y: Reals, weights: Reals) -> Reals:
    """Coefficients of columns of x that leave the least of y, rows weighed."""
    weighted = x * weights[:, None]
    square = weighted.T @ x
    square[np.diag_indices_from(square)] += 1e-9 * np.trace(square) / len(square) + 1e-6
    return np.asarray(np.linalg.solve(square, weighted.T @ y), np.float64)


def _spreads(left: Reals) -> Reals:
    """Mean size of what is left, of each span."""
    return np.add.reduceat(np.abs(left), np.arange(0, len(left), SPAN)) / SPAN


def _told(stretches: Ints, coefficients: Ints) -> Ints:
    """What filters tell of each sample."""
    told, seen = np.zeros_like(stretches), _windows(stretches, coefficients.shape[2] - 1)
    for at in range(stretches.shape[1]):
        told[:, at] = np.einsum("nkc,ndkc->nd", seen[:, at], coefficients)
    return _shifted(told)


def _shifted(sums: Ints) -> Ints:
    return sums + (1 << COEFFICIENT_BITS - 1) >> COEFFICIENT_BITS


def _filtered(left: Ints, coefficients: Ints, sample_bits: int) -> Ints:
    """Samples of what is left of them, frame by frame, all stretches side by side."""
    n, size, n_channels = left.shape
    order = coefficients.shape[2] - 1
    samples = np.zeros((n, order + size, n_channels), np.int64)
    for at in range(size):
        seen = samples[:, at : at + order + 1]
        for channel in range(n_channels):
            told = _shifted(np.einsum("nkc,nkc->n", seen, coefficients[:, channel]))
            seen[:, order, channel] = _wrapped(left[:, at, channel] + told, sample_bits)
    return samples[:, order:]

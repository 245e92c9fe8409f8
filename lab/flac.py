"""Reads FLAC files of one channel: what the experiment on notes needs, and nothing that plays.

RFC 9639; every file is checked against the digest that it carries.
"""

from __future__ import annotations

import hashlib
from operator import mul
from pathlib import Path

import numpy as np

BLOCK_SIZES = {
    1: 192,
    **{code: 576 << (code - 2) for code in range(2, 6)},
    **{code: 1 << code for code in range(8, 16)},
}
FIXED = ([], [1], [2, -1], [3, -3, 1], [4, -6, 4, -1])
"""Coefficients of the fixed predictors, latest sample first."""


class Bits:
    """Reads numbers of any width from bytes, most significant bit first."""

    def __init__(self, data: bytes, at: int) -> None:
        self.at = 8 * at
        bits = np.unpackbits(np.frombuffer(data, np.uint8))
        ones = np.flatnonzero(bits)
        places = np.searchsorted(ones, np.arange(len(bits)))
        self._next_one = np.append(ones, len(bits))[places].tolist()
        padded = np.concatenate([bits, np.zeros(32, np.uint8)])
        word = np.zeros(len(bits), np.uint32)
        for shift in range(32):
            word |= padded[shift : shift + len(bits)].astype(np.uint32) << np.uint32(31 - shift)
        self._words = word.tolist()

    def unsigned(self, width: int) -> int:
        """At most 32 bits."""
        if width == 0:
            return 0
        value = self._words[self.at] >> (32 - width)
        self.at += width
        return value

    def signed(self, width: int) -> int:
        value = self.unsigned(width)
        return value - (1 << width) if width and value >> (width - 1) else value

    def unary(self) -> int:
        """Zeros before the next one, which is read too."""
        place = self._next_one[self.at]
        zeros = place - self.at
        self.at = place + 1
        return zeros

    def rice(self, parameter: int, n: int) -> list[int]:
        """``n`` numbers, each a quotient in unary and a remainder of ``parameter`` bits; even ones are positive."""
        at, words, next_one, found = self.at, self._words, self._next_one, []
        for _ in range(n):
            place = next_one[at]
            value = place - at
            at = place + 1
            if parameter:
                value = value << parameter | words[at] >> (32 - parameter)
                at += parameter
            found.append(value >> 1 if value & 1 == 0 else -(value >> 1) - 1)
        self.at = at
        return found

    def align(self) -> None:
        self.at = -(-self.at // 8) * 8


def read_flac(path: Path) -> tuple[int, np.ndarray]:
    """Samples a second, and the samples in [-1, 1), ``(samples,)``."""
    data = path.read_bytes()
    if data[:4] != b"fLaC":
        raise ValueError(f"{path.name}: is no FLAC file")
    at, last, info = 4, False, b""
    while not last:
        last, kind, length = bool(data[at] & 128), data[at] & 127, int.from_bytes(data[at + 1 : at + 4])
        info = data[at + 4 : at + 4 + length] if kind == 0 else info
        at += 4 + length
    facts = int.from_bytes(info[10:18])
    rate, channels, depth, n = (
        facts >> 44,
        (facts >> 41 & 7) + 1,
        (facts >> 36 & 31) + 1,
        facts & ((1 << 36) - 1),
    )
    if channels != 1 or depth != 16:
        raise ValueError(f"{path.name}: expected one channel of 16 bits, got {channels} of {depth}")
    bits, samples = Bits(data, at), list[int]()
    while len(samples) < n:
        samples += _frame(bits, depth)
    values = np.array(samples[:n], "<i2")
    if hashlib.md5(values.tobytes()).digest() != info[18:34]:
        raise ValueError(f"{path.name}: does not hold what its digest says")
    return rate, values.astype(np.float32) / 32768


def _frame(bits: Bits, depth: int) -> list[int]:
    if bits.unsigned(15) != 0b111111111111100:
        raise ValueError("FLAC: a frame does not begin where it should")
    bits.unsigned(1)
    size_code, rate_code = bits.unsigned(4), bits.unsigned(4)
    bits.unsigned(8)
    first = bits.unsigned(8)
    for _ in range(max(0, 8 - (~first & 0xFF).bit_length() - 1)):  # ones that lead, less the first byte's own
        bits.unsigned(8)
    size = bits.unsigned(8 * (size_code - 5)) + 1 if size_code in (6, 7) else BLOCK_SIZES[size_code]
    bits.unsigned({12: 8, 13: 16, 14: 16}.get(rate_code, 0))
    bits.unsigned(8)
    found = _subframe(bits, size, depth)
    bits.align()
    bits.unsigned(16)
    return found


def _subframe(bits: Bits, n: int, depth: int) -> list[int]:
    bits.unsigned(1)
    kind = bits.unsigned(6)
    wasted = bits.unary() + 1 if bits.unsigned(1) else 0
    depth -= wasted
    if kind == 0:
        found = [bits.signed(depth)] * n
    elif kind == 1:
        found = [bits.signed(depth) for _ in range(n)]
    elif 8 <= kind <= 12:
        found = [bits.signed(depth) for _ in range(kind - 8)]
        _predict(found, _residual(bits, n, kind - 8), FIXED[kind - 8], 0)
    else:
        order = kind - 31
        found = [bits.signed(depth) for _ in range(order)]
        width, shift = bits.unsigned(4) + 1, bits.signed(5)
        coefficients = [bits.signed(width) for _ in range(order)]
        _predict(found, _residual(bits, n, order), coefficients, shift)
    return [value << wasted for value in found] if wasted else found


def _residual(bits: Bits, n: int, order: int) -> list[int]:
    width = 4 + bits.unsigned(2)
    parts = 1 << bits.unsigned(4)
    found: list[int] = []
    for part in range(parts):
        count = n // parts - (order if part == 0 else 0)
        parameter = bits.unsigned(width)
        if parameter == (1 << width) - 1:
            raw = bits.unsigned(5)
            found += [bits.signed(raw) for _ in range(count)]
        else:
            found += bits.rice(parameter, count)
    return found


def _predict(found: list[int], residual: list[int], coefficients: list[int], shift: int) -> None:
    order, backwards = len(coefficients), coefficients[::-1]
    for error in residual:
        past = found[len(found) - order :]
        found.append(error + (sum(map(mul, backwards, past)) >> shift))

"""Whole numbers to bytes: the upper bits by Huffman's code, the lower ones, which are chance, as they are."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]

HEAD = struct.Struct("<BI")
"""Number of lower bits; bytes of the upper ones, packed."""

N_UPPER = 7
"""The upper part of a number is held within ``[-2^7, 2^7)``."""


class Reader:
    """Takes bytes from the front.

    Raises
    ------
    ValueError
        Where they end too soon, or are no packed numbers.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def n_left(self) -> int:
        """Bytes that nobody took yet."""
        return len(self._data) - self._at

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if n > self.n_left:
            raise ValueError(f"it ends {n - self.n_left:,} bytes too soon")
        self._at += n
        return self._data[self._at - n : self._at]

    def numbers(self, n: int) -> Whole:
        """The next n numbers, as :func:`packed` wrote them."""
        n_lower, n_packed = HEAD.unpack(self.take(HEAD.size))
        if n_lower > 56:
            raise ValueError("its numbers have more than 64 bits")
        inflate = zlib.decompressobj()
        try:
            upper = inflate.decompress(self.take(n_packed), n + 1)
        except zlib.error:
            raise ValueError("its numbers cannot be unpacked") from None
        if len(upper) != n or not inflate.eof or inflate.unused_data:
            raise ValueError("it holds fewer or more numbers than its header tells of")
        values = np.frombuffer(upper, np.int8).astype(np.int64)
        if not n_lower:
            return values
        bits = np.frombuffer(self.take(-(-n * n_lower // 8)), np.uint8)
        return (values << n_lower) | _whole(np.unpackbits(bits, count=n * n_lower).reshape(n, n_lower))


def packed(values: Whole) -> bytes:
    """Bytes of whole numbers of any magnitude below 2^62; their count is not among them.

    Of each number v the lower r bits stand as they are, most significant first, in a row of bits that
    is filled up to whole bytes; the upper ones, ``floor(v / 2^r)``, are one signed byte each,
    deflated. r is as small as these bytes allow.

    >>> data = packed(np.array([3, -700, 12]))
    >>> Reader(data).numbers(3)
    array([   3, -700,   12])
    """
    largest = max(int(values.max()), -int(values.min()) - 1) if values.size else 0
    n_lower = max(0, largest.bit_length() - N_UPPER)
    upper = (values >> n_lower).astype(np.int8).tobytes()
    deflated = min((_deflated(upper, strategy) for strategy in STRATEGIES), key=len)
    lower = np.empty((len(values), n_lower), np.uint8)
    for column in range(n_lower):
        lower[:, column] = values >> (n_lower - 1 - column) & 1
    return HEAD.pack(n_lower, len(deflated)) + deflated + np.packbits(lower).tobytes()


STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)


def _deflated(data: bytes, strategy: int) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return deflate.compress(data) + deflate.flush()


def _whole(bits: NDArray[np.uint8]) -> Whole:
    """The numbers of ``(n, r)`` bits, most significant first."""
    values = np.zeros(len(bits), np.int64)
    for column in bits.T:
        values = values << 1 | column
    return values

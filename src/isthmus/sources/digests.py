"""128 bits of each row, so that equal rows are found without a comparison of every two."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.sources.base import Source
from isthmus.sources.check import check_rows

BLOCK = 4096
WORDS = 1 << 16
"""Words of 8 bytes that are worked on at a time: they stay in a processor's cache."""
Digests = tuple[NDArray[np.uint64], NDArray[np.uint64]]


def row_digests(
    source: Source, who: str, labels: NDArray[Any] | None = None, *, allows_gaps: bool = False
) -> Digests:
    r"""Two words for each row, ``(rows,)`` each: equal for equal rows, different for all others but by chance.

    Of a row's words :math:`w_i` of 8 bytes each is mixed with a constant of its place, :math:`m_i = mix(w_i
    \oplus c_i)`, by the finaliser of MurmurHash3 (Appleby 2011), and both digests are sums modulo
    :math:`2^{64}`: :math:`\sum_i m_i` and :math:`\sum_i d_i m_i` with odd constants. Two given rows collide with
    a probability of about :math:`2^{-128}`; whoever chooses rows to collide can make them.

    Every row is finite, or where ``allows_gaps`` NaN is a gap, whichever NaN it is; -0.0 is 0.0. ``labels`` are
    a part of their rows.

    Raises
    ------
    DataError
        On infinity, and on NaN where it is no gap.
    """
    first, second = np.empty((2, len(source)), np.uint64)
    names = None if labels is None else _label_words(labels)
    for start in range(0, len(source), BLOCK):
        rows = slice(start, min(start + BLOCK, len(source)))
        block: NDArray[Any] = source.read(rows)
        check_rows(block, who, first_row=start, allows_gaps=allows_gaps)
        words = _words(block)
        if names is not None:
            words = np.concatenate([words, names[rows, None]], axis=1)
        step = max(1, WORDS // words.shape[1])
        for at in range(0, len(words), step):
            part = slice(start + at, start + min(at + step, len(words)))
            first[part], second[part] = _digests(words[at : at + step])
    return first, second


def _words(block: NDArray[Any]) -> NDArray[np.uint64]:
    """Rows as words of 8 bytes, the last one filled up with zeros."""
    flat = block.reshape(len(block), -1)
    if flat.dtype.kind == "f":
        flat = flat + flat.dtype.type(0.0)  # -0.0 is 0.0
        gaps = np.isnan(flat)
        if gaps.any():
            flat[gaps] = np.nan
    width = flat.shape[1] * flat.itemsize
    if width % 8 == 0:
        return np.ascontiguousarray(flat).view(np.uint64)
    filled = np.zeros((len(flat), -(-width // 8) * 8), np.uint8)
    filled[:, :width] = np.ascontiguousarray(flat).view(np.uint8)
    return filled.view(np.uint64)


def _digests(words: NDArray[np.uint64]) -> Digests:
    places, factors = _constants(words.shape[1])
    mixed = words ^ places
    for shift, factor in ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(33)
    first = mixed.sum(axis=1, dtype=np.uint64)
    mixed *= factors
    return first, mixed.sum(axis=1, dtype=np.uint64)


@lru_cache(4)
def _constants(n_words: int) -> Digests:
    """Constants of each place, the same for ever; those of the sum are odd."""
    stream = hashlib.shake_256(b"isthmus rows").digest(16 * n_words)
    places, factors = np.frombuffer(stream, "<u8").astype(np.uint64).reshape(2, n_words)
    return places, factors | np.uint64(1)


def _label_words(labels: NDArray[Any]) -> NDArray[np.uint64]:
    """A word for each label, of its text."""
    found, inverse = np.unique(labels, return_inverse=True)
    digests = [hashlib.blake2b(str(label).encode(), digest_size=8).digest() for label in found]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)[inverse.ravel()]

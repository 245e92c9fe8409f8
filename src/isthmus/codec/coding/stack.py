"""The entropy coder: a stack of binary decisions, and whole numbers as such decisions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from constriction import stream  # pyright: ignore
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint32]
Cumulative = Callable[[Ints], Ints]
"""Of each number, the mass below it; strictly growing, whole, one distribution a place."""

SHARE_BITS = 16
WHOLE = 1 << SHARE_BITS
"""Probabilities of decisions are whole shares of this, from 1 to ``WHOLE - 1``."""

_BINARY = stream.model.Bernoulli(perfect=False)


class Stack:
    """A stack of bits: what is pushed with a probability takes its information, what is popped gives it back.

    Popping with a distribution that nothing was pushed with draws from it, at the cost of as many bits of what lies
    below: the "bits back" of Townsend et al. (2019). Range asymmetric numeral systems (Duda 2014) as in
    ``constriction`` (Bamler 2022): words of 32 bits, a state of 64, probabilities of 24 bits.

    Parameters
    ----------
    words
        What lies below at first; :meth:`words` gives it back when all that was pushed is popped.

    Examples
    --------
    >>> stack = Stack(np.array([3, 1, 4], np.uint32))
    >>> likely = np.array([60_000, 60_000, 9_000])
    >>> stack.push(np.array([1, 1, 0]), likely)
    >>> stack.pop(likely).tolist(), stack.below().tolist()
    ([1, 1, 0], [3, 1, 4])
    """

    def __init__(self, words: Words) -> None:
        self._coder = stream.stack.AnsCoder(np.ascontiguousarray(words, np.uint32), seal=True)

    @classmethod
    def opened(cls, words: Words) -> Stack:
        """The stack whose :meth:`words` these are."""
        stack = cls.__new__(cls)
        stack._coder = stream.stack.AnsCoder(np.ascontiguousarray(words, np.uint32))
        return stack

    @property
    def n_bits(self) -> int:
        """Bits that can be popped."""
        return int(self._coder.num_valid_bits())

    def push(self, decisions: NDArray[np.integer], ones: Ints) -> None:
        """Push zeros and ones, each with its share of ones of 65,536; :meth:`pop` gives them in this order."""
        self._coder.encode_reverse(
            np.ascontiguousarray(decisions, np.int32).ravel(), _BINARY, np.ravel(ones) / WHOLE
        )

    def pop(self, ones: Ints) -> NDArray[np.int64]:
        """Zeros and ones of the shape of their shares."""
        popped = self._coder.decode(_BINARY, np.ravel(ones) / WHOLE)
        return popped.astype(np.int64).reshape(np.shape(ones))

    def words(self) -> Words:
        """The whole stack."""
        return self._coder.get_compressed()

    def below(self) -> Words:
        """What lay below at first; all that was pushed must have been popped."""
        return self._coder.get_compressed(unseal=True)


def push_numbers(stack: Stack, numbers: Ints, cumulative: Cumulative, n_levels: int) -> None:
    """Push whole numbers below ``2**n_levels``: which half, then which half of that, and so on.

    Parameters
    ----------
    stack
        Where to.
    numbers
        Of any shape.
    cumulative
        Given an array of that shape, the mass below each of its numbers, from 0 to ``2**n_levels``.
    n_levels
        Halvings.
    """
    taken = [numbers >> level & 1 for level in reversed(range(n_levels))]
    shares = _Shares(numbers.shape, cumulative, n_levels)
    for decisions, ones in reversed([(each, shares.next(each)) for each in taken]):
        stack.push(decisions, ones)


def pop_numbers(stack: Stack, shape: tuple[int, ...], cumulative: Cumulative, n_levels: int) -> Ints:
    """The numbers that :func:`push_numbers` pushed, or draws from the distribution."""
    shares = _Shares(shape, cumulative, n_levels)
    for _ in range(n_levels):
        shares.next(stack.pop)
    return shares.start


class _Shares:
    """The way down: of the stretch that each number lies in, the share of its second half."""

    def __init__(self, shape: tuple[int, ...], cumulative: Cumulative, n_levels: int) -> None:
        self._cumulative = cumulative
        self._half = 1 << n_levels
        self.start = np.zeros(shape, np.int64)
        self._low, self._high = cumulative(self.start), cumulative(self.start + self._half)

    def next(self, decide: Ints | Callable[[Ints], Ints]) -> Ints:
        """The shares, and one level down, into the halves that are decided upon (given the shares)."""
        self._half >>= 1
        middle = self._cumulative(self.start + self._half)
        mass = self._high - self._low
        ones = np.clip(((self._high - middle) * WHOLE + mass // 2) // mass, 1, WHOLE - 1)
        decisions = decide(ones) if callable(decide) else decide
        self.start = self.start + decisions * self._half
        self._low = np.where(decisions, middle, self._low)
        self._high = np.where(decisions, self._high, middle)
        return ones

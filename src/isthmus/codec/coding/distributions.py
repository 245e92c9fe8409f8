"""Distributions in whole numbers: tables and shifts in place of functions, so that they are the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

import numpy as np

from isthmus.codec.coding.stack import WHOLE, Cumulative, Ints

PLACE_BITS = 8
"""Bits after the point of a place in a table: 256 entries a scale."""
ENDS = 12
"""Scales from the middle to where tables end."""
MASS = 1 << 24
"""The mass of a table; each number has one more by itself, so that none has none."""
SMALLEST_BITS = 8
"""The smallest scale is 2^-8."""
SCALES_AN_OCTAVE = 16
N_SCALES = 320
"""Scales are ``2^(number / 16 - 8)``."""
UNIT_SCALE = SMALLEST_BITS * SCALES_AN_OCTAVE
"""Number of the scale 1."""
_SCALES_A_NAT = 1_512_775
"""``2^16 * 16 / ln 2``."""
_STEP_BITS = 30


_POINT = 64
"""Bits after the point of the numbers that tables are made with."""
_DOWN_A_PLACE = 18_374_827_034_086_858_297
"""``2^64 exp(-1 / 2^8)``."""
_FIRST_SLOPE, _SLOPE = 18_446_603_336_758_065_835, 18_446_462_600_880_313_685
"""``2^64 exp(-1 / 2^17)`` and its square: ratios of ``exp(-x^2 / 2)`` from place to place, and of these."""
_DOWN_A_SCALE = 17_664_662_643_191_237_676
"""``2^64 2^(-1 / 16)``."""


@dataclass(frozen=True)
class Tables:
    """What stands in place of functions; made by whole numbers alone, the same on every machine.

    Parameters
    ----------
    normal, logistic
        Cumulative distributions in shares of :data:`MASS`, at ``entry / 2^8 - 12``.
    shares
        ``sigmoid`` at the same places, in shares of :data:`~isthmus.codec.coding.stack.WHOLE`.
    exponents
        ``exp(entry / 2^8 - 12)`` in shares of :data:`MASS`, at the places to 0.
    steps
        ``2^30 2^(-number / 16)``: of a scale, what a step of 1 is on the line of a table.

    Examples
    --------
    >>> tables = Tables.made()
    >>> int(tables.normal[ENDS << PLACE_BITS]) == MASS // 2
    True
    """

    normal: Ints
    logistic: Ints
    shares: Ints
    exponents: Ints
    steps: Ints

    @classmethod
    @cache
    def made(cls) -> Tables:
        """The one that there is: products of whole numbers with 64 bits after the point, rounded down."""
        one, n = 1 << _POINT, ENDS << PLACE_BITS
        falling = _powers(one, _DOWN_A_PLACE, n + 1)
        sigmoid = [e * one // (one + e) for e in reversed(falling)]
        sigmoid += [one - below for below in reversed(sigmoid[:-1])]
        slopes = _powers(_FIRST_SLOPE, _SLOPE, n)
        bell = [one]
        for slope in slopes:
            bell.append(bell[-1] * slope >> _POINT)
        area = [0, *accumulate(first + second for first, second in pairwise(reversed(bell)))]
        area += [2 * area[-1] - below for below in reversed(area[:-1])]
        return cls(
            np.array([MASS * below // area[-1] for below in area]),
            np.array([MASS * below >> _POINT for below in sigmoid]),
            np.array([min(max(WHOLE * below >> _POINT, 1), WHOLE - 1) for below in sigmoid]),
            np.array([MASS * e >> _POINT for e in reversed(falling)]),
            np.array([step >> _POINT - _STEP_BITS for step in _powers(one, _DOWN_A_SCALE, N_SCALES)]),
        )

    def ones(self, logits: Ints, point: int) -> Ints:
        """Shares of ones, given whole logits with ``point`` bits after the point."""
        places = _shifted(logits, point - PLACE_BITS) + (ENDS << PLACE_BITS)
        return self.shares[np.clip(places, 0, len(self.shares) - 1)]

    def powers(self, logits: Ints, point: int, axis: int) -> Ints:
        """``exp`` of whole logits with ``point`` bits after the point, beside the largest along an axis."""
        places = _shifted(logits - logits.max(axis=axis, keepdims=True), point - PLACE_BITS)
        return self.exponents[np.maximum(places + (ENDS << PLACE_BITS), 0)]

    def places(self, edges: Ints, means: Ints, scales: Ints, point: int) -> Ints:
        """Entries of :attr:`normal` or :attr:`logistic` for edges and means with ``point`` bits after the point."""
        places = (edges - means) * self.steps[scales] >> point + _STEP_BITS - SMALLEST_BITS - PLACE_BITS
        return np.clip(places + (ENDS << PLACE_BITS), 0, len(self.normal) - 1)


def with_open_ends(below: Cumulative, n: int | Ints) -> Cumulative:
    """The mass below each of the numbers 0 to n, all of them between the ends, and one for each by itself.

    ``below`` gives shares of :data:`MASS`; ``n`` may be another one for each number.
    """

    def cumulative(numbers: Ints) -> Ints:
        inner = below(numbers) + numbers
        return np.where(numbers <= 0, 0, np.where(numbers >= n, MASS + n, inner))

    return cumulative


def scale_numbers(log_scales: Ints, point: int) -> Ints:
    """The number of the scale next to each, given whole logarithms with ``point`` bits after the point."""
    numbers = (log_scales * _SCALES_A_NAT + (1 << point + 15)) >> point + 16
    return np.clip(numbers + UNIT_SCALE, 0, N_SCALES - 1)


def _shifted(values: Ints, bits: int) -> Ints:
    return values >> bits if bits >= 0 else values << -bits


def _powers(first: int, factor: int, n: int) -> list[int]:
    """Numbers from ``first`` on, each the one before it times ``factor / 2^64``, rounded down."""
    return list(accumulate(range(n - 1), lambda power, _: power * factor >> _POINT, initial=first))

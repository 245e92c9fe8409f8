"""Distributions in whole numbers: tables and shifts in place of functions, so that they are the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from isthmus.codec.stack import WHOLE, Ints

PLACE_BITS = 8
"""Bits after the point of a place in a table: 256 entries a scale."""
ENDS = 12
"""Scales from the middle to where tables end."""
MASS = 1 << 24
"""The mass of a table; each number has one more by itself, so that none has none."""
SMALLEST_BITS = 8
"""The smallest scale is 2^-8."""
SCALES_AN_OCTAVE = 16
N_SCALES = 256
"""Scales are ``2^(number / 16 - 8)``."""
UNIT_SCALE = SMALLEST_BITS * SCALES_AN_OCTAVE
"""Number of the scale 1."""
_SCALES_A_NAT = round(SCALES_AN_OCTAVE / np.log(2) * (1 << 16))
_STEP_BITS = 30


@dataclass(frozen=True)
class Tables:
    """What stands in an archive in place of functions: written once, read by every environment.

    Parameters
    ----------
    normal, logistic
        Cumulative distributions in shares of :data:`MASS`, at ``entry / 2^8 - 12``.
    shares
        ``sigmoid`` at the same places, in shares of :data:`~isthmus.codec.stack.WHOLE`.
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
    steps: Ints

    @classmethod
    def made(cls) -> Tables:
        """Those of this environment; another's could differ in a last digit, which is why files carry them."""
        places = np.arange(2 * ENDS * (1 << PLACE_BITS) + 1) / (1 << PLACE_BITS) - ENDS
        return cls(
            np.rint(MASS * ndtr(places)).astype(np.int64),
            np.rint(MASS * expit(places)).astype(np.int64),
            np.clip(np.rint(WHOLE * expit(places)), 1, WHOLE - 1).astype(np.int64),
            np.rint(np.exp2(-np.arange(N_SCALES) / SCALES_AN_OCTAVE) * (1 << _STEP_BITS)).astype(np.int64),
        )

    def ones(self, logits: Ints, point: int) -> Ints:
        """Shares of ones, given whole logits with ``point`` bits after the point."""
        places = _shifted(logits, point - PLACE_BITS) + (ENDS << PLACE_BITS)
        return self.shares[np.clip(places, 0, len(self.shares) - 1)]

    def located(
        self, table: Ints, means: Ints, scales: Ints, *, point: int, first: int, width: int, n_levels: int
    ) -> Callable[[Ints], Ints]:
        """The mass below each number of ``2**n_levels`` cells of a line, whose ends are open.

        Parameters
        ----------
        table
            :attr:`normal` or :attr:`logistic`.
        means
            Whole numbers with ``point`` bits after the point.
        scales
            Numbers of scales.
        point
            Bits after the point of all three that follow.
        first, width
            Where cell 0 begins, and how wide each is.
        n_levels
            Halvings to a cell.
        """
        steps = self.steps[scales]
        n, top, down = 1 << n_levels, MASS + (1 << n_levels), point + _STEP_BITS - SMALLEST_BITS - PLACE_BITS
        begin = first - means

        def below(numbers: Ints) -> Ints:
            places = (numbers * width + begin) * steps >> down
            inner = table[np.clip(places + (ENDS << PLACE_BITS), 0, len(table) - 1)] + numbers
            return np.where(numbers <= 0, 0, np.where(numbers >= n, top, inner))

        return below


def scale_numbers(log_scales: Ints, point: int) -> Ints:
    """The number of the scale next to each, given whole logarithms with ``point`` bits after the point."""
    numbers = (log_scales * _SCALES_A_NAT + (1 << point + 15)) >> point + 16
    return np.clip(numbers + UNIT_SCALE, 0, N_SCALES - 1)


def _shifted(values: Ints, bits: int) -> Ints:
    return values >> bits if bits >= 0 else values << -bits

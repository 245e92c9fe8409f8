"""How many decimals the numbers of a column have, and numbers brought to them.

Decimal fractions are no sums of powers of two: that a number has two decimals means that it is the nearest of
its type to a fraction with two. Rounding so leaves it as it is, bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isthmus.schema import MOST_DECIMALS

_SHORTER = {"float": np.float32, "halffloat": np.float16}
"""Arrow's names of the types with fewer digits than a row has."""
_FIRST = 1000


def decimals_of(values: NDArray[np.float64], dtype: str) -> int | None:
    """The fewest decimals that tell all values of a column, or None where 6 do not.

    Parameters
    ----------
    values
        ``(rows,)``, finite, or NaN for gaps.
    dtype
        Arrow's name of the type that they came in.

    Examples
    --------
    >>> decimals_of(np.array([36.6, 37.25, np.nan]), "double"), decimals_of(np.array([1 / 3]), "double")
    (2, None)
    >>> decimals_of(np.array([0.1], np.float32).astype(np.float64), "float")
    1
    """
    there = values[~np.isnan(values)]
    decimals = 0
    for some in (there[:_FIRST], there):  # a column of any decimals is told from its first values
        while not np.array_equal(rounded(some, decimals, dtype), some):
            decimals += 1
            if decimals > MOST_DECIMALS:
                return None
    return decimals


def rounded(values: NDArray[np.float64], decimals: int, dtype: str) -> NDArray[np.float64]:
    """The numbers with so many decimals that are nearest to some values, as their type holds them; NaN stays.

    Values so large that float64 has no more decimals than these stay as they are.

    >>> rounded(np.array([63.217349, -0.04, 1e17 / 3]), 1, "double").tolist()
    [63.2, 0.0, 3.3333333333333332e+16]
    """
    small = np.abs(values) < 2.0**53 / 10.0**decimals
    found = np.round(np.where(small, values, 0.0), decimals) + 0.0  # no zero with a minus sign
    found = np.where(small, found, values)
    with np.errstate(over="ignore"):  # what the type cannot hold is clipped where it is written
        short = found.astype(_SHORTER.get(dtype, np.float64)).astype(np.float64)
    return np.where(np.isinf(short), found, short)

"""One unit of the code at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ParameterError
from isthmus.exploration.priors import Prior

LOWEST_SHARE = 0.025
"""Traversals go from this quantile to its mirror image: the middle 95 % of codes."""


def traversal(
    prior: Prior, base: NDArray[Any] | None, units: Sequence[int], n_steps: int
) -> NDArray[np.float64]:
    """Codes that differ in one unit, ``(units, n_steps, size)``.

    Parameters
    ----------
    prior
        Whose quantiles the unit goes through, evenly spaced from 2.5 to 97.5 %.
    base
        The code that is varied, ``(size,)``; None is the prior's mean.
    units
        Which units, counted from 0.
    n_steps
        How many codes a unit, at least 2.

    Raises
    ------
    ParameterError
        For a unit that is not there, or fewer than two steps.

    Examples
    --------
    >>> from isthmus.exploration.priors import StandardNormal
    >>> traversal(StandardNormal(2), None, [1], 3).round(2).tolist()
    [[[0.0, -1.96], [0.0, 0.0], [0.0, 1.96]]]
    """
    if n_steps < 2:
        raise ParameterError(f"traverse: steps must be at least 2, got {n_steps}. Try 7.")
    wrong = [unit for unit in units if not 0 <= unit < prior.size]
    if wrong:
        raise ParameterError(
            f"traverse: units must be in [0, {prior.size}), got {wrong[0]}; the first unit is 0."
        )
    start = prior.mean() if base is None else np.asarray(base, np.float64)
    values = prior.quantiles(np.linspace(LOWEST_SHARE, 1 - LOWEST_SHARE, n_steps).tolist())
    codes = np.tile(start, (len(units), n_steps, 1))
    for row, unit in enumerate(units):
        codes[row, :, unit] = values[:, unit]
    return codes

"""Mean, spread and ends of every column, in one pass over weighted blocks of rows."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray


@final
class Moments:
    r"""Weighted moments of each column, gathered block by block in float64.

    Two parts of weights :math:`a, b` and means :math:`m_a, m_b` merge, with :math:`d = m_b - m_a`, to

    .. math:: m = m_a + d\,\frac{b}{a + b}, \qquad S = S_a + S_b + d^2 \frac{a b}{a + b}

    where S is the weighted sum of squared deviations: no difference of large numbers is taken.
    A weight of k equals k repetitions of the row, and a row of weight 0 is not there.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979), equations 2.1.

    Parameters
    ----------
    n_columns
        Features of a row.

    Examples
    --------
    >>> moments = Moments(1)
    >>> moments.update(np.array([[1.0], [3.0]]))
    >>> moments.mean, moments.std
    (array([2.]), array([1.]))
    """

    def __init__(self, n_columns: int) -> None:
        self.weight = 0.0
        self.mean: NDArray[np.float64] = np.zeros(n_columns)
        self.low: NDArray[np.float64] = np.full(n_columns, np.inf)
        self.high: NDArray[np.float64] = np.full(n_columns, -np.inf)
        self._squares: NDArray[np.float64] = np.zeros(n_columns)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each column: the root of the mean squared deviation, without correction."""
        return np.sqrt(self._squares / self.weight)

    def update(self, rows: NDArray[Any], weights: NDArray[Any] | None = None) -> None:
        """Take in a block ``(rows, n_columns)`` with one weight a row, 1 each if None."""
        values = rows.astype(np.float64)
        w = np.ones(len(values)) if weights is None else weights.astype(np.float64)
        values, w = values[w > 0], w[w > 0]
        if len(values) == 0:
            return
        weight = float(w.sum())
        # A pivot from the block keeps the mean's own rounding from entering the squares.
        pivot = values[0]
        mean = pivot + (w @ (values - pivot)) / weight
        squares = w @ (values - mean) ** 2
        self._merge(weight, mean, squares)
        self.low = np.minimum(self.low, values.min(axis=0))
        self.high = np.maximum(self.high, values.max(axis=0))

    def _merge(self, weight: float, mean: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        total = self.weight + weight
        d = mean - self.mean if self.weight else np.zeros_like(mean)
        self._squares = self._squares + squares + d**2 * (self.weight * weight / total)
        self.mean = self.mean + d * (weight / total) if self.weight else mean
        self.weight = total

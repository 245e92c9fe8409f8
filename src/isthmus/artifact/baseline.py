"""What a model must be compared with: the mean row, and PCA at the same code size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Mean and principal axes of the training rows, in model units.

    Parameters
    ----------
    mean
        ``(n_values,)``
    components
        Orthonormal principal axes, ``(k, n_values)``, k the code size or, if smaller, the rank.
    """

    mean: Array
    components: Array

    def scores(self, x: Array) -> Array:
        """Principal components of ``(rows, *sample_shape)`` in model units, ``(rows, k)``; a gap, NaN, is the mean."""
        return _without_gaps(x.reshape(len(x), -1) - self.mean) @ self.components.T

    def reconstruct(self, x: Array) -> Array:
        """PCA's reconstruction of ``(rows, *sample_shape)`` in model units, of the same shape, without gaps."""
        rebuilt = (self.mean + self.scores(x) @ self.components).astype(np.float32, copy=False)
        return rebuilt.reshape(x.shape)

    def squared_errors(self, x: Array) -> tuple[Array, Array]:
        """Squared error of each row, summed over its values: PCA's, and the mean's; ``(rows,)`` each.

        Gaps are left out.
        """
        centred = x.reshape(len(x), -1) - self.mean
        gaps = np.isnan(centred)
        has_gaps = bool(gaps.any())
        if has_gaps:
            centred[gaps] = 0
        rest = centred - (centred @ self.components.T) @ self.components
        if has_gaps:
            rest[gaps] = 0
        pca, mean = (np.square(error, out=error).sum(axis=1) for error in (rest, centred))
        return pca, mean


def _without_gaps(difference: Array) -> Array:
    gaps = np.isnan(difference)
    return np.where(gaps, np.float32(0), difference) if gaps.any() else difference

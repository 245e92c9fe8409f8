"""The baselines that every figure stands beside: the mean row, and PCA at the same code size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, eigh

from isthmus.artifact import Baseline
from isthmus.cores import one_blas_thread

LARGEST_EXACT = 4096
"""Values a row, or rows, up to which PCA is exact; beyond, it is incremental."""
NO_VARIANCE = 1e-12
"""An axis whose variance is under this share of the largest is none: the rank ends there."""
BLOCK, BLOCK_VALUES = 4096, 1 << 18

_blas: Any = blas
Array = NDArray[np.float32]
Read = Callable[[slice], Array]
"""Gives the training rows in a slice, in model units, ``(n, *sample_shape)``."""


def fit_baseline(read: Read, n_rows: int, size: int, sample_weight: Array | None = None) -> Baseline:
    """Mean and the first ``size`` principal axes of the training rows.

    Exact, through the smaller of the covariance and the Gram matrix, where its sides are at most 4,096;
    incremental beyond (Ross et al. 2008, by scikit-learn), which leaves weights out. The sign of
    each axis is such that its largest entry is positive. One BLAS thread, so that the bytes do not
    depend on how many there are.
    """
    with one_blas_thread():
        mean, axes = _principal(read, n_rows, size, sample_weight)
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return Baseline(mean.astype(np.float32), np.ascontiguousarray(axes, np.float32))


def _principal(
    read: Read, n_rows: int, size: int, sample_weight: Array | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n_values = read(slice(0, 1)).size
    k = min(size, n_values, n_rows - 1)
    match _way(n_rows, n_values):
        case "covariance":
            return _through_covariance(read, n_rows, n_values, k, sample_weight)
        case "gram":
            return _through_gram(read, n_rows, k, sample_weight)
        case "incremental":
            return _incremental(read, n_rows, k)


def _way(n_rows: int, n_values: int) -> Literal["covariance", "gram", "incremental"]:
    """Exact through the smaller of two matrices, unless both are too large."""
    if min(n_rows, n_values) > LARGEST_EXACT:
        return "incremental"
    return "covariance" if n_values <= n_rows else "gram"


def _blocks(read: Read, n_rows: int, n_block: int | None = None) -> Iterator[tuple[slice, Array]]:
    n_block = n_block or BLOCK
    for start in range(0, n_rows, n_block):
        rows = slice(start, min(start + n_block, n_rows))
        block = read(rows)
        yield rows, block.reshape(len(block), -1)


def _through_covariance(
    read: Read, n_rows: int, d: int, k: int, weight: Array | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Second moments about the first block's mean, so that large offsets do not cancel; their lower half alone."""
    n_block = max(1, min(BLOCK, BLOCK_VALUES // d))
    total, first, second = 0.0, np.zeros(d), np.zeros((d, d), order="F")
    about = read(slice(0, n_block)).reshape(-1, d).astype(np.float64).mean(axis=0)
    for rows, block in _blocks(read, n_rows, n_block):
        values = block - about
        weights = np.ones(len(values)) if weight is None else weight[rows].astype(np.float64)
        total += weights.sum()
        first += weights @ values
        values *= np.sqrt(weights)[:, None]
        second = _blas.dsyrk(1.0, values.T, beta=1.0, c=second, lower=1, overwrite_c=1)
    shift = first / total
    if k == 0:
        return about + shift, np.zeros((0, d))
    second /= total
    covariance = _blas.dsyr(-1.0, shift, lower=1, a=second, overwrite_a=1)
    values, vectors = eigh(covariance, subset_by_index=[d - k, d - 1], overwrite_a=True)
    return about + shift, vectors[:, _varying(values)][:, ::-1].T


def _through_gram(
    read: Read, n_rows: int, k: int, weight: Array | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = np.concatenate([block for _, block in _blocks(read, n_rows)]).astype(np.float64)
    weights = np.ones(n_rows) if weight is None else weight.astype(np.float64)
    mean = weights @ rows / weights.sum()
    scaled = (rows - mean) * np.sqrt(weights)[:, None]
    if k == 0:
        return mean, np.zeros((0, rows.shape[1]))
    values, vectors = eigh(scaled @ scaled.T, subset_by_index=[n_rows - k, n_rows - 1])
    kept = _varying(values)
    axes = (scaled.T @ vectors[:, kept] / np.sqrt(values[kept])).T
    return mean, axes[::-1]


def _varying(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Eigenvalues that are more than rounding: the others' axes mean nothing."""
    return values > max(0.0, values[-1] * NO_VARIANCE)


def _incremental(read: Read, n_rows: int, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each part holds ``k`` rows at least, so none may be left over that is smaller."""
    from sklearn.decomposition import IncrementalPCA

    pca = IncrementalPCA(n_components=k)
    held: list[Array] = []
    for rows, block in _blocks(read, n_rows):
        held.append(block)
        n_held, n_left = sum(len(part) for part in held), n_rows - rows.stop
        if n_left == 0 or (n_held >= max(k, BLOCK) and n_left >= k):
            pca.partial_fit(np.concatenate(held))
            held = []
    return np.asarray(pca.mean_), np.asarray(pca.components_)

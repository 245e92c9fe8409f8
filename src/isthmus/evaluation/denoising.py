"""How much of its own corruption a model takes out again, beside PCA and the best linear map."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from isthmus.cores import one_blas_thread
from isthmus.corruptions.base import Corruption
from isthmus.corruptions.gaussian_noise import GaussianNoise
from isthmus.corruptions.masking import Masking
from isthmus.corruptions.salt_and_pepper import SaltAndPepper
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.ramp import between
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source

LARGEST_LINEAR = 1024
"""Values a row up to which the best linear map is solved for."""
RIDGE = 1e-10
"""Of the mean variance, added where columns do not vary: the system stays solvable."""
BLOCK = 1024

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Denoised:
    """Squared error against the clean rows, summed over a row's values, ``(rows,)`` each; model units."""

    corrupted: Array
    """Of the corrupted rows as they are."""
    restored: Array
    """Of the model's reconstruction of them."""
    pca: Array | None
    """Of PCA's reconstruction of them, at the model's code size."""
    linear: float | None
    """The least that any affine map can reach on average, see :func:`linear_optimum`."""

    def to_dict(self, n_values: float, weights: Array | None = None) -> dict[str, Any]:
        """The documented keys under ``denoising``; see ``docs/metrics.md``."""
        named = {"corrupted": self.corrupted, "restored": self.restored, "pca": self.pca}
        means = {
            name: float(np.average(errors.astype(np.float64), weights=weights))
            for name, errors in named.items()
            if errors is not None
        }
        if self.linear is not None:
            means["linear"] = self.linear
        return {name: {"sse": sse, "mse": sse / n_values} for name, sse in means.items()}


def measure_denoising(inference: Inference, source: Source, weights: Array | None = None) -> Denoised | None:
    """Corrupt each row of a clean source once, and see what comes back.

    The corruption is the model's own, at the strength it had at the end of the training. None if
    the model has none, or one that left every row as it was.
    """
    baseline, corruption = inference.model.baseline, inference.module.corruption
    if corruption is None:
        return None
    randomness, block = Randomness(inference.module.seed, "evaluation", "corruption"), itertools.count()
    mean, axes = (
        (None, None) if baseline is None else map(torch.from_numpy, (baseline.mean, baseline.components))
    )

    def errors(module: AutoencoderModule, x: Tensor) -> Tensor:
        shown = module.corrupted(x, randomness.at(next(block)))
        known = [_squared_error(shown, x), _squared_error(module.reconstruct(shown), x)]
        if mean is not None and axes is not None:
            rest = shown.flatten(1) - mean
            rebuilt = mean + rest.masked_fill(rest.isnan(), 0.0) @ axes.T @ axes
            known.append(_squared_error(rebuilt, x.flatten(1)))
        return torch.stack(known, dim=1)

    found = inference.over(source, errors, (2 if baseline is None else 3,))
    if not found[:, 0].any():
        return None
    return Denoised(
        corrupted=found[:, 0],
        restored=found[:, 1],
        pca=None if baseline is None else found[:, 2],
        linear=_linear(inference, source, corruption, weights),
    )


def linear_optimum(
    corruption: Corruption, mean: Matrix, covariance: Matrix, channels: int = 1
) -> float | None:
    """Least mean squared error of an affine map from corrupted rows to clean ones, a row.

    ``tr(S - P Q^-1 P')`` with S the covariance of clean rows, Q that of corrupted ones and P between
    both, all three exact over the corruption's chance: the Wiener filter under Gaussian noise, the
    marginalised denoiser of Chen et al. (2012) under masking, and the same with two ends under
    salt and pepper. None for other corruptions.

    Parameters
    ----------
    corruption
        As it is at the end of the training.
    mean, covariance
        Of the clean rows, ``(n_values,)`` and ``(n_values, n_values)``, channels first.
    channels
        Of a row: what whole pixels hide together.
    """
    s = covariance
    if isinstance(corruption, GaussianNoise):
        p, q = s, s + corruption.scale_at(1.0) ** 2 * np.eye(len(s))
    elif isinstance(corruption, (Masking, SaltAndPepper)):
        if isinstance(corruption, Masking):
            share = between(corruption.hidden_share, corruption.final_hidden_share, 1.0)
            middle = spread = 0.0
        else:
            share = between(corruption.replaced_share, corruption.final_replaced_share, 1.0)
            middle, spread = (corruption.low + corruption.high) / 2, (corruption.high - corruption.low) / 2
        place = np.arange(len(s)) % (len(s) // channels) if corruption.whole_pixels else np.arange(len(s))
        together = place[:, None] == place
        offset = mean - middle
        # Of values hit together: both kept, or both replaced.
        extra = (1 - share) * share * (s + np.outer(offset, offset)) + share * spread**2
        p, q = (1 - share) * s, (1 - share) ** 2 * s + np.where(together, extra, 0.0)
    else:
        return None
    with one_blas_thread():
        q = q + RIDGE * max(np.trace(q) / len(q), 1e-300) * np.eye(len(q))
        return float(np.trace(s) - np.sum(p * cho_solve(cho_factor(q), p).T))


def _linear(
    inference: Inference, source: Source, corruption: Corruption, weights: Array | None
) -> float | None:
    scaling = inference.model.scaling
    if scaling.layout is not None or scaling.schema.n_values > LARGEST_LINEAR:
        return None  # of columns hidden together, or with gaps, this is no optimum
    counts = np.ones(len(source)) if weights is None else weights.astype(np.float64)
    first = np.zeros(scaling.schema.n_values)
    second = np.zeros((len(first), len(first)))
    with one_blas_thread():
        for start in range(0, len(source), BLOCK):
            rows = slice(start, min(start + BLOCK, len(source)))
            x = scaling.to_model(source.read(rows)).reshape(-1, len(first)).astype(np.float64)
            first += counts[rows] @ x
            second += (x * counts[rows, None]).T @ x
    mean = first / counts.sum()
    covariance = second / counts.sum() - np.outer(mean, mean)
    shape = scaling.model_shape
    return linear_optimum(corruption, mean, covariance, shape[0] if len(shape) > 1 else 1)


def _squared_error(shown: Tensor, x: Tensor) -> Tensor:
    """Gaps of x are left out; what was hidden as a gap counts as 0."""
    missing = x.isnan()
    return (shown.nan_to_num() - x).masked_fill(missing, 0.0).square().flatten(1).sum(dim=1)

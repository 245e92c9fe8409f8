"""What a model of a density is worth: log-likelihood, bounds, and what its code does.

All of it for codes with a density of their own (Gaussian ones). Everything is a function of the
seed and of each row's position, never of the rows beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor

from isthmus.errors import ParameterError
from isthmus.evaluation.advice import collapse_words
from isthmus.evaluation.metrics import Measured
from isthmus.exploration.priors import drawn_codes, has_density
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source
from isthmus.sources.subset import Subset

N_SAMPLES, MOST_ROWS = 50, 256
"""Of a report's own estimate: draws a row, and rows, evenly spaced ones of more."""
SAMPLES_AT_ONCE = 8
"""Draws of all rows of a batch that are decoded together, so that memory stays bounded."""

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Log-likelihood of rows in nats, by importance sampling, and bounds of it; ``(rows,)`` each.

    ``elbo <= bounds[k] <= log_likelihood`` in every mean over rows, and all of them are lower bounds
    of ``ln p(x)`` in expectation (Burda et al. 2016, theorem 1).
    """

    n_samples: int
    log_likelihood: Array
    """``ln mean_s p(x, h_s) / q(h_s given x)`` over all samples."""
    elbo: Array
    """``mean_s ln p(x, h_s) / q(h_s given x)``."""
    bounds: dict[int, Array]
    """The importance-weighted bound of k samples, by k."""

    def to_dict(self) -> dict[str, Any]:
        """The documented keys; see ``docs/metrics.md``."""
        values = self.log_likelihood.astype(np.float64)
        return {
            "rows": len(values),
            "samples": self.n_samples,
            "log_likelihood_nats": float(values.mean()),
            "standard_error_nats": float(values.std() / math.sqrt(len(values))),
            "elbo_nats": float(self.elbo.astype(np.float64).mean()),
            "iwae_nats": {str(k): float(each.astype(np.float64).mean()) for k, each in self.bounds.items()},
        }


def log_weights(module: AutoencoderModule, x: Tensor, randomness: Randomness, n_samples: int) -> Tensor:
    """``ln p(x, h_s) - ln q(h_s given x)`` of draws from the encoder, ``(rows, n_samples)``, float64.

    Decoded as a stored code is, without anything that the encoder hands over beside it. The code must
    have a density (:meth:`isthmus.codes.base.Code.draw`) and the likelihood be one.
    """
    pre_code, _ = module.encoder(x)
    found: list[Tensor] = []
    for first in range(0, n_samples, SAMPLES_AT_ONCE):
        n = min(SAMPLES_AT_ONCE, n_samples - first)
        noise = randomness.at(first).normal((n * len(x), module.code.size), like=x)
        drawn = module.code.draw(pre_code.repeat(n, 1), noise)
        if drawn is None:
            raise TypeError(f"{type(module.code).__name__} has no density to draw from")
        h, log_ratio = drawn
        loss = module.distortion(module.tiled(n).decoder(h), x.repeat(n, *[1] * (x.ndim - 1)))
        found.append(-(loss.double() + log_ratio.double()).unflatten(0, (n, -1)))
    return torch.cat(found).T


def importance_bound(weights: Tensor, k: int) -> Tensor:
    """IWAE_k of each row from its log weights ``(rows, n)``: the mean over groups of k, ``(rows,)``.

    ``mean over groups of ln mean_k exp(w)``; a last group of fewer than k is left out. k = 1 is the
    evidence lower bound, k = n the estimate of the log-likelihood (Burda et al. 2016, equation 8).
    """
    groups = weights[:, : weights.shape[1] // k * k].unflatten(1, (-1, k))
    return (torch.logsumexp(groups, dim=2) - math.log(k)).mean(dim=1)


def evidence(
    inference: Inference,
    source: Source,
    *,
    n_samples: int = 100,
    bounds: Sequence[int] = (5, 50),
    seed: int | None = None,
) -> Evidence | None:
    """Log-likelihood of all rows, in nats, of x in model units.

    Parameters
    ----------
    n_samples
        Draws of h a row, at least 1; each costs a pass of the decoder. The estimate's expectation
        is below the truth, by about the variance of the weights over ``2 n_samples``, and rises to it.
    bounds
        The k of the importance-weighted bounds; those above ``n_samples`` are left out.
    seed
        Root of all draws; None is the model's.

    Returns
    -------
    Evidence or None
        None where there is no density: of the code, or of these rows under the likelihood (squared
        error; Bernoulli of values that are not all 0 or 1, unless sampled).
    """
    if n_samples < 1:
        raise ParameterError(f"evidence: samples must be at least 1, got {n_samples}. Try 100.")
    root = Randomness(inference.module.seed if seed is None else seed, "evidence")
    if inference.module.likelihood.unit != "nats" or not has_density(inference.module):
        return None
    kept = [k for k in bounds if k <= n_samples]
    block = itertools.count()
    is_density = True

    def estimate(module: AutoencoderModule, x: Tensor) -> Tensor:
        nonlocal is_density
        randomness = root.at(next(block))
        known = x if module.gaps is None else x.nan_to_num()
        is_density = is_density and module.likelihood.is_density(known)
        if not is_density:
            return x.new_zeros(len(x), 2 + len(kept))
        x = module.target(x, randomness.at("target"))
        weights = log_weights(module, x, randomness, n_samples)
        return torch.stack([importance_bound(weights, k) for k in (n_samples, 1, *kept)], dim=1)

    found = inference.over(source, estimate, (2 + len(kept),))
    if not is_density:
        return None
    by_k = {k: found[:, 2 + column] for column, k in enumerate(kept)}
    return Evidence(n_samples, found[:, 0], found[:, 1], by_k)


@dataclass(frozen=True, slots=True, eq=False)
class AggregatePosterior:
    """How near the codes of all rows together, one draw a row, come to the prior."""

    distances: NDArray[np.float64]
    """Kolmogorov-Smirnov distance of each unit's draws to N(0, 1), in [0, 1], ``(code_size,)``."""
    n_rows: int

    def to_dict(self, active: NDArray[np.bool_]) -> dict[str, Any]:
        """The documented keys, of active units alone; see ``docs/metrics.md``."""
        chosen = self.distances[active]
        return {
            "ks_largest": float(chosen.max()) if len(chosen) else None,
            "ks_median": float(np.median(chosen)) if len(chosen) else None,
            "ks_critical": 1.358 / math.sqrt(self.n_rows),
        }


def aggregate_posterior(
    inference: Inference, source: Source, *, seed: int | None = None
) -> AggregatePosterior | None:
    """Compare one draw of every row's code with the prior, unit by unit.

    The largest gap between the draws' distribution function and that of N(0, 1). Under the prior
    5 % of units have more than ``1.358 / sqrt(rows)``. None where codes have no density.
    """
    codes = drawn_codes(inference, source, seed=inference.module.seed if seed is None else seed)
    if codes is None:
        return None
    return AggregatePosterior(ks_distance(codes.astype(np.float64)), len(codes))


def ks_distance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest gap between each column's distribution function and that of N(0, 1), ``(columns,)``."""
    n = len(values)
    at = ndtr(np.sort(values, axis=0))
    steps = np.arange(n + 1, dtype=np.float64)[:, None] / n
    return np.maximum(steps[1:] - at, at - steps[:-1]).max(axis=0)


def density_figures(
    inference: Inference, source: Source, measured: Measured, n_samples: int | None = None
) -> dict[str, Any]:
    """What a report and its JSON say beside the errors of a Gaussian code; empty for other codes.

    Parameters
    ----------
    measured
        What was measured on the same rows.
    n_samples
        Draws a row for the evidence, which is then that of all rows; None is a quick estimate: 50
        draws on at most 256 rows.
    """
    together = None if measured.rates is None else aggregate_posterior(inference, source)
    if together is None or measured.rates is None:
        return {}
    rates = measured.rates.astype(np.float64)
    mean_rates = np.average(rates, axis=0, weights=measured.weights)
    found = measured.to_dict()
    baseline, described = found["baselines"].get("mean"), inference.model.config.model
    figures: dict[str, Any] = {
        "rates_nats": mean_rates.tolist(),
        "aggregate": together.to_dict(~measured.dead),
        "collapse": collapse_words(
            mean_rates,
            found["error"]["sse"],
            baseline and baseline["sse"],
            described.code,
            described.likelihood,
        ),
    }
    some = source
    if n_samples is None and len(source) > MOST_ROWS:
        some = Subset(source, np.linspace(0, len(source) - 1, MOST_ROWS).astype(np.int64))
    known = evidence(inference, some, n_samples=N_SAMPLES if n_samples is None else n_samples)
    return figures if known is None else {**figures, "evidence": known.to_dict()}

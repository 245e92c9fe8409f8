"""How much the code, and the reconstruction, move when a row is moved a little."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isthmus.inference import Inference
from isthmus.numerics.jacobians import estimated_squared_norm, exact_squared_norm
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source
from isthmus.sources.subset import Subset

MOST_ROWS = 256
"""Rows that are looked at, evenly spaced: the standard error of their mean is a sixteenth of their spread."""
MOST_EXACT, N_PROBES = 16, 8
"""Outputs up to which the norm is exact, by one backward pass each; above, so many random projections."""


@dataclass(frozen=True, slots=True)
class Robustness:
    """Mean squared Frobenius norms of two Jacobians, in model units.

    For a small noise ``e ~ N(0, s^2 I)`` each is ``E ||f(x + e) - f(x)||^2 / s^2`` (Rifai et al. 2011;
    Alain and Bengio 2014).
    """

    code: float
    """Of ``dh/dx``, ``(code_size, n_values)``: what the contractive penalty makes small."""
    reconstruction: float
    """Of ``d g(f(x)) / dx``, ``(n_values, n_values)``: what a denoiser makes small."""
    n_rows: int
    """Rows that the means are over."""

    def to_dict(self) -> dict[str, float]:
        """The documented keys; see ``docs/metrics.md``."""
        return {"code": self.code, "reconstruction": self.reconstruction, "rows": self.n_rows}


def robustness(inference: Inference, source: Source) -> Robustness:
    """Measure both norms on at most 256 rows of a source, evenly spaced.

    A function of the model and the rows alone. For up to 16 outputs each norm is exact; for more it is
    estimated without bias by 8 random projections a row (Hutchinson 1990), whose relative standard
    error is at most ``sqrt(2 / (8 * rows))``, 3 % for 256 rows alike.
    """
    inference.check_source(source)
    n = min(len(source), MOST_ROWS)
    rows = np.linspace(0, len(source) - 1, n).round().astype(np.int64)
    some = Subset(source, rows)
    scaled = inference.model.scaling.to_model(some.read(slice(0, n)))
    # Frozen, so that no gradient of a weight is made; a copy, so that the model stays as it is.
    module = copy.deepcopy(inference.told(some)).eval().requires_grad_(False)
    x = torch.from_numpy(scaled)
    chance = Randomness(module.seed, "robustness")
    return Robustness(
        code=_mean_squared_norm(module.encode, x, chance.at("code")),
        reconstruction=_mean_squared_norm(
            lambda z: module.reconstruct(z).flatten(1), x, chance.at("reconstruction")
        ),
        n_rows=n,
    )


def _mean_squared_norm(function: Callable[[Tensor], Tensor], x: Tensor, randomness: Randomness) -> float:
    with torch.no_grad():
        n_outputs = function(x).shape[1]
    if n_outputs <= MOST_EXACT:
        return exact_squared_norm(function, x).detach().double().mean().item()
    total = 0.0
    for number in range(N_PROBES):
        probe = randomness.at(number).normal((len(x), n_outputs), like=x)
        total += estimated_squared_norm(function, x, probe).detach().double().mean().item()
    return total / N_PROBES

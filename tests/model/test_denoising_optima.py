"""Linear denoisers at their optima: reached by minimising the objective, and known in closed form.

The corruptions here run through every case with its exact probability, so that the objective is the
expected one and its minimum can be compared to many digits.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from isthmus.config import Model
from isthmus.config.parts.corruptions import GaussianNoise, Masking
from isthmus.config.parts.networks import Dense
from isthmus.corruptions.base import Corruption
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
D, N = 5, 60


def data() -> tuple[Tensor, Tensor]:
    """Centred rows and their covariance."""
    x = Randomness(0).normal((N, D)).double() @ Randomness(1).normal((D, D)).double()
    x = x - x.mean(dim=0)
    return x, x.T @ x / N


def linear(size: int, corruption: object = None) -> AutoencoderModule:
    model = Model(code_size=size, network=Dense(()), likelihood="squared_error", corruption=corruption)
    return build(model, (D,), seed=0).double()


class Cases(Corruption):
    """The rows of a batch go through ``n`` cases in turn."""

    def __init__(self, factor: Tensor, summand: Tensor) -> None:
        super().__init__()
        self.factor, self.summand = factor, summand

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        times = len(x) // len(self.factor)
        return x * self.factor.repeat(times, 1) + self.summand.repeat(times, 1)


def normal_cases(s2: float) -> Corruption:
    """Points whose mean is 0 and whose covariance is ``s2 I``: exact for squares."""
    points = math.sqrt(s2 * D) * torch.cat([torch.eye(D), -torch.eye(D)]).double()
    return Cases(torch.ones_like(points), points)


def masks(share: float) -> tuple[Corruption, Tensor]:
    """Every mask, and its probability."""
    kept = torch.tensor(list(itertools.product((0.0, 1.0), repeat=D)), dtype=torch.float64)
    chance = (kept * (1 - share) + (1 - kept) * share).prod(dim=1)
    return Cases(kept, torch.zeros_like(kept)), chance


def minimise(module: AutoencoderModule, x: Tensor, weight: Tensor | None = None) -> float:
    optimiser = torch.optim.LBFGS(
        module.parameters(),
        max_iter=600,
        tolerance_grad=1e-10,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = module.objective(x, 0, sample_weight=weight).loss
        loss.backward()
        return loss

    optimiser.step(closure)
    return module.objective(x, 0, sample_weight=weight).loss.item()


def matrix(module: AutoencoderModule) -> Tensor:
    """A of ``r(x) = A x + b``."""
    origin = module.reconstruct(torch.zeros(1, D, dtype=torch.float64))
    return (module.reconstruct(torch.eye(D, dtype=torch.float64)) - origin).T.detach()


def sampled(module: AutoencoderModule, x: Tensor, steps: int = 300) -> tuple[float, float]:
    """Mean of the objective over draws of its own corruption, and the standard error."""
    with torch.no_grad():
        losses = torch.stack([module.objective(x, step).loss for step in range(steps)])
    return losses.mean().item(), (losses.std() / math.sqrt(steps)).item()


@pytest.mark.parametrize("size", [2, D])
def test_gaussian_noise_makes_the_wiener_filter(size: int) -> None:
    """Oracle 4: ``A = U_k diag(l / (l + s2)) U_k'``, full rank ``S (S + s2 I)^-1``, and its loss."""
    x, s = data()
    s2 = 0.7
    module = linear(size)
    module.corruption = normal_cases(s2)
    loss = minimise(module, x.repeat_interleave(2 * D, dim=0))
    values, vectors = torch.linalg.eigh(s)
    values, vectors = values.flip(0)[:size], vectors.flip(1)[:, :size]
    known = vectors * (values / (values + s2)) @ vectors.T
    torch.testing.assert_close(matrix(module), known, rtol=0, atol=1e-6)
    least = (s.trace() - (values.square() / (values + s2)).sum()).item()
    assert loss == pytest.approx(least, rel=1e-9)
    if size == D:
        torch.testing.assert_close(
            known, s @ torch.linalg.inv(s + s2 * torch.eye(D).double()), rtol=0, atol=1e-9
        )

    real = linear(size, GaussianNoise(math.sqrt(s2)))
    real.load_state_dict(module.state_dict())
    got, error = sampled(real, x)
    assert abs(got - least) < 4 * error
    assert error < 0.02 * least


@pytest.mark.parametrize("s2", [0.1, 2.0])
def test_noise_is_ridge_regression(s2: float) -> None:
    """Bishop (1995): ``E|x - A(x + e)|^2 = |x - A x|^2 + s2 |A|_F^2`` for every linear A."""
    x, _ = data()
    module = linear(3)
    a = matrix(module)
    known = (x - module.reconstruct(x)).square().sum(dim=1).mean() + s2 * a.square().sum()
    module.corruption = normal_cases(s2)
    exact = module.objective(x.repeat_interleave(2 * D, dim=0), 0).loss
    torch.testing.assert_close(exact, known)
    real = linear(3, GaussianNoise(math.sqrt(s2)))
    got, error = sampled(real, x)
    assert abs(got - known.item()) < 4 * error


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_masking_makes_the_marginalised_denoiser(share: float) -> None:
    """Oracle 5 (Chen et al. 2012): ``A = S ((1 - v) S + v diag S)^-1``, loss ``tr(S - P Q^-1 P)``."""
    x, s = data()
    corruption, chance = masks(share)
    module = linear(D)
    module.corruption = corruption
    weight = (chance * len(chance)).repeat(N)
    loss = minimise(module, x.repeat_interleave(len(chance), dim=0), weight)
    diagonal = torch.diag(s.diag())
    known = s @ torch.linalg.inv((1 - share) * s + share * diagonal)
    torch.testing.assert_close(matrix(module), known, rtol=0, atol=1e-6)
    p, q = (1 - share) * s, (1 - share) ** 2 * s + share * (1 - share) * diagonal
    least = torch.trace(s - p @ torch.linalg.inv(q) @ p).item()
    assert loss == pytest.approx(least, rel=1e-9)

    real = linear(D, Masking(share))
    real.load_state_dict(module.state_dict())
    got, error = sampled(real, x)
    assert abs(got - least) < 4 * error
    assert error < 0.02 * least

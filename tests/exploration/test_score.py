"""The score of a denoiser: Tweedie's formula where the best denoiser is known, and learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isthmus.config import Model
from isthmus.config.catalogue import Custom
from isthmus.config.parts.corruptions import GaussianNoise
from isthmus.config.parts.networks import Dense
from isthmus.corruptions.base import Corruption
from isthmus.errors import ParameterError
from isthmus.exploration.score import noise_scale, score
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)


class Known(nn.Module):
    """A decoder that is a function of its code, which here is the row itself."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, h: Tensor) -> Tensor:
        return self.function(h)


def denoiser(function: Callable[[Tensor], Tensor], d: int, corruption: Any) -> AutoencoderModule:
    """A model whose reconstruction is ``function``."""
    model = Model(code_size=d, network=Custom("net"), likelihood="squared_error", corruption=corruption)
    return build(model, (d,), seed=0, parts={"net": lambda: (nn.Identity(), Known(function))}).double()


def gradient(log_density: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(log_density(x).sum(), x)[0]


@pytest.mark.parametrize("s2", [0.01, 0.5, 10.0])
def test_normal_data(s2: float) -> None:
    """``r(x) = mu + S (S + s2 I)^-1 (x - mu)`` has the score ``-(S + s2 I)^-1 (x - mu)``."""
    d = 4
    root = Randomness(0).normal((d, d)).double()
    s, mu = root @ root.T, torch.arange(d).double()
    noisy = torch.linalg.inv(s + s2 * torch.eye(d).double())
    model = Model(
        code_size=d, network=Dense(()), likelihood="squared_error", corruption=GaussianNoise(math.sqrt(s2))
    )
    module = build(model, (d,), seed=0).double()
    wiener = s @ noisy
    with torch.no_grad():
        first, last = module.encoder.layers[0], module.decoder.layers[0]
        first.weight.copy_(wiener)
        first.bias.copy_(mu - wiener @ mu)
        last.weight.copy_(torch.eye(d).double())
        last.bias.zero_()
    x = Randomness(1).normal((20, d)).double() * 3
    torch.testing.assert_close(score(module, x), -(x - mu) @ noisy, rtol=1e-9, atol=1e-9)


def mixture(s2: float) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Posterior mean of a clean row, and log density of noisy ones; a mixture of two normals."""
    means = torch.tensor([[-1.0, 0.5], [1.5, 0.0]], dtype=torch.float64)
    roots = torch.tensor([[[0.4, 0.0], [0.2, 0.3]], [[0.2, 0.1], [0.0, 0.6]]], dtype=torch.float64)
    covariances = roots @ roots.mT
    noisy = covariances + s2 * torch.eye(2).double()
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)

    def log_parts(x: Tensor) -> Tensor:
        normal = torch.distributions.MultivariateNormal(means, noisy)
        return normal.log_prob(x.unsqueeze(1)) + weights.log()

    def posterior_mean(x: Tensor) -> Tensor:
        share = log_parts(x).softmax(dim=1)
        centred = (x.unsqueeze(1) - means).unsqueeze(3)
        each = means + (covariances @ torch.linalg.solve(noisy, centred)).squeeze(3)
        return (share.unsqueeze(2) * each).sum(dim=1)

    return posterior_mean, lambda x: log_parts(x).logsumexp(dim=1)


@pytest.mark.parametrize("s2", [0.01, 0.16, 4.0])
def test_a_mixture_at_every_scale(s2: float) -> None:
    """Oracle 15 (Miyasawa 1961): exact for every scale, not in the limit alone."""
    posterior_mean, log_density = mixture(s2)
    module = denoiser(posterior_mean, 2, GaussianNoise(math.sqrt(s2)))
    x = Randomness(0).normal((50, 2)).double() * 2
    torch.testing.assert_close(score(module, x), gradient(log_density, x), rtol=1e-8, atol=1e-8)


def nearest(points: Tensor, s2: float) -> Callable[[Tensor], Tensor]:
    """``sum_i x_i softmax_i(-|x~ - x_i|^2 / 2 s2)``: what no denoiser of these rows can beat."""

    def function(x: Tensor) -> Tensor:
        return (-(x.unsqueeze(1) - points).square().sum(dim=2) / (2 * s2)).softmax(dim=1) @ points

    return function


class Quadrature(Corruption):
    """The rows of a batch take the points of a Gauss-Hermite rule in turn."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        return x + self.noise.repeat(len(x) // len(self.noise)).unsqueeze(1)


def test_a_trained_denoiser_comes_down_to_the_finite_sets_minimiser() -> None:
    """Never below its loss, here within 1 % of it; and its score is the smoothed set's."""
    points = torch.tensor([[-1.0], [0.2], [0.9]], dtype=torch.float64)
    scale = 0.4
    places, chances = np.polynomial.hermite_e.hermegauss(40)
    rows = points.repeat_interleave(len(places), dim=0)
    weight = torch.from_numpy(chances / chances.mean()).repeat(len(points))
    quadrature = Quadrature(torch.from_numpy(places) * scale)

    least = nearest(points, scale**2)
    best = denoiser(least, 1, GaussianNoise(scale))
    best.corruption = quadrature
    bound = best.objective(rows, 0, sample_weight=weight).loss.item()

    model = Model(code_size=1, network=Dense((24,), "tanh"), likelihood="squared_error")
    module = build(model, (1,), seed=0).double()
    module.corruption = quadrature
    optimiser = torch.optim.LBFGS(module.parameters(), max_iter=400, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = module.objective(rows, 0, sample_weight=weight).loss
        assert loss.item() > (1 - 1e-5) * bound  # the rule's noise is normal to so many digits
        loss.backward()
        return loss

    optimiser.step(closure)
    assert module.objective(rows, 0, sample_weight=weight).loss.item() < 1.01 * bound

    module.corruption = build(model.replace(corruption=GaussianNoise(scale)), (1,), seed=0).corruption
    x = torch.linspace(-1.5, 1.5, 61, dtype=torch.float64).unsqueeze(1)
    density = torch.distributions.Normal(points[:, 0], scale)
    known = gradient(lambda x: density.log_prob(x).logsumexp(dim=1), x)
    got = score(module, x)
    assert (got - known).square().mean().sqrt() < 0.05 * known.square().mean().sqrt()


def test_the_sampled_loss_of_the_minimiser_is_its_quadrature() -> None:
    points = torch.tensor([[-1.0], [0.2], [0.9]], dtype=torch.float64)
    scale = 0.4
    places, chances = np.polynomial.hermite_e.hermegauss(60)
    least = nearest(points, scale**2)
    clean = points.repeat_interleave(len(places), dim=0)
    noise = torch.from_numpy(places * scale).repeat(len(points)).unsqueeze(1)
    weight = torch.from_numpy(chances / chances.sum()).repeat(len(points)) / len(points)
    known = ((least(clean + noise) - clean).square().sum(dim=1) * weight).sum().item()
    losses = denoiser(least, 1, GaussianNoise(scale)).objective(points.repeat(20_000, 1), 0).per_example
    assert abs(losses.mean().item() - known) < 4 * (losses.std() / math.sqrt(len(losses))).item()


@pytest.mark.parametrize("shape", [(2, 3, 4), (6,)])
def test_rows_keep_their_shape(shape: tuple[int, ...]) -> None:
    model = Model(
        code_size=2, network=Dense((4,)), likelihood="squared_error", corruption=GaussianNoise(0.9, 0.3)
    )
    module = build(model, shape, seed=0)
    x = Randomness(0).normal((5, *shape))
    assert noise_scale(module) == pytest.approx(0.3)
    torch.testing.assert_close(score(module, x), (module.reconstruct(x) - x) / 0.09)


@pytest.mark.parametrize(
    ("corruption", "got"),
    [(None, "got no corruption"), ("masking", "got Masking"), (GaussianNoise(0.1, 0.0), "got a scale of 0")],
)
def test_models_without_gaussian_noise_are_refused(corruption: Any, got: str) -> None:
    model = Model(code_size=2, network=Dense((4,)), likelihood="squared_error", corruption=corruption)
    with pytest.raises(ParameterError, match=got):
        score(build(model, (6,), seed=0), torch.zeros(2, 6))

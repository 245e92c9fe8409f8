"""The corrupt-denoise-draw chain: its stationary covariance is the data's, with the draw alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from isthmus.config import Model
from isthmus.config.parts.corruptions import GaussianNoise, Masking
from isthmus.config.parts.likelihoods import Gaussian
from isthmus.config.parts.networks import Dense
from isthmus.errors import ParameterError
from isthmus.exploration.chain import chain, residual_noise
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
D, S2, N = 3, 0.8, 20_000


def covariance() -> Tensor:
    root = Randomness(3).normal((D, D)).double() / 2
    return root @ root.T + 0.3 * torch.eye(D).double()


def wiener(s: Tensor, likelihood: Any = "squared_error") -> AutoencoderModule:
    d = len(s)
    model = Model(
        code_size=d, network=Dense(()), likelihood=likelihood, corruption=GaussianNoise(math.sqrt(S2))
    )
    module = build(model, (d,), seed=0).double()
    with torch.no_grad():
        for layer, weight in (
            (module.encoder.layers[0], s @ torch.linalg.inv(s + S2 * torch.eye(d).double())),
            (module.decoder.layers[0], torch.eye(d).double()),
        ):
            layer.weight.copy_(weight)
            layer.bias.zero_()
    return module


def assert_covariance(samples: Tensor, known: Tensor) -> None:
    """Every entry within four standard errors of a normal sample's covariance."""
    got = samples.T @ samples / len(samples)
    variance = known.diag()
    error = ((variance.unsqueeze(1) * variance + known.square()) / len(samples)).sqrt()
    assert ((got - known).abs() < 4 * error).all()


def test_residuals_are_what_noise_leaves_open() -> None:
    """``x - A x~`` has covariance ``S - A S``."""
    s = covariance()
    x = Randomness(0).normal((N, D)).double() @ torch.linalg.cholesky(s).T
    found = residual_noise(wiener(s), x, seed=0)
    known = s - s @ torch.linalg.inv(s + S2 * torch.eye(D).double()) @ s
    error = ((known.diag().unsqueeze(1) * known.diag() + known.square()) / N).sqrt()
    assert ((found @ found.T - known).abs() < 4 * error).all()


def test_the_chain_keeps_the_datas_covariance() -> None:
    """Oracle 16 (Bengio et al. 2013): from anywhere to S; without the draw it shrinks, as known."""
    s = covariance()
    a = s @ torch.linalg.inv(s + S2 * torch.eye(D).double())
    left = torch.linalg.cholesky(s - a @ s)
    torch.testing.assert_close(a @ (s + S2 * torch.eye(D).double()) @ a.T + left @ left.T, s)
    start = torch.full((N, D), 5.0, dtype=torch.float64)
    *_, last = chain(wiener(s), start, n_steps=40, seed=0, residuals=left)
    assert_covariance(last.sample, s)

    *_, still = chain(wiener(s), start, n_steps=40, seed=0, residuals=torch.zeros(D, D).double())
    assert torch.equal(still.sample, still.mean)
    values, vectors = torch.linalg.eigh(s)
    shrink = (values / (values + S2)).square()
    shrunk = vectors * (shrink * S2 / (1 - shrink)) @ vectors.T
    assert_covariance(still.sample, shrunk)
    assert shrunk.trace() < 0.7 * s.trace()


def test_a_normal_likelihood_draws_its_own_noise() -> None:
    s = torch.tensor([[1.7]], dtype=torch.float64)
    left = math.sqrt(1.7 - 1.7**2 / (1.7 + S2))
    start = torch.zeros(N, 1, dtype=torch.float64)
    *_, last = chain(wiener(s, Gaussian(left)), start, n_steps=40, seed=0)
    assert_covariance(last.sample, s)


def small(**parts: Any) -> AutoencoderModule:
    described = {"likelihood": "bernoulli", "corruption": Masking(0.3), **parts}
    return build(Model(code_size=2, network=Dense((4,)), **described), (1, 2, 3), seed=0)


def test_pictures_are_black_and_white() -> None:
    x = torch.zeros(4000, 1, 2, 3)
    steps = list(chain(small(), x, n_steps=3, seed=0))
    assert len(steps) == 3
    for mean, sample in steps:
        assert mean.shape == sample.shape == x.shape
        assert set(sample.flatten().tolist()) == {0.0, 1.0}
        error = (mean * (1 - mean)).mean(dim=0).div(len(x)).sqrt()
        assert ((sample.mean(dim=0) - mean.mean(dim=0)).abs() < 4 * error).all()


def test_it_is_a_function_of_the_seed() -> None:
    x = torch.zeros(5, 1, 2, 3)
    runs = [
        torch.stack([step.sample for step in chain(small(), x, n_steps=4, seed=seed)]) for seed in (0, 0, 1)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[0][0], runs[0][1])
    assert torch.equal(x, torch.zeros(5, 1, 2, 3))


def test_a_code_with_a_distribution_is_drawn_from() -> None:
    module = small(code="gaussian", likelihood=Gaussian(1.0))
    x = torch.zeros(5, 1, 2, 3)
    (step,) = chain(module, x, n_steps=1, seed=0)
    chance = Randomness(0, "chain", 0)
    shown = module.corruption(x, chance.at("corruption"))
    drawn = module.code(module.encoder(shown)[0], chance.at("code")).value
    torch.testing.assert_close(step.mean, module.decode(drawn))


@pytest.mark.parametrize(
    ("parts", "n_steps", "sentence"),
    [
        ({"corruption": None}, 3, "expected a model with a corruption"),
        ({"likelihood": "squared_error"}, 3, "expected a likelihood to draw from, got SquaredError"),
        ({}, 0, r"n_steps must be in \[1, inf\), got 0"),
    ],
)
def test_what_cannot_be_walked_is_refused_at_once(parts: Any, n_steps: int, sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        chain(small(**parts), torch.zeros(2, 1, 2, 3), n_steps=n_steps, seed=0)


def test_residuals_of_a_model_without_corruption_are_refused() -> None:
    with pytest.raises(ParameterError, match="residual_noise: expected a model with a corruption"):
        residual_noise(small(corruption=None), torch.zeros(2, 1, 2, 3), seed=0)

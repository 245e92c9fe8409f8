"""Full negative log density of a normal distribution; the learned scale's optimum."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from isthmus.likelihoods.gaussian import Gaussian
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_likelihood

torch.set_num_threads(1)


@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0, "learned"])
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 4, 3)])
def test_laws(scale, shape: tuple[int, ...]) -> None:
    check_likelihood(Gaussian(scale), shape)


@pytest.mark.parametrize("scale", [0.05, 1.0, 3.0])
def test_it_is_minus_the_log_density(scale: float) -> None:
    outputs, x = Randomness(0).normal((5, 9)), Randomness(1).normal((5, 9))
    expected = -Normal(outputs, scale).log_prob(x).sum(dim=1)
    torch.testing.assert_close(Gaussian(scale)(outputs, x), expected)


def test_a_fixed_scale_is_no_parameter() -> None:
    assert not list(Gaussian(2.0).parameters())
    assert Gaussian(2.0).state_dict()["log_scale"].item() == pytest.approx(math.log(2))


def test_the_learned_scale_settles_at_the_root_mean_square() -> None:
    """Oracle 13: scale^2 = MSE, and then L = d / 2 (ln 2 pi MSE + 1)."""
    outputs, x = Randomness(0).normal((40, 9)).double(), 3 * Randomness(1).normal((40, 9)).double()
    mse = (x - outputs).square().mean()
    likelihood = Gaussian("learned").double()
    with torch.no_grad():
        likelihood.log_scale.copy_(mse.log() / 2)
    loss = likelihood(outputs, x).mean()
    (gradient,) = torch.autograd.grad(loss, likelihood.log_scale)
    assert abs(gradient) < 1e-9
    torch.testing.assert_close(loss, 9 / 2 * (math.log(2 * math.pi) + mse.log() + 1))
    for nearby in (-0.01, 0.01):
        with torch.no_grad():
            likelihood.log_scale.copy_(mse.log() / 2 + nearby)
        assert likelihood(outputs, x).mean() > loss

"""A normal distribution for each unit: its rate, its draws, their gradients (ORACLES: closed forms)."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from isthmus.codes.gaussian import LOG_VARIANCE_RANGE, Gaussian
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_code

torch.set_num_threads(1)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_laws(size: int, beta: float) -> None:
    check_code(Gaussian(size, beta))


def test_the_rate_is_the_divergence_summed_over_units() -> None:
    pre_code = Randomness(0).normal((6, 8)).double()
    mean, log_variance = pre_code[:, :4], pre_code[:, 4:]
    code = Gaussian(4, beta=3.0)
    expected = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), Normal(torch.zeros_like(mean), 1.0))
    torch.testing.assert_close(code(pre_code, Randomness(0)).rates, expected)
    torch.testing.assert_close(code.rate_per_unit(pre_code), expected)
    torch.testing.assert_close(code.scale(pre_code), torch.exp(log_variance / 2))
    assert code.rate_weight == 3.0


def test_gradients_through_draws() -> None:
    """``d E[h^2] / d mean = 2 mean`` and ``d E[h^2] / d scale = 2 scale``."""
    rows, mean, scale = 100_000, 0.8, 1.5
    start = torch.tensor([[mean, 2 * math.log(scale)]], dtype=torch.float64).expand(rows, 2)
    pre_code = start.clone().requires_grad_()
    value = Gaussian(1, 1.0)(pre_code, Randomness(0)).value
    (gradient,) = torch.autograd.grad(value.square().sum(), pre_code)
    expected = torch.tensor(
        [2 * mean, scale * scale], dtype=torch.float64
    )  # d scale / d log variance = scale / 2
    error = gradient.std(dim=0) / math.sqrt(rows)
    assert ((gradient.mean(dim=0) - expected).abs() < 4 * error).all()


def test_extreme_log_variances_stay_finite() -> None:
    pre_code = torch.tensor([[0.0, 1e6], [0.0, -1e6]])
    output = Gaussian(1, 1.0)(pre_code, Randomness(0))
    assert output.value.isfinite().all()
    assert output.rates.isfinite().all()
    torch.testing.assert_close(
        Gaussian(1, 1.0).scale(pre_code).flatten(), torch.exp(torch.tensor(LOG_VARIANCE_RANGE[::-1]) / 2)
    )

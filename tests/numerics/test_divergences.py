"""KL against torch's own, and against an average of log ratios."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from isthmus.numerics.divergences import kl_from_standard_normal

torch.set_num_threads(1)


@given(st.floats(-20, 20), st.floats(-15, 10))
def test_kl_is_torchs(mean: float, log_variance: float) -> None:
    m, v = torch.tensor(mean, dtype=torch.float64), torch.tensor(log_variance, dtype=torch.float64)
    expected = kl_divergence(Normal(m, torch.exp(v / 2)), Normal(torch.zeros_like(m), 1.0))
    torch.testing.assert_close(kl_from_standard_normal(m, v), expected, rtol=1e-9, atol=1e-10)


def test_kl_is_the_mean_log_ratio() -> None:
    mean, log_variance = torch.tensor(0.7, dtype=torch.float64), torch.tensor(-0.9, dtype=torch.float64)
    noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    posterior = Normal(mean, torch.exp(log_variance / 2))
    h = mean + posterior.scale * noise
    ratio = posterior.log_prob(h) - Normal(0.0, 1.0).log_prob(h)
    error = ratio.std() / math.sqrt(len(ratio))
    assert abs(ratio.mean() - kl_from_standard_normal(mean, log_variance)) < 4 * error


def test_kl_is_0_at_the_prior_and_above_elsewhere() -> None:
    assert kl_from_standard_normal(torch.zeros(1), torch.zeros(1)).item() == 0
    grid = torch.cartesian_prod(torch.linspace(-2, 2, 9), torch.linspace(-2, 2, 9)).double()
    kl = kl_from_standard_normal(grid[:, 0], grid[:, 1])
    assert (kl >= 0).all()
    assert (kl == 0).sum() == 1


def test_slopes_are_known() -> None:
    mean = torch.tensor([0.5, -2.0], dtype=torch.float64, requires_grad=True)
    log_variance = torch.tensor([0.3, -1.0], dtype=torch.float64, requires_grad=True)
    kl_from_standard_normal(mean, log_variance).sum().backward()
    torch.testing.assert_close(mean.grad, mean.detach())
    torch.testing.assert_close(log_variance.grad, (log_variance.exp() - 1).detach() / 2)

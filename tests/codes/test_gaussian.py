"""A normal distribution for each unit: its rate, its draws, their gradients (ORACLES: closed forms)."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from isthmus.codes.gaussian import LOG_VARIANCE_RANGE, Gaussian
from isthmus.config import Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.networks import Dense
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_code, check_module

torch.set_num_threads(1)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_laws(size: int, beta: float) -> None:
    check_code(Gaussian(size, beta))


@pytest.mark.parametrize(
    "params",
    [
        {"warm_up_share": 0.5, "beta": 2.0},
        {"warm_up_share": 0.5, "first_beta": 100.0},
        {"free_bits": 0.5},
        {"capacity": 3.0, "beta": 10.0},
        {"capacity": 0.0, "capacity_share": 0.0},
        {"n_draws": 5},
    ],
    ids=str,
)
def test_laws_of_what_the_rate_may_cost(params: dict[str, Any]) -> None:
    check_code(Gaussian(3, **params))
    model = Model(
        code_size=3, network=Dense((4,), "tanh"), code=GaussianCode(**params), likelihood="squared_error"
    )
    check_module(build(model, (5,), seed=0), Randomness(0).normal((4, 5)))


RATES = torch.tensor([[0.0, 1.0, 4.0], [0.5, 0.0, 2.0]], dtype=torch.float64)


def test_beta_warms_up() -> None:
    code = Gaussian(3, beta=4.0, warm_up_share=0.25)
    for progress, beta in ((0.0, 0.0), (0.125, 2.0), (0.25, 4.0), (1.0, 4.0)):
        torch.testing.assert_close(code.cost(RATES, progress), beta * RATES.sum(dim=1))


def test_beta_falls_by_equal_ratios() -> None:
    """Of beta 100, 10 and 1 the middle one is that of half the way, unlike on a straight line."""
    code = Gaussian(3, warm_up_share=0.5, first_beta=100.0)
    for progress, beta in ((0.0, 100.0), (0.25, 10.0), (0.5, 1.0), (1.0, 1.0)):
        torch.testing.assert_close(code.cost(RATES, progress), beta * RATES.sum(dim=1))
    to_zero = Gaussian(3, beta=0.0, warm_up_share=0.5, first_beta=2.0)
    torch.testing.assert_close(to_zero.cost(RATES, 0.25), RATES.sum(dim=1))


def test_a_falling_beta_is_a_falling_scale() -> None:
    """Under N(g, scale^2) a beta of b has the gradient of scale sqrt(b), but for the loss's unit."""
    error = torch.tensor([0.3, 2.0], dtype=torch.float64)
    b, scale = 25.0, 0.1
    torch.testing.assert_close(
        (error / (2 * scale**2) + Gaussian(3, beta=b).cost(RATES)) / b,
        error / (2 * (scale * b**0.5) ** 2) + Gaussian(3).cost(RATES),
    )


def test_free_bits_clamp_the_mean_over_the_batch() -> None:
    """Means over rows are 0.25, 0.5 and 3; in evaluation each row is a batch of its own."""
    code = Gaussian(3, beta=2.0, free_bits=0.4)
    assert code.scope == "batch"
    assert code.cost(RATES).item() == pytest.approx(2 * (0.4 + 0.5 + 3.0))
    each = torch.tensor([0.4 + 1 + 4, 0.5 + 0.4 + 2], dtype=torch.float64)
    torch.testing.assert_close(code.eval().cost(RATES), 2 * each)


def test_free_bits_give_a_unit_below_them_no_gradient() -> None:
    rates = RATES.clone().requires_grad_()
    Gaussian(3, free_bits=0.4).cost(rates).backward()
    assert rates.grad is not None
    torch.testing.assert_close(rates.grad, torch.tensor([[0, 0.5, 0.5]] * 2, dtype=torch.float64))


def test_capacity_holds_the_rate_to_a_rising_number() -> None:
    """The rows' rates are 5 and 2.5 nats, their mean 3.75."""
    code = Gaussian(3, beta=10.0, capacity=6.0, capacity_share=0.5)
    for progress, wanted in ((0.0, 0.0), (0.25, 3.0), (0.5, 6.0), (1.0, 6.0)):
        assert code.cost(RATES, progress).item() == pytest.approx(10 * abs(3.75 - wanted))
    torch.testing.assert_close(code.eval().cost(RATES), torch.tensor([10.0, 35.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"free_bits": 0.1, "capacity": 5.0}, "free_bits must be 0 beside capacity=5.0, got 0.1"),
        ({"n_draws": 5, "beta": 2.0}, "n_draws must be 1 beside beta=2.0, got 5"),
        ({"n_draws": 5, "warm_up_share": 0.1}, "n_draws must be 1 beside warm_up_share=0.1"),
        ({"n_draws": 5, "free_bits": 0.1}, "n_draws must be 1 beside free_bits=0.1"),
        ({"n_draws": 5, "capacity": 0.0}, "n_draws must be 1 beside capacity=0.0"),
        ({"first_beta": 9.0}, "first_beta needs a warm_up_share above 0, got first_beta=9.0 and none"),
        ({"first_beta": -1.0, "warm_up_share": 0.5}, "first_beta must be in"),
        ({"n_draws": 0}, "n_draws must be in"),
        ({"capacity": -1.0}, "capacity must be in"),
    ],
)
def test_what_cannot_work_together_is_refused(params: dict[str, Any], names: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(names)):
        GaussianCode(**params)


def test_weights_of_rows_reach_a_cost_of_the_whole_batch_and_of_rows() -> None:
    x = Randomness(0).normal((4, 5)).double()
    weight = torch.tensor([2.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    model = Model(
        code_size=2, network=Dense(()), code=GaussianCode(free_bits=0.3), likelihood="squared_error"
    )
    module = build(model, (5,), seed=0).double()
    rates = module.code.rate_per_unit(module.encoder(x)[0])
    assert rates is not None
    cost = module.objective(x, 0, sample_weight=weight)
    expected = (weight[:, None] * rates).mean(dim=0).clamp_min(0.3).sum()
    torch.testing.assert_close(cost.loss - cost.terms["distortion"], expected)
    cost = module.eval().objective(x, 0, sample_weight=weight)
    expected = (weight * rates.clamp_min(0.3).sum(dim=1)).mean()
    torch.testing.assert_close(cost.loss - cost.terms["distortion"], expected)


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

"""Whole steps and their learned distribution: noise against rounding, the rate against closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isthmus import Autoencoder
from isthmus.codes.quantised import Quantised
from isthmus.config import Model
from isthmus.config.parts.codes import QuantisedCode
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import Contractive
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_code, check_module

torch.set_num_threads(1)


def varied(size: int = 4, n_mixtures: int = 3) -> Quantised:
    """One whose entropy model is no longer the first."""
    code = Quantised(size, first_step=0.5, n_mixtures=n_mixtures).double()
    with torch.no_grad():
        for number, parameter in enumerate(code.parameters()):
            parameter.add_(0.5 * Randomness(number).normal(parameter.shape).double())
    return code


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "params", [{}, {"first_step": 0.25, "n_mixtures": 1}, {"beta": 4.0, "warm_up_share": 0.5}]
)
def test_laws(params: dict[str, Any], *, training: bool) -> None:
    check_code(Quantised(3, **params).train(training))
    model = Model(
        code_size=3,
        network=Dense((4,), "tanh"),
        code=QuantisedCode(**params),
        likelihood="squared_error",
    )
    check_module(build(model, (5,), seed=0), Randomness(0).normal((4, 5)))


def test_evaluation_rounds_and_training_adds_noise_of_one_step() -> None:
    code, pre_code = varied(), 5 * Randomness(0).normal((2000, 4)).double()
    step = code.step.detach()
    assert len(step.unique()) == 4
    noise = (code(pre_code, Randomness(1)).value.detach() - pre_code) / step
    assert noise.min() >= -0.5
    assert noise.max() < 0.5
    assert abs(noise.mean()) < 5 / math.sqrt(12 * noise.numel())
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.05)
    assert torch.equal(code.mean(pre_code), pre_code)
    code.eval()
    h = code(pre_code, Randomness(1)).value.detach()
    torch.testing.assert_close(h, step * torch.round(pre_code / step))
    assert torch.equal(h, code.mean(pre_code))
    assert torch.equal(step * code.symbols(h).double(), h)


@pytest.mark.parametrize("n_mixtures", [1, 3])
def test_the_rate_is_minus_the_log_of_the_cells_probability(n_mixtures: int) -> None:
    """Against the distribution function, which an entropy coder's tables are made from."""
    code = varied(n_mixtures=n_mixtures).eval()
    symbols = torch.arange(-20, 21)
    edges = torch.cat([symbols - 0.5, symbols[-1:] + 0.5])
    with torch.no_grad():
        cumulative = code.cumulative(edges)
        assert cumulative.shape == (4, 42)
        rates = code.rate_per_unit(code.step * symbols[:, None])
    torch.testing.assert_close(torch.exp(-rates).T, cumulative.diff(dim=1), rtol=1e-9, atol=1e-15)
    assert (cumulative.diff(dim=1) >= 0).all()
    with torch.no_grad():
        ends = code.cumulative(torch.tensor([-1e6, 1e6]))
    torch.testing.assert_close(ends, torch.tensor([[0.0, 1.0]] * 4, dtype=torch.float64))


class Still(Randomness):
    """Without noise: uniform numbers that are all 1/2."""

    def uniform(self, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        return torch.full(tuple(shape), 0.5, dtype=None if like is None else like.dtype)


def test_under_noise_the_rate_is_a_density_in_steps() -> None:
    """It integrates to 1: the prior of a noisy unit is that of the unit convolved with one step."""
    code = varied(1)
    at = torch.linspace(-200, 200, 40_001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        rates = code(at, Still(0)).rates
        assert rates is not None
        density = torch.exp(-rates) / code.step
    assert (density.sum() * 0.01).item() == pytest.approx(1, abs=1e-6)


def test_the_expected_rate_of_uniform_noise_is_near_the_rounded_one() -> None:
    """Balle et al. (2017), section 3: of a smooth distribution both are the same, to its curvature."""
    code, pre_code = Quantised(1, first_step=1.0).double(), 40 * Randomness(0).normal((20_000, 1)).double()
    with torch.no_grad():
        code.log_spread.fill_(math.log(40))
        noisy = code(pre_code, Randomness(1)).rates
        assert noisy is not None
        assert noisy.mean().item() == pytest.approx(code.rate_per_unit(pre_code).mean().item(), abs=5e-3)


def test_the_entropy_model_learns_a_distribution_of_two_modes() -> None:
    """The rate comes within 0.02 nats of the symbols' own entropy."""
    code = Quantised(1, first_step=1.0).double()
    code.log_step.requires_grad_(False)
    chance = np.random.default_rng(0)
    symbols = np.where(chance.random(4000) < 0.3, -6, 9) + np.rint(1.5 * chance.normal(size=4000))
    _, counts = np.unique(symbols, return_counts=True)
    entropy = float(-(counts / 4000 * np.log(counts / 4000)).sum())
    x = torch.from_numpy(symbols)[:, None]
    optimiser = torch.optim.Adam([p for p in code.parameters() if p.requires_grad], lr=0.02)
    code.eval()
    for _ in range(600):
        optimiser.zero_grad()
        code.rate_per_unit(x).mean().backward()
        optimiser.step()
    rate = code.rate_per_unit(x).mean().item()
    assert entropy <= rate + 1e-9
    assert rate - entropy < 0.02
    quantiles = code.prior_quantiles(torch.tensor([[0.01], [0.15], [0.5], [0.99]]))
    assert quantiles is not None
    expected = np.quantile(symbols, [0.01, 0.15, 0.5, 0.99])
    assert np.abs(quantiles[:, 0].numpy() - expected).max() <= 1


def test_quantiles_are_the_lowest_step_that_reaches_the_share() -> None:
    code = varied()
    shares = torch.tensor([[1e-6], [0.2], [0.5], [0.9], [1 - 1e-6]]).double()
    symbols = code.symbols(code.prior_quantiles(shares))
    for row, share in enumerate(shares[:, 0]):
        with torch.no_grad():
            for unit in range(4):
                edges = symbols[row, unit] + torch.tensor([-0.5, 0.5])
                below, reached = code.cumulative(edges)[unit]
                assert below < share <= reached + 1e-12


def test_extreme_units_stay_finite() -> None:
    code = Quantised(1)
    for spread in (-100.0, 0.0, 100.0):
        with torch.no_grad():
            code.log_spread.fill_(spread)
            code.log_step.fill_(-spread / 2)
        pre_code = torch.tensor([[1e15], [-1e6], [0.0]], requires_grad=True)
        for training in (True, False):
            output = code.train(training)(pre_code, Randomness(0))
            assert output.value.isfinite().all()
            assert output.rates.isfinite().all()
            gradients = torch.autograd.grad(output.rates.sum(), [pre_code, *code.parameters()])
            assert all(gradient.isfinite().all() for gradient in gradients)


def line(n: int, seed: int) -> np.ndarray:
    """Rows on a line of standard deviation 3, and a little noise."""
    chance = np.random.default_rng(seed)
    return 3 * chance.normal(size=(n, 1)) * np.array([0.6, 0.8, 0.0]) + 0.01 * chance.normal(size=(n, 3))


def fitted(beta: float) -> Autoencoder:
    return Autoencoder(
        2,
        code=QuantisedCode(beta),
        likelihood="squared_error",
        hidden_sizes=(),
        scaling="raw",
        max_epochs=60,
        learning_rate=0.02,
        batch_size=64,
        random_state=0,
        threads=1,
        patience=None,
    ).fit(line(600, 0))


def test_a_smaller_beta_buys_less_error_with_more_bits() -> None:
    """Of one direction with noise 1/12 step^2: D is about beta / 2, as high-rate theory has it; R falls with ln D."""
    X, curve = line(1000, 1), []
    for beta in (0.3, 0.03):
        model = fitted(beta)
        x = torch.from_numpy(X).float()
        with torch.inference_mode():
            rates = model.module_.code.rate_per_unit(model.module_.encoder(x)[0])
        assert rates is not None
        rate = rates.sum(dim=1).mean().item()
        error = np.square(model.reconstruct(X) - X).sum(axis=1).mean()
        curve.append((rate, error))
        assert error == pytest.approx(beta / 2, rel=0.35)
        # Shannon's bound of a normal source, and what a uniform quantiser misses of it: ln(2 pi e / 12) / 2.
        bound = 0.5 * math.log(9 / error)
        assert bound < rate < bound + 0.5 * math.log(2 * math.pi * math.e / 12) + 0.15
    assert curve[1][0] > curve[0][0]


def test_stored_codes_and_new_rows() -> None:
    model, X = fitted(0.1), line(50, 2)
    h = model.transform(X)
    assert isinstance(model.module_.code, Quantised)
    step = model.module_.code.step.detach().numpy()
    np.testing.assert_allclose(h / step, np.rint(h / step), atol=1e-4)
    np.testing.assert_array_equal(model.inverse_transform(h), model.reconstruct(X))
    new = model.sample(400, random_state=0)
    np.testing.assert_array_equal(new, model.sample(400, prior="learned", random_state=0))
    assert np.linalg.norm(new.std(axis=0) - line(1000, 0).std(axis=0)) < 0.6
    with pytest.raises(
        ParameterError, match="'normal' is the prior of a Gaussian code, got a code without one"
    ):
        model.sample(4, prior="normal")


def test_derivatives_go_straight_through_the_rounding() -> None:
    """In evaluation the contractive penalty sees the Jacobian of what is rounded."""
    model = Model(
        code_size=2,
        network=Dense(()),
        code=QuantisedCode(),
        likelihood="squared_error",
        penalties=Contractive(1.0),
    )
    module = build(model, (4,), seed=0)
    x: Tensor = Randomness(0).normal((3, 4))
    expected = module.encoder.layers[0].weight.square().sum()  # type: ignore[union-attr, index, operator]
    for training in (True, False):
        penalty = module.train(training).objective(x, 0).terms["contractive"]
        torch.testing.assert_close(penalty, expected)


@pytest.mark.parametrize(
    "params", [{"beta": 0.0}, {"first_step": 0.0}, {"n_mixtures": 0}, {"warm_up_share": 1.5}]
)
def test_numbers_out_of_range_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=f"QuantisedCode: {next(iter(params))} must be in"):
        QuantisedCode(**params)

"""Probabilities of exact levels: they sum to 1 everywhere, against slow twins in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus import Autoencoder
from isthmus.config import Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.likelihoods import DiscretisedLogistic as Description
from isthmus.config.parts.networks import Dense
from isthmus.errors import DataError, ParameterError
from isthmus.likelihoods.discretised_logistic import LARGEST_SCALE, SMALLEST_SCALE, DiscretisedLogistic
from isthmus.model.build import build
from isthmus.numerics.logistic import log_cell_probability
from isthmus.numerics.randomness import Randomness
from isthmus.testing import LawBroken, check_likelihood

torch.set_num_threads(1)


@pytest.mark.parametrize("n_mixtures", [1, 3])
@pytest.mark.parametrize(("shape", "n_levels"), [((1,), 2), ((5,), 17), ((2, 3, 2), 256)])
def test_laws(shape: tuple[int, ...], n_levels: int, n_mixtures: int) -> None:
    check_likelihood(
        DiscretisedLogistic(n_levels, n_mixtures), shape, support="levels", n_levels=n_levels, rows=3
    )


def test_the_laws_know_the_number_of_levels() -> None:
    """Negative twin: the probabilities of 16 levels do not sum to 1 over another number of values."""
    with pytest.raises(LawBroken, match="must sum to 1"):
        check_likelihood(DiscretisedLogistic(16), (1,), support="levels", n_levels=31)


def twin(
    outputs: NDArray[np.float64], x: NDArray[np.float64], n_levels: int, n_mixtures: int
) -> NDArray[np.float64]:
    """One value at a time, by differences of distribution functions, ``(rows,)``."""
    step, found = 1 / (n_levels - 1), np.zeros(len(x))
    for row, place in np.ndindex(*x.shape):
        three = outputs[row].reshape(x.shape[1], -1, n_mixtures)[place]
        weights = np.exp(three[0]) / np.exp(three[0]).sum() if n_mixtures > 1 else np.ones(1)
        low, high = -math.inf, math.inf
        if x[row, place] > 0:
            low = x[row, place] - step / 2
        if x[row, place] < 1:
            high = x[row, place] + step / 2
        p = 0.0
        for weight, mean, log_scale in zip(weights, three[-2], three[-1], strict=True):
            scale = min(max(math.exp(log_scale), step * SMALLEST_SCALE), LARGEST_SCALE)
            p += weight * (_sigmoid((high - mean) / scale) - _sigmoid((low - mean) / scale))
        found[row] -= math.log(p)
    return found


def _sigmoid(z: float) -> float:
    return 0.0 if z == -math.inf else 1 / (1 + math.exp(-z))


@pytest.mark.parametrize("n_mixtures", [1, 4])
@pytest.mark.parametrize("n_levels", [2, 16, 256])
def test_it_is_minus_the_log_of_a_difference(n_levels: int, n_mixtures: int) -> None:
    part = DiscretisedLogistic(n_levels, n_mixtures)
    outputs = Randomness(0).normal((6, *part.output_shape((7,)))).double()
    x = (Randomness(1).uniform((6, 7)).double() * n_levels).floor() / (n_levels - 1)
    x[0, 0], x[0, 1] = 0.0, 1.0
    expected = twin(outputs.numpy(), x.numpy(), n_levels, n_mixtures)
    torch.testing.assert_close(part(outputs, x), torch.from_numpy(expected))


@pytest.mark.parametrize("mean", [-1e4, -0.3, 0.0, 0.5, 1.0, 40.0])
@pytest.mark.parametrize("log_scale", [-50.0, -5.0, 0.0, 50.0])
def test_the_levels_sum_to_one_wherever_the_decoder_is(mean: float, log_scale: float) -> None:
    part, levels = DiscretisedLogistic(), torch.arange(256).double()[:, None] / 255
    outputs = torch.tensor([[mean, log_scale]], dtype=torch.float64).expand(256, 2)
    assert torch.exp(-part(outputs, levels)).sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_are_finite_in_every_tail(dtype: torch.dtype) -> None:
    far = torch.tensor([-1e20, -1e4, -30.0, 0.0, 0.5, 1.0, 30.0, 1e4, 1e20], dtype=dtype)
    pairs = torch.cartesian_prod(far, far).repeat(3, 1)
    x = torch.tensor([0.0, 128 / 255, 1.0], dtype=dtype).repeat_interleave(len(far) ** 2)[:, None]
    for n_mixtures in (1, 2):
        part = DiscretisedLogistic(n_mixtures=n_mixtures)
        outputs = pairs if n_mixtures == 1 else torch.cat([pairs, pairs.flip(0), pairs], dim=1)
        outputs = outputs.clone().requires_grad_()
        loss = part(outputs, x)
        assert loss.isfinite().all()
        assert (loss >= 0).all()
        (gradient,) = torch.autograd.grad(loss.sum(), outputs)
        assert gradient.isfinite().all()
        assert part.mean(outputs).isfinite().all()
        assert part.draw(outputs, Randomness(0)).isfinite().all()


def test_a_mean_far_off_still_pulls() -> None:
    """Where differences of float32 distribution functions are 0, the slope is that of the tail: 1 / s."""
    outputs = torch.tensor([[0.9, math.log(0.005)]], requires_grad=True)
    loss = DiscretisedLogistic()(outputs, torch.tensor([[0.1]]))
    (gradient,) = torch.autograd.grad(loss.sum(), outputs)
    assert loss.item() == pytest.approx(0.8 / 0.005, rel=0.02)
    assert gradient[0, 0].item() == pytest.approx(1 / 0.005, rel=1e-3)


@pytest.mark.parametrize("n_levels", [2, 33, 34, 35, 100, 256, 65_536])
def test_the_reconstruction_is_the_expectation(n_levels: int) -> None:
    """Summed over every edge between two levels, for scales from a sixteenth of a step to the largest."""
    part = DiscretisedLogistic(n_levels)
    edges = (torch.arange(n_levels - 1).double() + 0.5) / (n_levels - 1)
    mean = 2 * Randomness(0).uniform((40,)).double() - 0.5
    low, high = math.log(part.step / 16), math.log(LARGEST_SCALE)
    for log_scale in torch.linspace(low, high, 9).double():
        outputs = torch.stack([mean, log_scale.expand_as(mean)], dim=1)
        expected = torch.sigmoid((mean[:, None] - edges) / log_scale.exp()).sum(dim=1) * part.step
        torch.testing.assert_close(part.mean(outputs)[:, 0], expected, rtol=0, atol=2e-8)


@pytest.mark.parametrize("n_mixtures", [1, 5])
def test_the_decoder_begins_at_the_mean(n_mixtures: int) -> None:
    part = DiscretisedLogistic(n_mixtures=n_mixtures)
    mean = Randomness(0).uniform((3, 2, 4))
    outputs = part.outputs_at(mean)
    assert outputs.shape == (3, *part.output_shape((2, 4)))
    torch.testing.assert_close(part.mean(outputs), mean.clamp(0.001, 0.999), rtol=0, atol=2e-6)
    scales = part.components(outputs).log_scale
    assert len(scales[0, 0, :, 0].unique()) == n_mixtures, "alike components would stay alike"


@pytest.mark.parametrize("n_mixtures", [1, 2])
def test_draws_are_levels_in_their_probabilities(n_mixtures: int) -> None:
    part, n = DiscretisedLogistic(8, n_mixtures), 40_000
    values = [0.3, 0.8, -1.5, -0.1, -2.0, -2.5] if n_mixtures == 2 else [0.6, -1.5]
    outputs = torch.tensor([values], dtype=torch.float64)
    draws = part.draw(outputs.expand(n, -1), Randomness(0))
    levels = torch.arange(8).double()[:, None] / 7
    p = torch.exp(-part(outputs.expand(8, -1), levels))
    counts = torch.bincount((draws[:, 0] * 7).round().long(), minlength=8)
    assert torch.isin(draws, levels).all()
    assert ((counts / n - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1e-9).all()


def test_it_is_a_probability_of_levels_alone() -> None:
    part = DiscretisedLogistic()
    assert part.unit == "nats"
    assert part.is_probability
    assert part.is_density(torch.arange(256)[None].float() / 255)
    assert not part.is_density(torch.tensor([[0.5]]))
    assert DiscretisedLogistic(65_536).is_density(torch.arange(65_536)[None].float() / 65_535)


def test_cells_are_differences_of_distribution_functions() -> None:
    low, width = torch.linspace(-6, 6, 50).double(), Randomness(0).uniform((50,)).double()
    expected = torch.log(torch.sigmoid(low + width) - torch.sigmoid(low))
    torch.testing.assert_close(log_cell_probability(low, low + width, width), expected)
    one, all_above = torch.tensor([1.0]), torch.tensor([math.inf])
    torch.testing.assert_close(log_cell_probability(-all_above, one, all_above), torch.sigmoid(one).log())
    torch.testing.assert_close(log_cell_probability(one, all_above, all_above), torch.sigmoid(-one).log())
    far = log_cell_probability(1e9 * one, 1e9 * one, one).item()
    assert far == pytest.approx(-1e9 + math.log(1 - math.exp(-1)))


def shades(n: int = 96, seed: int = 0) -> NDArray[np.uint8]:
    """Bytes along one direction, with noise of a few levels."""
    chance = np.random.default_rng(seed)
    rows = (
        128
        + 40 * chance.normal(size=(n, 1)) * np.array([1, -1, 0.5, 0.2, 0.0, 1])
        + chance.normal(size=(n, 6))
    )
    return rows.clip(0, 255).astype(np.uint8)


def test_bytes_are_fitted_and_cost_less_than_levels_all_alike() -> None:
    X = shades()
    model = Autoencoder(
        1,
        likelihood=Description(),
        hidden_sizes=(16,),
        max_epochs=60,
        learning_rate=0.01,
        random_state=0,
        threads=1,
    ).fit(X)
    x = torch.from_numpy(X.astype(np.float32) / 255)
    with torch.inference_mode():
        loss = model.module_.distortion(model.module_.decoder(model.module_.encode(x)), x).mean().item()
    assert model.module_.likelihood.is_density(x)
    assert loss / (6 * math.log(2)) < 6
    assert np.abs(model.reconstruct(X).astype(float) - X).mean() < 10


def test_tied_weights_are_refused_in_one_sentence() -> None:
    model = Model(code_size=2, network=Dense((4,), tied=True), likelihood=Description())
    with pytest.raises(ParameterError, match="tied weights need as many outputs as inputs, got 10 outputs"):
        build(model, (5,), seed=0)


def test_values_beyond_the_levels_are_refused() -> None:
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(DataError, match=r"DiscretisedLogistic: expected values in \[0, 1\] in model units"):
        Autoencoder(1, likelihood="discretised_logistic", scaling="standardise", max_epochs=1).fit(X)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_levels": 1}, r"n_levels must be in \[2, 65536\], got 1"),
        ({"n_mixtures": 0}, "n_mixtures must be in"),
    ],
)
def test_numbers_out_of_range_are_refused(params: dict[str, int], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        Description(**params)


def test_the_gaps_of_a_batch_and_the_training_objective() -> None:
    """Through the module, in float64: distortion is L of the reconstruction's outputs."""
    model = Model(code_size=2, network=Dense((4,)), code=GaussianCode(), likelihood=Description(16, 2))
    module = build(model, (2, 3), seed=0).double()
    x: Tensor = (Randomness(0).uniform((5, 2, 3)).double() * 16).floor() / 15
    objective = module.objective(x, 0)
    chance = Randomness(0, "training", 0)
    h = module.code(module.encoder(x)[0], chance.at("code")).value
    expected = twin(
        module.decoder(h).detach().reshape(5, 2, -1, 3).transpose(2, 3).reshape(5, -1).numpy(),
        x.reshape(5, 6).numpy(),
        16,
        2,
    )
    torch.testing.assert_close(objective.terms["distortion"].detach(), torch.from_numpy(expected).mean())

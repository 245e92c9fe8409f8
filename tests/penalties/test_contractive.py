"""The squared Jacobian of the whole encoder, code included, through the module (ORACLES: one layer)."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts.activations import Activation
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import Contractive
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)


def made(network, code, method="auto", shape=(6,), corruption=None) -> AutoencoderModule:
    model = Model(
        code_size=3,
        network=network,
        code=code,
        likelihood="squared_error",
        corruption=corruption,
        penalties=Contractive(0.1, method),
    )
    return build(model, shape, seed=0).double()


def by_autograd(module: AutoencoderModule, x: torch.Tensor) -> torch.Tensor:
    rows = [
        torch.autograd.functional.jacobian(lambda one: module.encode(one.unsqueeze(0))[0], row) for row in x
    ]
    return torch.stack([row.square().sum() for row in rows]).mean()


@pytest.mark.parametrize("method", ["exact", "auto"])
@pytest.mark.parametrize("hidden", [(), (4,), (8,), (5, 9, 4)], ids=str)
@pytest.mark.parametrize("name", get_args(Activation))
def test_dense_and_deterministic(name: Activation, hidden: tuple[int, ...], method: str) -> None:
    module, x = (
        made(Dense(hidden, name), DeterministicCode(name), method),
        Randomness(0).normal((4, 6)).double(),
    )
    term = module.objective(x, 0).terms["contractive"]
    torch.testing.assert_close(term, by_autograd(module, x), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("method", ["exact", "auto"])
@pytest.mark.parametrize("hidden", [(), (4,), (8,), (5, 9)], ids=str)
def test_dense_and_gaussian_is_the_means_jacobian(hidden: tuple[int, ...], method: str) -> None:
    module, x = made(Dense(hidden, "silu"), GaussianCode(), method), Randomness(0).normal((4, 6)).double()
    term = module.objective(x, 0).terms["contractive"]
    torch.testing.assert_close(term, by_autograd(module, x), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("code", [DeterministicCode("tanh"), GaussianCode()], ids=repr)
def test_convolutions(code) -> None:
    module = made(Conv2d((4, 3), 3, 2), code, "exact", (2, 7, 6))
    x = Randomness(0).normal((3, 2, 7, 6)).double()
    expected = by_autograd(module, x)
    torch.testing.assert_close(module.objective(x, 0).terms["contractive"], expected, rtol=1e-10, atol=0)
    loose = made(Conv2d((4, 3), 3, 2), code, "auto", (2, 7, 6))
    draws = torch.stack([loose.objective(x, step).terms["contractive"].detach() for step in range(1000)])
    assert abs(draws.mean() - expected) < 4 * draws.std() / 1000**0.5


def test_known_slopes_of_one_layer() -> None:
    x = Randomness(0).normal((4, 6)).double()
    known = {
        "sigmoid": lambda h: (h * (1 - h)).square(),
        "tanh": lambda h: (1 - h.square()).square(),
        "relu": lambda h: (h > 0).double(),
        "identity": torch.ones_like,
    }
    for name, squared_slope in known.items():
        module = made(Dense(()), DeterministicCode(name))
        norms = module.encoder.layers[0].weight.square().sum(dim=1)
        expected = (squared_slope(module.encode(x)) * norms).sum(dim=1).mean()
        torch.testing.assert_close(module.objective(x, 0).terms["contractive"], expected)


def test_it_is_taken_at_the_input_that_the_encoder_is_shown() -> None:
    module = made(Dense((4,), "tanh"), DeterministicCode("tanh"), corruption=GaussianNoise(2.0))
    x = Randomness(0).normal((4, 6)).double()
    shown = module.corruption(x, Randomness(module.seed, "training", 5).at("corruption"))
    term = module.objective(x, 5).terms["contractive"]
    torch.testing.assert_close(term, by_autograd(module, shown))
    assert abs(term - by_autograd(module, x)) > 1e-3

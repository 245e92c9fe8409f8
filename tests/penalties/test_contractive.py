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
from isthmus.config.parts.penalties import Contractive, ContractiveHessian
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.objective import Objective
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


def slopes_of(module: AutoencoderModule, cost: Objective) -> list[torch.Tensor]:
    return list(torch.autograd.grad(cost.loss, list(module.parameters())))


LOOKING = [Contractive(0.1, "exact"), Contractive(0.1, "estimate"), ContractiveHessian(0.1, 0.5, 2)]


@pytest.mark.parametrize("condition", ["none", "label"])
@pytest.mark.parametrize("corruption", [None, GaussianNoise(0.5)], ids=repr)
@pytest.mark.parametrize("code", [DeterministicCode("sigmoid"), GaussianCode()], ids=repr)
@pytest.mark.parametrize("hidden", [(), (4,), (5, 9)], ids=str)
@pytest.mark.parametrize("penalty", LOOKING, ids=repr)
def test_the_forward_that_made_h_is_as_good_as_one_of_its_own(
    penalty, hidden, code, corruption, condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of weighted rows and values, shown corrupted and clean: cost, terms and gradients."""
    model = Model(
        code_size=3,
        network=Dense(hidden, "tanh"),
        code=code,
        likelihood="squared_error",
        corruption=corruption,
        penalties=penalty,
        condition=condition,
    )
    module = build(model, (6,), seed=0, n_classes=2 if condition == "label" else 0).double()
    x, labels = Randomness(0).normal((4, 6)).double(), torch.tensor([0, 1, 1, 0])
    batch = (x, labels) if condition == "label" else x
    weights = {
        "sample_weight": torch.tensor([0.5, 2.0, 0.0, 1.5]).double(),
        "value_weight": Randomness(1).uniform((4, 6)).double(),
    }
    shared = module.objective(batch, 3, **weights)
    gradients = slopes_of(module, shared)
    for kind in {type(one) for one in module.penalties.values()}:
        monkeypatch.setattr(kind, "reads_trace", False)
    apart = module.objective(batch, 3, **weights)
    torch.testing.assert_close(shared, apart, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(gradients, slopes_of(module, apart), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("penalty", "n_passes"), [*((one, 1) for one in LOOKING[:2]), (LOOKING[2], 3)], ids=repr
)
def test_the_encoder_runs_once_for_h_and_the_slopes(penalty, n_passes: int) -> None:
    model = Model(code_size=3, network=Dense((4,)), likelihood="squared_error", penalties=penalty)
    module = build(model, (6,), seed=0)
    calls: list[int] = []
    for layer in module.encoder.layers:
        layer.register_forward_hook(lambda *_: calls.append(1))
    module.objective(torch.zeros(4, 6), 0)
    assert len(calls) == 2 * n_passes


class Doubled(torch.nn.Module):
    """Somebody's own layer around one of ours."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        return 2 * self.layer(a)


@pytest.mark.parametrize("hidden", [(), (4,)], ids=str)
def test_layers_of_another_kind_go_the_general_way(hidden: tuple[int, ...]) -> None:
    module, x = (
        made(Dense(hidden), DeterministicCode("tanh"), "exact"),
        Randomness(0).normal((4, 6)).double(),
    )
    layers = module.encoder.layers
    layers[0] = Doubled(layers[0])
    expected = by_autograd(module, x)
    torch.testing.assert_close(module.objective(x, 0).terms["contractive"], expected, rtol=1e-10, atol=0)


def test_a_unit_without_weights_has_no_gradient() -> None:
    module, x = made(Dense(()), DeterministicCode("sigmoid")), Randomness(0).normal((4, 6)).double()
    weight = module.encoder.layers[0].weight
    with torch.no_grad():
        weight[1] = 0
    (gradient,) = torch.autograd.grad(module.objective(x, 0).terms["contractive"], weight)
    assert torch.equal(gradient[1], torch.zeros(6).double())
    assert (gradient[[0, 2]] != 0).all()

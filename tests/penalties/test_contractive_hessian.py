"""The Jacobian's change around a row (oracle 14): CAE+H."""

from __future__ import annotations

import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts.codes import DeterministicCode
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import ContractiveHessian as Description
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.contractive_hessian import ContractiveHessian
from isthmus.testing import check_penalty
from isthmus.testing.penalty import view_of

torch.set_num_threads(1)
X = Randomness(0).normal((3, 6)).double()


def made(network=None, shape=(6,), **params) -> AutoencoderModule:
    model = Model(
        code_size=3,
        network=network or Dense((5,), "tanh"),
        code=DeterministicCode("sigmoid"),
        likelihood="squared_error",
        penalties=Description(1.0, **params),
    )
    return build(model, shape, seed=0).double()


def jacobian(module: AutoencoderModule, row: torch.Tensor) -> torch.Tensor:
    return torch.autograd.functional.jacobian(lambda one: module.encode(one.unsqueeze(0))[0], row)


@pytest.mark.parametrize("hidden", [(), (4,), (9, 5)], ids=str)
def test_exact_through_dense_layers(hidden: tuple[int, ...]) -> None:
    """A slow twin: the same draws, Jacobians by autograd."""
    module = made(Dense(hidden, "tanh"), scale=0.7, n_probes=3)
    chance, expected = Randomness(0, "penalty"), torch.zeros(3).double()
    for number in range(3):
        moved = X + 0.7 * chance.at(number, "step").normal(X.shape, like=X)
        for i in range(3):
            expected[i] += (jacobian(module, moved[i]) - jacobian(module, X[i])).square().sum() / 3
    got = module.penalties["contractive_hessian"](view_of(module, X, chance))
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=0)


def test_small_steps_give_the_squared_hessian() -> None:
    module = made(scale=1e-4, n_probes=4000)
    hessians = torch.autograd.functional.jacobian(
        lambda one: torch.autograd.functional.jacobian(
            lambda z: module.encode(z.unsqueeze(0))[0], one, create_graph=True
        ),
        X[0],
    )
    got = module.penalties["contractive_hessian"](view_of(module, X[:1], Randomness(0)))
    assert got.item() == pytest.approx(1e-8 * hessians.square().sum().item(), rel=0.05)


def test_the_estimate_for_others_is_unbiased() -> None:
    module = made(Conv2d((3,), 3, 2, activation="tanh"), (1, 5, 4), scale=0.5, n_probes=1)
    x, chance = Randomness(0).normal((2, 1, 5, 4)).double(), Randomness(0)
    penalty = module.penalties["contractive_hessian"]
    draws, exact = [], []
    for number in range(600):
        here = chance.at(number)
        draws.append(penalty(view_of(module, x, here)).detach())
        moved = x + 0.5 * here.at(0, "step").normal(x.shape, like=x)
        if number < 150:
            exact.append((jacobian(module, moved[0]) - jacobian(module, x[0])).square().sum())
    draw, true = torch.stack(draws)[:, 0], torch.stack(exact)
    error = (draw.var() / len(draw) + true.var() / len(true)).sqrt()
    assert abs(draw.mean() - true.mean()) < 4 * error
    assert error < 0.1 * true.mean()


def test_a_linear_code_has_none() -> None:
    model = Model(code_size=3, network=Dense(()), likelihood="squared_error", penalties=Description())
    module = build(model, (6,), seed=0).double()
    assert module.objective(X, 0).terms["contractive_hessian"] == 0


@pytest.mark.parametrize("network", [Dense((4,), "tanh"), Conv2d((2,), activation="tanh")], ids=repr)
def test_laws(network) -> None:
    shape = (1, 5, 4) if isinstance(network, Conv2d) else (6,)
    check_penalty(
        ContractiveHessian(0.3, n_probes=2), made(network, shape), Randomness(0).normal((3, *shape))
    )

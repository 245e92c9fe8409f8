"""Where a model begins: PCA's own reconstruction, with every unit alive."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts.activations import Activation
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.model.build import build
from isthmus.model.start import can_start_at_pca, start_at_pca
from isthmus.networks.dense import LINEAR_GAIN
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
D, K = 6, 3
X = Randomness(0).normal((200, D)) @ Randomness(1).normal((D, D)) + 1
MEAN = X.mean(dim=0)
AXES = torch.linalg.eigh(torch.cov(X.T))[1].T.flip(0)


def made(hidden: tuple[int, ...], activation: Activation = "silu", **params: Any):
    chosen = {"code_size": K, "likelihood": "squared_error", "network": Dense(hidden, activation), **params}
    return build(Model(**chosen), (D,), seed=0)


@pytest.mark.parametrize("name", get_args(Activation))
def test_a_pair_of_units_is_linear_where_it_is_said_to_be(name: Activation) -> None:
    a = torch.linspace(-6, 6, 101, dtype=torch.float64)
    pair = ACTIVATIONS[name].function(a) - ACTIVATIONS[name].function(-a)
    if name in LINEAR_GAIN:
        torch.testing.assert_close(pair, LINEAR_GAIN[name] * a)
    else:
        assert not torch.allclose(pair, pair[-1] / 6 * a, rtol=1e-3)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("name", LINEAR_GAIN)
@pytest.mark.parametrize("hidden", [(), (2 * K,), (2 * K, 2 * K)], ids=str)
def test_with_pairs_alone_it_is_pca_exactly(name: Activation, hidden: tuple[int, ...], tied: bool) -> None:
    module = made(hidden, name, network=Dense(hidden, name, tied))
    assert can_start_at_pca(module)
    start_at_pca(module, MEAN, AXES[:K])
    scores = (X - MEAN) @ AXES[:K].T
    torch.testing.assert_close(module.encode(X), scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.reconstruct(X), MEAN + scores @ AXES[:K], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_wider_layers_begin_near_it(tied: bool) -> None:
    module = made((), network=Dense((64, 32), tied=tied))
    start_at_pca(module, MEAN, AXES[:K])
    pca = (X - MEAN - (X - MEAN) @ AXES[:K].T @ AXES[:K]).square().sum(dim=1).mean()
    assert module.objective(X, 0).loss < 1.1 * pca + 0.1


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("hidden", [(), (16,)], ids=str)
def test_units_beyond_the_axes_can_still_learn(hidden: tuple[int, ...], tied: bool) -> None:
    module = made((), network=Dense(hidden, tied=tied))
    start_at_pca(module, MEAN, AXES[: K - 1])
    before = module.objective(X, 0).loss.item()
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
    for step in range(300):
        optimiser.zero_grad()
        module.objective(X, step).loss.backward()
        optimiser.step()
    assert module.objective(X, 0).loss.item() < 0.9 * before
    assert (module.encode(X).std(dim=0) > 0).all()


@pytest.mark.parametrize(
    "params",
    [
        {"network": Dense((2 * K - 1,))},
        {"network": Dense((8,), "tanh")},
        {"code": "gaussian"},
        {"code": {"type": "deterministic", "activation": "sigmoid"}},
        {"likelihood": "bernoulli"},
    ],
    ids=str,
)
def test_others_cannot_begin_there(params: dict[str, Any]) -> None:
    assert not can_start_at_pca(made((), **params))


def test_convolutions_cannot_begin_there() -> None:
    model = Model(code_size=2, likelihood="squared_error", network=Conv2d((2,)))
    assert not can_start_at_pca(build(model, (1, 6, 6), seed=0))

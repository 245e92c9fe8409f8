"""Both Jacobians: linear networks in closed form, others against noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.parts.codes import DeterministicCode
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.evaluation.robustness import robustness
from isthmus.inference import Inference
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource

torch.set_num_threads(1)


def fitted(rows: np.ndarray, shape: tuple[int, ...] | None = None, **params) -> tuple[Inference, ArraySource]:
    source = ArraySource(rows, sample_shape=shape)
    scaling = Scaling.fit(source, np.arange(len(rows)), method="none")
    model = Model(**{"code_size": 3, "network": Dense(()), "likelihood": "squared_error", **params})
    module = build(model, scaling.model_shape, seed=0).eval()
    return Inference(FittedModel(Config(model=model), scaling, module)), source


def rows_of(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d))


@pytest.mark.parametrize("d", [6, 16])
def test_linear_networks_have_the_norms_of_their_matrices(d: int) -> None:
    inference, source = fitted(rows_of(50, d))
    down, up = (w.detach().double() for w in inference.module.weights())
    found = robustness(inference, source)
    assert found.code == pytest.approx(down.square().sum().item(), rel=1e-5)
    assert found.reconstruction == pytest.approx((up @ down).square().sum().item(), rel=1e-5)
    assert found.to_dict() == {"code": found.code, "reconstruction": found.reconstruction, "rows": 50}


def test_wide_outputs_are_estimated_without_bias() -> None:
    inference, source = fitted(rows_of(300, 60), code_size=40)
    down, up = (w.detach().double() for w in inference.module.weights())
    found = robustness(inference, source)
    assert found.n_rows == 256
    assert found.code == pytest.approx(down.square().sum().item(), rel=0.05)
    assert found.reconstruction == pytest.approx((up @ down).square().sum().item(), rel=0.05)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(Dense((7,), "tanh"), None), (Conv2d((3,), activation="tanh"), (4, 3, 1))],
    ids=repr,
)
def test_they_are_the_limit_of_small_noise(network, shape) -> None:
    """Oracle 14: ``E ||f(x + e) - f(x)||^2 / s^2``."""
    n, s, draws = 20, 1e-4, 400
    rows = rows_of(n, 12).reshape(n, *(shape or (12,)))
    inference, source = fitted(rows, shape, network=network, code=DeterministicCode("sigmoid"))
    found = robustness(inference, source)
    module = inference.module.double()
    x = torch.from_numpy(inference.model.scaling.to_model(source.read(slice(0, n)))).double()
    code, whole = [], []
    with torch.no_grad():
        for draw in range(draws):
            moved = x + s * Randomness(draw).normal(x.shape, like=x)
            code.append((module.encode(moved) - module.encode(x)).square().sum(dim=1).mean() / s**2)
            change = (module.reconstruct(moved) - module.reconstruct(x)).flatten(1)
            whole.append(change.square().sum(dim=1).mean() / s**2)
    for got, seen in ((found.code, torch.stack(code)), (found.reconstruction, torch.stack(whole))):
        assert abs(got - seen.mean()) < 4 * seen.std() / draws**0.5
        assert seen.std() / draws**0.5 < 0.05 * got


def test_it_leaves_the_model_as_it_was_and_repeats_itself() -> None:
    inference, source = fitted(rows_of(300, 40), code_size=35, network=Dense((9,), "relu"))
    before = torch.get_rng_state()
    assert robustness(inference, source) == robustness(inference, source)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.requires_grad and p.grad is None for p in inference.module.parameters())


def test_a_flat_code_is_perfectly_robust() -> None:
    inference, source = fitted(rows_of(30, 5))
    with torch.no_grad():
        for weight in inference.module.weights():
            weight.zero_()
    assert robustness(inference, source).to_dict() == {"code": 0.0, "reconstruction": 0.0, "rows": 30}

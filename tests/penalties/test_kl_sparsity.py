"""The mean activity of each unit against a target (oracle 18)."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from isthmus.config import Model
from isthmus.config.parts.codes import DeterministicCode
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import KLSparsity as Description
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import View
from isthmus.penalties.kl_sparsity import KLSparsity
from isthmus.testing import check_module, check_penalty

torch.set_num_threads(1)


def view(h: torch.Tensor, sample_weight: torch.Tensor | None = None) -> View:
    return View(h, h, lambda x: x, lambda x: None, list, Randomness(0), sample_weight)


def omega(q: torch.Tensor, rho: float) -> torch.Tensor:
    """Two rows whose mean is q."""
    off = torch.tensor([[0.01], [-0.01]], dtype=q.dtype)
    return KLSparsity(1.0, rho)(view(q + off))


@pytest.mark.parametrize("rho", [0.01, 0.3])
def test_value_derivative_and_curvature(rho: float) -> None:
    q = torch.linspace(0.02, 0.95, 25, dtype=torch.float64).requires_grad_()
    value = omega(q, rho)
    expected = kl_divergence(Bernoulli(torch.tensor(rho).double()), Bernoulli(q)).sum()
    torch.testing.assert_close(value, expected)
    (slope,) = torch.autograd.grad(value, q)
    torch.testing.assert_close(slope, -rho / q + (1 - rho) / (1 - q))
    at = torch.tensor([rho], dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(omega(at, rho), at, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), at)
    assert omega(at, rho).item() == pytest.approx(0, abs=1e-12)
    assert slope.item() == pytest.approx(0, abs=1e-9)
    assert curvature.item() == pytest.approx(1 / (rho * (1 - rho)))


def test_rows_count_as_they_weigh() -> None:
    h = torch.rand(4, 3, generator=Randomness(0).generator()).double()
    counts = torch.tensor([1, 0, 3, 2])
    penalty = KLSparsity(1.0, 0.1)
    torch.testing.assert_close(
        penalty(view(h, counts / 1.5)), penalty(view(h.repeat_interleave(counts, dim=0)))
    )


def test_saturated_units_stay_finite() -> None:
    h = torch.tensor([[0.0, 1.0, 0.5]]).requires_grad_()
    value = KLSparsity(1.0, 0.05)(view(h))
    assert value.isfinite()
    assert torch.autograd.grad(value, h)[0].isfinite().all()
    assert value > 0.9 * math.log(1 / torch.finfo(torch.float32).eps)


def sigmoid(code: object = None, **params: object) -> Model:
    chosen = {"code_size": 3, "network": Dense((4,), "tanh"), "likelihood": "squared_error", **params}
    return Model(code=DeterministicCode("sigmoid") if code is None else code, **chosen)  # type: ignore[arg-type]


def test_laws() -> None:
    x = Randomness(0).normal((5, 6))
    check_penalty(KLSparsity(0.3), build(sigmoid(), (6,), seed=0), x)
    check_module(build(sigmoid(penalties=Description(0.3)), (6,), seed=0), x)


@pytest.mark.parametrize(
    ("code", "who"),
    [
        (DeterministicCode("relu"), "Deterministic"),
        (DeterministicCode("sigmoid", noise=0.1), "Deterministic"),
        ("gaussian", "Gaussian"),
        ("top_k", "TopK"),
    ],
)
def test_units_that_may_leave_the_interval_are_refused(code, who: str) -> None:
    match = rf"kl_sparsity: expected a code with units in \(0, 1\), got {who} with units in \(-inf, inf\)"
    with pytest.raises(ParameterError, match=match):
        build(sigmoid(code, penalties=Description()), (6,), seed=0)


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_targets_that_cannot_be_reached_are_refused(rho: float) -> None:
    with pytest.raises(ParameterError, match=r"target_activity must be in \(0, 1\)"):
        Description(target_activity=rho)

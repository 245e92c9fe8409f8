"""Squared off-diagonal covariances, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import Decorrelation as Description
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import View
from isthmus.penalties.decorrelation import Decorrelation
from isthmus.testing import check_module, check_penalty

torch.set_num_threads(1)
H = Randomness(0).normal((7, 4)).double() @ Randomness(1).normal((4, 4)).double() + 3


def omega(h: torch.Tensor, measure="covariance", sample_weight: torch.Tensor | None = None) -> torch.Tensor:
    return Decorrelation(1.0, measure)(
        View(h, h, lambda x: x, lambda x: None, list, Randomness(0), sample_weight)
    )


def test_covariance_and_correlation() -> None:
    for measure, matrix in (
        ("covariance", np.cov(H.numpy().T, ddof=0)),
        ("correlation", np.corrcoef(H.numpy().T)),
    ):
        expected = (np.square(matrix).sum() - np.square(np.diag(matrix)).sum()) / 2
        assert omega(H, measure).item() == pytest.approx(expected)


def test_uncorrelated_units_cost_nothing() -> None:
    h = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    for measure in ("covariance", "correlation"):
        assert omega(h, measure) == 0
        assert omega(H[:1], measure) == 0


def test_correlation_does_not_fall_when_units_shrink_and_copies_cost_one_a_pair() -> None:
    torch.testing.assert_close(omega(H * 0.01, "correlation"), omega(H, "correlation"))
    assert omega(H[:, :1].expand(-1, 3), "correlation").item() == pytest.approx(3)


def test_units_that_never_vary_are_correlated_with_none() -> None:
    h = torch.cat([H.float()[:, :2], torch.full((7, 2), 0.1)], dim=1).requires_grad_()
    value = omega(h, "correlation")
    torch.testing.assert_close(value, omega(h[:, :2], "correlation"))
    assert torch.autograd.grad(value, h)[0].isfinite().all()


@pytest.mark.parametrize("measure", ["covariance", "correlation"])
def test_rows_count_as_they_weigh(measure) -> None:
    counts = torch.tensor([1, 0, 3, 2, 1, 1, 1])
    repeated = omega(H.repeat_interleave(counts, dim=0), measure)
    torch.testing.assert_close(omega(H, measure, counts * 0.7), repeated)


@pytest.mark.parametrize("measure", ["covariance", "correlation"])
def test_laws(measure) -> None:
    model = Model(code_size=3, network=Dense((4,), "tanh"), likelihood="squared_error")
    x = Randomness(0).normal((5, 6))
    check_penalty(Decorrelation(0.3, measure), build(model, (6,), seed=0), x, additive=False)
    check_module(build(model.replace(penalties=Description(0.3, measure)), (6,), seed=0), x)

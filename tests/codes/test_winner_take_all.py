"""Each unit's largest values over a batch (oracle 18: exactly ceil(alpha * rows) a unit)."""

from __future__ import annotations

import math

import pytest
import torch

from isthmus.codes.winner_take_all import WinnerTakeAll
from isthmus.config import Model
from isthmus.config.parts.codes import WinnerTakeAllCode
from isthmus.config.parts.networks import Dense
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_code, check_module

torch.set_num_threads(1)


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_laws(share: float) -> None:
    check_code(WinnerTakeAll(4, share))


@pytest.mark.parametrize("rows", [1, 7, 30, 100])
@pytest.mark.parametrize("share", [0.01, 0.07, 0.1, 0.5, 1.0])
def test_exactly_so_many_rows_a_unit(share: float, rows: int) -> None:
    a = Randomness(0).normal((rows, 6)).double()
    h = WinnerTakeAll(6, share, "identity")(a, Randomness(0)).value
    n = math.ceil(round(share * rows, 6))
    assert ((h != 0).sum(dim=0) == n).all()
    limit = a.sort(dim=0, descending=True).values[n - 1]
    assert torch.equal(h, a.where(a >= limit, 0.0))


def test_ties_are_broken_and_nan_stays_visible() -> None:
    code = WinnerTakeAll(2, 0.5, "identity")
    assert code(torch.ones(4, 2), Randomness(0)).value.sum(dim=0).tolist() == [2.0, 2.0]
    nan = torch.tensor([[1.0, 2.0], [float("nan"), 1.0]])
    assert code(nan, Randomness(0)).value.isnan().any()


def test_evaluation_keeps_every_unit() -> None:
    code, a = WinnerTakeAll(6, 0.1).eval(), Randomness(0).normal((20, 6))
    assert torch.equal(code(a, Randomness(0)).value, a.relu())
    assert torch.equal(code.mean(a), a.relu())


def test_gradients_reach_the_winners_alone() -> None:
    a = Randomness(0).normal((20, 6)).requires_grad_()
    h = WinnerTakeAll(6, 0.25, "identity")(a, Randomness(0)).value
    (gradient,) = torch.autograd.grad(h.sum(), a)
    assert torch.equal(gradient != 0, h != 0)


def test_a_whole_model() -> None:
    model = Model(
        code_size=4, network=Dense((6,), "tanh"), code=WinnerTakeAllCode(0.4), likelihood="squared_error"
    )
    check_module(build(model, (5,), seed=0), Randomness(0).normal((6, 5)))


@pytest.mark.parametrize("share", [0.0, 1.2])
def test_shares_that_mean_nothing_are_refused(share: float) -> None:
    with pytest.raises(ParameterError, match=r"active_share must be in \(0, 1\]"):
        WinnerTakeAllCode(share)

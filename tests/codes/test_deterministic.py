"""A code that is a plain function."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from isthmus.codes.deterministic import Deterministic
from isthmus.config.parts.activations import Activation
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_code

torch.set_num_threads(1)


@pytest.mark.parametrize("name", get_args(Activation))
@pytest.mark.parametrize("size", [1, 4])
def test_laws(name: Activation, size: int) -> None:
    check_code(Deterministic(size, name))


def test_h_is_the_activation_without_chance_or_rate() -> None:
    code, pre_code = Deterministic(3, "sigmoid"), Randomness(0).normal((4, 3))
    output = code(pre_code, Randomness(0))
    assert output.rates is None
    assert code.rate_per_unit(pre_code) is None
    assert code.scale(pre_code) is None
    assert torch.equal(output.value, ACTIVATIONS["sigmoid"].function(pre_code))
    assert torch.equal(output.value, code(pre_code, Randomness(1)).value)
    assert torch.equal(output.value, code.mean(pre_code))


def test_noise_is_a_share_of_each_units_own_scale() -> None:
    """The law of large numbers: the added variance is ``(noise * s_j)^2``, whatever the units' scales."""
    pre_code = Randomness(0).normal((20_000, 3)).double() * torch.tensor([0.01, 1.0, 100.0])
    code = Deterministic(3, "identity", noise=0.5)
    added = code(pre_code, Randomness(1)).value - pre_code
    ratio = added.std(dim=0) / pre_code.std(dim=0)
    torch.testing.assert_close(ratio, torch.full((3,), 0.5).double(), rtol=0.03, atol=0)
    assert (added.mean(dim=0).abs() < 4 * added.std(dim=0) / 20_000**0.5).all()
    assert code.scope == "batch"


def test_noise_goes_from_the_first_to_the_final_share() -> None:
    pre_code = Randomness(0).normal((50, 3)).double()
    falling, one = Deterministic(3, "identity", 0.8, 0.0), Deterministic(3, "identity", 1.0)
    whole = one(pre_code, Randomness(1)).value - pre_code
    for progress, share in ((0.0, 0.8), (0.5, 0.4), (1.0, 0.0)):
        got = falling(pre_code, Randomness(1), progress).value - pre_code
        torch.testing.assert_close(got, share * whole)
    assert Deterministic(3, "identity", 0.0, 0.5).scope == "batch"


def test_noise_is_of_training_alone_and_not_of_one_row() -> None:
    pre_code, code = Randomness(0).normal((5, 3)), Deterministic(3, "tanh", 0.5)
    assert torch.equal(code.mean(pre_code), pre_code.tanh())
    assert torch.equal(code(pre_code[:1], Randomness(0)).value, pre_code[:1].tanh())
    assert torch.equal(code.eval()(pre_code, Randomness(0)).value, pre_code.tanh())


def test_the_objective_does_not_push_units_to_outgrow_their_noise() -> None:
    """What is read off relative to its scale does not change with that scale: no gradient along h."""
    h = (Randomness(0).normal((50, 1)).double() - 0.1).requires_grad_()
    shown = Deterministic(1, "identity", 0.5)(h, Randomness(0)).value
    relative = shown / shown.std()
    (gradient,) = torch.autograd.grad((relative - relative.detach() * 0.5).square().sum(), h)
    assert abs((gradient * h.detach()).sum()) < 1e-9
    assert gradient.abs().max() > 1e-3


def test_a_unit_that_never_varies_gets_no_noise_and_no_nan() -> None:
    h = torch.ones(4, 2).requires_grad_()
    shown = Deterministic(2, "identity", 0.5)(h, Randomness(0)).value
    assert torch.equal(shown, h)
    assert torch.autograd.grad(shown.sum(), h)[0].isfinite().all()


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_laws_with_noise(noise: float) -> None:
    check_code(Deterministic(3, "tanh", noise, 0.1))


def test_where_units_lie() -> None:
    assert Deterministic(3, "sigmoid").support == (0, 1)
    assert Deterministic(3, "sigmoid", noise=0.1).support == (-torch.inf, torch.inf)
    assert Deterministic(3, "tanh").support == (-torch.inf, torch.inf)

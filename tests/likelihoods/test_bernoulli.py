"""Log loss: against torch's, its floor on grey values, its independent-pixel value."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli as Reference

from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.gaussian import Gaussian
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_likelihood

torch.set_num_threads(1)


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 4, 3)])
def test_laws(shape: tuple[int, ...]) -> None:
    check_likelihood(Bernoulli(), shape, support="binary")


def entropy(p: torch.Tensor) -> torch.Tensor:
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))


def test_it_is_minus_the_log_probability() -> None:
    logits, x = 4 * Randomness(0).normal((5, 9)).double(), Randomness(1).uniform((5, 9)).double().round()
    expected = -Reference(logits=logits).log_prob(x).sum(dim=1)
    torch.testing.assert_close(Bernoulli()(logits, x), expected)


def test_extreme_logits_stay_finite() -> None:
    loss = Bernoulli()(torch.tensor([[500.0, -500.0]]), torch.tensor([[0.0, 1.0]]))
    assert loss.item() == 1000.0


def test_grey_values_have_a_floor() -> None:
    """Oracle 12: L is at least the values' entropy, and meets it where p = x."""
    x = Randomness(0).uniform((6, 11)).double()
    floor = entropy(x).sum(dim=1)
    assert (Bernoulli()(Randomness(1).normal((6, 11)).double(), x) > floor).all()
    torch.testing.assert_close(Bernoulli()(torch.logit(x), x), floor)


def test_a_constant_decoder_costs_the_entropy_of_the_means() -> None:
    """Oracle 11: the independent-pixel baseline, where an untrained decoder begins."""
    x = (Randomness(0).uniform((400, 5)) < torch.tensor([0.1, 0.3, 0.5, 0.7, 0.95])).double()
    mean = x.mean(dim=0, keepdim=True)
    outputs = Bernoulli().outputs_at(mean).expand_as(x)
    torch.testing.assert_close(Bernoulli()(outputs, x).mean(), entropy(mean).sum())


def test_means_at_the_ends_begin_inside() -> None:
    logits = Bernoulli().outputs_at(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(torch.sigmoid(logits), torch.tensor([0.001, 0.999]))


def test_only_log_loss_bounds_its_values() -> None:
    assert Bernoulli.support == (0.0, 1.0)
    for unbounded in (SquaredError, Gaussian):
        assert unbounded.support == (-math.inf, math.inf)

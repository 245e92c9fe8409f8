"""A likelihood a column: laws block by block, sums over blocks, entropies and weights in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal

from isthmus.errors import ParameterError
from isthmus.likelihoods.mixed import SMALLEST_SCALE, Mixed
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Block, Layout
from isthmus.testing import check_likelihood

torch.set_num_threads(1)

NUMBER, BOOLEAN = Block("number", 1, 0.5), Block("boolean", 1, 0.4)
TABLE: Layout = (Block("category", 3, 0.9), NUMBER, BOOLEAN, Block("category", 2, 0.3), NUMBER)
SHAPE = (8,)


def example(rows: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and values of a row of every kind of block."""
    outputs = Randomness(0).normal((rows, 8)).double()
    x = Randomness(1).normal((rows, 8)).double()
    for features in (slice(0, 3), slice(5, 7)):
        part = x[:, features]
        x[:, features] = torch.nn.functional.one_hot(part.argmax(1), part.shape[1]).double()
    x[:, 4] = (x[:, 4] > 0).double()
    return outputs, x


@pytest.mark.parametrize("numbers", ["squared_error", "gaussian"])
def test_laws_of_numbers(numbers) -> None:
    check_likelihood(Mixed((NUMBER,), (1,), numbers), (1,))


def test_laws_of_booleans() -> None:
    check_likelihood(Mixed((BOOLEAN,), (1,)), (1,), support="binary")


@pytest.mark.parametrize("n", [2, 5])
def test_laws_of_categories(n: int) -> None:
    check_likelihood(Mixed((Block("category", n, 1.0),), (n,)), (n,), support="one_hot")


def test_it_is_the_sum_over_columns() -> None:
    outputs, x = example()
    likelihood = Mixed(TABLE, SHAPE, "gaussian").double()
    with torch.no_grad():
        likelihood.get_parameter("log_scale").copy_(torch.tensor([0.3, -0.7]))
    scale = torch.tensor([0.3, -0.7]).double().exp()
    expected = -(
        Categorical(logits=outputs[:, :3]).log_prob(x[:, :3].argmax(1))
        + Normal(outputs[:, 3], scale[0]).log_prob(x[:, 3])
        + Bernoulli(logits=outputs[:, 4]).log_prob(x[:, 4])
        + Categorical(logits=outputs[:, 5:7]).log_prob(x[:, 5:7].argmax(1))
        + Normal(outputs[:, 7], scale[1]).log_prob(x[:, 7])
    )
    torch.testing.assert_close(likelihood(outputs, x), expected)
    assert likelihood.unit == "nats"
    assert likelihood.is_density(x)
    assert not likelihood.is_density(x + 0.5)


def test_squared_error_of_numbers_is_no_density() -> None:
    outputs, x = example()
    likelihood = Mixed(TABLE, SHAPE)
    assert likelihood.unit == "squared error and nats"
    assert not likelihood.is_density(x)
    with pytest.raises(ParameterError, match="drawn from a density alone, got squared error of numbers"):
        likelihood.draw(outputs, Randomness(0))
    weight = torch.zeros(8).double()
    weight[[3, 7]] = 1
    rest = (x - outputs)[:, [3, 7]]
    torch.testing.assert_close(likelihood(outputs, x, weight), rest.square().sum(1))


def test_the_best_constant_loses_the_entropy() -> None:
    """Cross-entropy at the marginal is the marginal's entropy, and its weight makes one of it."""
    shares = torch.tensor([0.7, 0.2, 0.1]).double()
    entropy = -(shares * shares.log()).sum()
    likelihood = Mixed((Block("category", 3, float(entropy)),), (3,)).double()
    x = torch.eye(3).double().repeat_interleave(torch.tensor([7, 2, 1]), 0)
    outputs = likelihood.outputs_at(shares.expand(10, 3))
    torch.testing.assert_close(likelihood(outputs, x).mean(), entropy)
    balance = likelihood.balance()
    assert balance is not None
    assert likelihood(outputs, x, balance).mean().item() == pytest.approx(1)


def test_every_column_weighs_one_at_its_constant() -> None:
    losses = [block.constant_loss for block in TABLE for _ in range(block.size)]
    balance = Mixed(TABLE, SHAPE).balance()
    assert balance is not None
    assert balance.tolist() == pytest.approx([1 / loss for loss in losses])
    assert Mixed(TABLE, SHAPE, balanced=False).balance() is None
    gaussian = Mixed((NUMBER,), (1,), "gaussian").balance()
    assert gaussian is not None
    assert 1 / gaussian.item() == pytest.approx(0.5 * math.log(2 * math.pi * math.e))


def test_learned_scales_settle_at_each_column_s_root_mean_square() -> None:
    outputs, x = example(50)
    likelihood = Mixed(TABLE, SHAPE, "gaussian").double()
    log_scale = likelihood.get_parameter("log_scale")
    mse = (x - outputs)[:, [3, 7]].square().mean(0)
    with torch.no_grad():
        log_scale.copy_(mse.log() / 2)
    (gradient,) = torch.autograd.grad(likelihood(outputs, x).mean(), log_scale)
    assert gradient.abs().max() < 1e-9


def test_a_scale_has_a_floor() -> None:
    likelihood = Mixed((NUMBER,), (1,), "gaussian")
    with torch.no_grad():
        likelihood.get_parameter("log_scale").fill_(-50.0)
    zero = torch.zeros(1, 1)
    assert likelihood(zero, zero).item() == pytest.approx(math.log(SMALLEST_SCALE * math.sqrt(2 * math.pi)))


def test_draws_of_a_table_are_rows_of_it() -> None:
    outputs, _ = example(1)
    likelihood = Mixed(TABLE, SHAPE, "gaussian").double()
    draws = likelihood.draw(outputs.expand(20_000, 8), Randomness(3))
    assert likelihood.is_density(draws)
    for features in (slice(0, 3), slice(5, 7)):
        assert (draws[:, features].sum(1) == 1).all()
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - likelihood.mean(outputs)[0]).abs() < 5 * error).all()
    # Columns are drawn apart: given the means, nothing ties one to another.
    together = torch.corrcoef(draws[:, [0, 3, 4, 5, 7]].T) - torch.eye(5)
    assert together.abs().max() < 0.04


def test_rows_that_are_no_table_are_numbers() -> None:
    likelihood = Mixed((Block("number", 1),) * 6, (1, 2, 3))
    outputs, x = Randomness(0).normal((4, 1, 2, 3)), Randomness(1).normal((4, 1, 2, 3))
    torch.testing.assert_close(likelihood(outputs, x), (x - outputs).square().sum((1, 2, 3)))
    assert likelihood.unit == "squared error"


def test_a_layout_of_other_rows_is_refused() -> None:
    with pytest.raises(ParameterError, match="expected columns of 9 features in all, got 8"):
        Mixed(TABLE, (9,))

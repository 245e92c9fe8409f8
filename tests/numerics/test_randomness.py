"""Chance as a function of seed and purpose."""

from __future__ import annotations

import math

import torch

from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)


def test_the_same_branch_gives_the_same_numbers() -> None:
    branch = Randomness(3).at("corruption").at(7)
    assert torch.equal(branch.normal((4,)), Randomness(3, "corruption", 7).normal((4,)))
    assert torch.equal(branch.normal((4,)), branch.normal((4,)))


def test_other_branches_give_other_numbers() -> None:
    branches = [
        Randomness(s, *path) for s in (0, 1, 10) for path in ((), ("a",), ("a", 1), ("a", 11), ("b", 1))
    ]
    numbers = torch.stack([branch.normal((8,)) for branch in branches])
    assert len(numbers.unique(dim=0)) == len(branches)


def test_numbers_follow_their_distributions() -> None:
    n = 100_000
    normal, uniform = Randomness(0).normal((n,)), Randomness(0).uniform((n,))
    assert abs(normal.mean()) < 4 / math.sqrt(n)
    assert abs(normal.var() - 1) < 4 * math.sqrt(2 / n)
    assert 0 <= uniform.min() < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 4 / math.sqrt(12 * n)
    assert sorted(Randomness(0).permutation(20).tolist()) == list(range(20))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    Randomness(0).normal((3,), like=torch.zeros(1, dtype=torch.float64))
    Randomness(0).permutation(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_numbers_take_the_type_asked_for() -> None:
    assert Randomness(0).uniform((2,), like=torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_numbers_are_frozen() -> None:
    """A seed means the same model for ever: these numbers must never change."""
    numbers = Randomness(0, "training", 1).normal((3,))
    torch.testing.assert_close(numbers, torch.tensor([-0.07310796529, 1.324636459, -0.08636426181]))

"""The entropy coder, held against a slow one in Python's whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtr
from slow_models import SlowStack
from slow_models import Tables as SlowTables

from isthmus.codec.coding.distributions import (
    ENDS,
    MASS,
    N_SCALES,
    PLACE_BITS,
    UNIT_SCALE,
    Tables,
    scale_numbers,
    with_open_ends,
)
from isthmus.codec.coding.stack import WHOLE, Stack, pop_numbers, push_numbers

TABLES = Tables.made()


def test_every_word_is_that_of_the_slow_stack() -> None:
    chance = np.random.default_rng(0)
    below = chance.integers(0, 1 << 32, 20, np.uint32)
    ones = np.concatenate([[1, WHOLE - 1, WHOLE // 2], chance.integers(1, WHOLE, 3000)])
    decisions = (chance.random(len(ones)) * WHOLE < ones).astype(np.int64)
    decisions[:2] = 1, 0
    fast, slow = Stack(below), SlowStack(below.tolist())
    fast.push(decisions, ones)
    for decision, share in zip(decisions[::-1].tolist(), ones[::-1].tolist(), strict=True):
        slow.push(decision, share)
    assert fast.words().tolist() == slow.all_words()
    drawn = chance.integers(1, WHOLE, 500)
    assert fast.pop(drawn).tolist() == [slow.pop(share) for share in drawn.tolist()]
    assert fast.words().tolist() == slow.all_words()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, WHOLE - 1)), max_size=200))
@settings(deadline=None)
def test_what_is_pushed_is_popped_and_what_lay_below_is_left(pushed: list[tuple[bool, int]]) -> None:
    below = np.array([7, 0, 9], np.uint32)
    stack = Stack(below)
    decisions, ones = (np.array([pair[at] for pair in pushed], np.int64) for at in (0, 1))
    stack.push(decisions, ones)
    again = Stack.opened(stack.words())
    assert again.pop(ones).tolist() == decisions.tolist()
    assert again.below().tolist() == below.tolist()


def test_decisions_cost_their_information() -> None:
    chance = np.random.default_rng(1)
    ones = chance.integers(1000, WHOLE - 1000, 100_000)
    decisions = (chance.random(len(ones)) * WHOLE < ones).astype(np.int64)
    stack = Stack(np.zeros(0, np.uint32))
    stack.push(decisions, ones)
    share = np.where(decisions, ones, WHOLE - ones) / WHOLE
    assert stack.n_bits == pytest.approx(-np.log2(share).sum(), rel=1e-3)


@pytest.mark.parametrize("n_levels", [1, 3, 8])
def test_numbers_come_back_and_cost_their_information(n_levels: int) -> None:
    chance = np.random.default_rng(n_levels)
    n = 1 << n_levels
    mass = chance.integers(1, 1000, (4000, n))
    sums = np.concatenate([np.zeros((4000, 1), np.int64), mass.cumsum(axis=1)], axis=1)
    rows = np.arange(4000)
    numbers = (sums[:, 1:] > (chance.random(4000) * sums[:, -1])[:, None]).argmax(axis=1)
    stack = Stack(np.zeros(0, np.uint32))
    push_numbers(stack, numbers, lambda at: sums[rows, at], n_levels)
    bits = -np.log2(mass[rows, numbers] / sums[:, -1]).sum()
    assert stack.n_bits == pytest.approx(bits, rel=2e-3, abs=70)
    found = pop_numbers(stack, (4000,), lambda at: sums[rows, at], n_levels)
    assert found.tolist() == numbers.tolist()
    assert stack.below().tolist() == []


def test_popping_draws_from_the_distribution() -> None:
    chance = np.random.default_rng(2)
    stack = Stack(chance.integers(0, 1 << 32, 40_000, np.uint32))
    shape = (50_000,)
    numbers = pop_numbers(stack, shape, lambda at: np.array([0, 1, 3, 7, 10])[at], 2)
    shares = np.bincount(numbers) / len(numbers)
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.4, 0.3], atol=0.01)


def test_tables_are_their_functions() -> None:
    places = np.arange(2 * ENDS * (1 << PLACE_BITS) + 1) / (1 << PLACE_BITS) - ENDS
    np.testing.assert_allclose(TABLES.normal / MASS, ndtr(places), atol=5e-7)
    np.testing.assert_allclose(TABLES.logistic / MASS, expit(places), atol=1e-7)
    np.testing.assert_allclose(TABLES.exponents / MASS, np.exp(places[places <= 0]), atol=1e-7)
    np.testing.assert_allclose(TABLES.steps / 2**30, 2.0 ** (-np.arange(N_SCALES) / 16), rtol=1e-3)
    assert (np.diff(TABLES.normal) >= 0).all()


def test_tables_are_those_of_the_page() -> None:
    slow = SlowTables()
    for name in ("normal", "logistic", "shares", "exponents", "steps"):
        assert getattr(TABLES, name).tolist() == getattr(slow, name)


def test_tables_are_the_same_for_ever() -> None:
    """Archives that were written are read with these: they must never change."""
    import hashlib

    found = b"".join(values.astype("<i8").tobytes() for values in vars(TABLES).values())
    assert (
        hashlib.sha256(found).hexdigest()
        == "21dcb0ae893e00d23f5ccc94692565bfb5654fde8fbafe5ce95f3942e1105f31"
    )


def test_numbers_of_scales_are_the_nearest() -> None:
    point = 12
    scales = np.exp(np.linspace(-6, 6, 500))
    numbers = scale_numbers(np.rint(np.log(scales) * (1 << point)).astype(np.int64), point)
    back = 2.0 ** ((numbers - UNIT_SCALE) / 16)
    inside = (numbers > 0) & (numbers < N_SCALES - 1)
    assert np.abs(np.log2(back / scales))[inside].max() < 1 / 30


def test_every_number_has_mass_and_all_have_all() -> None:
    below = with_open_ends(lambda at: np.full(at.shape, MASS // 2), 16)
    masses = np.diff(below(np.arange(17)))
    assert masses.min() >= 1
    assert masses.sum() == MASS + 16

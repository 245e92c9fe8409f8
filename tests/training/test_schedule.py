"""The learning rate at every step, against its closed form."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.training.schedule import rate_factor


def test_warm_up_is_a_line_that_ends_at_the_highest_rate() -> None:
    rates = [rate_factor(step, 100, 0.1, "cosine") for step in range(10)]
    assert rates == pytest.approx([(step + 1) / 10 for step in range(10)])


@pytest.mark.parametrize(("step", "share"), [(20, 0.0), (40, 0.25), (60, 0.5), (80, 0.75)])
def test_cosine_after_the_warm_up(step: int, share: float) -> None:
    """Half a cosine over the steps that are left."""
    assert rate_factor(step, 100, 0.2, "cosine") == pytest.approx(0.5 + 0.5 * math.cos(math.pi * share))


def test_constant_stays_at_the_highest_rate() -> None:
    assert {rate_factor(step, 100, 0.2, "constant") for step in range(19, 100)} == {1.0}


def test_without_warm_up_the_first_step_is_at_the_highest_rate() -> None:
    assert rate_factor(0, 10, 0.0, "cosine") == 1.0
    assert rate_factor(0, 1, 0.0, "cosine") == 1.0


@given(
    n_steps=st.integers(1, 2000),
    warm_up_share=st.floats(0, 1, exclude_max=True),
    schedule=st.sampled_from(["cosine", "constant"]),
    data=st.data(),
)
def test_it_rises_then_falls_within_bounds(n_steps: int, warm_up_share: float, schedule, data) -> None:
    step = data.draw(st.integers(0, n_steps - 1))
    here = rate_factor(step, n_steps, warm_up_share, schedule)
    after = rate_factor(step + 1, n_steps, warm_up_share, schedule)
    assert 0 < here <= 1
    if step + 1 < round(warm_up_share * n_steps):
        assert after > here
    elif step >= round(warm_up_share * n_steps):
        assert after <= here

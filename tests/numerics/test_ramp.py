"""Strengths that grow or fall: ends, middle, and never outside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isthmus.numerics.ramp import between, ramp

SHARE = st.floats(0, 1)


@given(SHARE, SHARE, SHARE)
def test_a_ramp_rises_to_one_and_stays(one: float, other: float, share: float) -> None:
    early, late = sorted((one, other))
    assert 0 <= ramp(early, share) <= ramp(late, share) <= 1
    assert ramp(1.0, share) == 1.0
    assert ramp(early, 0.0) == 1.0
    assert share == 0 or ramp(0.0, share) == 0


def test_between_goes_from_one_end_to_the_other() -> None:
    assert [between(2.0, 1.0, p) for p in (0.0, 0.5, 1.0)] == [2.0, 1.5, 1.0]
    assert between(2.0, None, 1.0) == 2.0

"""One unit at a time: which values, and that nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from isthmus.errors import ParameterError
from isthmus.exploration.priors import StandardNormal
from isthmus.exploration.traversals import traversal


def test_one_unit_goes_through_the_middle_95_per_cent() -> None:
    base = np.array([5.0, 6.0, 7.0])
    codes = traversal(StandardNormal(3), base, [2, 0], 5)
    assert codes.shape == (2, 5, 3)
    np.testing.assert_allclose(codes[0, :, 2], norm.ppf(np.linspace(0.025, 0.975, 5)), atol=1e-12)
    np.testing.assert_array_equal(codes[0, :, :2], np.tile([5.0, 6.0], (5, 1)))
    np.testing.assert_array_equal(codes[1, :, 1:], np.tile([6.0, 7.0], (5, 1)))
    np.testing.assert_array_equal(base, [5.0, 6.0, 7.0])


@pytest.mark.parametrize(
    ("units", "steps", "said"), [([3], 5, r"in \[0, 3\), got 3"), ([0], 1, "at least 2")]
)
def test_what_is_not_there_is_refused(units: list[int], steps: int, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        traversal(StandardNormal(3), None, units, steps)

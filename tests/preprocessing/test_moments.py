import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.preprocessing.moments import Moments

TABLES = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 12), st.integers(1, 3)), elements=st.floats(-1e3, 1e3, width=32)
)


def gathered(rows, weights, step):
    moments = Moments(rows.shape[1])
    for start in range(0, len(rows), step):
        moments.update(rows[start : start + step], None if weights is None else weights[start : start + step])
    return moments


@given(rows=TABLES, step=st.integers(1, 13))
def test_blocks_agree_with_numpy_on_the_whole(rows, step):
    moments = gathered(rows, None, step)
    assert np.allclose(moments.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-9)
    assert np.allclose(moments.std, rows.std(axis=0), rtol=1e-9, atol=1e-9)
    assert np.array_equal(moments.low, rows.min(axis=0))
    assert np.array_equal(moments.high, rows.max(axis=0))


@given(rows=TABLES, data=st.data(), step=st.integers(1, 13))
def test_a_weight_is_a_number_of_repetitions(rows, data, step):
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    if counts.sum() == 0:
        counts[0] = 1
    weighted = gathered(rows, counts, step)
    repeated = gathered(np.repeat(rows, counts, axis=0), None, 5)
    for name in ("weight", "mean", "std", "low", "high"):
        assert np.allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-9, atol=1e-9), name


def test_a_large_offset_costs_no_digits():
    """The textbook formula, mean of squares less square of mean, has no digit left here."""
    rows = 1e9 + np.arange(1000.0)[:, None]
    assert gathered(rows, None, 64).std == pytest.approx(np.sqrt((1000**2 - 1) / 12), rel=1e-12)


def test_equal_rows_have_no_spread_at_all():
    assert gathered(np.full((100, 1), 0.1), None, 7).std == 0.0

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.errors import DataError
from isthmus.sources import check_rows


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=st.floats(width=32))
)
def test_agrees_with_a_loop_over_the_values(rows):
    flat = rows.reshape(len(rows), -1)
    infinite = [i for i, row in enumerate(flat) if any(abs(value) == float("inf") for value in row.tolist())]
    gaps = [i for i, row in enumerate(flat) if any(value != value for value in row.tolist())]
    if not infinite and not gaps:
        check_rows(rows, "it")
        return
    what, bad = ("infinity", infinite) if infinite else ("NaN", gaps)
    with pytest.raises(DataError) as caught:
        check_rows(rows, "it", first_row=10)
    found = f"got {what} in {len(bad)} of {len(rows)} rows, first in row {10 + bad[0]};"
    wanted = f"it: values must be finite, {found}"
    assert str(caught.value).startswith(wanted)


def test_a_late_block_is_looked_at(monkeypatch):
    monkeypatch.setattr("isthmus.sources.check._BLOCK_VALUES", 4)
    rows = np.zeros((9, 2))
    rows[7, 1] = np.nan
    with pytest.raises(
        DataError, match="NaN in 1 of 9 rows, first in row 7; remove these rows or fill their gaps"
    ):
        check_rows(rows, "it")


def test_integers_are_not_even_looked_at():
    class Untouchable(np.ndarray):
        def __getitem__(self, key):
            raise AssertionError("read")

    check_rows(np.zeros((3, 3), np.uint8).view(Untouchable), "it")
    check_rows(np.zeros((0, 3)), "it")

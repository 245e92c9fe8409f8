"""All rows of a source but some."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import DataError
from isthmus.sources import ArraySource
from isthmus.sources.rest import Rest


@given(n=st.integers(1, 30), data=st.data())
def test_it_reads_what_a_deleted_array_would(n: int, data: st.DataObject) -> None:
    left_out = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), max_size=n - 1))), np.int64)
    array = np.arange(2.0 * n).reshape(n, 2)
    rest = Rest(ArraySource(array, labels=np.arange(n)), left_out)
    expected = np.delete(array, left_out, axis=0)
    m = len(expected)
    assert len(rest) == m
    start, stop = data.draw(st.integers(0, m)), data.draw(st.integers(0, m + 3))
    step = data.draw(st.sampled_from([1, 1, 2, -1]))
    for rows in (slice(start, stop), slice(None), slice(None, None, step)):
        np.testing.assert_array_equal(rest.read(rows), expected[rows])
    some = np.array(data.draw(st.lists(st.integers(0, m - 1))), np.int64)
    np.testing.assert_array_equal(rest.read(some), expected[some])
    np.testing.assert_array_equal(rest.labels, np.delete(np.arange(n), left_out))
    assert np.array_equal(array[rest.places(np.arange(m))], expected)


def test_a_slice_stays_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    read = ArraySource.read
    monkeypatch.setattr(ArraySource, "read", lambda self, rows: (asked.append(rows), read(self, rows))[1])
    Rest(ArraySource(np.eye(9)), np.array([0, 4, 8])).read(slice(1, 5))
    assert asked == [slice(2, 7)]


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_bad_rows_are_named_by_their_place_in_the_source(value: float, what: str) -> None:
    array = np.eye(9)
    array[6, 2] = value
    rest = Rest(ArraySource(array), np.array([1, 2]), who="x.npy")
    for rows in (slice(3, 7), np.array([5, 0, 4])):
        with pytest.raises(
            DataError, match=rf"^x.npy: values must be finite, got {what} in row 6, column 2;"
        ):
            rest.read(rows)
    gaps = Rest(ArraySource(array), np.array([1, 2]), allows_gaps=True)
    if what == "NaN":
        assert np.isnan(gaps.read(slice(3, 7))).any()
    else:
        with pytest.raises(DataError, match="got infinity in row 6"):
            gaps.read(slice(3, 7))

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.errors import DataError
from isthmus.sources import ArraySource


@pytest.mark.parametrize(
    ("shape", "sample_shape", "kind", "expected"),
    [
        ((5, 12), None, "vectors", (12,)),
        ((5, 12), (12,), "vectors", (12,)),
        ((5, 12), (3, 4), "pictures", (3, 4, 1)),
        ((5, 12), [2, 2, 3], "pictures", (2, 2, 3)),
        ((5, 3, 4), None, "pictures", (3, 4, 1)),
        ((5, 3, 4), (3, 4), "pictures", (3, 4, 1)),
        ((5, 3, 4, 2), None, "pictures", (3, 4, 2)),
    ],
)
def test_the_shape_of_the_array_decides_what_a_row_is(shape, sample_shape, kind, expected):
    source = ArraySource(np.zeros(shape), sample_shape=sample_shape)
    assert (source.schema.kind, source.schema.sample_shape) == (kind, expected)
    assert source.read(slice(1, 3)).shape == (2, *expected)
    assert source.read(np.array([4, 0, 4])).shape == (3, *expected)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((2, 3, 3), np.uint8), (0.0, 255.0)),
        (np.zeros((2, 3, 3), np.uint16), (0.0, 65535.0)),
        (np.zeros((2, 3, 3), bool), (0.0, 1.0)),
        (np.full((2, 3, 3), 0.25), None),
        (np.linspace(-1, 1, 18, dtype=np.float32).reshape(2, 3, 3), None),
        (np.arange(18).reshape(2, 3, 3), None),
        (np.zeros((2, 3), np.uint8), (0.0, 255.0)),
        (np.zeros((2, 3), bool), (0.0, 1.0)),
        (np.zeros((2, 3), np.uint16), None),
        (np.zeros((2, 3)), None),
    ],
)
def test_value_range(array, expected):
    assert ArraySource(array).schema.value_range == expected


def test_nothing_is_copied_and_a_map_stays_a_map(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 12)
    source = ArraySource(array, sample_shape=(3, 4))
    assert source.schema.dtype == "uint8"
    assert np.shares_memory(source.read(slice(0, 2)), array)
    np.save(tmp_path / "a.npy", array)
    assert isinstance(ArraySource(np.load(tmp_path / "a.npy", mmap_mode="r")).read(slice(0, 1)), np.memmap)


@given(
    array=hnp.arrays(
        st.sampled_from(["u1", "<i2", ">i4", ">f4", "<f8", "?"]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    data=st.data(),
)
def test_rows_come_in_the_order_asked_and_in_native_bytes(array, data):
    source = ArraySource(array)
    rows = data.draw(st.lists(st.integers(0, len(array) - 1), max_size=6))
    got = source.read(np.array(rows, np.int64))
    assert got.dtype.isnative
    assert got.dtype.name == source.schema.dtype == array.dtype.name
    assert [row.ravel().tolist() for row in got] == [array[row].ravel().tolist() for row in rows]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([["a"]], object), "values must be booleans, integers or floats, got type object"),
        (np.array([["a"]]), "got type <U1; convert them first"),
        (np.array([[1j]]), "got type complex128"),
        (np.zeros((2, 2), "M8[s]"), "got type datetime64[s]"),
        ([[1, 2], [3]], "expected rows of equal length, got ragged ones"),
        (np.zeros((0, 3)), "at least one row and one value, got shape (0, 3)"),
        (np.zeros((3, 0)), "at least one row and one value, got shape (3, 0)"),
        (np.zeros(3), "got shape (3,); one column alone is array.reshape(-1, 1)"),
        (np.zeros((1, 1, 1, 1, 1)), "got shape (1, 1, 1, 1, 1)"),
        (np.ma.masked_array([[1.0]], [[True]]), "got a masked one"),
    ],
)
def test_what_no_rows_can_be_made_of(array, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        ArraySource(array, who="me.npy")
    assert str(caught.value).startswith("me.npy: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": [1, 2]}, "expected one label a row, 3 in all, got labels of shape (2,)"),
        ({"labels": [1.5, 2.0, 3.0]}, "labels must be integers or strings, got type float64"),
        ({"columns": ["a"]}, "got 1 names for rows of 4"),
        ({"columns": ["a", "b"], "sample_shape": (2, 2)}, "columns must name each feature of vectors"),
        ({"sample_shape": (3, 3)}, "sample_shape 3 x 3 does not fit rows of 4"),
        ({"sample_shape": (2, 2, 1, 1)}, "sample_shape must be (height, width)"),
        ({"sample_shape": (-2, -2)}, "sample_shape must be (height, width)"),
    ],
)
def test_what_does_not_fit_the_array(options, message):
    with pytest.raises(DataError, match=re.escape(message)):
        ArraySource(np.zeros((3, 4)), **options)


def test_labels_become_integers_or_strings():
    def labels(values):
        return ArraySource(np.zeros((2, 1)), labels=values).labels

    assert labels([1.0, 2.0]).dtype == np.int64
    assert labels(np.array(["b", "a"], object)).tolist() == ["b", "a"]
    assert labels([True, False]).tolist() == [1, 0]
    assert labels(np.array([3, 4], np.uint8)).tolist() == [3, 4]
    assert labels(None) is None


def test_columns_and_length():
    source = ArraySource(np.zeros((3, 2)), columns=["height", "width"])
    assert source.schema.columns == ("height", "width")
    assert len(source) == 3


def test_a_row_that_is_not_there():
    with pytest.raises(DataError, match=r"row numbers must be below 3, got \[3\]"):
        ArraySource(np.zeros((3, 2))).read(np.array([3]))

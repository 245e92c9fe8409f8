import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.errors import ArtifactError, DataError, ParameterError, UnknownNameError
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource

GENERATOR = np.random.default_rng(0)


def fitted(array, **options):
    return Scaling.fit(ArraySource(array), np.arange(len(array)), **options)


def test_pictures_go_channels_first_into_the_unit_interval():
    pictures = GENERATOR.integers(0, 256, (4, 5, 6, 3), np.uint8)
    scaling = fitted(pictures)
    model_units = scaling.to_model(pictures)
    assert scaling.model_shape == (3, 5, 6)
    assert model_units.dtype == np.float32
    assert model_units.flags.c_contiguous
    for row, height, width, channel in np.ndindex(*pictures.shape):
        expected = np.float32(pictures[row, height, width, channel] / 255)
        assert model_units[row, channel, height, width] == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_value_of_a_small_type_comes_back_exactly(dtype, channels):
    top = 1 if dtype is bool else np.iinfo(dtype).max
    values = np.arange(top + 1).astype(dtype)
    pictures = np.stack([values.reshape(2, -1, 1)] * channels, axis=-1)
    scaling = fitted(pictures)
    back = scaling.to_data(scaling.to_model(pictures))
    assert back.dtype == dtype
    assert np.array_equal(back, pictures)
    assert scaling.to_model(pictures).max() == 1.0


@given(
    rows=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(2, 8), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    method=st.sampled_from(["auto", "standardise", "range", "none"]),
)
def test_floats_come_back_within_float32(rows, method):
    try:
        scaling = fitted(rows, method=method)
    except DataError:
        assert method != "none"
        assert (rows.std(axis=0, dtype=np.float64) <= 1e-7 * np.abs(rows).max(axis=0)).all()
        return
    model_units = scaling.to_model(rows)
    back = scaling.to_data(model_units)
    assert back.dtype == rows.dtype
    # Model units to two units of float32's last place, and a rounding at the end to the rows' own type.
    bound = 2.0**-22 * (np.abs(model_units) * scaling.scale + np.abs(rows)) + 1e-30
    assert (np.abs(back.astype(np.float64) - rows) <= bound).all()


@given(
    data=st.data(),
    mean=st.floats(-1e6, 1e6),
    scale=st.floats(1e-3, 1e6),
)
def test_float32_is_mapped_as_well_as_in_float64(data, mean, scale):
    """Whose result, rounded, is the slow twin: also of rows near a mean that is large beside their spread."""
    near = st.floats(mean - 3 * scale, mean + 3 * scale).map(np.float32)
    rows = np.array(data.draw(st.lists(near, min_size=3, max_size=9)), np.float32)[:, None]
    scaling = Scaling(
        ArraySource(rows).schema, "standardise", np.array([mean / 3 * 3]), np.array([scale / 7 * 7])
    )
    slow = (rows.astype(np.float64) - scaling.shift) / scaling.scale
    bound = 2.5 * np.spacing(np.abs(slow).astype(np.float32)) + 2.0**-47 * abs(mean) / scale + 1e-40
    assert (np.abs(scaling.to_model(rows) - slow) <= bound).all()


def test_float32_whose_differences_leave_its_range_is_mapped_in_float64():
    rows = np.array([[-3e38], [3e38]], np.float32)
    scaling = Scaling(ArraySource(rows).schema, "standardise", np.array([-2e38]), np.array([1e30]))
    assert np.allclose(scaling.to_model(rows), [[-1e8], [5e8]])
    odd = Scaling(ArraySource(rows).schema, "standardise", np.array([0.5e38]), np.array([1e38]))
    assert np.allclose(odd.to_model(rows), [[-3.5], [2.5]])
    small = Scaling(ArraySource(rows).schema, "standardise", np.array([1e-42]), np.array([1e-41]))
    assert np.allclose(small.to_model(np.array([[1e-40]], np.float32)), [[9.9]], rtol=1e-4)


@pytest.mark.parametrize("n_columns", [1, 2, 30, 511, 700])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_mapped_as_each_alone(n_columns, dtype):
    rows = np.random.default_rng(3).normal(50, 9, (1103, n_columns)).astype(dtype)
    scaling = Scaling.fit(ArraySource(rows), np.arange(len(rows)), method="standardise")
    found = scaling.to_model(rows)
    assert (
        found.tobytes()
        == np.concatenate([scaling.to_model(row) for row in np.split(rows, len(rows))]).tobytes()
    )
    assert scaling.to_model(np.asfortranarray(rows)).tobytes() == found.tobytes()


def test_standardised_columns_have_mean_0_and_deviation_1():
    rows = GENERATOR.normal([5.0, -1e4, 0.0], [2.0, 1e-2, 1e5], (500, 3))
    scaling = fitted(rows)
    assert scaling.method == "standardise"
    model_units = scaling.to_model(rows).astype(np.float64)
    assert np.allclose(model_units.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(model_units.std(axis=0), 1, atol=1e-6)
    assert scaling.notes == ()


@given(st.data())
def test_weights_are_repetitions(data):
    rows = GENERATOR.normal(size=(6, 2))
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6)))
    counts[:2] += 1
    weighted = fitted(rows, sample_weight=counts, method="standardise", block=data.draw(st.integers(1, 7)))
    repeated = fitted(np.repeat(rows, counts, axis=0), method="standardise")
    assert np.allclose(weighted.shift, repeated.shift, rtol=1e-12)
    assert np.allclose(weighted.scale, repeated.scale, rtol=1e-12)


def test_only_the_rows_given_are_fitted():
    rows = np.vstack([GENERATOR.normal(size=(10, 2)), [[1e6, np.nan]]])
    source = ArraySource(rows)
    chosen = np.array([7, 1, 3, 1])
    scaling = Scaling.fit(source, chosen, method="standardise", block=3)
    assert np.allclose(scaling.shift, rows[chosen].mean(axis=0))
    assert np.allclose(scaling.scale, rows[chosen].std(axis=0))


def test_range_is_joint_over_the_columns():
    scaling = fitted(np.array([[0.0, -2.0], [3.0, 1.0]]), method="range")
    assert scaling.to_model(np.array([[-2.0, 3.0], [0.5, 1.75]])).tolist() == [[0.0, 1.0], [0.5, 0.75]]


@pytest.mark.parametrize(
    ("array", "method"),
    [
        (np.array([[0, 9], [3, 200]], np.uint8), "range"),
        (np.array([[0, 1], [1, 0]], bool), "range"),
        (np.array([[1.0, 5, 2], [5, 1, 3], [2, 2, 4]]), "range"),
        (np.array([[1.0, 5, 2, 2], [5, 1, 3, 3], [2, 2, 4, 1]]), "range"),
        (np.array([[1.0, 5, 2, 2, 3], [5, 1, 3, 3, 2], [2, 2, 4, 1, 3]]), "standardise"),
        (np.array([[1.0], [5.0]]), "standardise"),
        (np.array([[0.0, 0], [1, 90]]), "standardise"),
        (np.array([[0.0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]), "range"),
    ],
)
def test_auto(array, method):
    """Half of the columns that vary, and two at least, reach both ends of the table: one shared unit."""
    assert fitted(array).method == method


def test_auto_takes_the_digits_for_pixels():
    from sklearn.datasets import load_digits, load_iris, load_wine

    scaling = fitted(load_digits().data)
    assert (scaling.method, scaling.shift.tolist(), scaling.scale.tolist()) == ("range", [0.0], [16.0])
    assert fitted(load_iris().data).method == "standardise"
    assert fitted(load_wine().data).method == "standardise"


def test_the_type_and_not_the_values_give_the_range_of_bytes():
    assert fitted(np.array([[10, 20], [30, 40]], np.uint8)).scale.tolist() == [255.0]
    assert fitted(np.array([[10, 20], [30, 40]], np.uint8), method="standardise").scale.tolist() == [
        10.0,
        10.0,
    ]


@pytest.mark.parametrize("shape", [(4, 9), (4, 3, 3)])
def test_bytes_of_0_and_1_are_flags(shape):
    array = GENERATOR.integers(0, 2, shape, np.uint8)
    scaling = fitted(array, block=1)
    assert scaling.scale.tolist() == [1.0]
    assert scaling.notes == (
        "uint8 values are all 0 or 1: taken as flags of range (0, 1), not as shades of (0, 255).",
    )
    array[-1, -1] = 2
    assert fitted(array, block=1).scale.tolist() == [255.0]


def test_constant_columns_are_centred_and_noted():
    rows = GENERATOR.normal(size=(50, 4))
    rows[:, 1] = 0.1
    rows[:, 3] = 1e9 + 1e-3 * rows[:, 0]
    scaling = fitted(rows)
    assert scaling.notes == ("2 of 4 columns are constant (1, 3): centred, not scaled.",)
    assert scaling.scale[[1, 3]].tolist() == [1.0, 1.0]
    assert (scaling.to_model(rows)[:, 1] == 0).all()
    source = ArraySource(rows, columns=["a", "b", "c", "d"])
    assert "(b, d)" in Scaling.fit(source, np.arange(50)).notes[0]
    many = np.hstack([rows[:, :1], np.ones((50, 7))])
    assert fitted(many).notes == ("7 of 8 columns are constant (1, 2, 3, 4, 5, ...): centred, not scaled.",)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (
            np.ones((1, 3)),
            {},
            "Scaling: at least 2 rows (of positive weight) are needed to fit, got 1; give more rows.",
        ),
        (
            np.eye(3),
            {"sample_weight": np.array([0, 5.0, 0])},
            "at least 2 rows (of positive weight) are needed",
        ),
        (np.ones((3, 3)), {}, "got 3 rows that are all alike"),
        (np.ones((3, 3)), {"method": "range"}, "got 3 rows that are all alike"),
        (1e9 + np.eye(3), {"method": "standardise"}, "got 3 rows whose columns are all constant"),
        (np.full((3, 2, 2), 7), {}, "got nothing but 7"),
        (np.array([[0.0], [np.nan]]), {}, "got NaN in 1 of 2 rows, first in row 1"),
        (np.array([[0.0], [-np.inf]]), {"method": "none"}, "got infinity in 1 of 2 rows, first in row 1"),
        (np.array([[1e200], [-1e200]]), {}, "values must stay below 1e150"),
    ],
)
def test_rows_that_cannot_be_fitted(array, options, message):
    with pytest.raises(DataError, match=re.escape(message)):
        fitted(array, **options)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0, 1.0], [1.0, np.nan, 1.0], [1.0, np.inf, 1.0]])
def test_weights_that_do_not_fit(weights):
    with pytest.raises(
        ParameterError, match=r"sample_weight must be one finite number, 0 or more, for each of 3"
    ):
        fitted(np.eye(3), sample_weight=np.array(weights))


def test_methods_that_do_not_fit():
    with pytest.raises(
        ParameterError, match="method for pictures must be auto, range or none, got 'standardise'"
    ):
        fitted(np.zeros((2, 3, 3), np.uint8), method="standardise")
    with pytest.raises(UnknownNameError, match="unknown method 'standardize'; did you mean 'standardise'"):
        fitted(np.eye(3), method="standardize")


def test_none_changes_only_the_layout_and_the_type():
    pictures = GENERATOR.integers(0, 256, (2, 3, 4, 3), np.uint8)
    assert np.array_equal(fitted(pictures, method="none").to_model(pictures), np.moveaxis(pictures, -1, 1))


@pytest.mark.parametrize(
    ("dtype", "given_values", "expected"),
    [
        ("uint8", [-0.1, 0.5, 0.0031, 1.3], [0, 128, 1, 255]),
        ("bool", [-3.0, 0.49, 0.51, 7.0], [False, False, True, True]),
        ("int8", [-9.0, 0.1, 0.3, 9.0], [-128, 26, 76, 127]),
        ("int64", [-1e30, 0.0, 0.0, 1e30], [-(2**63), 0, 0, 2**63 - 1024]),
        ("uint64", [-1.0, 0.0, 0.0, 1e30], [0, 0, 0, 2**64 - 2048]),
        ("float64", [-0.5, 0.0, 1.0, 2.0], [-127.5, 0.0, 255.0, 510.0]),
    ],
)
def test_integers_are_rounded_and_clipped_and_floats_are_not(dtype, given_values, expected):
    scaling = fitted(np.array([[0, 0, 0, 0], [255, 255, 255, 255]], np.uint8))
    got = scaling.to_data(np.array([given_values]), dtype if dtype != "bool" else np.bool_)
    if dtype == "bool":
        expected = [False, True, True, True]
    assert (got.dtype.name, got[0].tolist()) == (dtype, expected)


def test_shapes_and_values_are_checked_on_both_ways():
    scaling = fitted(np.zeros((2, 4, 5, 3), np.uint8) + np.uint8(3))
    with pytest.raises(
        DataError, match=re.escape("Scaling.to_model: expected rows of 4 x 5 x 3, got 3 x 4 x 5")
    ):
        scaling.to_model(np.zeros((1, 3, 4, 5)))
    with pytest.raises(
        DataError, match=re.escape("Scaling.to_data: expected rows of 3 x 4 x 5, got 4 x 5 x 3")
    ):
        scaling.to_data(np.zeros((1, 4, 5, 3)))
    with pytest.raises(DataError, match="got NaN in 1 of 1 rows"):
        scaling.to_data(np.full((1, 3, 4, 5), np.nan))
    with pytest.raises(DataError, match="got infinity in 1 of 2 rows, first in row 1"):
        scaling.to_model(np.stack([np.zeros((4, 5, 3)), np.full((4, 5, 3), np.inf)]))
    with pytest.raises(DataError, match="after conversion to float32"):
        fitted(np.eye(3), method="none").to_model(np.full((1, 3), 1e300))
    with pytest.raises(DataError, match="expected a numeric type, got <U3"):
        scaling.to_data(np.zeros((1, 3, 4, 5)), "U3")


def test_the_source_is_never_written_to():
    array = GENERATOR.normal(size=(4, 3)).astype(np.float32)
    kept = array.copy()
    scaling = fitted(array, method="none")
    scaling.to_model(array)[:] = 9
    scaling.to_data(array)[:] = 9
    assert np.array_equal(array, kept)


@pytest.mark.parametrize("method", ["standardise", "range", "none"])
def test_the_state_goes_through_json_bit_for_bit(method):
    rows = GENERATOR.normal(size=(20, 3)) ** 3
    rows[:, 2] = 5.0
    scaling = Scaling.fit(ArraySource(rows, columns=["a", "b", "c"]), np.arange(20), method=method)
    values, arrays = scaling.to_state()
    again = Scaling.from_state(
        json.loads(json.dumps(values)), {name: array.copy() for name, array in arrays.items()}
    )
    assert (again.schema, again.method, again.notes) == (scaling.schema, scaling.method, scaling.notes)
    assert again.to_model(rows).tobytes() == scaling.to_model(rows).tobytes()
    assert again.to_data(rows).tobytes() == scaling.to_data(rows).tobytes()


def test_a_damaged_state():
    values, arrays = fitted(np.eye(3)).to_state()
    with pytest.raises(ArtifactError, match="got none of name 'scale'"):
        Scaling.from_state(values, {"shift": arrays["shift"]})
    with pytest.raises(
        ArtifactError, match=re.escape("expected float64 of shape (1,) or (3,), got float64 of (2,)")
    ):
        Scaling.from_state(values, {**arrays, "scale": np.ones(2)})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0.2, 0.4, 0.9]), (0.0, 1.0)),
        (np.array([-0.5, 0.25, 0.75], np.float32), (-0.5, 0.75)),
        (np.array([0.0, 4.0, 16.0]), (0.0, 16.0)),
        (np.array([3, 5, 9]), (3.0, 9.0)),
        (np.array([3, 5, 9], np.uint8), (0.0, 255.0)),
        (np.array([0, 1, 1], np.uint8), (0.0, 1.0)),
    ],
)
def test_the_range_of_pictures_is_that_of_their_type_or_of_the_training_rows(values, expected):
    outside = np.array([-700, 900]).astype(values.dtype)  # rows to validate, and one that weighs nothing
    pictures = np.concatenate([values, outside])[:, None, None] * np.ones((1, 2, 2), values.dtype)
    weights = np.array([1.0, 2.0, 1.0, 0.0])
    scaling = Scaling.fit(ArraySource(pictures), np.arange(4), weights, block=1)
    assert scaling.method == "range"
    assert scaling.schema.value_range == pytest.approx(expected)
    assert (scaling.shift[0], scaling.scale[0]) == pytest.approx((expected[0], expected[1] - expected[0]))


def test_pictures_of_a_magnitude_without_a_square_are_refused():
    with pytest.raises(DataError, match="values must stay below 1e150"):
        fitted(np.array([-1e308, 1e308])[:, None, None] * np.ones((1, 2, 2)))

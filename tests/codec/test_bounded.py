import json
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.codec import bounded as room
from isthmus.codec.bounded import bounded, bounds_of, unbounded, with_grids_of
from isthmus.codec.columns import packed, unpacked
from isthmus.codec.contents import content_of
from isthmus.errors import ArtifactError, ParameterError

NUMBERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]


def exact(value):
    return Fraction(int(value)) if isinstance(value, np.integer) else Fraction(float(value))


def within(got, expected, errors):
    """Every value within its error, in exact arithmetic; what is not finite bit for bit the same."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    for ours, theirs, error in zip(
        got.flat, expected.flat, np.broadcast_to(errors, expected.shape).flat, strict=True
    ):
        if expected.dtype.kind == "f" and not np.isfinite(theirs):
            assert ours.tobytes() == theirs.tobytes()
        else:
            assert abs(exact(ours) - exact(theirs)) <= Fraction(float(error))


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from(NUMBERS)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9))
    if draw(st.booleans()):
        return draw(hnp.arrays(f"u{dtype.itemsize}", shape)).view(dtype)
    values = draw(hnp.arrays("i8", shape, elements=st.integers(-40, 80)))
    with np.errstate(all="ignore"):
        return (values / 8 if dtype.kind == "f" else values).astype(dtype)


@given(
    array=arrays(), error=st.floats(1e-9, 1e9) | st.sampled_from([0.1, 0.5, 1.0, 3.0]), relative=st.booleans()
)
@settings(deadline=None, max_examples=100)
@pytest.mark.parametrize("most_odd", [1, 4])
def test_the_bound_holds_for_any_numbers(most_odd, array, error, relative):
    room._MOST_ODD, kept = most_odd, room._MOST_ODD  # also where most values are odd
    try:
        error = min(error, 0.9) if relative else error
        bounds = json.loads(json.dumps(bounds_of(content_of(array), error, relative=relative)))
        held = unpacked(packed(bounded({"values": array}, bounds)))
        got = unbounded(held, bounds)
    finally:
        room._MOST_ODD = kept
    assert list(got) == ["values"]
    within(got["values"], array, bounds.get("values", {"error": 0})["error"])


def test_places_are_those_of_the_equation():
    x = np.random.default_rng(0).normal(size=(500, 3)) * [1, 10, 100]
    bounds = bounds_of(content_of(x), 0.005, relative=True)
    e = 0.005 * (x.max(0) - x.min(0))
    held = bounded({"values": x}, bounds)
    np.testing.assert_allclose(bounds["values"]["error"], e, rtol=1e-12)
    assert list(held) == ["values~"]
    assert np.array_equal(held["values~"], np.floor((x - x.min(0)) / (2 * e) + 0.5))
    assert held["values~"].max() == 100


def test_whole_numbers_take_the_longest_steps():
    x = np.arange(-50, 51)
    held = bounded({"values": x}, bounds_of(content_of(x), 2.9))
    assert np.array_equal(held["values~"], (x + 50 + 2) // 5)


def test_less_than_a_half_leaves_whole_numbers_as_they_are():
    x = np.arange(9)
    assert list(bounded({"values": x}, bounds_of(content_of(x), 0.4))) == ["values"]


def test_a_bound_that_the_type_cannot_keep_keeps_the_values():
    x = np.float32(1e8) + np.arange(100, dtype=np.float32) * 8
    bounds = bounds_of(content_of(x), 1e-9)
    held = bounded({"values": x}, bounds)
    assert np.array_equal(unbounded(held, bounds)["values"], x)


def test_without_the_check_the_bound_would_be_missed(monkeypatch):
    monkeypatch.setattr(room, "_is_near", lambda values, others, errors: np.ones(values.shape, bool))
    x = np.append(
        np.float32(0.1), np.arange(2**23, 2**23 + 99).astype(np.float32)
    )  # a unit apart, where 0.6 is none
    bounds = bounds_of(content_of(x), 0.6)
    with pytest.raises(AssertionError):
        within(unbounded(bounded({"values": x}, bounds), bounds)["values"], x, 0.6)


def test_a_csv_keeps_its_decimals_within_the_bound(tmp_path):
    random = np.random.default_rng(0)
    price, size = np.round(random.normal(100, 20, 400), 2), random.uniform(0, 1, 400)
    lines = [f"{p:.2f},{s!r},{w}" for p, s, w in zip(price, size.tolist(), ["a", "b"] * 200, strict=True)]
    path, back = tmp_path / "t.csv", tmp_path / "back.csv"
    path.write_text("price,size,word\n" + "\n".join(lines) + "\n,,\n")
    content = content_of(path)
    bounds = bounds_of(content, 0.05)
    assert {name: bound["error"] for name, bound in bounds.items()} == {"0": 5.0, "1": 0.05}
    blocks = [
        unpacked(packed(bounded(content.block(slice(at, at + 100)), bounds))) for at in range(0, 401, 100)
    ]
    content.form.write((unbounded(block, bounds) for block in blocks), back)
    found = [line.split(",") for line in back.read_text().splitlines()[1:]]
    assert all(len(row[0].split(".")[1]) == 2 for row in found[:-1])
    assert found[-1] == ["", "", ""]
    assert max(
        abs(Fraction(row[0]) - Fraction(f"{p:.2f}")) for row, p in zip(found, price, strict=False)
    ) <= Fraction(1, 20)
    assert max(abs(float(row[1]) - s) for row, s in zip(found, size, strict=False)) <= 0.05
    assert [row[2] for row in found[:-1]] == ["a", "b"] * 200


def test_a_table_keeps_gaps_and_words():
    table = pa.table(
        {"x": [1.0, None, 3.5, float("nan")], "n": [100, 200, None, 1000], "w": ["a", None, "b", "c"]}
    )
    content = content_of(table)
    bounds = bounds_of(content, 0.1, relative=True)
    got = content.form.rows(unbounded(bounded(content.block(slice(None)), bounds), bounds))
    assert got["w"].equals(table["w"])
    assert got["x"].null_count == 1
    assert np.isnan(got["x"][3].as_py())
    assert [
        abs(a.as_py() - b.as_py()) <= 90 for a, b in zip(got["n"], table["n"], strict=True) if b.is_valid
    ] == [True] * 3


@pytest.mark.parametrize(("error", "relative"), [(0, False), (-1, False), (float("nan"), False), (1.0, True)])
def test_an_error_out_of_its_range_is_refused(error, relative):
    with pytest.raises(ParameterError, match="max_error: expected a number above 0"):
        bounds_of(content_of(np.zeros(3)), error, relative=relative)


def test_columns_of_nobody_are_refused():
    x = np.append(np.arange(50) / 7, np.nan)
    bounds = bounds_of(content_of(x), 0.1)
    held = bounded({"values": x}, bounds)
    for changed in (
        {"values~": held["values~"].astype(float)}, {"values~": [b"a"]}, {"values^": np.array([99])},
        {"values^": np.array([-1])}, {"values^=": np.zeros(3)}, {"values^=": np.zeros(1, np.float32)},
        {"values^": np.array([0.5])},
    ):  # fmt: skip
        with pytest.raises(ArtifactError, match="on a grid"):
            unbounded({**held, **changed}, bounds)
    for changed in (
        {"dtype": "O"},
        {"dtype": "V9999999999"},
        {"lowest": "a"},
        {"lowest": [1, 2, 3]},
        {"error": None},
    ):
        with pytest.raises(ArtifactError, match="on a grid"):
            unbounded(held, {"values": {**bounds["values"], **changed}})


def test_an_odd_row_of_a_table_hides_no_bounds(tmp_path) -> None:
    lines = [f"{row},{row / 4:.2f}\n" for row in range(100)]
    lines[30] = "a line of words\n"
    (tmp_path / "t.csv").write_text("n,x\n" + "".join(lines))
    found = bounds_of(content_of(tmp_path / "t.csv"), 0.5)
    assert found["1"] == {"lowest": 0, "error": 50.0, "dtype": "i8"}


@given(data=st.data(), errors=st.tuples(st.floats(0.01, 9), st.floats(0.01, 9)), relative=st.booleans())
@settings(deadline=None, max_examples=100)
def test_the_bound_holds_on_grids_of_other_data(data, errors, relative):
    dtype, width = np.dtype(data.draw(st.sampled_from(NUMBERS))), data.draw(st.integers(1, 3))
    own, other = (
        data.draw(hnp.arrays("i8", (5, width), elements=st.integers(0, 90))).astype(dtype) for _ in range(2)
    )
    asked = bounds_of(content_of(own), errors[0] / 10 if relative else errors[0], relative=relative)
    known = json.loads(json.dumps(bounds_of(content_of(other), errors[1])))
    found, coarse = with_grids_of(asked, known)
    within(unbounded(bounded({"values": own}, found), found)["values"], own, asked["values"]["error"])
    if coarse:
        assert found == asked
        assert coarse["values"][0] < coarse["values"][1]
    else:
        assert found == known


@pytest.mark.parametrize(
    "other",
    [
        None,
        [],
        {"lowest": 0},
        {"lowest": "x", "error": 1, "dtype": "f8"},
        {"lowest": 0, "error": -1, "dtype": "f8"},
    ],
)
def test_grids_of_nobody_are_refused(other):
    asked = {"x": {"lowest": 0.0, "error": 1.0, "dtype": "f8"}}
    with pytest.raises(ArtifactError, match="a grid that is none"):
        with_grids_of(asked, {"x": other})


def test_grids_of_other_columns_are_left():
    asked = {"x": {"lowest": [0.0, 1.0], "error": [1.0, 1.0], "dtype": "f8"}}
    for other in (
        {"lowest": 0.0, "error": 0.5, "dtype": "f8"},
        {"lowest": [0, 1], "error": [0.5, 0.5], "dtype": "f4"},
    ):
        assert with_grids_of(asked, {"x": other}) == (asked, {})
    assert with_grids_of(asked, {"y": asked["x"]}) == (asked, {})

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.errors import DataError
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource, check_alike, check_rows


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
    found = f"got {what} in {len(bad)} of {len(rows)} rows, first in row {10 + bad[0]}"
    if rows.ndim == 2 and rows.shape[1] > 1:
        there = [
            abs(value) == float("inf") if infinite else value != value for value in flat[bad[0]].tolist()
        ]
        found += f", column {there.index(True)}"
    wanted = f"it: values must be finite, {found};"
    assert str(caught.value).startswith(wanted)


def test_a_late_block_is_looked_at(monkeypatch):
    monkeypatch.setattr("isthmus.sources.check._BLOCK_VALUES", 4)
    rows = np.zeros((9, 2))
    rows[7, 1] = np.nan
    with pytest.raises(
        DataError, match="NaN in 1 of 9 rows, first in row 7, column 1; remove these rows or fill their gaps"
    ):
        check_rows(rows, "it")


def test_integers_are_not_even_looked_at():
    class Untouchable(np.ndarray):
        def __getitem__(self, key):
            raise AssertionError("read")

    check_rows(np.zeros((3, 3), np.uint8).view(Untouchable), "it")
    check_rows(np.zeros((0, 3)), "it")


SPREAD = np.linspace(0, 1, 12).reshape(3, 2, 2)
UNITS = {
    "uint8": (SPREAD * 255).astype(np.uint8),
    "flags": (SPREAD > 0.5).astype(np.uint8),
    "uint16": (SPREAD * 65535).astype(np.uint16),
    "bool": SPREAD > 0.5,
    "shares": SPREAD * 0.9,
    "centred": SPREAD * 1.9 - 0.99,
    "floats of bytes": SPREAD * 254.0,
    "integers": (SPREAD * 255).astype(np.int64),
}
ANY = {"floats of bytes", "integers", "shares", "centred"}
ALIKE = {
    "uint8": {"uint8", "flags"},
    "flags": {"uint8", "flags", "bool"},
    "uint16": {"uint16"},
    "bool": {"bool"},
    "shares": {"bool"},
    "centred": set(),
    "floats of bytes": {"uint8", "uint16", "flags", "bool"},
    "integers": {"uint8", "uint16", "flags", "bool"},
}


@pytest.mark.parametrize("new", UNITS)
@pytest.mark.parametrize("old", UNITS)
def test_types_tell_units_and_values_do_not(old, new):
    expected = Scaling.fit(ArraySource(UNITS[old]), np.arange(3)).schema
    for rows in (UNITS[new], UNITS[new][:1] * 0):
        got = ArraySource(rows.astype(UNITS[new].dtype)).schema
        if new in ANY | ALIKE[old]:
            check_alike(got, expected, "model")
        else:
            with pytest.raises(DataError, match=r"model: expected pictures in .* got .* Convert them"):
                check_alike(got, expected, "model")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shares", "uint8", r"float64 from 0 to 1, got uint8 from 0 to 255\. .*\.astype\('float32'\) / 255,"),
        ("uint8", "uint16", r"uint8 from 0 to 255, got uint16 from 0 to 65535\. .* / 257,"),
        ("uint16", "uint8", r" \* 257,"),
        ("centred", "uint8", r"Convert them as the rows were"),
    ],
)
def test_another_unit_comes_with_its_conversion(old, new, message):
    expected = Scaling.fit(ArraySource(UNITS[old]), np.arange(3)).schema
    with pytest.raises(DataError, match=message):
        check_alike(ArraySource(UNITS[new]).schema, expected, "model")

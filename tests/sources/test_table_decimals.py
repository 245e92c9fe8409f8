"""Decimals of a column: found as they are written, and kept on the way out."""

from __future__ import annotations

import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.preprocessing import TableScaling
from isthmus.schema import MOST_DECIMALS, Column, Schema
from isthmus.sources import TableSource, table_of
from isthmus.sources.table_decimals import decimals_of, rounded
from isthmus.sources.table_types import infer_columns

TYPES = {"double": np.float64, "float": np.float32, "halffloat": np.float16}


def said(values: list[decimal.Decimal | None], dtype: str = "double") -> np.ndarray:
    """Numbers as a file of text has them, as a type holds them."""
    cells = [np.nan if value is None else float(str(value)) for value in values]
    return np.array(cells).astype(TYPES[dtype]).astype(np.float64)


@given(st.integers(0, MOST_DECIMALS).flatmap(
    lambda places: st.tuples(
        st.just(places),
        st.lists(st.none() | st.decimals(-(10**8), 10**8, places=places), min_size=1, max_size=30),
        st.lists(st.floats(-1e8, 1e8), min_size=1, max_size=9),
    )
))  # fmt: skip
def test_what_is_written_with_few_decimals_keeps_them(case) -> None:
    """The exact arithmetic of ``decimal`` is the slow twin."""
    places, written, others = case
    values = said(written)
    found = decimals_of(values, "double")
    digits = [-each.normalize().as_tuple().exponent for each in written if each is not None]
    assert found == max([0, *digits])
    assert np.array_equal(rounded(values, places, "double"), values, equal_nan=True)
    for value, back in zip(others, rounded(np.array(others), places, "double").tolist(), strict=True):
        nearest = decimal.Decimal(value).quantize(decimal.Decimal(1).scaleb(-places))
        # Halves, and what float64 cannot tell from them, go either way.
        assert abs(decimal.Decimal(str(back)) - nearest) <= decimal.Decimal(1).scaleb(-places)
        assert abs(back - value) <= 0.5 * 10.0**-places + np.spacing(abs(value))
        assert -decimal.Decimal(str(back)).normalize().as_tuple().exponent <= places


@given(st.sampled_from(["float", "halffloat"]), st.lists(st.decimals(-99, 99, places=1), min_size=1))
def test_of_shorter_types_too(dtype: str, written: list[decimal.Decimal]) -> None:
    values = said(list(written), dtype)
    found = decimals_of(values, dtype)
    assert found is not None
    assert found <= 1
    assert np.array_equal(rounded(values, 1, dtype), values)


def test_numbers_of_any_decimals_have_none_to_keep() -> None:
    rng = np.random.default_rng(0)
    assert decimals_of(rng.normal(size=50), "double") is None
    assert decimals_of(np.append(np.full(5000, 0.5), 1 / 3), "double") is None
    assert decimals_of(np.array([1e-7]), "double") is None
    assert decimals_of(np.array([0.5, np.nan, 1.25, 3.0]), "double") == 2
    big = np.array([1.7976931348623157e308, -1e300, 2.0**53 + 2])
    assert np.array_equal(rounded(big, 6, "double"), big)
    assert np.signbit(rounded(np.array([-0.001]), 1, "double")).tolist() == [False]


def test_only_continuous_columns_have_them() -> None:
    table = pa.table({
        "dose": [1.25, 2.5, 3.0, None], "whole": [1000.0, -63.0, 5.0, 7.0], "n": [1.0, 2.0, 9.0, 4.0],
        "int": [-5, 2000, 7, 8], "word": ["a", "b", "a", "b"], "any": [1 / 3, 2.0, 1.0, 0.5],
        "money": pa.array(["1.50", "2.75", "0.10", None]).cast(pa.decimal128(9, 4)),
    })  # fmt: skip
    found = {column.name: column.decimals for column in infer_columns(table, "table").columns}
    assert found == {
        "dose": 2, "whole": 0, "n": None, "int": None, "word": None, "any": None, "money": 2
    }  # fmt: skip
    text = pa.table({"x": ["63.0", "1.25", "7"], "y": ["1", "2", "-4"]})
    given_types = infer_columns(text, "text", types={"x": "continuous", "y": "continuous"}).columns
    assert [column.decimals for column in given_types] == [2, None]
    assert [c.decimals for c in infer_columns(text, "file", written=True).columns] == [2, None]


@pytest.mark.parametrize("method", ["quantile", "standardise", "range"])
@pytest.mark.parametrize("dtype", ["double", "float"])
def test_a_model_writes_no_more_than_there_were(method, dtype: str) -> None:
    """What a perfect model says comes back exactly, of more values than a map has knots too."""
    rng = np.random.default_rng(1)
    written = np.round(np.exp(rng.normal(4, 1, 2_000)), 2).astype(TYPES[dtype])
    source = TableSource(pa.table({"dose": pa.array(written), "ward": pa.array(["n", "s"] * 1_000)}))
    scaling = TableScaling.fit(source, method=method)
    rows = source.read(slice(None))
    assert len(np.unique(written)) > 1_500
    assert np.array_equal(scaling.to_data(scaling.to_model(rows)), rows)
    between = scaling.to_data(scaling.to_model(rows) + 0.001 * rng.normal(size=(2_000, 3)))
    cells = table_of(between, source.schema).column("dose").to_pylist()
    assert all(len(str(TYPES[dtype](cell)).partition(".")[2]) <= 2 for cell in cells)


def test_a_schema_keeps_them_and_old_ones_have_none() -> None:
    schema = TableSource(pa.table({"dose": [1.25, 2.5]})).schema
    assert Schema.from_dict(schema.to_dict()) == schema
    old = schema.to_dict()
    del old["table"][0]["decimals"]
    assert Schema.from_dict(old).table == (Column("dose", "continuous", "double"),)

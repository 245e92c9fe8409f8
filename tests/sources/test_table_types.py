"""The rules by which columns are told, at their edges."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from isthmus.errors import DataError, ParameterError
from isthmus.schema import Column
from isthmus.sources import TableSource
from isthmus.sources.table_types import infer_columns

RANDOM = np.random.default_rng(0)


def told(values: Any, name: str = "x", **options: Any) -> Column | str:
    """What a column is found to be, beside another one; or the note on it."""
    array = values if isinstance(values, pa.Array) else pa.array(values)
    table = pa.table({name: array, "beside": pa.array(np.arange(len(array)) + 0.5)})
    found = infer_columns(table, "table", **options)
    if len(found.columns) == 1:
        return found.notes[0]
    assert len(found.columns) == 2
    return found.columns[0]


def kind(values: Any, name: str = "x", **options: Any) -> str:
    found = told(values, name, **options)
    return found if isinstance(found, str) else found.type


def test_booleans() -> None:
    assert told([True, False, None]) == Column("x", "boolean", "bool", (False, True))
    assert told([1, 0, 1]) == Column("x", "boolean", "int64", (0, 1))
    assert told([1.0, None, 0.0]) == Column("x", "boolean", "double", (0.0, 1.0))
    assert told(["Yes", "No", None]) == Column("x", "boolean", "string", ("No", "Yes"))
    assert told(["TRUE", "FALSE"]) == Column("x", "boolean", "string", ("FALSE", "TRUE"))
    assert kind(["male", "female", "male"]) == "category"


def test_whole_numbers() -> None:
    assert told([0, 1, 2, 3, 4] * 5) == Column("x", "category", "int64", (0, 1, 2, 3, 4))
    assert kind([1, 2] * 5) == "category"
    assert kind([0, 1, 2, 3, 4] * 4 + [0, 1, 2, 3]) == "count"  # the last has four rows only
    assert kind([0, 1, 2, 3, 4, 5] * 9) == "count"  # six in a row
    assert kind([0, 1, 3] * 9) == "count"  # no run
    assert kind([1, 17, 1000]) == "count"
    assert kind([1, 17, 1001]) == "continuous"
    assert kind([2, 17, 900]) == "continuous"
    assert kind([-1, 0, 7]) == "continuous"
    assert kind([0.0, 2.0, 7.0]) == "count"
    assert kind([0.0, 2.5, 7.0]) == "continuous"


def test_text() -> None:
    few, many = [f"w{at}" for at in range(10)], [f"w{at}" for at in range(100)]
    assert kind(few) == "category"
    assert kind([*few, "w10"]).startswith(
        "Column 'x' is left out: it is an identifier: all its values differ"
    )
    assert kind(many * 2) == "category"
    assert kind([*many * 2, "more", "more"]).startswith("Column 'x' is left out: it is text of 101 different")
    assert "too many for categories" in kind([*many, *many[:50]])
    assert "too many for categories" in kind([f"some words {at}" for at in range(30)])


def test_identifiers() -> None:
    for name in ("id", "customer_id", "PassengerId", "Kunden-Nr", "", "Unnamed: 0", "uuid"):
        assert "it is an identifier: it is named like one" in kind([5, 7, 9, 12], name), name
        assert "it is an identifier: it is named like one" in kind(["a", "b", "c", "d"], name), name
    for name in ("humid", "valid", "idea", "order"):
        assert kind([5, 7, 9, 12], name) == "continuous", name
    assert kind([5, 5, 9, 12], "id") == "continuous"


def test_dates() -> None:
    assert told(["2020-01-01", None, "2021-12-31"]) == Column("x", "date", "string", form="%Y-%m-%d")
    assert told(["2020-01-01T10:00:00Z"] * 2 + ["2021-01-01T10:00:00Z"]) == Column(
        "x", "date", "string", form="%Y-%m-%dT%H:%M:%SZ"
    )
    assert kind(["2020-02-30", "2020-02-01"]) == "category"
    assert told([datetime.date(2020, 1, 1), None]).dtype == "date32[day]"  # type: ignore[union-attr]


def test_constants_stand_aside_and_gaps_are_left_out() -> None:
    table = pa.table(
        {"a": [1.5, 2.5], "b": ["x", "x"], "c": pa.array([None, None], pa.int8()), "d": [7, None]}
    )
    found = infer_columns(table, "table")
    assert [column.name for column in found.columns] == ["a", "d"]
    assert [(one.column.name, one.value, one.place) for one in found.constants] == [("b", 0.0, 1)]
    assert found.notes == (
        "Column 'b' is no part of the rows: it holds one value alone (x), which comes back as it is.",
        "Column 'c' is left out: it holds no value.",
    )


def test_what_rows_cannot_hold_is_left_out() -> None:
    for values in (pa.array([[1], [2]]), pa.array([b"a", b"b"]), pa.array([{"a": 1}, {"a": 2}])):
        assert "rows cannot hold values of the type" in kind(values)


def test_numbers_as_text() -> None:
    words = [str(value) for value in range(30, 50)]
    with pytest.raises(
        DataError, match=r"table: column 'x': .* got numbers as text, first '30' in row 0; convert"
    ):
        told(words)
    assert told(words, written=True) == Column("x", "continuous", "int64")
    assert told(words, types={"x": "continuous"}) == Column("x", "continuous", "int64")
    with pytest.raises(
        DataError, match=r"column 'x': expected numbers, got 'abc' in row 20 \(1 such in all\)"
    ):
        told([*words, "abc"], written=True)
    assert kind(["0", "1", "2", "3+"] * 5, written=True) == "category"


def test_what_the_user_says_goes() -> None:
    assert kind([0, 1, 2] * 9, types={"x": "count"}) == "count"
    assert kind([0, 1, 7], types={"x": "category"}) == "category"
    assert kind([3, 3, 3], types={"x": "continuous"}) == "continuous"
    assert told(["a", "b"], types={"x": "boolean"}) == Column("x", "boolean", "string", ("a", "b"))
    assert told(["31.1.2020", "1.2.2020"], types={"x": "date"}) == Column(
        "x", "date", "string", form="%d.%m.%Y"
    )
    assert kind([1, 2], types={"x": "ignore"}) == "Column 'x' is left out: data.types says so."
    for values, given, says in (
        ([1.5, 2.0], "count", r"expected whole numbers from 0, got 1.5 in row 0"),
        (["a", "1"], "continuous", r"expected numbers, got 'a' in row 0"),
        ([1, 2], "date", r"expected dates, got the type int64"),
        (["2020-01-01", "soon"], "date", r"expected dates, got '2020-01-01' in row 0|got 'soon'"),
        (["a", "b", "c"], "boolean", r"expected a boolean of two different values, got 3"),
    ):
        with pytest.raises(DataError, match=says):
            told(values, types={"x": given})
    with pytest.raises(
        ParameterError, match=r"expected names of columns of table, got 'xx'; did you mean 'x'\?"
    ):
        told([1, 2], types={"xx": "count"})
    with pytest.raises(ParameterError, match=r"must be one of continuous, count, .* got 'number'"):
        told([1, 2], types={"x": "number"})


def test_large_integers_are_rounded_and_said_so() -> None:
    source = TableSource(pa.table({"x": [2**60 + 1, 5, 5]}))
    assert source.notes == (
        "Column 'x': integers beyond 2**53 are rounded, for a row holds them as float64.",
    )


def test_infinity_is_named_with_its_row() -> None:
    with pytest.raises(DataError, match=r"table: column 'x': values must be finite, got infinity in row 2;"):
        told([1.5, None, float("-inf")])

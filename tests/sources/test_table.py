"""Tables in and out: what comes back is what went in, whatever the columns are."""

from __future__ import annotations

import datetime
import decimal
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.errors import ArtifactError, DataError, ParameterError, SourceError
from isthmus.schema import Schema
from isthmus.sources import ArraySource, TableSource, arrow, conform, open_source, table_of
from isthmus.sources.frames import frame_like
from isthmus.sources.table_out import type_named
from isthmus.workflows.table_files import write_table

UTC = datetime.UTC
WORDS = st.sampled_from(["north", "south", "east", "0a", "Ä ö", 'say "x"', "a,b", "yes", "12"])
DATES = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2250, 1, 1))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def whole(dtype: Any) -> st.SearchStrategy[int]:
    info = np.iinfo(dtype.to_pandas_dtype())
    return st.integers(max(int(info.min), -(2**53)), min(int(info.max), 2**53))


def of(dtype: Any, values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    """A type with the values that it may hold."""
    return st.tuples(st.just(dtype), st.just(values))


KINDS = st.one_of(
    *(of(t, whole(t)) for t in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64())),
    of(pa.int64(), st.integers(0, 4)),
    of(pa.int64(), st.integers(0, 1)),
    of(pa.float64(), NUMBERS),
    of(pa.float64(), st.sampled_from([0.0, 1.0])),
    of(pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    of(pa.bool_(), st.booleans()),
    *(of(t, WORDS) for t in (pa.string(), pa.large_string(), pa.string_view())),
    of(pa.string(), st.sampled_from(["yes", "no"])),
    of(pa.string(), st.dates(datetime.date(1000, 1, 1)).map(str)),
    of(pa.string(), DATES.map(lambda when: when.strftime("%d.%m.%Y %H:%M"))),
    of(pa.dictionary(pa.int8(), pa.string()), WORDS),
    of(pa.dictionary(pa.int32(), pa.int64()), st.integers(-3, 3)),
    of(pa.date32(), st.dates()),
    *(of(pa.timestamp(unit), DATES) for unit in ("ms", "us", "ns")),
    of(pa.timestamp("s"), DATES.map(lambda when: when.replace(microsecond=0))),
    of(pa.timestamp("us", "Europe/Berlin"), DATES.map(lambda when: when.replace(tzinfo=UTC))),
    of(pa.decimal128(9, 2), st.decimals("-99999.99", "99999.99", places=2)),
)


@st.composite
def tables(draw: st.DrawFn) -> Any:
    n_rows = draw(st.integers(1, 12))
    n_columns = draw(st.integers(1, 5))
    columns = {}
    for place in range(n_columns):
        dtype, values = draw(KINDS)
        cells = draw(st.lists(st.none() | values, min_size=n_rows, max_size=n_rows))
        if all(cell is None for cell in cells):
            cells[draw(st.integers(0, n_rows - 1))] = draw(values)
        columns[f"column {place}"] = pa.array(cells, dtype)
    # A constant alone leaves nothing to learn from, so one column has two values for sure.
    columns["last"] = pa.array(np.arange(n_rows) + 0.5)
    return pa.table(columns)


def micro(column: Any) -> list[Any]:
    return column.cast(pa.timestamp("us", "UTC"), safe=False).to_pylist()


def assert_same(found: Any, expected: Any) -> None:
    assert found.column_names == expected.column_names
    for name in expected.column_names:
        got, wanted = found.column(name), expected.column(name)
        assert got.type == wanted.type, name
        if pa.types.is_timestamp(wanted.type):
            seconds = [
                [None if when is None else when.timestamp() for when in micro(column)]
                for column in (got, wanted)
            ]
            assert [when is None for when in seconds[0]] == [when is None for when in seconds[1]]
            assert all(abs(a - b) <= 1e-3 for a, b in zip(*seconds, strict=True) if a is not None)
        else:
            assert got.to_pylist() == wanted.to_pylist(), name


@settings(max_examples=150, deadline=None)
@given(tables())
def test_what_comes_back_is_what_went_in(table: Any) -> None:
    source = TableSource(table)
    schema = Schema.from_dict(source.schema.to_dict())
    assert schema == source.schema
    rows = source.read(slice(None))
    assert rows.shape == (len(table), *schema.sample_shape)
    back = table_of(rows, schema)
    assert_same(back, table)
    again = conform(back.select(back.column_names[::-1]), schema)
    np.testing.assert_array_equal(again.read(slice(None)), rows)
    assert again.notes == ()


FRAME = pa.table(
    {
        "age": [63, 41, 35, 28],
        "sex": ["male", "female", None, "male"],
        "site": ["Ulm"] * 4,
        "since": ["2020-01-01", "2020-02-01", None, "2021-01-01"],
        "smoker": ["yes", "no", "no", None],
    }
)
FITTED = TableSource(FRAME).schema


def test_columns_are_put_in_order_and_others_left_out() -> None:
    new = FRAME.select(["smoker", "since", "sex", "age"]).append_column("city", pa.array(list("abcd")))
    found = conform(new, FITTED, who="new")
    np.testing.assert_array_equal(found.read(slice(None)), TableSource(FRAME).read(slice(None)))
    assert found.notes == ("Left out, for the model does not know them: 'city'.",)
    assert found.schema is FITTED


def test_all_missing_columns_are_named_at_once() -> None:
    with pytest.raises(
        DataError,
        match=r"new: expected the 4 columns that the model is fitted on, got none named 'age', 'since';",
    ):
        conform(FRAME.drop_columns(["since", "age"]), FITTED, who="new")


def test_unseen_categories_become_gaps_and_are_counted() -> None:
    new = pa.table(
        {"age": [1, 2, 3], "sex": ["divers", None, "other"], "since": [None] * 3, "smoker": ["Y", "0", "off"]}
    )
    found = conform(new, FITTED)
    nan = np.nan
    np.testing.assert_array_equal(
        found.read(slice(None)), [[1, nan, nan, 1], [2, nan, nan, nan], [3, nan, nan, 0]]
    )
    assert found.notes == (
        "Column 'sex': 2 values are none of its 2 categories and count as gaps ('divers', 'other').",
        "Column 'smoker': 1 value is none of its 2 categories and counts as a gap ('0').",
    )


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("age", ["1", "x", "2", "3"], "column 'age': expected numbers, got 'x' in row 1;"),
        ("age", [1.0, np.inf, 2.0, 3.0], "column 'age': values must be finite, got infinity in row 1;"),
        ("age", [datetime.date(2020, 1, 1)] * 4, "column 'age': expected numbers, got the type date32"),
        (
            "since",
            ["2020-01-01", None, "soon", None],
            "column 'since': expected dates like 2020-12-31, got 'soon'",
        ),
        ("since", [1, 2, 3, 4], "column 'since': expected dates, got the type int64"),
    ],
)
def test_values_that_a_column_cannot_hold(column: str, values: list[Any], says: str) -> None:
    new = FRAME.set_column(FRAME.column_names.index(column), column, pa.array(values))
    with pytest.raises(DataError, match=re.escape(f"new.csv: {says}")):
        conform(new, FITTED, who="new.csv")


def test_another_constant_is_said() -> None:
    new = FRAME.set_column(2, "site", pa.array(["Ulm", "Ulm", "Bonn", "Ulm"]))
    (note,) = conform(new, FITTED).notes
    assert note.startswith("Column 'site': held one value alone when the model was fitted")


def test_rows_of_another_kind_are_refused() -> None:
    with pytest.raises(DataError, match="expected a table of 4 columns, got vectors 3, float64"):
        conform(ArraySource(np.zeros((2, 3))), FITTED)
    with pytest.raises(DataError, match="expected vectors 3, float64, got a table"):
        conform(FRAME, ArraySource(np.zeros((2, 3))).schema)
    with pytest.raises(DataError, match="expected a frame of pandas, polars or pyarrow, got list"):
        TableSource([[1.0]])


def test_one_row_is_read_by_the_columns_of_all() -> None:
    source = TableSource(FRAME, labels=list("abca"))
    part = source.take(np.array([2, 0]))
    assert part.schema == source.schema
    assert part.labels is not None
    assert part.labels.tolist() == ["c", "a"]
    np.testing.assert_array_equal(part.read(slice(None)), source.read(np.array([2, 0])))
    with pytest.raises(DataError, match="row numbers must be below 4"):
        source.read(np.array([4]))


def test_what_a_model_rebuilds_is_brought_to_what_columns_hold() -> None:
    types = {"n": "count", "i": "continuous", "small": "continuous"}
    frame = pa.table({
        "n": [0, 3], "i": [5, -5], "small": pa.array([1, 2], pa.int8()),
        "money": pa.array([decimal.Decimal("1.25")] * 2),
        "c": ["a", "b"], "when": pa.array([datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)]),
        "ns": pa.array([0, 10**18], pa.timestamp("ns")), "f": pa.array([0.5, 1.5], pa.float32()),
        "text": ["31.12.2020", "01.01.2021"],
    })  # fmt: skip
    schema = TableSource(frame, {**types, "money": "continuous"}).schema
    high = table_of([[2.6, 1e30, 1e30, 1e30, 7.0, 1e30, 1e30, 1e300, 1e30]], schema).to_pylist()[0]
    low = table_of([[-2.6, -2.5, -1e30, -1e30, -3.0, -1e30, -1e30, -1e300, -1e30]], schema).to_pylist()[0]
    assert (high["n"], low["n"]) == (3, 0)
    assert (high["i"] > 2**62, low["i"]) == (True, -2)
    assert (high["small"], low["small"]) == (127, -128)
    assert (high["money"], low["money"]) == (decimal.Decimal("9.99"), decimal.Decimal("-9.99"))
    assert (high["c"], low["c"]) == ("b", "a")
    assert (high["when"], low["when"]) == (datetime.date(9999, 12, 31), datetime.date(1, 1, 1))
    assert (high["ns"].year, low["ns"].year) == (2262, 1677)
    assert (high["text"], low["text"]) == ("31.12.9999", "01.01.0001")
    assert np.isfinite([high["f"], low["f"]]).all()
    gaps = table_of(np.full((1, 9), np.nan), schema)
    assert set(gaps.to_pylist()[0].values()) == {None}


def test_rows_that_are_no_rows_of_the_table() -> None:
    with pytest.raises(DataError, match="expected rows of 4 columns, got shape 2 x 3"):
        table_of(np.zeros((2, 3)), FITTED)
    with pytest.raises(DataError, match="got infinity in row 0, column 'sex'"):
        table_of([[0.0, np.inf, 0.0, 0.0]], FITTED)
    with pytest.raises(ArtifactError, match="expected the name of a type of Arrow's, got 'int65'"):
        type_named("int65")


def frames() -> list[Any]:
    days = [datetime.datetime(2020, 1, 1), None, datetime.datetime(2021, 1, 1)]
    columns = {"age": [63, 41, 35], "sex": ["male", None, "female"], "ok": [True, False, True], "on": days}
    pandas = pd.DataFrame(columns, index=[7, 8, 9]).astype({"sex": "category", "age": "Int64"})
    polars = pl.DataFrame(columns).with_columns(
        pl.col("sex").cast(pl.Categorical), pl.col("age").cast(pl.Int16)
    )
    return [pandas, polars, pa.table(columns)]


@pytest.mark.parametrize("frame", frames(), ids=["pandas", "polars", "pyarrow"])
def test_frames_go_out_as_they_came_in(frame: Any) -> None:
    source = TableSource(frame)
    assert [column.type for column in source.schema.table or ()] == [
        "continuous",
        "category",
        "boolean",
        "date",
    ]
    back = frame_like(table_of(source.read(slice(None)), source.schema), frame)
    assert type(back) is type(frame)
    assert back.equals(frame)
    if isinstance(frame, pd.DataFrame):
        pd.testing.assert_frame_equal(back, frame)
    elif isinstance(frame, pl.DataFrame):
        assert back.schema == frame.schema


def test_names_of_pandas_need_not_be_text() -> None:
    frame = pd.DataFrame({0: [1.5, 2.5], 1: ["a", None]}, index=pd.Index(["p", "q"], name="person"))
    source = TableSource(frame)
    back = frame_like(table_of(source.read(slice(None)), source.schema), frame)
    assert list(back.columns) == [0, 1]
    assert back.index.equals(frame.index)
    with pytest.raises(DataError, match="expected columns of different names, got 'a' more than once"):
        TableSource(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(DataError, match="expected columns of one type each"):
        TableSource(pd.DataFrame({"a": [1, "x", b"y"]}))
    with pytest.raises(DataError, match="expected rows, got a frame without any"):
        TableSource(pd.DataFrame({"a": []}))


def test_damaged_files_are_said_to_be(tmp_path: Path) -> None:
    for name, what in (("a.parquet", "Parquet"), ("a.arrow", "Arrow"), ("a.feather", "Arrow")):
        write_table(tmp_path / name, FRAME)
        data = (tmp_path / name).read_bytes()
        for content in (data[:-20], b"\0words", b""):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(
                SourceError, match=f"{name}: expected a whole {what} file, got a damaged or truncated"
            ):
                open_source(tmp_path / name)
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    with pytest.raises(ParameterError, match="only tables have columns of types"):
        open_source(tmp_path / "a.npy", types={"a": "count"})


def test_types_and_labels_reach_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n3,x\n", "utf-8")
    (tmp_path / "labels.txt").write_text("p\nq\np\n", "utf-8")
    source = open_source(tmp_path / "a.csv", types={"a": "category"}, labels=tmp_path / "labels.txt")
    assert (source.schema.table or ())[0].categories == (1, 2, 3)
    assert source.labels is not None
    assert source.labels.tolist() == ["p", "q", "p"]


@pytest.mark.parametrize("n_cores", [1, 3])
def test_columns_of_a_large_table_are_read_at_once_and_told_in_order(
    n_cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "n_cores", lambda: n_cores)
    n = arrow.FEWEST // 4
    number = np.arange(n)
    table = pd.DataFrame(
        {"code": [f"k{i}" for i in number], "half": number / 2, "one": "same", "day": "2020-01-31"}
    )
    table["kind"] = np.array(["a", "b", "NA", "-"])[number % 4]
    table.loc[0, "day"] = "2020-02-01"
    table.to_csv(tmp_path / "t.csv", index=False)
    source = open_source(tmp_path / "t.csv")
    assert [f"{each.name}: {each.type}" for each in source.schema.table or ()] == [
        "half: continuous", "day: date", "kind: category",
    ]  # fmt: skip
    quarter = f"{n // 4:,}"
    assert source.notes == (
        f"Read as gaps: 'NA' ({quarter}), '-' ({quarter}).",
        "Column 'code' is left out: it is an identifier: all its values differ.",
        "Column 'one' is no part of the rows: it holds one value alone (same), which comes back as it is.",
    )
    day = datetime.datetime(2020, 1, 31, tzinfo=UTC).timestamp()
    expected = np.stack(
        [number / 2, np.where(number, day, day + 86400), np.array([0, 1, np.nan, np.nan])[number % 4]]
    )
    np.testing.assert_array_equal(source.read(slice(None)), expected.T)
    for name in ("half", "day"):
        table[name] = table[name].astype(str)
        table.loc[n - 1, name] = "wrong"
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=rf"column 'half': expected numbers, got 'wrong' in row {n - 1}"):
        open_source(tmp_path / "t.csv").schema  # noqa: B018


def test_constants_come_back_in_their_places() -> None:
    same = pa.table(
        {"a": ["x"] * 3, "b": [1.5, 2.5, None], "c": [7] * 3, "d": ["u", "v", "u"], "e": [True] * 3}
    )
    source = TableSource(same)
    assert source.schema.columns == ("b", "d")
    assert table_of(source.read(slice(None)), source.schema).equals(same)

"""Tables in and out: what comes back is what went in, whatever the columns are."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.schema import Schema
from isthmus.sources import TableSource, conform, table_of

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

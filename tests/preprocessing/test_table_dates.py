"""Dates come back in the unit that all of a column's are whole numbers of."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from isthmus.preprocessing import TableScaling
from isthmus.schema import Schema
from isthmus.sources import TableSource, table_of

DAYS = [dt.datetime(2021, 3, day) for day in range(1, 29)]
TIMES = {
    "day": DAYS,
    "second": [day + dt.timedelta(seconds=7 * at) for at, day in enumerate(DAYS)],
    None: [day + dt.timedelta(milliseconds=7 * at) for at, day in enumerate(DAYS)],
}


@pytest.mark.parametrize("unit", TIMES)
@pytest.mark.parametrize("method", ["quantile", "standardise", "range", "none"])
def test_dates_are_no_finer_than_those_of_the_fit(unit: str | None, method: str) -> None:
    dates = pa.array([None, *TIMES[unit]], pa.timestamp("ns"))
    source = TableSource(pa.table({"since": dates, "x": np.arange(29.0) / 7}))
    assert source.schema.table is not None
    assert source.schema.table[0].unit == unit
    assert Schema.from_dict(source.schema.to_dict()) == source.schema
    scaling = TableScaling.fit(source, np.arange(29), method=method)  # type: ignore[arg-type]
    units = scaling.to_model(source.read(slice(None)))
    between = scaling.to_data((units[5:6] + units[6:7] * 0.7) / 1.7)
    seconds = table_of(between, source.schema)["since"].cast(pa.int64()).to_numpy() / 1e9
    assert DAYS[3].timestamp() < seconds[0] < DAYS[6].timestamp() + 86400
    step = {"day": 86400.0, "second": 1.0, None: 1e-3}[unit]
    assert (seconds[0] % step == 0) == (unit is not None)


def test_zones_and_text_have_a_unit_of_their_own() -> None:
    berlin = pa.array(DAYS, pa.timestamp("s")).cast(pa.timestamp("s", "Europe/Berlin"))
    table = TableSource(
        pa.table(
            {
                "day": pa.array([day.date() for day in DAYS]),
                "zone": pa.compute.subtract(berlin, pa.scalar(3600, pa.duration("s"))),
                "text": [day.strftime("%d.%m.%Y") for day in DAYS],
            }
        )
    )
    columns = table.schema.table or ()
    assert [column.unit for column in columns] == ["day", "second", None]

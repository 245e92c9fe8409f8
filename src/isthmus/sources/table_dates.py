"""Dates: how they are written as text, and as seconds since 1970 (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.sources.arrow import pc

_TIME = r"\d{1,2}:\d{2}"
_CLOCKS = (
    ("", ""),
    (rf" {_TIME}", " %H:%M"),
    (rf"T{_TIME}", "T%H:%M"),
    (rf" {_TIME}:\d{{2}}", " %H:%M:%S"),
    (rf"T{_TIME}:\d{{2}}", "T%H:%M:%S"),
    (rf" {_TIME}:\d{{2}}\.\d{{1,6}}", " %H:%M:%S.%f"),
    (rf"T{_TIME}:\d{{2}}\.\d{{1,6}}", "T%H:%M:%S.%f"),
)
_ZONES = (("", ""), ("Z", "Z"), (r"[+-]\d{2}:\d{2}", "%z"))
_DAYS = (
    (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"),
    (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y"),
    (r"\d{1,2}/\d{1,2}/\d{4}", "%m/%d/%Y"),
    (r"\d{1,2}/\d{1,2}/\d{4}", "%d/%m/%Y"),
    (r"\d{1,2}-\d{1,2}-\d{4}", "%d-%m-%Y"),
)
FORMS = (
    *(
        (day + clock + zone, f"{day_form}{clock_form}{zone_form}")
        for day, day_form in _DAYS
        for clock, clock_form in _CLOCKS
        for zone, zone_form in (_ZONES if clock and "%Y-" in day_form else _ZONES[:1])
    ),
    (r"\d{4}-\d{2}", "%Y-%m"),
)
"""Patterns of the dates that are known, with their forms in the signs of ``strftime``."""

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_START = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = (
    (datetime(*day, tzinfo=UTC) - _START).total_seconds() for day in ((1, 1, 1), (9999, 12, 31, 23, 59, 59))
)
"""The first and the last second that calendars of four digits have."""


def date_forms(words: list[str]) -> list[str]:
    """Every known form in which all of the words are dates; the ISO forms and month before day come first.

    >>> date_forms(["2020-01-31"]), date_forms(["31/01/2020"]), date_forms(["01/02/2020"])
    (['%Y-%m-%d'], ['%d/%m/%Y'], ['%m/%d/%Y', '%d/%m/%Y'])
    """
    fitting = [form for pattern, form in FORMS if re.fullmatch(pattern, words[0])] if words else []
    return [form for form in fitting if all(seconds_of(word, form) is not None for word in words)]


def seconds_of(word: str, form: str) -> float | None:
    """Seconds since 1970 of a date in one form; None if it is no date of that form.

    >>> seconds_of("1970-01-02", "%Y-%m-%d"), seconds_of("2020-02-30", "%Y-%m-%d")
    (86400.0, None)
    """
    try:
        found = datetime.strptime(word, form)
    except ValueError:
        return None
    return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - _START).total_seconds()


def date_text(seconds: float, form: str) -> str:
    """A date in one form; what no calendar of four digits has is clipped to its ends.

    >>> date_text(86400.0, "%d.%m.%Y"), date_text(-1e99, "%Y-%m-%d")
    ('02.01.1970', '0001-01-01')
    """
    finest = 6 if "%f" in form else 0
    found = _START + timedelta(seconds=min(max(round(seconds, finest), FIRST), LAST))
    # Not every C library pads years, and none writes the colon of an offset.
    return found.strftime(form.replace("%Y", f"{found.year:04d}").replace("%z", "+00:00"))


def seconds_from(array: Any) -> NDArray[np.float64]:
    """Seconds since 1970 (UTC) of Arrow's dates and timestamps, NaN where there is none.

    >>> seconds_from(pa.array([1500, None], pa.timestamp("ms")))
    array([1.5, nan])
    """
    if pa.types.is_date(array.type):
        array = pc.cast(array, pa.timestamp("ms"), safe=False)
    whole = pc.cast(array, pa.int64())
    # Whole seconds apart from their fraction, so that nanoseconds of today do not blur them.
    per_second = _UNITS[array.type.unit]
    values = pc.fill_null(whole, 0).to_numpy()
    seconds = (values // per_second) + (values % per_second) / per_second
    return np.where(pc.is_null(whole).to_numpy(zero_copy_only=False), np.nan, seconds.astype(np.float64))


def dates_of(seconds: NDArray[np.float64], to: Any) -> Any:
    """An Arrow array of dates or timestamps; what the type cannot hold is clipped to its ends."""
    gaps = np.isnan(seconds)
    safe = np.clip(np.where(gaps, 0.0, seconds), FIRST, LAST)
    if pa.types.is_date(to):
        days = np.floor(safe / 86400.0).astype(np.int64)
        return pc.cast(pc.cast(_masked(days, gaps), pa.int32()), pa.date32()).cast(to)
    per_second = _UNITS[to.unit]
    most = (2**63 - 1) // per_second - 1
    safe = np.clip(safe, -float(most), float(most))
    whole = np.floor(safe)
    # To the microsecond: float64 knows no more of a second of today.
    finest = min(per_second, 10**6)
    parts = np.rint((safe - whole) * finest).astype(np.int64) * (per_second // finest)
    ticks = whole.astype(np.int64) * per_second + parts
    return pc.cast(_masked(ticks, gaps), to)


def _masked(values: NDArray[np.int64], gaps: NDArray[np.bool_]) -> Any:
    return pa.array(values, pa.int64(), mask=gaps)

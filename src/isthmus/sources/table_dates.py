"""Dates: how they are written as text, and as seconds since 1970 (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
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

_SIGNS = {
    "%Y": r"(?P<Y>\d{4})",
    **{f"%{sign}": rf"(?P<{sign}>\d{{1,2}})" for sign in "mdHMS"},
    "%f": r"(?P<f>\d{1,6})",
    "%z": r"(?:(?P<sign>[+-])(?P<east>\d{2}):?(?P<eastern>[0-5]\d)|Z)",
    " ": r"\s+",
}
"""What stands for a sign of ``strftime`` in the date that it describes."""
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAY = 86400.0
"""Seconds."""
_START = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLE = (datetime(2020, 12, 31, 18, 30, tzinfo=UTC) - _START).total_seconds()
_TRIED = 100
"""Words by which it is told whether a column is worth trying as dates."""
FIRST, LAST = (
    (datetime(*day, tzinfo=UTC) - _START).total_seconds() for day in ((1, 1, 1), (9999, 12, 31, 23, 59, 59))
)
"""The first and the last second that calendars of four digits have."""


def date_forms(words: Any) -> list[str]:
    """Every known form in which all of the words are dates; the ISO forms and month before day come first.

    >>> date_forms(["2020-01-31"]), date_forms(["31/01/2020"]), date_forms(["01/02/2020"])
    (['%Y-%m-%d'], ['%d/%m/%Y'], ['%m/%d/%Y', '%d/%m/%Y'])
    """
    array = pa.array(words, pa.string()) if isinstance(words, (list, tuple)) else words
    if not len(array):
        return []
    first = array[0].as_py()
    fitting = [form for pattern, form in FORMS if re.fullmatch(pattern, first)]
    return [form for form in fitting if not np.isnan(seconds_of(array, form)).any()]


def nearly_date_form(words: Any) -> str | None:
    """The known form in which at least half of the words are dates, though not all; None if there is none.

    >>> nearly_date_form(["2020-01-31", "2020-02-30", "2020-03-01"]), nearly_date_form(["north", "south"])
    ('%Y-%m-%d', None)
    """
    array = pa.array(words, pa.string()) if isinstance(words, (list, tuple)) else words
    first = [word for word in array[:_TRIED].to_pylist() if word is not None]

    def share(pattern: str, form: str) -> float:
        looks_so = sum(re.fullmatch(pattern, word) is not None for word in first)
        if 2 * looks_so < len(first):
            return 0.0
        return float(1.0 - np.isnan(seconds_of(array, form)).mean())

    shares = {form: share(pattern, form) for pattern, form in FORMS} if first else {}
    best = max(shares, key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= 0.5 else None


def date_like(form: str) -> str:
    """A date in a form, to show what is meant by it.

    >>> date_like("%d.%m.%Y"), date_like("%Y-%m-%dT%H:%M")
    ('31.12.2020', '2020-12-31T18:30')
    """
    return date_text(_EXAMPLE, form)


def seconds_of(words: Any, form: str) -> NDArray[np.float64]:
    """Seconds since 1970 (UTC) of dates that are written in one form; NaN of what is no date of that form.

    What fits is what Python's ``strptime`` takes, all words at once.

    >>> seconds_of(pa.array(["1970-01-02", "2020-02-30", None]), "%Y-%m-%d")
    array([86400.,    nan,    nan])
    """
    pattern = "".join(_SIGNS.get(part) or re.escape(part) for part in re.findall(r"%.|[^%]", form))
    found: Any = pc.extract_regex(words, rf"(?i)^{pattern}$")
    fits = pc.is_valid(found).to_numpy(zero_copy_only=False)

    def number(sign: str, default: int = 0) -> NDArray[np.int64]:
        if f"(?P<{sign}>" not in pattern:
            return np.full(len(words), default)
        digits = found.field(sign)  # empty of what does not fit, and of a Z for an offset
        digits = pc.if_else(pc.equal(digits, ""), None, digits)
        return pc.fill_null(pc.cast(digits, pa.int64()), default).to_numpy(zero_copy_only=False)

    year, month, day = number("Y"), number("m", 1), number("d", 1)
    hour, minute, second = number("H"), number("M"), number("S")
    fits &= (year >= 1) & (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    start = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("datetime64[M]")
    first = start.astype("datetime64[D]")
    fits &= (day >= 1) & (day <= ((start + 1).astype("datetime64[D]") - first).astype(np.int64))
    whole = ((first.astype(np.int64) + day - 1) * 24 + hour) * 3600 + minute * 60 + second
    seconds = whole.astype(np.float64)
    if "%f" in form:
        ticks = pc.utf8_rpad(found.field("f"), width=6, padding="0")
        seconds += pc.cast(ticks, pa.int64()).to_numpy(zero_copy_only=False) / 1e6
    if "%z" in form:
        east = number("east")
        fits &= east < 24
        ahead = east * 3600 + number("eastern") * 60
        seconds -= np.where(pc.equal(found.field("sign"), "-").to_numpy(zero_copy_only=False), -ahead, ahead)
    return np.where(fits, seconds, np.nan)


def date_text(seconds: float, form: str) -> str:
    """A date in one form; what no calendar of four digits has is clipped to its ends.

    >>> date_text(86400.0, "%d.%m.%Y"), date_text(-1e99, "%Y-%m-%d")
    ('02.01.1970', '0001-01-01')
    """
    return str(texts_of(np.array([seconds]), form)[0])


def texts_of(seconds: NDArray[np.float64], form: str) -> Any:
    """An Arrow array of dates in one form, as :func:`date_text` writes each; null for NaN.

    >>> texts_of(np.array([86400.5, np.nan]), "%Y-%m-%dT%H:%M:%S.%fZ").to_pylist()
    ['1970-01-02T00:00:00.500000Z', None]
    """
    gaps = np.isnan(seconds)
    safe = np.clip(np.where(gaps, 0.0, seconds), FIRST, LAST)
    whole = np.floor(safe) if "%f" in form else np.rint(safe)
    micro = np.rint((safe - whole) * 1e6).astype(np.int64) if "%f" in form else np.zeros(len(safe), np.int64)
    whole, micro = whole + micro // 1_000_000, micro % 1_000_000  # what rounds up to a whole second is one
    ticks = whole.astype(np.int64)
    day_ticks = ticks % 86400
    months = (ticks // 86400).astype("datetime64[D]").astype("datetime64[M]")
    days = ticks // 86400 - months.astype("datetime64[D]").astype(np.int64) + 1
    month_number = months.astype(np.int64)
    values = {
        "%Y": (month_number // 12 + 1970, 4),
        "%m": (month_number % 12 + 1, 2),
        "%d": (days, 2),
        "%H": (day_ticks // 3600, 2),
        "%M": (day_ticks // 60 % 60, 2),
        "%S": (day_ticks % 60, 2),
        "%f": (micro, 6),
    }
    pieces = list[Any]()
    for part in re.findall(r"%.|[^%]+", form):
        if part in values:
            digits, width = values[part]
            pieces.append(pc.utf8_lpad(pc.cast(pa.array(digits), pa.string()), width=width, padding="0"))
        else:
            pieces.append("+00:00" if part == "%z" else part)
    return pc.if_else(pa.array(~gaps), pc.binary_join_element_wise(*pieces, ""), None)


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

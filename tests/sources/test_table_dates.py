"""Dates as text, all at once, against Python's own reading and writing of one after the other."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isthmus.sources.table_dates import FIRST, FORMS, LAST, date_forms, seconds_of, texts_of

START = datetime(1970, 1, 1, tzinfo=UTC)
WRITTEN = sorted({form for _, form in FORMS})


def slowly(word: str, form: str) -> float:
    """The twin: strptime, one word at a time; NaN for no date."""
    try:
        found = datetime.strptime(word, form)
        return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - START).total_seconds()
    except ValueError:
        return math.nan


def slow_text(seconds: float, form: str) -> str:
    digits = 6 if "%f" in form else 0
    found = START + timedelta(seconds=min(max(round(seconds, digits), FIRST), LAST))
    return found.strftime(form.replace("%Y", f"{found.year:04d}").replace("%z", "+00:00"))


NUMBERS = st.integers(0, 99).map(str) | st.integers(0, 99).map("{:02d}".format)


@st.composite
def nearly_dates(draw: st.DrawFn, form: str) -> str:
    """A text with numbers, possible and impossible ones, in the places that a form has."""
    fill = {
        "%Y": st.integers(0, 9999).map("{:04d}".format),
        "%m": st.integers(1, 12).map(str) | NUMBERS,
        "%d": st.integers(1, 31).map(str) | NUMBERS,
        "%H": st.integers(0, 23).map(str) | NUMBERS,
        "%f": st.integers(0, 999999).map(str),
        "%z": st.sampled_from(["Z", "+00:00", "-05:30", "+0100", "+24:00", "-23:59", "+1:00", "+02:60", "x"]),
    }
    text = form
    for sign in ("%Y", "%m", "%d", "%H", "%M", "%S", "%f", "%z"):
        text = text.replace(sign, draw(fill.get(sign, NUMBERS))) if sign in text else text
    return text


@settings(max_examples=300)
@given(
    st.sampled_from(WRITTEN).flatmap(
        lambda form: st.tuples(st.lists(nearly_dates(form), min_size=1), st.just(form))
    )
)
@example((["2000-02-29", "1900-02-29", "0000-01-01", "9999-12-31", "2020-1-5", "2020-01-05 "], "%Y-%m-%d"))
@example((["2020-01-05t10:00:00z", "2020-01-05T10:00:60Z"], "%Y-%m-%dT%H:%M:%SZ"))
def test_all_at_once_is_one_after_the_other(words_and_form: tuple[list[str], str]) -> None:
    words, form = words_and_form
    found = seconds_of(pa.array(words, pa.string()), form)
    np.testing.assert_allclose(found, [slowly(word, form) for word in words], rtol=0, atol=2e-6)


@settings(max_examples=200)
@given(
    st.lists(st.floats(FIRST, LAST) | st.just(math.nan) | st.floats(-1e300, 1e300)), st.sampled_from(WRITTEN)
)
def test_writing_is_strftime(seconds: list[float], form: str) -> None:
    told = texts_of(np.array(seconds, np.float64), form).to_pylist()
    assert told == [None if math.isnan(value) else slow_text(value, form) for value in seconds]


@given(st.lists(st.integers(int(FIRST), int(LAST)), min_size=1), st.sampled_from(WRITTEN))
def test_what_is_written_reads_back(seconds: list[int], form: str) -> None:
    words = texts_of(np.array(seconds, np.float64), form)
    assert form in date_forms(words)
    again = texts_of(seconds_of(words, form), form)
    assert again.equals(words)


@pytest.mark.parametrize(
    ("words", "forms"),
    [
        (["13/02/2020", "01/02/2020"], ["%d/%m/%Y"]),
        (["01/02/2020"], ["%m/%d/%Y", "%d/%m/%Y"]),
        (["2020-01"], ["%Y-%m"]),
        (["2020-01-01", "2020-01-01 10:00"], []),
        (["2020-01-01", "soon"], []),
        ([], []),
    ],
)
def test_forms(words: list[str], forms: list[str]) -> None:
    assert date_forms(words) == forms

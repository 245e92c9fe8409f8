"""Texts that are numbers: Arrow's reading of them is quick, an expression its slow twin."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isthmus.sources.arrow import pc
from isthmus.sources.table_values import NUMBER, Texts, as_floats

WORDS = st.one_of(
    st.text("0123456789+-.eEinfaINFty_x ", max_size=7),
    st.from_regex(NUMBER, fullmatch=True),
    st.sampled_from(
        ["nan", "-nan", "inf", "-Infinity", "007", "-00", "0", "", "1e999", "0x10", "+5", "+05", "\u0663"]
    ),
    st.none(),
)


@given(st.lists(WORDS, max_size=6), st.integers(0, 2))
@example(["nan", "1"], 0)
@example(["+1", "2"], 0)
@example(["", "0"], 1)
@example([None, None], 0)
@example(["-", "07"], 1)
def test_which_are_numbers_is_what_expressions_say(words: list[str | None], start: int) -> None:
    array = pa.array(words, pa.string()).slice(start)
    there = array.drop_null()
    expected = pc.match_substring_regex(there, NUMBER).to_numpy(zero_copy_only=False)
    expected &= ~pc.match_substring_regex(there, r"^[+-]?0\d").to_numpy(zero_copy_only=False)
    texts = Texts(array)
    assert texts.are_numbers.tolist() == expected.tolist()
    if expected.all() and "_" not in "".join(there.to_pylist()):
        values = [np.nan if word is None else float(word) for word in words[start:]]
        np.testing.assert_array_equal(texts.as_floats(), values)
        np.testing.assert_array_equal(as_floats(array), values)


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        (["1", "-2", "+3"], True),
        (["1", "2.0"], False),
        (["1", "2.5"], False),
        (["1" * 18, "0"], True),
        (["1" * 19, "0"], False),
        (["1e3"], False),
        ([], True),
    ],
)
def test_integers_are_told_from_how_they_are_written(words: list[str], whole: bool) -> None:
    assert Texts(pa.array(words, pa.string())).are_whole() is whole

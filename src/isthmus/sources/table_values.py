"""A column's values as float64: what a row of a table holds, by what the column is.

Numbers as they are, categories and booleans as their place, dates as seconds since 1970, NaN for gaps.
The same reading serves rows that a schema is inferred from and rows that come later.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.schema import Column
from isthmus.sources.arrow import is_date, is_number, is_text, pc, plain
from isthmus.sources.table_dates import date_forms, date_like, seconds_from, seconds_of

Values = NDArray[np.float64]

NUMBER = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity))$"
_WHOLE = r"^[+-]?\d+$"
TRUTHS = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on"))
"""Pairs of words for no and yes, whatever their case."""
_TRIED = 100
"""Texts that are tried as numbers before all are."""
_SHOWN = 3
"""Values that a note shows."""


class Reading(NamedTuple):
    """A column as numbers, and what became of values that it could not take."""

    values: Values
    notes: tuple[str, ...] = ()


def values_of(array: Any, column: Column, who: str) -> Reading:
    """A column's values as they stand in rows.

    Parameters
    ----------
    array
        The column as Arrow has it: of its own type, or text.
    column
        What the column is.
    who
        The file or the frame, for messages.

    Raises
    ------
    DataError
        A value that the column cannot hold; with its row, counted from 0.
    """
    array = plain(array)
    if column.type == "date":
        return Reading(_dates(array, column, who))
    if column.type in ("continuous", "count"):
        return Reading(_numbers(array, column, who))
    return _places(array, column, who)


class Texts:
    """Texts of a column, looked at as numbers: digits behind a zero are a code and not a number.

    Parameters
    ----------
    words
        An Arrow array of text; its gaps are left out.

    Examples
    --------
    >>> Texts(pa.array(["1", "-2.5e3", "007", None, "1,5", "inf"])).are_numbers
    array([ True,  True, False, False,  True])
    """

    def __init__(self, words: Any) -> None:
        self.words = plain(words.drop_null())
        self._all = words

    @cached_property
    def _values(self) -> Values | None:
        """As Arrow reads them, in a fifth of the time of an expression; None if it cannot read them all."""
        return _parsed(self.words)

    @cached_property
    def are_numbers(self) -> NDArray[np.bool_]:
        """Which of those that are no gap are numbers."""
        if self._values is None:
            coded = self.words.dictionary_encode()  # words that are no numbers come again
            matched = pc.match_substring_regex(coded.dictionary, NUMBER).to_numpy(zero_copy_only=False)
            matched = matched[coded.indices.to_numpy()]
        else:
            # Arrow reads what the expression takes but a plus; and the word nan.
            matched = ~np.isnan(self._values)
        return matched & ~_are_padded(self.words)

    def are_whole(self) -> bool:
        """Whether all of them, which are numbers, are written as integers of at most 18 digits."""
        if self._values is not None and not (self._values == np.rint(self._values)).all():
            return False
        whole = pc.all(pc.match_substring_regex(self.words, _WHOLE), min_count=0).as_py()
        return bool(whole) and (pc.max(pc.utf8_length(self.words)).as_py() or 0) <= 18

    def as_floats(self) -> Values:
        """All of them, which are numbers, as float64; NaN for gaps."""
        return as_floats(self._all) if self._all.null_count or self._values is None else self._values


def as_floats(array: Any) -> Values:
    """An Arrow array of numbers, booleans or texts that are numbers as float64; NaN for gaps."""
    if is_text(array.type):
        values = _parsed(array)
        if values is not None:
            return values
        array = pc.cast(pc.replace_substring_regex(array, r"^\+", ""), pa.float64())
    elif pa.types.is_boolean(array.type):
        array = pc.cast(array, pa.uint8())
    return pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)


def _parsed(words: Any) -> Values | None:
    """As numbers, if Arrow reads them all."""
    try:  # the first ones alone: Arrow writes an error for each that it cannot read, ten times as long as reading it
        pc.cast(words.slice(0, _TRIED), pa.float64())
        return pc.cast(words, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    except pa.ArrowInvalid:
        return None


def _are_padded(words: Any) -> NDArray[np.bool_]:
    """Which of some texts, in one piece and none of them a gap, begin with a zero and a digit behind their sign."""
    _, ends, letters = words.buffers()
    if letters is None or letters.size < 2:
        return np.zeros(len(words), bool)
    ends = np.frombuffer(ends, np.int32)[words.offset : words.offset + len(words) + 1]
    letters = np.frombuffer(letters, np.uint8)
    last = len(letters) - 1
    first = np.minimum(ends[:-1], last)
    sign = letters[first]
    first = np.minimum(first + ((sign == ord("+")) | (sign == ord("-"))), last)
    is_digit = letters[np.minimum(first + 1, last)] - np.uint8(ord("0")) < 10
    return (letters[first] == ord("0")) & is_digit & (first + 1 < ends[1:])


def refuse_infinity(values: Values, name: str, who: str) -> None:
    """Raise if a value is infinite.

    Raises
    ------
    DataError
        With the column and the first such row.
    """
    bad = np.flatnonzero(np.isinf(values))
    if len(bad):
        raise DataError(
            f"{who}: column {name!r}: values must be finite, got infinity in row {bad[0]}; "
            f"leave the cell empty, or clip the values."
        )


def examples(values: Sequence[Any]) -> str:
    """The first few of some values, each once.

    >>> examples(["a", "b", "a", "c", "d"])
    "'a', 'b', 'c', ..."
    """
    once = list(dict.fromkeys(values))
    return ", ".join(map(repr, once[:_SHOWN])) + (", ..." if len(once) > _SHOWN else "")


def truth_words(words: Sequence[str]) -> tuple[str, str] | None:
    """Two words in the order no, yes, if they are such a pair.

    >>> truth_words(["Yes", "No"]), truth_words(["0", "1"]), truth_words(["male", "female"])
    (('No', 'Yes'), ('0', '1'), None)
    """
    by_case = {word.lower(): word for word in words}
    for no, yes in (*TRUTHS, ("0", "1")):
        if len(words) == 2 and set(by_case) == {no, yes}:
            return by_case[no], by_case[yes]
    return None


def _numbers(array: Any, column: Column, who: str) -> Values:
    if is_text(array.type):
        texts = Texts(array)
        bad = ~texts.are_numbers
        if bad.any():
            row = int(np.flatnonzero(pc.is_valid(array).to_numpy(zero_copy_only=False))[bad.argmax()])
            raise _refused(
                column, who, "numbers", row, array[row].as_py(), "mend the cell, or leave it empty"
            )
        values = texts.as_floats()
    elif is_number(array.type) or pa.types.is_boolean(array.type) or pa.types.is_null(array.type):
        values = as_floats(array)
    else:
        raise _of_another_type(array, column, who, "numbers")
    refuse_infinity(values, column.name, who)
    if column.type == "count":
        bad = np.flatnonzero((values < 0) | (values != np.rint(values)) & ~np.isnan(values))
        if len(bad):
            raise _refused(
                column, who, "whole numbers from 0", bad[0], float(values[bad[0]]), "mend the cell"
            )
    return values


def _dates(array: Any, column: Column, who: str) -> Values:
    if is_date(array.type):
        return seconds_from(array)
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    if not is_text(array.type):
        raise _of_another_type(array, column, who, "dates")
    coded = array.dictionary_encode()
    words = coded.dictionary
    nowhere = np.full(len(words), np.nan)
    found = nowhere if column.form is None else seconds_of(words, column.form)
    if np.isnan(found).any():
        others = date_forms(words)
        found = seconds_of(words, others[0]) if others else found
    bad = np.flatnonzero(np.isnan(found))
    if len(bad):
        word = words[int(bad[0])].as_py()
        row = int(pc.index(array, word).as_py())
        like = f" like {date_like(column.form)}" if column.form else ""
        raise _refused(column, who, f"dates{like}", row, word, "mend the cell, or leave it empty")
    return _looked_up(coded.indices, found)


def _places(array: Any, column: Column, who: str) -> Reading:
    categories = column.categories or ()
    if pa.types.is_null(array.type):
        return Reading(np.full(len(array), np.nan))
    if pa.types.is_nested(array.type):
        raise _of_another_type(array, column, who, "categories")
    coded = array.dictionary_encode()
    words: list[Any] = coded.dictionary.to_pylist()
    key = _as_text if all(isinstance(category, str) for category in categories) else _as_number
    known = {key(category): float(place) for place, category in enumerate(categories)}
    places = [known.get(key(word), np.nan) for word in words]
    if column.type == "boolean":
        places = [
            _truth(word) if np.isnan(place) else place for word, place in zip(words, places, strict=True)
        ]
    values = _looked_up(coded.indices, places)
    unseen = [
        word for word, place in zip(words, places, strict=True) if np.isnan(place) and not _is_nan(word)
    ]
    if not unseen:
        return Reading(values)
    n_gaps = int(np.isnan(values).sum()) - array.null_count
    what = "1 value is" if n_gaps == 1 else f"{n_gaps} values are"
    counts = "counts as a gap" if n_gaps == 1 else "count as gaps"
    said = (
        f"Column {column.name!r}: {what} none of its {len(categories)} categories and {counts} "
        f"({examples(unseen)})."
    )
    return Reading(values, (said,))


def _as_text(word: Any) -> str:
    """A cell as it would stand among categories that are text."""
    return f"{word:g}" if isinstance(word, (int, float)) and not isinstance(word, bool) else str(word)


def _as_number(word: Any) -> float | str:
    """A cell as it would stand among categories that are numbers."""
    try:
        return float(word)
    except (TypeError, ValueError):
        return str(word)


def _is_nan(word: Any) -> bool:
    return isinstance(word, float) and np.isnan(word)


def _truth(word: Any) -> float:
    text = str(word).lower()
    return next((float(pair.index(text)) for pair in TRUTHS if text in pair), np.nan)


def _looked_up(indices: Any, values: Sequence[float] | Values) -> Values:
    table = np.append(np.asarray(values, np.float64), np.nan)
    return table[pc.fill_null(indices, len(values)).to_numpy(zero_copy_only=False)]


def _of_another_type(array: Any, column: Column, who: str, expected: str) -> DataError:
    return DataError(
        f"{who}: column {column.name!r}: expected {expected}, got the type {array.type}; convert the column."
    )


def _refused(column: Column, who: str, expected: str, row: int, got: Any, advice: str) -> DataError:
    return DataError(
        f"{who}: column {column.name!r}: expected {expected}, got {got!r} in row {row}; {advice}."
    )

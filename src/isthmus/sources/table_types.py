"""What the columns of a table are, told from their values by rules that anyone can check.

===========  =====================================================================================
type         rule
===========  =====================================================================================
boolean      Arrow's booleans; two values that are 0 and 1, or yes and no, true and false, ...
date         Arrow's dates and timestamps; text of which every value is a date of one form
category     text of at most 10 different values, or of at most 100 that occur twice on average;
             a run of 2 to 5 whole numbers from 0 or 1 (0 to 4, 1 to 3), each in at least 5 rows
count        whole numbers from 0 or 1 to at most 1,000
continuous   all other numbers
===========  =====================================================================================

Left out, and said so: columns without any value; identifiers (all values differ, and either the name
says it, as in ``id`` or ``customerNr``, or they are single words); other text. A column of one value
without gaps is no part of the rows and comes back as it was.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
import pyarrow as pa

from isthmus.errors import DataError, ParameterError
from isthmus.schema import Column, ColumnType, Constant
from isthmus.sources.arrow import by_column, is_date, is_number, is_text, pc, plain
from isthmus.sources.table_dates import DAY, date_forms, date_like, nearly_date_form, seconds_from, seconds_of
from isthmus.sources.table_decimals import decimals_of
from isthmus.sources.table_values import (
    Texts,
    Values,
    as_floats,
    examples,
    refuse_infinity,
    truth_words,
    values_of,
)

GivenType = ColumnType | Literal["ignore"]
"""What a user may call a column: one of the types, or one to be left out."""
FEW, MANY = 10, 100
"""Different texts that are always categories, and the most that may be."""
LONGEST_RUN, EACH = 5, 5
"""Whole numbers in a row that may be categories, and the rows that each of them needs."""
LARGEST_COUNT = 1000
_ID = re.compile(r"(?i:(?:^|[_\W])(?:id|ids|uuid|guid|nr|rowid|index)$|^$|^Unnamed: \d+$)|[a-z](?:Id|ID|Nr)$")


_AS = {
    "continuous": "continuous",
    "count": "a count",
    "category": "a category",
    "boolean": "a boolean",
    "date": "a date",
}


class Found(NamedTuple):
    """A table's columns as a model sees them."""

    columns: tuple[Column, ...]
    constants: tuple[Constant, ...]
    notes: tuple[str, ...]


class _LeftOut(Exception):  # noqa: N818  # no error: a column that no row holds
    """Why a column is no part of the rows."""


def infer_columns(
    table: Any, who: str, *, types: Mapping[str, str] | None = None, written: bool = False
) -> Found:
    """What each column of an Arrow table is.

    Parameters
    ----------
    table
        Any Arrow table.
    who
        The file or the frame, for messages.
    types
        Names of columns and what they are, whatever the rules say: one of the types, or ``"ignore"``.
    written
        Whether the table is a file of text, where numbers stand as text.

    Raises
    ------
    DataError
        Infinite values, numbers with some text among them, or a table without any column to learn from.
    ParameterError
        ``types`` with a column or a type that is not there.

    Examples
    --------
    >>> table = pa.table({"age": [63.5, 67.25, None], "smoker": ["no", "yes", "no"]})
    >>> [f"{column.name}: {column.type}" for column in infer_columns(table, "people").columns]
    ['age: continuous', 'smoker: boolean']
    """
    given = _checked_types(types or {}, table.column_names, who)
    columns, constants, notes = list[Column](), list[Constant](), list[str]()

    def looked_at(name: str, array: Any) -> tuple[Column, list[str], float | None] | _LeftOut:
        try:
            column, said = _column(name, array, given.get(name), who, written)
        except _LeftOut as reason:
            return reason
        return column, said, None if name in given else _only_value(array, column, who)

    named = list(zip(table.column_names, table.columns, strict=True))
    for (name, array), found in zip(
        named, by_column(looked_at, named, table.num_rows * len(named)), strict=True
    ):
        if isinstance(found, _LeftOut):
            notes.append(f"Column {name!r} is left out: {found}.")
            continue
        column, said, value = found
        notes.extend(said)
        if value is None:
            columns.append(column)
        else:
            constants.append(Constant(column, value, len(columns) + len(constants)))
            notes.append(f"Column {name!r} is no part of the rows: it holds one value alone "
                         f"({_shown(array)}), which comes back as it is.")  # fmt: skip
    said = [f"{name!r} ({type_})" for name, type_ in given.items() if type_ != "ignore"]
    if said:
        notes.append(f"Set by data.types: {', '.join(said)}.")
    if not columns and constants and len(constants) == len(table.column_names):
        names = ", ".join(repr(one.column.name) for one in constants)
        raise DataError(
            f"{who}: expected columns to learn from, got one value alone in each ({names}); give rows that differ."
        )
    if not columns:
        reasons = " ".join(notes)
        raise DataError(f"{who}: expected a column to learn from, got none. {reasons}")
    return Found(tuple(columns), tuple(constants), tuple(notes))


def setting_for(name: str, type_: str) -> str:
    """How the type of a column is set at the command line.

    >>> setting_for("age", "count"), setting_for("body.mass", "ignore")
    ('data.types.age=count', 'data.types."body.mass"=ignore')
    """
    plain_name = not any(sign in name for sign in ".=\"'")
    quoted = name if plain_name else f"'{name}'" if '"' in name else f'"{name}"'
    return f"data.types.{quoted}={type_}"


def _checked_types(types: Mapping[str, str], names: list[str], who: str) -> dict[str, GivenType]:
    known = (*get_args(ColumnType), "ignore")
    for name, given in types.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
            advice = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {examples(names)}."
            raise ParameterError(f"data.types: expected names of columns of {who}, got {name!r}; {advice}")
        if given not in known:
            raise ParameterError(
                f"data.types: column {name!r} must be one of {', '.join(known)}, got {given!r}; choose one of them."
            )
    return cast("dict[str, GivenType]", dict(types))


def _column(
    name: str, array: Any, given: GivenType | None, who: str, written: bool
) -> tuple[Column, list[str]]:
    """What a column is, and what a user should know of it."""
    if given == "ignore":
        raise _LeftOut("data.types says so")
    if array.null_count == len(array):
        raise _LeftOut("it holds no value")
    dtype, values = str(array.type), plain(array)
    if given is not None:
        try:
            return _given_column(name, values, dtype, given, who, written), []
        except DataError as error:
            reason = str(error).removeprefix(f"{who}: column {name!r}: ")
            raise DataError(
                f"{who}: column {name!r} cannot be {_AS[given]}, as data.types has it: {reason.rpartition(';')[0]}; "
                f"choose another type, or mend the values."
            ) from None
    if pa.types.is_boolean(values.type):
        return Column(name, "boolean", dtype, (False, True)), []
    if is_date(values.type):
        return _date_column(name, values, dtype), []
    if not (is_text(values.type) or is_number(values.type)):
        raise _LeftOut(f"rows cannot hold values of the type {dtype}")
    if pa.types.is_dictionary(array.type):
        return Column(name, "category", dtype, _dictionary_words(array)), []
    if is_text(values.type):
        return _text_column(name, values, dtype, who, written)
    return _number_column(name, as_floats(values), dtype, who)


def _text_column(name: str, values: Any, dtype: str, who: str, written: bool) -> tuple[Column, list[str]]:
    texts = Texts(values)
    there, numbers = texts.words, texts.are_numbers
    if numbers.all() and written:
        return _number_column(name, texts.as_floats(), "int64" if texts.are_whole() else "double", who)
    single = pc.unique(there)
    n_words = len(single)
    truths = truth_words(sorted(single.to_pylist())) if n_words == 2 else None
    if truths is not None:
        return Column(name, "boolean", dtype, truths), []
    if not numbers.any():
        forms = date_forms(single)
        if forms:
            others = " or ".join(forms[1:])
            note = f"Column {name!r}: dates are read as {forms[0]}; {others} would fit as well."
            return Column(name, "date", dtype, form=forms[0]), [note] if others else []
    n, differ = len(there), n_words == len(there)
    if differ and n > 2 and is_id(name):
        raise _LeftOut("it is an identifier: it is named like one, and all its values differ")
    if n_words > FEW and numbers.mean() >= 0.5:
        raise _numbers_and_text(name, values, numbers, who)
    nearly = nearly_date_form(single) if n_words > FEW else None
    if nearly is not None:
        raise _dates_and_text(name, values, nearly, who)
    if n_words <= FEW or (n_words <= MANY and 2 * n_words <= n):
        return Column(name, "category", dtype, tuple(sorted(single.to_pylist()))), []
    if differ and not pc.any(pc.match_substring(single, " ")).as_py():
        raise _LeftOut("it is an identifier: all its values differ")
    raise _LeftOut(f"it is text of {n_words:,} different values in {n:,} rows, too many for categories")


def _date_column(name: str, values: Any, dtype: str) -> Column:
    """A column of Arrow's dates, with the unit that all of them are whole numbers of."""
    seconds = seconds_from(values)
    there = seconds[~np.isnan(seconds)]
    unit = "day" if not (there % DAY).any() else "second" if not (there % 1.0).any() else None
    return Column(name, "date", dtype, unit=unit)


def _number_column(name: str, values: Values, dtype: str, who: str) -> tuple[Column, list[str]]:
    refuse_infinity(values, name, who)
    there = values[~np.isnan(values)]
    if not len(there):
        raise _LeftOut("it holds no value")
    single, how_many = np.unique(there, return_counts=True)
    whole = bool((there == np.rint(there)).all())
    if np.array_equal(single, [0.0, 1.0]):
        return Column(name, "boolean", dtype, _as_written(single, dtype)), []
    if whole and len(single) == len(values) > 2 and is_id(name):
        raise _LeftOut("it is an identifier: it is named like one, and all its values differ")
    if whole and _is_run(single) and how_many.min() >= EACH:
        return Column(name, "category", dtype, _as_written(single, dtype)), []
    if whole and single[0] in (0.0, 1.0) and single[-1] <= LARGEST_COUNT:
        return Column(name, "count", dtype), []
    beyond = whole and np.abs(there).max() > 2**53 and "int" in dtype
    note = f"Column {name!r}: integers beyond 2**53 are rounded, for a row holds them as float64."
    return Column(name, "continuous", dtype, decimals=_decimals(there, dtype)), [note] if beyond else []


def _given_column(name: str, values: Any, dtype: str, given: ColumnType, who: str, written: bool) -> Column:
    """A column as the user says it is, or why it cannot be."""
    if given in ("continuous", "count"):
        return _given_number(name, values, dtype, given, who)
    if given == "date":
        if is_date(values.type):
            return _date_column(name, values, dtype)
        forms = date_forms(pc.unique(values.drop_null())) if is_text(values.type) else []
        column = Column(name, "date", dtype, form=forms[0] if forms else None)
        values_of(values, column, who)
        return column
    if not (is_text(values.type) or is_number(values.type) or pa.types.is_boolean(values.type)):
        raise DataError(
            f"{who}: column {name!r}: expected text, numbers or booleans for a {given}, got the type {dtype}; "
            f"convert the column."
        )
    if written and is_text(values.type) and (texts := Texts(values)).are_numbers.all():
        dtype = "int64" if texts.are_whole() else "double"
        values = pc.cast(values, dtype)
    words = _words(values)
    if given == "category":
        return Column(name, "category", dtype, words)
    if len(words) != 2 and not pa.types.is_boolean(values.type):
        raise DataError(
            f"{who}: column {name!r}: expected a boolean of two different values, got {len(words)} "
            f"({examples(words)}); call it a category."
        )
    if pa.types.is_boolean(values.type):
        return Column(name, "boolean", dtype, (False, True))
    truths = truth_words([str(word) for word in words]) if is_text(values.type) else None
    return Column(name, "boolean", dtype, truths or words)


def _given_number(
    name: str, values: Any, dtype: str, given: Literal["continuous", "count"], who: str
) -> Column:
    numeric = "double" if is_text(values.type) else dtype
    found = values_of(values, Column(name, given, numeric), who).values
    if is_text(values.type) and Texts(values).are_whole():
        return Column(name, given, "int64")
    return Column(name, given, numeric, decimals=_decimals(found, numeric) if given == "continuous" else None)


def _decimals(values: Values, dtype: str) -> int | None:
    """Of a continuous column; integers have none to tell."""
    return None if dtype.startswith(("int", "uint")) else decimals_of(values, dtype)


def _words(values: Any) -> tuple[Any, ...]:
    """The different values of a column, in their order."""
    words = pc.unique(values.drop_null()).to_pylist()
    return tuple(sorted(word for word in words if not (isinstance(word, float) and np.isnan(word))))


def _dictionary_words(array: Any) -> tuple[Any, ...]:
    """The values of an Arrow dictionary that occur, in its own order."""
    seen = set(pc.unique(plain(array).drop_null()).to_pylist())
    listed = [word for chunk in array.chunks for word in plain(chunk.dictionary).to_pylist()]
    return tuple(word for word in dict.fromkeys(listed) if word in seen)


def _as_written(values: Values, dtype: str) -> tuple[int | float, ...]:
    whole = "int" in dtype
    return tuple(int(value) if whole else float(value) for value in values)


def is_id(name: str) -> bool:
    """Whether a name says that its column tells rows apart.

    >>> is_id("customer_id"), is_id("PassengerId"), is_id(""), is_id("humid")
    (True, True, True, False)
    """
    return _ID.search(name) is not None


def _is_run(single: Values) -> bool:
    """Whether the values are 2 to 5 whole numbers in a row, from 0 or 1."""
    steps = np.arange(len(single)) + single[0]
    return single[0] in (0.0, 1.0) and 2 <= len(single) <= LONGEST_RUN and np.array_equal(single, steps)


def _only_value(array: Any, column: Column, who: str) -> float | None:
    """The column's only value, if it has one alone and no gap. One row alone tells nothing."""
    if array.null_count or len(array) < 2 or array[0] != array[1]:
        return None
    if len(pc.unique(plain(array))) > 1:
        return None
    return float(values_of(array.slice(0, 1), column, who).values[0])


def _shown(array: Any) -> str:
    try:
        text = str(array[0].as_py())
    except (
        ValueError,
        OverflowError,
        LookupError,
    ):  # a date that Python's calendar has not, a zone that nobody knows
        text = f"a {array.type} that no calendar has"
    return text if len(text) <= 40 else f"{text[:40]}..."


def _dates_and_text(name: str, values: Any, form: str, who: str) -> DataError:
    odd = np.isnan(seconds_of(values, form)) & pc.is_valid(values).to_numpy(zero_copy_only=False)
    row = int(np.flatnonzero(odd)[0])
    return DataError(
        f"{who}: column {name!r}: expected dates like {date_like(form)}, got {values[row].as_py()!r} in row {row} "
        f"({int(odd.sum()):,} such in all); mend or empty the cells, or set {setting_for(name, 'ignore')}."
    )


def _numbers_and_text(name: str, values: Any, numbers: Any, who: str) -> DataError:
    places = np.flatnonzero(pc.is_valid(values).to_numpy(zero_copy_only=False))
    if numbers.all():
        return DataError(
            f"{who}: column {name!r}: expected numbers or categories, got numbers as text, first "
            f"{values[int(places[0])].as_py()!r} in row {places[0]}; convert the column to numbers, or set "
            f"{setting_for(name, 'continuous')}."
        )
    row = int(places[~numbers][0])
    return DataError(
        f"{who}: column {name!r}: expected numbers, got {values[row].as_py()!r} in row {row} "
        f"({int((~numbers).sum()):,} such in all); mend or empty the cells, or set "
        f"{setting_for(name, 'category')}."
    )

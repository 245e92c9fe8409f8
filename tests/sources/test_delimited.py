"""Tables of text: every way in which people write them, and every way in which they break."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from isthmus.errors import DataError, SourceError
from isthmus.sources import TableSource, open_source
from isthmus.sources.delimited import read_delimited

ROWS = [
    ("1.5", "Köln", "2020-01-31"),
    ("", "Ulm", "2020-02-01"),
    ("-2.25", "Köln", ""),
    ("3e2", "Ulm", "1969-12-31"),
]
VALUES = [[1.5, 0, 18292], [np.nan, 1, 18293], [-2.25, 0, np.nan], [300.0, 1, -1]]


def text(separator: str = ",", comma: bool = False) -> str:
    lines = [separator.join(("size", "city", "since"))]
    for size, *rest in ROWS:
        lines.append(separator.join((size.replace(".", ",") if comma else size, *rest)))
    return "\n".join(lines) + "\n"


def opened(path: Path) -> TableSource:
    source = open_source(path)
    assert isinstance(source, TableSource)
    return source


def assert_read(path: Path) -> TableSource:
    source = opened(path)
    rows = source.read(slice(None)).astype(float)
    rows[:, 2] /= 86400.0
    np.testing.assert_array_equal(rows, VALUES)
    assert [column.type for column in source.schema.table or ()] == ["continuous", "category", "date"]
    return source


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_usual_encoding(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text().replace("\n", newline).encode(encoding))
    notes = assert_read(path).notes
    named = {"utf-16": ("The file is read as UTF-16.",), "latin-1": ("The file is read as Latin-1.",)}
    assert notes == named.get(encoding, ())


@pytest.mark.parametrize(("separator", "name"), [(",", ""), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
@pytest.mark.parametrize("comma", [False, True])
def test_every_usual_separator_and_decimal_sign(
    tmp_path: Path, separator: str, name: str, *, comma: bool
) -> None:
    if separator == "," and comma:
        return
    path = tmp_path / ("a.tsv" if separator == "\t" else "a.csv")
    path.write_text(text(separator, comma), "utf-8")
    notes = assert_read(path).notes
    assert ("Decimal commas are read as points." in notes) == comma
    assert (f"Its columns are separated by a {name}." in notes) == (separator in ";|")


def test_gaps_in_every_word(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1.5,x\nNA,?\n N/A ,x\nNaN,y\nnull,-\n2.5, y\n", "utf-8")
    source = opened(path)
    np.testing.assert_array_equal(
        source.read(slice(None)), [[1.5, 0], [np.nan] * 2, [np.nan, 0], [np.nan, 1], [np.nan] * 2, [2.5, 1]]
    )
    assert source.notes[-1].startswith("Read as gaps: 'NA' (1), 'N/A' (1), 'NaN' (1)")


def test_quotes_hold_separators_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1.5,"x, ""y""\nz"\n2.5,w\n', "utf-8")
    columns = opened(path).schema.table or ()
    assert columns[1].categories == ("w", 'x, "y"\nz')


def test_digits_behind_a_zero_are_no_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("month,x\n01,1.5\n02,2.5\n01,3.5\n12,4.5\n", "utf-8")
    column = (opened(path).schema.table or ())[0]
    assert (column.type, column.categories) == ("category", ("01", "02", "12"))


def test_days_before_months_where_only_they_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for rows, form, noted in (
        ("31/01/2020,1\n02/01/2020,2", "%d/%m/%Y", 0),
        ("01/02/2020,1\n02/03/2020,2", "%m/%d/%Y", 1),
    ):
        path.write_text(f"since,x\n{rows}\n", "utf-8")
        source = opened(path)
        assert (source.schema.table or ())[0].form == form
        assert len(source.notes) == noted


def refused(path: Path, content: str | bytes, error: type[Exception], says: str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=re.escape(f"{path}: {says}")):
        _ = open_source(path).schema


def test_what_is_broken_is_named_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    refused(path, "", SourceError, "expected a table, got an empty file")
    refused(
        path,
        "a,b\n",
        SourceError,
        "expected rows below the names of the columns, got the names alone (2 of them)",
    )
    refused(path, "a,b\n1,2\n\n3\n", DataError, "line 4: expected 2 fields, as in the first line, got 1;")
    refused(
        path, 'a,b\n"1\n2",2\n3,4,5\n', DataError, "line 4: expected 2 fields, as in the first line, got 3;"
    )
    refused(path, "a,b,a\n1,2,3\n", DataError, "expected columns of different names, got 'a' more than once;")
    refused(
        path,
        "1.5,2\n2.5,3\n",
        DataError,
        "expected the names of the columns in the first line, got numbers (1.5, 2)",
    )
    refused(path, "a,b\n1,inf\n2,3\n", DataError, "column 'b': values must be finite, got infinity in row 0;")
    refused(
        path,
        "a,b\n,\n,\n",
        DataError,
        "expected a column to learn from, got none. Column 'a' is left out: it holds no value.",
    )
    numbers = "\n".join(map(str, range(100, 130)))
    refused(
        path,
        f"a\n{numbers}\n12 kg\n",
        DataError,
        "column 'a': expected numbers, got '12 kg' in row 30 (1 such in all);",
    )
    refused(path, b"a,b\n\0\1\2", SourceError, "expected a table as text, got bytes of another kind;")
    refused(path, b"\xff\xfea", SourceError, "expected text in UTF-16, got bytes that are none")


def test_arrays_of_one_kind_in_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c,d\n0,1,2,3\n1,2,3,4\n4,5,6,7\n", "utf-8")
    vectors = open_source(path, row_kind="vectors")
    assert vectors.schema.columns == ("a", "b", "c", "d")
    assert open_source(path, sample_shape=(2, 2)).schema.describe() == "pictures 2 x 2 x 1, float64"
    assert vectors.read(slice(1, 2)).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    path.write_text("a,b\n0,x\n1,y\n", "utf-8")
    with pytest.raises(DataError, match="column 'b': expected numbers, got 'x' in row 0"):
        open_source(path, row_kind="vectors")


def test_names_of_years_are_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("2019,2020\n1.5,2.5\n2.5,3.5\n", "utf-8")
    assert read_delimited(path).table.column_names == ["2019", "2020"]

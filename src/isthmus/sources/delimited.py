"""Tables of text: CSV, TSV and their kin, of any usual encoding, separator and decimal sign."""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as arrow_csv

from isthmus.errors import DataError, SourceError
from isthmus.memory import bytes_text
from isthmus.sources.arrow import by_column, pc, plain
from isthmus.sources.limits import LARGEST_RATIO
from isthmus.sources.magic import GZIP

GAPS = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "Null", "null", "?", "-", "--", ".")
"""Cells that say that nothing is known."""
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MOST_UNPACKED = 1 << 32
"""A gzip-ed table of more bytes than this (4 GiB) is refused."""
MOST_FREELY = 1 << 26
"""Bytes (64 MiB) that a small gzip-ed table may unpack to; as text and as columns they take several times as much."""
MOST_COLUMNS = 5_000
"""Columns that any table of text may have: each is looked at by itself, which takes some tenths of a millisecond."""
LEAST_A_COLUMN = 64
"""Characters that a table has to have for each column beyond these."""
_PIECE = 1 << 24
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
"""With its end, whatever that is."""
_SNIFFED = 64
"""Lines by which separator and decimal sign are told."""
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d+\.\d+(?:[eE][+-]?\d+)?")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_WHOLE = re.compile(r"\d{1,6}")


class TextForm(NamedTuple):
    """How a table stands in a file of text, so that another can be written alike."""

    separator: str = ","
    commas: frozenset[str] = frozenset()
    """Columns of numbers with decimal commas."""
    line_end: str = "\n"


class Written(NamedTuple):
    """A file of text as a table: every column is text, and gaps are null."""

    table: Any
    notes: tuple[str, ...]
    form: TextForm


def read_delimited(path: Path) -> Written:
    """A file of text as an Arrow table of text; gaps are null, and decimal commas are points.

    Parameters
    ----------
    path
        Text with the names of the columns in its first line: UTF-8 (with or without mark), UTF-16 or
        Latin-1, separated by commas, semicolons, tabs or bars.

    Raises
    ------
    SourceError
        An empty file, one that is no text, or one of names alone.
    DataError
        A line of more or fewer fields than the first, or columns of the same name.
    """
    text, encoding = _decoded(path)
    separator = separator_of(text)
    lines = _first_lines(path, text, separator)
    if not any(cell.strip() for line in lines for cell in line):
        raise SourceError(
            f"{path}: expected a table, got an empty file; give one with a line of names and rows."
        )
    names = [cell.strip() for cell in lines[0]]
    most = max(MOST_COLUMNS, len(text) // LEAST_A_COLUMN)
    if len(names) > most:
        raise DataError(
            f"{path}: expected at most {most:,} columns in a table of {len(text):,} characters, got "
            f"{len(names):,}; turn "
            f"it if its rows are columns, or save so many numbers a row with numpy.save."
        )
    _check_names(path, names)
    if len(lines) == 1:
        raise SourceError(
            f"{path}: expected rows below the names of the columns, got the names alone "
            f"({len(names)} of them); add rows."
        )
    _check_heading(path, names, lines[1:])
    read = _parsed(path, text, separator, names)
    comma = separator != "," and _has_decimal_commas(lines[1:])

    def cleaned(cells: Any) -> tuple[Any, bool, list[str]]:
        """Cells with gaps, whether their decimal commas are points now, and the words that stood in gaps."""
        cells = pc.utf8_trim_whitespace(plain(cells))
        empty, words = pc.is_in(cells, value_set=pa.array(GAPS)), list[str]()
        if pc.any(empty).as_py():
            words = pc.filter(cells, empty).to_pylist()
            cells = pc.if_else(empty, None, cells)
        if comma and _are_comma_numbers(cells):
            return pc.replace_substring(cells, ",", "."), True, words
        return cells, False, words

    found = by_column(cleaned, [(cells,) for cells in read.columns], read.num_rows * len(names))
    columns = [cells for cells, _, _ in found]
    commas = {name for name, (_, had_commas, _) in zip(names, found, strict=True) if had_commas}
    gaps = Counter(word for _, _, words in found for word in words)
    notes = [] if encoding == "UTF-8" else [f"The file is read as {encoding}."]
    if separator != ("\t" if path.suffix.lower() == ".tsv" else ","):
        notes.append(f"Its columns are separated by a {SEPARATORS[separator]}.")
    if comma:
        notes.append("Decimal commas are read as points.")
    words = [f"{word!r} ({n:,})" for word, n in gaps.most_common() if word]
    if words:
        notes.append(f"Read as gaps: {', '.join(words)}.")
    line_end = "\r\n" if "\r\n" in text else "\n"
    return Written(
        pa.table(columns, names=names), tuple(notes), TextForm(separator, frozenset(commas), line_end)
    )


def separator_of(text: str) -> str:
    r"""The sign that splits most of the first lines into as many fields as the very first.

    >>> separator_of("a;b\n1,5;2\n"), separator_of("a\tb\n1\t2\n"), separator_of("one\n1\n")
    (';', '\t', ',')
    """

    def score(separator: str) -> tuple[float, int]:
        try:
            lines = list(_records(text, separator, _SNIFFED))
        except csv.Error:
            return 0.0, 0
        wide = len(lines[0]) if lines else 1
        alike = sum(len(line) == wide for line in lines) / max(1, len(lines))
        return (alike, wide) if wide > 1 else (0.0, 0)

    best = max(SEPARATORS, key=score)
    return best if score(best) > (0.0, 0) else ","


def _decoded(path: Path) -> tuple[str, str]:
    data = unpacked_bytes(path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, said = "utf-16", "UTF-16"
    elif b"\0" in data[:4096]:
        raise SourceError(f"{path}: expected a table as text, got bytes of another kind; "
                          f"save it as CSV, Parquet or Arrow.")  # fmt: skip
    else:
        encoding, said = "utf-8-sig", "UTF-8"
    try:
        return data.decode(encoding), said
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise SourceError(f"{path}: expected text in UTF-16, got bytes that are none ({error.reason}); "
                              f"save it as UTF-8.") from None  # fmt: skip
        return data.decode("latin-1"), "Latin-1"


def unpacked_bytes(path: Path) -> bytes:
    """The bytes of a file, of a gzip-ed one what is inside.

    Raises
    ------
    SourceError
        Damaged, or of far more bytes than its size makes likely.
    """
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    if not packed:
        return path.read_bytes()
    most = min(MOST_UNPACKED, max(MOST_FREELY, LARGEST_RATIO * path.stat().st_size))
    pieces, n_bytes = list[bytes](), 0
    try:
        with gzip.open(path) as file:  # piece by piece: what is asked for at once is taken at once
            while n_bytes <= most and (piece := file.read(_PIECE)):
                pieces.append(piece)
                n_bytes += len(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(
            f"{path}: expected a whole gzip-ed table, got a damaged or truncated one ({error}); "
            f"take another copy of it."
        ) from None
    if n_bytes > most:
        raise SourceError(
            f"{path}: expected a gzip-ed table of at most {bytes_text(most)} in a file of its size, got "
            f"more; unpack it, "
            f"or save it as Parquet."
        )
    return b"".join(pieces)


def _lines(text: str) -> Iterator[str]:
    """As ``io.StringIO`` gives them with all their ends, without a copy of the text."""
    return (found.group() for found in _LINE.finditer(text))


def _records(text: str, separator: str, most: int) -> Any:
    """The first lines of a table, empty ones left out unless they are gaps of the only column."""
    reader = csv.reader(_lines(text), delimiter=separator, strict=False)
    n = 0
    for record in reader:
        if record:
            yield record
            n += 1
            if n == most:
                return


def _first_lines(path: Path, text: str, separator: str) -> list[list[str]]:
    """The lines by which a table is judged."""
    try:
        return list(_records(text, separator, _SNIFFED))
    except csv.Error as error:
        raise DataError(
            f"{path}: expected cells of at most {csv.field_size_limit():,} characters, got what no parser "
            f"reads ({error}); "
            f"close the quotes, or shorten the cell."
        ) from None


def _check_names(path: Path, names: list[str]) -> None:
    if all(_NUMBER.fullmatch(name) for name in names) and not (
        all(_WHOLE.fullmatch(name) for name in names) and len(set(names)) == len(names)
    ):
        raise DataError(
            f"{path}: expected the names of the columns in the first line, got numbers ({', '.join(names[:5])}"
            f"{', ...' if len(names) > 5 else ''}); add a line of names."
        )
    check_unique(names, str(path))


def _check_heading(path: Path, names: list[str], lines: list[list[str]]) -> None:
    """Refuse a first line that is a row like those below it: numbers above numbers, and words that occur again."""
    below = [[line[at].strip() for line in lines if at < len(line)] for at in range(len(names))]
    numbers = [_NUMBER.fullmatch(name) is not None for name in names]
    alike = (
        any(map(_NUMBER.fullmatch, cells)) if number else name in cells
        for name, number, cells in zip(names, numbers, below, strict=True)
    )
    if any(numbers) and not all(numbers) and all(alike):
        raise DataError(
            f"{path}: expected the names of the columns in the first line, got a row like the others "
            f"({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}); add a line of names."
        )


def check_unique(names: list[str], who: str) -> None:
    """Raise unless all columns have names of their own.

    Raises
    ------
    DataError
        With the names that occur more than once.
    """
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise DataError(
            f"{who}: expected columns of different names, got {', '.join(map(repr, twice[:3]))} more than once; "
            f"rename them."
        )


def _parsed(path: Path, text: str, separator: str, names: list[str]) -> Any:
    unique = [f"c{position}" for position in range(len(names))]
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(text.encode()),
            read_options=arrow_csv.ReadOptions(column_names=unique, skip_rows_after_names=1),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator,
                newlines_in_values="\n" in text and '"' in text,
                ignore_empty_lines=len(names) > 1,
            ),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(unique, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise _ragged(path, text, separator, len(names), str(error)) from None


def _ragged(path: Path, text: str, separator: str, expected: int, reason: str) -> DataError:
    """Which line has another number of fields: Arrow's parser tells no line of the file."""
    reader = csv.reader(_lines(text), delimiter=separator)
    with suppress(csv.Error):  # a cell longer than that parser takes
        for record in reader:
            if record and len(record) != expected:
                return DataError(
                    f"{path}: line {reader.line_num}: expected {expected} fields, as in the first line, got "
                    f"{len(record)}; mend the line, or put text with the separator in quotes."
                )
    return DataError(f"{path}: expected a table of {expected} columns, got what no parser reads ({reason}); "
                     f"save it anew.")  # fmt: skip


def _has_decimal_commas(lines: list[list[str]]) -> bool:
    cells = [cell.strip() for line in lines for cell in line]
    commas = sum(_COMMA_NUMBER.fullmatch(cell) is not None for cell in cells)
    return commas > sum(_POINT_NUMBER.fullmatch(cell) is not None for cell in cells)


def _are_comma_numbers(cells: Any) -> bool:
    """Whether all of a column is numbers, with decimal commas if with any decimals."""
    there = cells.drop_null()
    pattern = r"^[+-]?(?:\d+(?:,\d+)?|,\d+)(?:[eE][+-]?\d+)?$"
    return pc.all(pc.match_substring_regex(there, pattern), min_count=0).as_py()

"""Tables of text: CSV, TSV and their kin, which come back byte for byte.

A row is a line, or what stands between line ends outside of quotes. Its cells are what stands between separators, with
their quotes, so that rows are their cells joined again. Each column has a type of cells, told from rows all over the
file; cells that do not come back from their value stand beside it. A block that does not come back from its columns -
a row of other than the common number of cells, another line end - is kept as its rows' text.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.codec.columns import Columns
from isthmus.codec.contents.base import Content, Facts, Form, beside, check_rows, fact, unfit
from isthmus.codec.contents.cells import (
    GAP_CELLS,
    Cells,
    Text,
    Values,
    Words,
    cells_from,
    facts_of,
    texts_of,
    typed,
)
from isthmus.errors import SourceError
from isthmus.sources.delimited import MOST_COLUMNS, separator_of, unpacked_bytes
from isthmus.sources.magic import GZIP

TEXT = "text"
"""Name of the column of rows as they are."""
LONGEST_ROW = 1 << 20
"""Bytes of a row; a file of longer ones is no table."""
_STEP = 256
"""Of so many rows the place of the first is known; those between are found again."""
_SAMPLED = 64
"""Places of a table from which rows are taken to tell types by."""
_SAMPLE = 2048
"""Rows that are taken from each."""
_MOST_WORDS = 1 << 21
"""Bytes of the words of all columns."""
_PIECE = 1 << 22
_LOOKED_AT = 1 << 20
"""Bytes by which a dialect is told; the line of names must end within."""
_LINE, _QUOTE = 0x0A, 0x22
_MARK = b"\xef\xbb\xbf"


class _Dialect(NamedTuple):
    separator: int
    line_end: bytes
    quoted: bool
    """Whether quotes hide separators and line ends."""


@final
class TextForm(Form):
    """A table of text.

    Parameters
    ----------
    facts
        ``n_rows``; ``separator`` and ``line_end``; ``quoted``, whether quotes hide these; ``head``, what stands before
        the first row; ``ends_open``, whether the last line end lacks; ``packed``, whether the file was gzip-ed; and
        ``columns`` with ``name`` and ``type`` of each.
    """

    kind = "text table"

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        separator, line_end = fact(facts, "separator", str), fact(facts, "line_end", str)
        if (
            len(separator) != 1
            or separator in '"\r\n'
            or ord(separator) > 127
            or line_end not in ("\n", "\r\n")
        ):
            raise unfit(f"separator {separator[:20]!r} and line end {line_end[:20]!r}")
        self.dialect = _Dialect(ord(separator), line_end.encode(), fact(facts, "quoted", bool))
        self.packed, self._ends_open = fact(facts, "packed", bool), fact(facts, "ends_open", bool)
        try:
            self._head = fact(facts, "head", str).encode("latin-1")
        except UnicodeEncodeError:
            raise unfit("a head that is no bytes") from None
        columns: list[Any] = fact(facts, "columns", list)
        if not columns or not all(isinstance(column, dict) for column in columns):
            raise unfit("columns without facts")
        self.names = [fact(column, "name", str) for column in columns]
        self.cells = [cells_from(column) for column in columns]

    @property
    def suffix(self) -> str:
        """``.csv`` or ``.tsv``, and ``.gz`` of one that was packed."""
        return (".tsv" if self.dialect.separator == 9 else ".csv") + (".gz" if self.packed else "")

    def rows(self, columns: Columns) -> Any:
        """Rows as an Arrow table; gaps are null, and a column is text where one of its cells here is not of its type.

        Rows that were kept as text are a table of one column, ``text``.
        """
        if list(columns) == [TEXT]:
            texts = _texts(columns[TEXT])
            return pa.table({TEXT: texts_of(texts, np.zeros(len(texts), bool))})
        found = dict[str, Any]()
        for number, name in enumerate(self.names):
            found[name if name not in found else f"{name}.{number}"] = self.array(number, columns)
        if len({len(column) for column in found.values()}) != 1:
            raise unfit("columns of different lengths")
        return pa.table(found)

    def array(self, number: int, columns: Columns) -> Any:
        """A column of a block as :meth:`rows` has it."""
        cells = self.cells[number]
        values, places, odd = _column(columns, number)
        gaps = np.zeros(len(values), bool)
        if places is None:
            said = cells.write(values) if cells.kind in ("text", "words") else list[bytes]()
        else:
            gaps[places] = [cell in GAP_CELLS for cell in odd]
            said = self._joined(cells, values, places, odd)
        if cells.kind in ("text", "words") or (places is not None and not gaps[places].all()):
            own = np.array([cell in GAP_CELLS for cell in said], bool)
            return texts_of(said, own)
        return cells.arrow(values, gaps)

    def no_rows(self) -> Any:
        """A table without rows, of columns whose type is not known."""
        return pa.table({TEXT: pa.array([], pa.string())})

    def some(self, n_rows: int) -> TextForm:
        """Such a table with its head, every row with its line end."""
        return TextForm({**self.facts, "n_rows": n_rows, "ends_open": False})

    def part(self, columns: Columns, start: int, stop: int) -> Columns:
        """Rows as they stand in the file."""
        return {TEXT: self.texts(columns)[start:stop]}

    def joined(self, parts: Sequence[Columns]) -> Columns:
        """The columns of rows that stand one after the other, as a block of all of them has them."""
        texts = [text for columns in parts for text in self.texts(columns)]
        return self.columns_of(b"".join(texts), list(accumulate(map(len, texts))))

    def columns_of(self, data: bytes, ends: list[int]) -> Columns:
        """Columns of rows that end there: their cells, or the rows themselves where they do not come back from them."""
        columns, texts = Columns(), _rows(data, ends)
        cells = _cells(data, ends, self.dialect, len(self.cells)) if ends else None
        if cells is None:
            return {TEXT: texts}
        for number, (kind, column) in enumerate(zip(self.cells, cells, strict=True)):
            values, odd = kind.read(column)
            columns[f"{number}"] = values
            if odd:
                marks = np.zeros(len(column), np.uint8)
                marks[odd] = 1
                columns[f"{number}?"], columns[f"{number}!"] = marks, [column[place] for place in odd]
        return columns if self.texts(columns) == texts else {TEXT: texts}

    def write(self, blocks: Iterable[Columns], path: Path) -> None:
        """Write the file, byte for byte as it was; of one that was packed its contents."""
        with beside(path) as place, place.open("wb") as file:
            if self.packed:
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    self._write(packed, blocks)
            else:
                self._write(file, blocks)

    def _write(self, file: IO[bytes] | gzip.GzipFile, blocks: Iterable[Columns]) -> None:
        file.write(self._head)
        n_rows, last = 0, b""
        for columns in blocks:
            rows = self.texts(columns)
            n_rows += len(rows)
            file.write(last)
            last = b"".join(rows)
        check_rows(n_rows, self)
        end = self.dialect.line_end
        if self._ends_open and last:
            if not last.endswith(end):
                raise unfit("a last row without the line end that is to be left out")
            last = last[: -len(end)]
        file.write(last)

    def texts(self, columns: Columns) -> list[bytes]:
        """The rows of a block as they stand in the file, line ends included."""
        if list(columns) == [TEXT]:
            return _texts(columns[TEXT])
        cells = [self._joined(kind, *_column(columns, number)) for number, kind in enumerate(self.cells)]
        if len({len(column) for column in cells}) != 1:
            raise unfit("columns of different lengths")
        separator, end = bytes([self.dialect.separator]), self.dialect.line_end
        return [separator.join(row) + end for row in zip(*cells, strict=True)]

    def _joined(
        self, cells: Cells, values: Values, places: NDArray[Any] | None, odd: list[bytes]
    ) -> list[bytes]:
        """All cells of a column."""
        found = cells.write(values)
        if places is not None:
            found = list(found)
            for place, cell in zip(places.tolist(), odd, strict=True):
                found[place] = cell
        return found


def _column(columns: Columns, number: int) -> tuple[Values, NDArray[Any] | None, list[bytes]]:
    """Values of a column; where its cells are odd, and these."""
    values, marks, odd = columns.get(f"{number}"), columns.get(f"{number}?"), columns.get(f"{number}!")
    if values is None:
        raise unfit(f"no column {number}")
    if marks is None:
        return values, None, []
    if not isinstance(marks, np.ndarray) or marks.shape != (len(values),) or not isinstance(odd, list):
        raise unfit("marks of odd cells that are none")
    places = np.flatnonzero(marks)
    if len(odd) != len(places):
        raise unfit(f"{len(odd):,} odd cells in {len(places):,} places")
    return values, places, odd


def _texts(column: Any) -> list[bytes]:
    if not isinstance(column, list):
        raise unfit("rows that are no texts")
    return column  # pyright: ignore[reportUnknownVariableType]


@final
class TextContent(Content):
    """A table of text; see :func:`open_text`, which makes it."""

    def __init__(self, data: bytes | _Stretches, facts: Facts, marks: NDArray[np.int64], name: str) -> None:
        self.name, self.facts = name, facts
        self._form = TextForm(facts)
        self.form = self._form
        self._data, self._marks = data, marks
        self.row_bytes = float(len(data)) / max(1, self.form.n_rows)

    @property
    def numbers(self) -> dict[str, int]:
        """Columns of numbers."""
        powers = ((f"{number}", cells.power) for number, cells in enumerate(self._form.cells))
        return {name: power for name, power in powers if power is not None}

    def block(self, rows: slice) -> Columns:
        """Columns ``"0"``, ``"1"``, ... of some rows; where cells are odd ``"0?"`` marks them and ``"0!"`` has them."""
        return self._form.columns_of(*self._stretch(*rows.indices(self.n_rows)[:2]))

    def plain(self, rows: slice) -> Columns:
        """The column ``"text"`` alone."""
        return {TEXT: _rows(*self._stretch(*rows.indices(self.n_rows)[:2]))}

    def told_types(self) -> list[Cells]:
        """Types of the columns, told from rows all over the file."""
        n_columns, n_rows = len(self._form.cells), self.n_rows
        sample = max(1, min(_SAMPLE, int(_PIECE / max(1.0, self.row_bytes))))
        n_places = min(_SAMPLED, -(-n_rows // sample))
        found: list[list[bytes]] = [[] for _ in range(n_columns)]
        for place in range(n_places):
            start = place * n_rows // n_places
            data, ends = self._stretch(start, min(n_rows, start + sample))
            for at, column in enumerate(_regular(data, ends, self._form.dialect, n_columns)):
                found[at] += column
        kinds, left = [typed(column) for column in found], _MOST_WORDS
        for at, kind in enumerate(kinds):  # facts are read before anything else, and have a bound
            if isinstance(kind, Words):
                left -= sum(map(len, kind.words))
                kinds[at] = kind if left >= 0 else Text()
        return kinds

    def _stretch(self, start: int, stop: int) -> tuple[bytes, list[int]]:
        """The bytes of some rows, and where in them each ends; a line end that lacks is there."""
        if stop <= start:
            return b"", []
        first, dialect = start // _STEP, self._form.dialect
        begin, end = int(self._marks[first]), int(self._marks[-(-stop // _STEP)])
        data = self._data[begin:end]
        if end == len(self._data) and not data.endswith(b"\n"):
            data += dialect.line_end
        ends = _record_ends(np.frombuffer(data, np.uint8), dialect, 0)[0].tolist()
        ends = [0, *ends][start - first * _STEP : stop - first * _STEP + 1]
        return data[ends[0] : ends[-1]], [place - ends[0] for place in ends[1:]]


def _rows(data: bytes, ends: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *ends])]


def _regular(data: bytes, ends: list[int], dialect: _Dialect, n_columns: int) -> list[list[bytes]]:
    """The cells of rows by column, rows of other than so many left out; where there are such, of the first rows."""
    cells = _cells(data, ends, dialect, n_columns)
    if cells is not None:
        return cells
    rows = [_cells(row, [len(row)], dialect, n_columns) for row in _rows(data, ends[:_STEP])]
    good = [row for row in rows if row is not None]
    return [[row[at][0] for row in good] for at in range(n_columns)]


def open_text(path: Path) -> TextContent | None:
    """The content of a table of text; None of a file that is none: binary, UTF-16, or of rows without end."""
    try:
        data, packed = _opened(path)
    except (OSError, ValueError):  # damaged, or empty
        return None
    start = data[:_LOOKED_AT]
    if not start or b"\0" in start or start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return None
    separator = separator_of(start.removeprefix(_MARK).decode("latin-1"))
    line_end = b"\r\n" if b"\r\n" in start else b"\n"
    for quoted in (True, False):
        dialect = _Dialect(ord(separator), line_end, quoted)
        first = _record_ends(np.frombuffer(start, np.uint8), dialect, 0)[0][:1].tolist() or [len(start)]
        cells = [column[0] for column in _cells(start[: first[0]], first, dialect) or [[start[: first[0]]]]]
        names = [cell.removeprefix(_MARK).strip(b'"') for cell in cells]
        n_head = 0 if all(map(_is_number, names)) else first[0]
        marks = _marked(data, dialect, n_head)
        if marks is not None:
            break
    else:
        return None
    if len(names) > MOST_COLUMNS:
        return None
    said = [name.decode("utf-8", "replace") if n_head else f"c{n}" for n, name in enumerate(names)]
    facts: Facts = {
        "kind": TextForm.kind,
        "n_rows": marks[1],
        "separator": separator,
        "line_end": line_end.decode(),
        "quoted": quoted,
        "head": start[:n_head].decode("latin-1"),
        "ends_open": n_head < len(data) and data[len(data) - 1 :] != b"\n",
        "packed": packed,
        "columns": [{"name": name, "type": "text"} for name in said],
    }
    content = TextContent(data, facts, marks[0], str(path))
    kinds = content.told_types()
    facts["columns"] = [{"name": name, **facts_of(kind)} for name, kind in zip(said, kinds, strict=True)]
    return TextContent(data, facts, marks[0], str(path))


def _opened(path: Path) -> tuple[bytes | _Stretches, bool]:
    """The bytes of a file, of one that is gzip-ed those inside, and whether it is."""
    with path.open("rb") as file:
        if file.read(2) == GZIP:
            return unpacked_bytes(path), True
    return _Stretches(path), False


@final
class _Stretches:
    """The bytes of a file, read where they are asked for: a map of a file that becomes shorter ends the process."""

    def __init__(self, path: Path) -> None:
        self._path, self._size = path, path.stat().st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: slice) -> bytes:
        start, stop, _ = place.indices(self._size)
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                data = file.read(max(0, stop - start))
        except OSError as error:
            raise SourceError(
                f"{self._path}: cannot be read: {error.strerror or error}; make it readable."
            ) from None
        if len(data) < stop - start:
            raise SourceError(
                f"{self._path}: expected {self._size:,} bytes, as at first, got fewer; leave it alone while it is read."
            )
        return data


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _record_ends(octets: NDArray[np.uint8], dialect: _Dialect, odd: int) -> tuple[NDArray[np.int64], int]:
    """Where rows end, behind their line end, and whether the bytes end within quotes; ``odd`` if they begin so."""
    ends = np.flatnonzero(octets == _LINE)
    if not dialect.quoted:
        return ends + 1, 0
    quotes = np.flatnonzero(octets == _QUOTE)
    if len(quotes) or odd:
        before = np.searchsorted(quotes, ends) + odd
        ends = ends[before % 2 == 0]
    return ends + 1, (len(quotes) + odd) % 2


def _marked(data: bytes | _Stretches, dialect: _Dialect, start: int) -> tuple[NDArray[np.int64], int] | None:
    """Where every so manieth row begins, and how many there are; None where one is too long, or quotes never close."""
    marks, n_rows, odd, last = list[NDArray[np.int64]](), 0, 0, start
    for at in range(start, len(data), _PIECE):
        ends, odd = _record_ends(np.frombuffer(data[at : at + _PIECE], np.uint8), dialect, odd)
        begins = np.concatenate([[last], at + ends])
        stop = min(at + _PIECE, len(data))
        if int(np.diff(begins, append=stop).max()) > LONGEST_ROW:
            return None
        marks.append(begins[:-1][(-n_rows) % _STEP :: _STEP])
        n_rows, last = n_rows + len(ends), int(begins[-1])
    if last < len(data):  # a row without a line end
        if odd:
            return None
        marks.append(np.array([last] if n_rows % _STEP == 0 else [], np.int64))
        n_rows += 1
    return np.concatenate([*marks, [len(data)]]).astype(np.int64), n_rows


def _cells(
    data: bytes, ends: list[int], dialect: _Dialect, n_columns: int | None = None
) -> list[list[bytes]] | None:
    """The cells of rows by column; None where rows have others than so many, or another line end."""
    octets = np.frombuffer(data, np.uint8)
    stops = np.array(ends, np.int64) - len(dialect.line_end)
    if not all(data.startswith(dialect.line_end, stop) for stop in stops.tolist()):
        return None
    separators = np.flatnonzero(octets == dialect.separator)
    if dialect.quoted:
        quotes = np.flatnonzero(octets == _QUOTE)
        separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    borders = np.sort(np.concatenate([separators, stops]))
    n_columns = len(borders) if n_columns is None else n_columns
    if len(borders) != len(ends) * n_columns:
        return None
    table = borders.reshape(len(ends), n_columns)
    if not np.array_equal(table[:, -1], stops):
        return None
    begins = np.empty_like(table)
    begins[:, 1:] = table[:, :-1] + 1
    begins[:, 0] = [0, *ends[:-1]]
    return [
        [data[begin:stop] for begin, stop in zip(begins[:, at].tolist(), table[:, at].tolist(), strict=True)]
        for at in range(n_columns)
    ]

"""A file that is kept as it is, in pieces of a megabyte: whatever no other content takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, final

from isthmus.codec.columns import Columns
from isthmus.codec.contents.base import Content, Form, beside, check_rows, fact, unfit
from isthmus.errors import SourceError

BYTES = "bytes"
"""Name of the column of pieces."""
PIECE = 1 << 20
"""Bytes of a piece; the last may have fewer."""


@final
class KeptForm(Form):
    """A file of bytes.

    Parameters
    ----------
    facts
        ``n_rows``, and ``ending``, how its name ends.
    """

    kind = "file"

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        self._ending = fact(facts, "ending", str)
        if "/" in self._ending or "\0" in self._ending or len(self._ending) > 20:
            raise unfit(f"a name that ends with {self._ending[:20]!r}")

    @property
    def suffix(self) -> str:
        """How the file's name ended."""
        return self._ending

    def rows(self, columns: Columns) -> list[bytes]:
        """Pieces of the file."""
        pieces = columns.get(BYTES)
        if not isinstance(pieces, list) or len(columns) != 1:
            raise unfit("a file without its bytes")
        return pieces

    def write(self, blocks: Iterable[Columns], path: Path) -> None:
        """Write the file, byte for byte as it was."""
        n_rows = 0
        with beside(path) as place, place.open("wb") as file:
            for columns in blocks:
                pieces = self.rows(columns)
                file.writelines(pieces)
                n_rows += len(pieces)
            check_rows(n_rows, self)


@final
class KeptContent(Content):
    """A file as pieces of its bytes.

    Parameters
    ----------
    path
        The file.
    reason
        Why it is kept so, where it should have been another kind of data: a sentence.
    """

    row_bytes = float(PIECE)

    def __init__(self, path: Path, reason: str = "") -> None:
        self.name, self._path, self._size = str(path), path, path.stat().st_size
        ending = path.suffix if len(path.suffix) <= 20 else ""
        self.facts = {"kind": KeptForm.kind, "n_rows": -(-self._size // PIECE), "ending": ending}
        self.form = KeptForm(self.facts)
        why = f", for it cannot be read: {reason}" if reason else ", as no kind of data that is known."
        self.notes = (f"{path.name} is kept byte for byte{why}",)

    def block(self, rows: slice) -> Columns:
        """Some pieces.

        Raises
        ------
        SourceError
            The file has become shorter.
        """
        start, stop, _ = rows.indices(self.n_rows)
        return {BYTES: [read_piece(self._path, at * PIECE, self._size) for at in range(start, stop)]}


def read_piece(path: Path, start: int, size: int) -> bytes:
    """A piece of a file of so many bytes.

    Raises
    ------
    SourceError
        It is not there, or no longer.
    """
    wanted = min(PIECE, size - start)
    try:
        with path.open("rb") as file:
            file.seek(start)
            piece = file.read(wanted)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}; make it readable.") from None
    if len(piece) < wanted:
        raise SourceError(
            f"{path}: expected {size:,} bytes, as at first, got fewer; leave it alone while it is read."
        )
    return piece

"""Parquet files that tell damage: what isthmus adds to those that it writes, and holds against those that it reads.

Parquet has checksums of the values in its pages, and none of the headers of pages or of the footer, where names,
types and places stand: a bit turned over there can give other values without a word. So between the last page and
the footer, where readers of Parquet never look, isthmus writes

    "ISTHMUS1"  |  SHA-256 of all bytes before  |  SHA-256 of the footer and what follows it

The digit is the number of this format. Any program that writes the file anew leaves the seal out, and then there is
nothing to check.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from isthmus.errors import SourceError
from isthmus.version import __version__

NAME, FORMAT = b"ISTHMUS", b"1"
_N_DIGEST = hashlib.sha256().digest_size
LENGTH = len(NAME) + len(FORMAT) + 2 * _N_DIGEST
_END = struct.Struct("<I4s")
"""Length of the footer, and Parquet's name."""
_BLOCK = 1 << 20


def write_sealed(file: IO[bytes], tables: Iterable[Any]) -> None:
    """Write Arrow tables of the same columns as one Parquet file, with checksums and a seal.

    Parameters
    ----------
    file
        Where to.
    tables
        One after the other, at least one, a row group each (of more than a million rows several); one may be
        forgotten as soon as the next is asked for.

    Examples
    --------
    >>> import io, pyarrow as pa, pyarrow.parquet
    >>> write_sealed(held := io.BytesIO(), [pa.table({"x": [1.0]}), pa.table({"x": [2.0]})])
    >>> pa.parquet.read_table(held).to_pydict()
    {'x': [1.0, 2.0]}
    """
    from pyarrow import parquet

    sink, writer = _Sink(file), None
    for table in tables:
        if writer is None:
            writer = parquet.ParquetWriter(sink, table.schema, write_page_checksum=True)
        writer.write_table(table)
    if writer is not None:
        sink.is_holding = True
        writer.close()
        sink.seal()


class _Sink:
    """What Arrow writes a Parquet file to: it goes on to the file, until its end is held back."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self._n = file, hashlib.sha256(), 0
        self.is_holding, self._held = False, bytearray()

    def write(self, data: Any) -> int:
        if self.is_holding:
            self._held += data
        else:
            self._file.write(data)
            self._digest.update(data)
        self._n += len(data)
        return len(data)

    def tell(self) -> int:
        return self._n

    def flush(self) -> None:
        return

    def seal(self) -> None:
        """Put the seal before the footer, and let go of what was held back."""
        n_footer, _ = _END.unpack(self._held[-_END.size :])
        start = len(self._held) - _END.size - n_footer
        pages, footer = bytes(self._held[:start]), bytes(self._held[start:])
        self._digest.update(pages)
        seal = NAME + FORMAT + self._digest.digest() + hashlib.sha256(footer).digest()
        for part in (pages, seal, footer):
            self._file.write(part)


def check_seal(path: Path, *, whole: bool = True) -> None:
    """Raise if a Parquet file has a seal, and is not as it was when it got it.

    Parameters
    ----------
    path
        The file; one that is no Parquet file is for others to refuse.
    whole
        Whether all bytes are read for it. Else the footer alone: pages have checksums of their own.

    Raises
    ------
    SourceError
        It is damaged, or of a format that only a newer isthmus knows.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < _END.size:
            return
        file.seek(-_END.size, 2)
        n_footer, name = _END.unpack(file.read())
        start = size - _END.size - n_footer - LENGTH
        if name != b"PAR1" or start < 0:
            return
        file.seek(start)
        seal, footer = file.read(LENGTH), file.read()
        if not seal.startswith(NAME):
            return
        number, digests = seal[len(NAME) :][:1], seal[len(NAME) + 1 :]
        if number != FORMAT:
            raise SourceError(
                f"{path}: is of Parquet format {number.decode('latin-1')!r} of isthmus, and this isthmus, "
                f"{__version__}, reads up to {FORMAT.decode()}. Install a newer isthmus, or take another "
                "copy if it is damaged."
            )
        file.seek(0)
        if hashlib.sha256(footer).digest() != digests[_N_DIGEST:]:
            raise _damaged(path, "footer is not the one")
        if whole and _digest(file, start) != digests[:_N_DIGEST]:
            raise _damaged(path, "pages are not those")


def _digest(file: IO[bytes], n_bytes: int) -> bytes:
    digest = hashlib.sha256()
    while n_bytes > 0 and (block := file.read(min(_BLOCK, n_bytes))):
        digest.update(block)
        n_bytes -= len(block)
    return digest.digest()


def _damaged(path: Path, what: str) -> SourceError:
    return SourceError(
        f"{path}: expected a whole Parquet file, got a damaged one (its {what} that isthmus wrote); "
        "take another copy of it."
    )

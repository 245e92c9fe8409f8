"""What an archive is made of: frames that describe themselves, and the guard that mends some of them.

    archive = start | header frame | section frames | row frames | index frame | foot
    start   = magic (8) | format (4)
    frame   = head (52) | content | guard, of header and sections alone
    head    = mark (4) | name (12) | bytes of content (8) | first row (8) | rows (4) | digest (16)
    foot    = mark (4) | format (4) | where the index is (8) | bytes of the archive (8) | id (16) | digest (16)

Numbers are unsigned and little endian. The digest of a frame is the beginning of SHA-256 over the archive's id, the
head up to its digest, and the content; the id is the digest of the header's frame, whose own is made with 16 zeros
for it. So a frame of another archive, one stored within this one say, is never taken for one of its own.

docs/archive.md is the specification, with the reasons.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

MAGIC = b"\x89IST\r\n\x1a\n"
"""A byte that is no ASCII, both ends of line, and an end of text: a copy that changes any of them is told at once."""
FORMAT = 1
START = struct.Struct("<8sI")
HEAD = struct.Struct("<4s12sQQI16s")
FOOT = struct.Struct("<4sIQQ16s16s")
N_DIGEST = 16
NO_ID = bytes(N_DIGEST)

HEADER, SECTION, ROWS, INDEX, END = (b"\xc5" + word for word in (b"HDR", b"SEC", b"ROW", b"IDX", b"END"))
GUARDED = (HEADER, SECTION)
_MARKS = re.compile(rb"\xc5(?:SEC|ROW|IDX)")
_CHUNK = 4096
"""Bytes that a guard can bring back, wherever they stand together."""
_PIECE = 1 << 20
_NAME = re.compile(rb"[!-~]{1,12}\0*")


def is_name(name: str) -> bool:
    """Whether a codec or a section can have this name: 1 to 12 letters of ASCII, none of them blank."""
    return re.fullmatch("[!-~]{1,12}", name) is not None


class Frame(NamedTuple):
    """A head: what stands in a frame."""

    mark: bytes
    name: str
    n_bytes: int
    first_row: int = 0
    n_rows: int = 0
    digest: bytes = b""

    def stated(self) -> bytes:
        """The head up to its digest."""
        name = self.name.encode("ascii")
        return HEAD.pack(self.mark, name, self.n_bytes, self.first_row, self.n_rows, b"")[:-N_DIGEST]

    def digest_of(self, content: bytes, id_: bytes) -> bytes:
        """What its digest is if it holds ``content`` in the archive ``id_``."""
        return hashlib.sha256(id_ + self.stated() + content).digest()[:N_DIGEST]

    @property
    def size(self) -> int:
        """Bytes of the frame: head, content and guard."""
        return HEAD.size + self.n_bytes + (guard_size(self.n_bytes) if self.mark in GUARDED else 0)


class Foot(NamedTuple):
    """The last bytes of an archive."""

    format: int
    index_at: int
    n_bytes: int
    id: bytes


def head_of(data: bytes) -> Frame | None:
    """The head that ``data`` begins with, if it can be one."""
    if len(data) < HEAD.size:
        return None
    mark, name, n_bytes, first_row, n_rows, digest = HEAD.unpack(data[: HEAD.size])
    if mark not in (HEADER, SECTION, ROWS, INDEX) or not _NAME.fullmatch(name):
        return None
    if (n_rows > 0) != (mark == ROWS) or (mark != ROWS and first_row):
        return None
    return Frame(mark, name.rstrip(b"\0").decode("ascii"), n_bytes, first_row, n_rows, digest)


def frame_bytes(frame: Frame, content: bytes, id_: bytes) -> tuple[bytes, bytes]:
    """A frame as it is written, and its digest."""
    digest = frame.digest_of(content, id_)
    guard = guard_of(content) if frame.mark in GUARDED else b""
    return b"".join((frame.stated(), digest, content, guard)), digest


def foot_bytes(index: int, n_bytes: int, id_: bytes) -> bytes:
    """The foot of an archive of ``n_bytes`` whose index begins at byte ``index``."""
    stated = FOOT.pack(END, FORMAT, index, n_bytes, id_, b"")[:-N_DIGEST]
    return stated + hashlib.sha256(stated).digest()[:N_DIGEST]


def foot_of(data: bytes, size: int) -> Foot | None:
    """The foot in the last bytes of a file of ``size``, if it is whole."""
    if len(data) != FOOT.size:
        return None
    mark, format_, index, n_bytes, id_, digest = FOOT.unpack(data)
    if mark != END or digest != hashlib.sha256(data[:-N_DIGEST]).digest()[:N_DIGEST] or n_bytes != size:
        return None
    return Foot(format_, index, n_bytes, id_)


def guard_size(n_bytes: int) -> int:
    """Bytes of the guard of so many bytes."""
    return 4 * -(-n_bytes // _CHUNK) + min(n_bytes, _CHUNK)


def guard_of(content: bytes) -> bytes:
    """A CRC-32 of each 4,096 bytes, and the exclusive or of them all: any of them can be had from the rest."""
    parts = [content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK)]
    return struct.pack(f"<{len(parts)}I", *map(zlib.crc32, parts)) + _parity(content)


def _parity(content: bytes) -> bytes:
    if not content:
        return b""
    width = min(len(content), _CHUNK)
    padded = np.frombuffer(content + bytes(-len(content) % width), np.uint8)
    return np.bitwise_xor.reduce(padded.reshape(-1, width), axis=0).tobytes()


def mended(content: bytes, guard: bytes) -> bytes | None:
    """The content with its one damaged part as the guard has it, if one alone is damaged."""
    if len(guard) != guard_size(len(content)):
        return None
    starts = range(0, len(content), _CHUNK)
    sums = struct.unpack_from(f"<{len(starts)}I", guard)
    bad = [at for at, told in zip(starts, sums, strict=True) if zlib.crc32(content[at : at + _CHUNK]) != told]
    if len(bad) != 1:
        return None
    (at,) = bad
    n_lost = min(_CHUNK, len(content) - at)
    emptied = content[:at] + bytes(n_lost) + content[at + n_lost :]
    parity = np.frombuffer(guard[4 * len(starts) :], np.uint8)
    part = (np.frombuffer(_parity(emptied), np.uint8) ^ parity).tobytes()
    return emptied[:at] + part[:n_lost] + emptied[at + n_lost :]


class Scan:
    """The whole frames of a file from a place on, found without its index; what is none is passed over.

    Every frame is read and held against its digest. A file made to cost time, of heads without end that each
    claim much, is given up after 16 times its size.

    Parameters
    ----------
    file, start, size
        The file, where to begin, and where it ends.
    id_
        The archive's id.
    """

    def __init__(self, file: IO[bytes], start: int, size: int, id_: bytes) -> None:
        self._file, self._size, self._id = file, size, id_
        self._left = 16 * size
        self.end, self.n_bytes_read = start, 0

    def frames(self, *, beyond: bool) -> Iterator[tuple[int, Frame]]:
        """Each frame and where it is; ``beyond``: what is damaged is passed over, else it is the end.

        `end` is where the last whole frame ends.
        """
        at = self.end
        while at < self._size:
            frame = head_of(self._read(at, HEAD.size))
            if frame is not None and at + frame.size <= self._size and self._is_whole(at, frame):
                self.end = at = at + frame.size
                yield at - frame.size, frame
            elif beyond:
                at = self._next_mark(at + 1)
            else:
                return

    def _is_whole(self, at: int, frame: Frame) -> bool:
        digest = hashlib.sha256(self._id + frame.stated())
        place, left = at + HEAD.size, frame.n_bytes
        while left and (piece := self._read(place, min(left, _PIECE))):
            digest.update(piece)
            place, left = place + len(piece), left - len(piece)
        if digest.digest()[:N_DIGEST] == frame.digest:
            return True
        if frame.mark not in GUARDED:
            return False
        content = self._read(at + HEAD.size, frame.n_bytes)
        found = mended(content, self._read(at + HEAD.size + frame.n_bytes, guard_size(frame.n_bytes)))
        return found is not None and frame.digest_of(found, self._id) == frame.digest

    def _next_mark(self, at: int) -> int:
        n_bytes = _CHUNK  # little at first: one false mark often follows another
        while at < self._size:
            piece = self._read(at, n_bytes)
            if found := _MARKS.search(piece):
                return at + found.start()
            if len(piece) < n_bytes:
                break
            at, n_bytes = at + n_bytes - 3, min(2 * n_bytes, _PIECE)
        return self._size

    def _read(self, at: int, n_bytes: int) -> bytes:
        if self._left <= 0:
            return b""
        self._file.seek(at)
        data = self._file.read(n_bytes)
        self._left -= len(data)
        self.n_bytes_read += len(data)
        return data

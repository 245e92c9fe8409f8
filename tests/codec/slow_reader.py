"""A slow reader of archives in plain Python, written from docs/archive.md alone; nothing of isthmus is imported.

It reads what is whole, and raises `RefusedError` at what is not. Zstandard, LZMA and bzip2 are those of the system.
"""

from __future__ import annotations

import bz2
import hashlib
import json
import lzma
import zlib
from pathlib import Path
from typing import Any

MAGIC = bytes([0x89, 0x49, 0x53, 0x54, 0x0D, 0x0A, 0x1A, 0x0A])


class RefusedError(Exception):
    """The bytes are not what the page says."""


def must(is_so: bool, what: str) -> None:
    if not is_so:
        raise RefusedError(what)


def number(data: bytes) -> int:
    return sum(byte << 8 * place for place, byte in enumerate(data))


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def unpack(data: bytes) -> bytes:
    """Packed bytes."""
    form, at, size, place = data[0], 1, 0, 0
    if form == 0:
        return data[1:]
    while True:
        byte, at = data[at], at + 1
        size += (byte % 128) << place
        place += 7
        if byte < 128:
            break
    stream = data[at:]
    if form == 1:
        from pyarrow import decompress

        return decompress(stream, size, "zstd", asbytes=True)
    if form == 2:
        lc, rest = stream[0] % 9, stream[0] // 9
        dictionary = 4096
        while dictionary < size and dictionary < 64 * 1024 * 1024:
            dictionary *= 2
        how = {"id": lzma.FILTER_LZMA2, "dict_size": dictionary, "lc": lc, "lp": rest % 5, "pb": rest // 5}
        found = lzma.decompress(stream[1:], lzma.FORMAT_RAW, filters=[how])
    else:
        must(form == 3, "form")
        found = bz2.decompress(stream)
    must(len(found) == size, "size")
    return found


def guard(content: bytes) -> bytes:
    """The guard of a content."""
    width = min(len(content), 4096)
    sums, together = b"", [0] * width
    for at in range(0, len(content), 4096):
        part = content[at : at + 4096]
        sums += zlib.crc32(part).to_bytes(4, "little")
        for place, byte in enumerate(part):
            together[place] ^= byte
    return sums + bytes(together)


def mend(content: bytes, told: bytes) -> bytes:
    """The content with the one part that the guard can bring back."""
    n_parts = -(-len(content) // 4096)
    parts = [content[4096 * part : 4096 * (part + 1)] for part in range(n_parts)]
    bad = [n for n, part in enumerate(parts) if zlib.crc32(part) != number(told[4 * n : 4 * n + 4])]
    must(len(bad) == 1, "more than one part is damaged")
    lost = list(told[4 * n_parts :])
    for n, part in enumerate(parts):
        if n != bad[0]:
            for place, byte in enumerate(part):
                lost[place] ^= byte
    parts[bad[0]] = bytes(lost)[: len(parts[bad[0]])]
    return b"".join(parts)


class Frame:
    """A frame that begins at byte ``at`` of ``data``."""

    def __init__(self, data: bytes, at: int, id_: bytes) -> None:
        head = data[at : at + 52]
        must(len(head) == 52 and head[0] == 0xC5, "head")
        self.mark = head[1:4].decode("latin-1")
        must(self.mark in ("HDR", "SEC", "ROW", "IDX"), "mark")
        self.name = head[4:16].rstrip(b"\0").decode("latin-1")
        must(len(self.name) > 0 and all("!" <= letter <= "~" for letter in self.name), "name")
        self.n = number(head[16:24])
        self.first_row, self.n_rows = number(head[24:32]), number(head[32:36])
        must((self.n_rows > 0) == (self.mark == "ROW"), "rows")
        must(self.mark == "ROW" or self.first_row == 0, "first row")
        self.digest = head[36:52]
        end = at + 52 + self.n
        self.content = data[at + 52 : end]
        must(len(self.content) == self.n, "end")
        n_guard = 4 * -(-self.n // 4096) + min(self.n, 4096) if self.mark in ("HDR", "SEC") else 0
        told = data[end : end + n_guard]
        if digest(id_ + head[:36] + self.content) != self.digest:
            must(n_guard > 0 and len(told) == n_guard, "digest")
            self.content = mend(self.content, told)
            must(digest(id_ + head[:36] + self.content) == self.digest, "digest")
        self.end = end + n_guard
        must(self.end <= len(data), "end")
        self.is_clean = told == (guard(self.content) if n_guard else b"")


def index(content: bytes) -> tuple[dict[str, Any], list[tuple[int, int, str]]]:
    """JSON of an index, and (rows, bytes, codec) of each block."""
    data = unpack(content)
    j = number(data[:4])
    words = json.loads(data[4 : 4 + j])
    n, columns = words["blocks"], data[4 + j :]
    must(len(columns) == 13 * n, "columns")
    return words, [
        (
            number(columns[4 * block : 4 * block + 4]),
            number(columns[4 * n + 8 * block : 4 * n + 8 * block + 8]),
            words["codecs"][columns[12 * n + block]],
        )
        for block in range(n)
    ]


class SlowArchive:
    """All of a whole archive: `header`, `footer`, `sections`, and `blocks` of (codec, first row, rows, payload)."""

    def __init__(self, path: Path | str) -> None:
        data = Path(path).read_bytes()
        must(data[:8] == MAGIC and number(data[8:12]) == 1, "start")
        foot = data[-56:]
        must(foot[:4] == b"\xc5END" and number(foot[4:8]) == 1, "foot")
        must(digest(foot[:40]) == foot[40:], "digest of the foot")
        at_index, id_ = number(foot[8:16]), foot[24:40]
        must(number(foot[16:24]) == len(data), "bytes of the file")

        at, found = 12, []
        while at < at_index:
            found.append(Frame(data, at, id_ if found else bytes(16)))
            at = found[-1].end
        last = Frame(data, at, id_)
        must(at == at_index and last.mark == "IDX" and last.end == len(data) - 56, "index")
        must(all(frame.is_clean for frame in found), "guard")
        head, *rest = found
        must(head.mark == "HDR" and head.digest == id_, "id")
        sections = [frame for frame in rest if frame.mark == "SEC"]
        rows = rest[len(sections) :]
        must(all(frame.mark == "ROW" for frame in rows), "order of frames")

        words, told = index(last.content)
        must(told == [(frame.n_rows, frame.n, frame.name) for frame in rows], "blocks of the index")
        must(
            words["parts"] == [[part.name, part.n, part.digest.hex()] for part in (head, *sections)],
            "parts of the index",
        )
        self.header: dict[str, Any] = json.loads(unpack(head.content))
        self.footer: dict[str, Any] = words["footer"]
        self.sections = {frame.name: frame.content for frame in sections}
        self.blocks = [(frame.name, frame.first_row, frame.n_rows, frame.content) for frame in rows]
        must(
            [block[1] for block in self.blocks] == [sum(r for r, _, _ in told[:n]) for n in range(len(told))],
            "rows",
        )


def scan(path: Path | str) -> list[Frame]:
    """All whole frames of a file behind its header's, found without index and foot."""
    data = Path(path).read_bytes()
    head = Frame(data, 12, bytes(16))
    at, found = head.end, []
    while at < len(data):
        try:
            found.append(Frame(data, at, head.digest))
            at = found[-1].end
        except RefusedError:
            at += 1
    return found

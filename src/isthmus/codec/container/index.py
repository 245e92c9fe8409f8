"""An archive's own words: header and index, as bytes and back, checked before any of them is believed."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from isthmus.codec.container.frames import HEAD, HEADER, N_DIGEST, SECTION, Frame, is_name
from isthmus.codec.container.general import packed, unpacked
from isthmus.errors import ArtifactError

LARGEST_DOCUMENT = 16 * 2**20
"""Bytes of a header, and of what an index tells beside its blocks."""
MOST_BLOCKS = 2**22
"""Blocks of an archive: what an index becomes in memory has an end, whatever a file claims."""
MOST_CODECS = 256
_LENGTH = struct.Struct("<I")
_BYTES_A_BLOCK = 4 + 8 + 1


class Block(NamedTuple):
    """Rows that stand together, and are read together.

    Parameters
    ----------
    codec
        What they are coded with; the empty word is of rows that are lost: their block was not found again.
    first_row, n_rows
        Which rows they are.
    n_bytes
        How many bytes they take, head and digest aside.
    offset
        Where the block begins in the file.
    """

    codec: str
    first_row: int
    n_rows: int
    n_bytes: int
    offset: int

    @property
    def stop(self) -> int:
        """The row after its last."""
        return self.first_row + self.n_rows

    @property
    def rows(self) -> str:
        """Its rows, as ``--rows`` takes them."""
        return f"{self.first_row}:{self.stop}"


class Index(NamedTuple):
    """What an index tells: the header and the sections in their order, the blocks, and the footer."""

    parts: tuple[Frame, ...]
    blocks: tuple[Block, ...]
    footer: dict[str, Any]


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """A document as JSON; raises ValueError, TypeError or RecursionError where it cannot be one."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if json.loads(text) != document:
        raise ValueError("it would not come back as it was: give it words for keys, and lists for tuples")
    return text.encode()


def document_of(data: bytes) -> dict[str, Any]:
    """The document of `document_bytes`; raises ValueError or RecursionError where there is none."""
    value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value  # pyright: ignore[reportUnknownVariableType]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once each: of two, readers would choose differently."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice")
    return values


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def index_bytes(parts: Sequence[Frame], blocks: Sequence[Block], footer: Mapping[str, Any]) -> bytes:
    """An index, packed."""
    codecs = list(dict.fromkeys(block.codec for block in blocks))
    words = document_bytes(
        {
            "blocks": len(blocks),
            "codecs": codecs,
            "footer": dict(footer),
            "parts": [[part.name, part.n_bytes, part.digest.hex()] for part in parts],
        }
    )
    if len(words) > LARGEST_DOCUMENT:
        raise ValueError(f"the index takes {len(words):,} bytes with it, more than {LARGEST_DOCUMENT:,}")
    numbers = {codec: number for number, codec in enumerate(codecs)}
    return packed(
        b"".join(
            (
                _LENGTH.pack(len(words)),
                words,
                np.array([block.n_rows for block in blocks], "<u4").tobytes(),
                np.array([block.n_bytes for block in blocks], "<u8").tobytes(),
                bytes(numbers[block.codec] for block in blocks),
            )
        )
    )


def largest_index(n_bytes: int) -> int:
    """Bytes that the index of an archive of ``n_bytes`` may have, unpacked."""
    return LARGEST_DOCUMENT + _BYTES_A_BLOCK * min(n_bytes // HEAD.size, MOST_BLOCKS)


def index_of(content: bytes, start: int, stop: int) -> Index | None:
    """The index in ``content`` of an archive whose frames stand from byte ``start`` to ``stop``; None if it is none.

    Every size in it is held against those of the file: the frames must fill it without a gap.
    """
    try:
        data = unpacked(content, largest_index(stop))
        (n_words,) = _LENGTH.unpack_from(data)
        words = document_of(data[_LENGTH.size : _LENGTH.size + n_words])
        n_blocks, footer = words["blocks"], words["footer"]
        parts = tuple(_part(number, *part) for number, part in enumerate(words["parts"]))
        codecs = [_name(codec) for codec in words["codecs"]]
        columns = memoryview(data)[_LENGTH.size + n_words :]
        if type(n_blocks) is not int or len(columns) != _BYTES_A_BLOCK * n_blocks:
            return None
        first = start + sum(part.size for part in parts)
        blocks = tuple(_blocks(columns, codecs, n_blocks, first))
    except (ArtifactError, ValueError, LookupError, TypeError, RecursionError, struct.error):
        return None
    end = blocks[-1].offset + HEAD.size + blocks[-1].n_bytes if blocks else first
    if end != stop or not parts or not isinstance(footer, dict):
        return None
    return Index(parts, blocks, footer)  # pyright: ignore[reportUnknownArgumentType]


def _part(number: int, name: Any, n_bytes: Any, digest: Any) -> Frame:
    if type(n_bytes) is not int or n_bytes < 0:
        raise ValueError("no size")
    found = bytes.fromhex(digest)
    if len(found) != N_DIGEST:
        raise ValueError("no digest")
    return Frame(SECTION if number else HEADER, _name(name), n_bytes, digest=found)


def _name(name: Any) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise ValueError("no name")
    return name


def _blocks(columns: memoryview, codecs: Sequence[str], n_blocks: int, offset: int) -> Iterator[Block]:
    n_rows = np.frombuffer(columns, "<u4", n_blocks).tolist()
    n_bytes = np.frombuffer(columns, "<u8", n_blocks, 4 * n_blocks).tolist()
    first_row = 0
    for rows, size, codec in zip(n_rows, n_bytes, columns[12 * n_blocks :], strict=True):
        if rows == 0:
            raise ValueError("a block without rows")
        yield Block(codecs[codec], first_row, rows, size, offset)
        first_row, offset = first_row + rows, offset + HEAD.size + size

"""The pages of a Parquet file, whose heads Arrow's reader believes: it takes the memory that they promise.

A chunk (a column of a row group) is pages one after the other. Each begins with a head of its own, which tells how
many bytes and values follow, whatever the facts at the end of the file say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from isthmus.sources.parquet_facts import (
    BYTES,
    DELTA_BYTE_ARRAY,
    DELTA_LENGTHS,
    FIXED,
    Chunk,
    Compact,
    Leaf,
    ParquetFacts,
)

_DATA, _WORDS, _DATA_2 = 0, 2, 3
"""Kinds of pages: values, words that other pages name by number, and values in the second form."""
_HEADS = {_DATA: 5, _WORDS: 7, _DATA_2: 8}
"""Field of what only one kind has."""
_SLACK = 100
"""Bytes that a chunk may take beyond what is told of it, as Arrow allows, for old writers counted wrongly."""
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_UNPACKED, _HADOOP_LZ4 = 0, 5
_RLE, _BIT_PACKED = 3, 4
_LEAST_BYTES = {1: 4, 2: 8, 3: 12, 4: 4, 5: 8, BYTES: 4}
"""What a word takes on its page, by type."""
_A_WORD = 16
"""Bytes that Arrow takes for a word of some length, beside the word."""


class Page(NamedTuple):
    """One page, as its head tells."""

    kind: int
    start: int
    """Where it begins, after its head."""
    n_packed: int
    n_bytes: int
    """Once unpacked."""
    n_values: int
    encoding: int
    head: dict[int, Any]
    """What only its kind has."""


def look_into_pages(path: Path, facts: ParquetFacts) -> ParquetFacts:
    """The facts of a file, with the sizes and encodings of its pages as these tell them.

    Raises
    ------
    ValueError
        Pages that do not fit the facts.
    """
    if sum(chunk.n_packed for _, chunks in facts.groups for chunk in chunks) > path.stat().st_size:
        raise ValueError("columns that lie above each other")
    if not any(chunk.n_values for _, chunks in facts.groups for chunk in chunks):
        return facts
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        groups = tuple(
            (
                n_rows,
                tuple(
                    _looked_into(data, chunk, leaf) for chunk, leaf in zip(chunks, facts.leaves, strict=True)
                ),
            )
            for n_rows, chunks in facts.groups
        )
    return replace(facts, groups=groups)


def check_lengths(path: Path, facts: ParquetFacts) -> None:
    """Refuse pages of texts that promise more lengths than they have values; Arrow takes memory for all.

    Parameters
    ----------
    path
        The file.
    facts
        As :func:`look_into_pages` gives them, of sizes that are known to be no harm.

    Raises
    ------
    ValueError
        Of such a page.
    """
    wanted = [
        (chunk, leaf)
        for _, chunks in facts.groups
        for chunk, leaf in zip(chunks, facts.leaves, strict=True)
        if chunk.n_values and chunk.encodings & {DELTA_LENGTHS, DELTA_BYTE_ARRAY}
    ]
    if not wanted:
        return
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for chunk, leaf in wanted:
            for page in pages(data, chunk):
                if page.kind != _WORDS and page.encoding in (DELTA_LENGTHS, DELTA_BYTE_ARRAY):
                    _check_lengths(_values(data, chunk, leaf, page), page)


def pages(data: bytes | mmap, chunk: Chunk) -> Iterator[Page]:
    """The pages of a chunk, as far as its values go.

    Raises
    ------
    ValueError
        A page that leads out of the file or has more values than are left.
    """
    at, seen = chunk.start, 0
    while seen < chunk.n_values:
        if at >= min(len(data), chunk.start + chunk.n_packed + _SLACK):
            raise ValueError(f"pages of {seen:,} values, and facts of {chunk.n_values:,}")
        reader = Compact(data, at)
        head = reader.structure()
        kind, n_bytes, n_packed = (_number(head, field) for field in (1, 2, 3))
        at = reader.at + n_packed
        if min(n_bytes, n_packed) < 0 or at > len(data):
            raise ValueError(f"a page of {n_packed:,} bytes")
        if kind not in _HEADS:
            continue  # Arrow passes over them too
        own = head.get(_HEADS[kind])
        if not isinstance(own, dict):
            raise ValueError("a page that lacks its head")
        n_values, encoding = _number(own, 1), _number(own, 4 if kind == _DATA_2 else 2)
        seen += n_values if kind != _WORDS else 0
        if n_values < 0 or seen > chunk.n_values:
            raise ValueError(f"pages of {seen:,} values, and facts of {chunk.n_values:,}")
        yield Page(kind, reader.at, n_packed, n_bytes, n_values, encoding, own)


def _looked_into(data: mmap, chunk: Chunk, leaf: Leaf) -> Chunk:
    n_bytes, encodings = 0, set[int]()
    for page in pages(data, chunk):
        n_bytes += page.n_bytes
        encodings.add(page.encoding)
        if page.kind == _WORDS:
            least = max(1, leaf.length) if leaf.type == FIXED else _LEAST_BYTES.get(leaf.type, 1)
            if least * page.n_values > page.n_bytes:
                raise ValueError(f"{page.n_values:,} words in a page of {page.n_bytes:,} bytes")
            n_bytes += _A_WORD * page.n_values if leaf.type == BYTES else 0
    return replace(chunk, n_bytes=max(chunk.n_bytes, n_bytes), encodings=chunk.encodings | encodings)


def _number(fields: dict[int, Any], field: int) -> int:
    found = fields.get(field)
    if not isinstance(found, int) or isinstance(found, bool):
        raise ValueError("a page that lacks a number")
    return found


def _values(data: mmap, chunk: Chunk, leaf: Leaf, page: Page) -> bytes:
    """What a page has after its levels."""
    content = data[page.start : page.start + page.n_packed]
    if page.kind == _DATA_2:
        n_levels = _number(page.head, 5) + _number(page.head, 6)
        if not 0 <= n_levels <= min(page.n_packed, page.n_bytes):
            raise ValueError(f"levels of {n_levels:,} bytes")
        content = content[n_levels:]
        is_packed = page.head.get(7, True)
        return _unpacked(content, chunk.codec, page.n_bytes - n_levels) if is_packed else content
    content, at = _unpacked(content, chunk.codec, page.n_bytes), 0
    for highest, field in zip(leaf.levels, (4, 3), strict=True):
        if not highest:
            continue
        encoding = _number(page.head, field)
        if encoding == _RLE:
            at += 4 + int.from_bytes(content[at : at + 4], "little")
        elif encoding == _BIT_PACKED:
            at += (page.n_values * highest.bit_length() + 7) // 8
        else:
            raise ValueError(f"levels of the encoding {encoding}")
    return content[at:]


def _unpacked(content: bytes, codec: int, n_bytes: int) -> bytes:
    if codec == _UNPACKED or not content:
        return content
    if codec == _HADOOP_LZ4:
        return _hadoop_lz4(content, n_bytes)
    if codec not in _CODECS:
        raise ValueError(f"pages packed in the way {codec}")
    return pa.Codec(_CODECS[codec]).decompress(content, n_bytes, asbytes=True)


def _hadoop_lz4(content: bytes, n_bytes: int) -> bytes:
    """Blocks after their sizes, unpacked and packed, or else one block alone."""
    lz4, found, at = pa.Codec("lz4_raw"), bytearray(), 0
    while at + 8 <= len(content):
        n_unpacked, n_packed = (int.from_bytes(content[at + shift :][:4], "big") for shift in (0, 4))
        at += 8 + n_packed
        if at > len(content) or len(found) + n_unpacked > n_bytes:
            break
        found += lz4.decompress(content[at - n_packed : at], n_unpacked, asbytes=True)
    if at == len(content) and len(found) == n_bytes:
        return bytes(found)
    return lz4.decompress(content, n_bytes, asbytes=True)


def _check_lengths(values: bytes, page: Page) -> None:
    if not values:
        return
    reader = Compact(values)
    _pass_deltas(reader, values, page)
    if page.encoding == DELTA_BYTE_ARRAY and reader.at < len(
        values
    ):  # lengths of what is new after those of the old
        _pass_deltas(reader, values, page, whole=False)


def _pass_deltas(reader: Compact, values: bytes, page: Page, *, whole: bool = True) -> None:
    """Go behind numbers that are kept as differences in blocks of blocks; only as far as how many, if not ``whole``."""
    n_block, n_parts, n_numbers, _ = (reader.unsigned() for _ in range(4))
    if n_numbers > page.n_values:
        raise ValueError(f"a page of {page.n_values:,} texts and {n_numbers:,} lengths")
    if not n_block or n_block % 128 or not n_parts or n_block % (32 * n_parts):
        raise ValueError(f"a page of {n_parts:,} parts a block of {n_block:,} lengths")
    n_part, left = n_block // n_parts, n_numbers - 1
    while whole and left > 0:
        reader.unsigned()
        widths = values[reader.at : reader.at + n_parts]
        if len(widths) < n_parts:
            raise ValueError("lengths that are cut short")
        n_here = -(-min(left, n_block) // n_part)
        reader.at += n_parts + sum(widths[:n_here]) * n_part // 8
        left -= n_block

"""Pages of Parquet files: heads that tell the truth pass, and those that do not are refused before Arrow reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
import pytest

from isthmus.errors import SourceError
from isthmus.sources import arrow_sizes, open_source
from isthmus.sources.arrow_sizes import check_parquet
from isthmus.sources.parquet_facts import (
    BYTES,
    DELTA_BYTE_ARRAY,
    RLE_DICTIONARY,
    Chunk,
    Compact,
    Leaf,
    parquet_facts,
)
from isthmus.sources.parquet_pages import check_lengths, look_into_pages, pages

N = 30_000
WORDS = ["north", "south", "nowhere", None, "", "southern"]


def table() -> Any:
    """Texts, gaps, lists of texts and numbers."""
    random = np.random.default_rng(0)
    return pa.table(
        {
            "word": [WORDS[at] for at in random.integers(0, len(WORDS), N)],
            "name": [f"name {at % 1000}" for at in range(N)],
            "lists": [["a", "bb", None][: at % 4] if at % 7 else None for at in range(N)],
            "eight": pa.array([at.to_bytes(8, "big") for at in range(N)], pa.binary(8)),
            "number": random.normal(size=N),
        }
    )


def small(path: Path, **options: Any) -> Path:
    """Twelve rows of one column, one page."""
    words = pa.table({"word": pa.array(["north", None, *["south", "north"] * 5])})
    chosen: dict[str, Any] = {"compression": "none", **options}
    arrow_parquet.write_table(words, path, **chosen)
    return path


def number(value: int) -> bytes:
    """As the compact protocol has numbers with a sign."""
    value, found = value << 1 ^ value >> 63, bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def structure(fields: dict[int, Any]) -> bytes:
    """As the compact protocol has structures of numbers, truths, texts and structures."""
    found, before = bytearray(), 0
    for field, value in sorted(fields.items()):
        if isinstance(value, bool):
            kind, content = 2 - value, b""
        elif isinstance(value, bytes):
            kind, content = 8, bytes([len(value)]) + value
        elif isinstance(value, int):
            kind, content = 5, number(value)
        else:
            kind, content = 12, structure(value)
        found += bytes([(field - before) << 4 | kind]) + content
        before = field
    return bytes([*found, 0])


def told_otherwise(path: Path, which: int, **changed: int) -> None:
    """Change numbers in the head of a page, in a file of one column; it stays as long as it was."""
    data, facts = path.read_bytes(), parquet_facts(path)
    chunk = facts.groups[0][1][0]
    at = chunk.start
    for _ in range(which):
        reader = Compact(data, at)
        at = int(reader.structure()[3]) + reader.at
    reader = Compact(data, at)
    head = reader.structure()
    own = head[{0: 5, 2: 7, 3: 8}[head[1]]]
    own.pop(5 if head[1] == 0 else 8, None)  # what the page holds, which nobody needs
    for field in (4, 15):  # its checksum, and what fills it up
        head.pop(field, None)
    for name, value in changed.items():
        if name == "n_values":
            own[1] = value
        else:
            head[{"kind": 1, "n_bytes": 2, "n_packed": 3}[name]] = value
    room = reader.at - at - len(structure(head))
    made = structure({**head, 15: b"x" * (room - 2)}) if room else structure(head)
    assert len(made) == reader.at - at
    path.write_bytes(data[:at] + made + data[reader.at :])


# ---------------------------------------------------------------- the truth


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("packing", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
@pytest.mark.parametrize("encoding", [None, "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_honest_pages_pass(tmp_path: Path, version: str, packing: str, encoding: str | None) -> None:
    path = tmp_path / "x.parquet"
    texts: dict[str, Any] = {name: encoding for name in ("word", "name", "lists.list.element")}
    if encoding == "DELTA_BYTE_ARRAY":
        texts["eight"] = encoding
    chosen: dict[str, Any] = {} if encoding is None else {"use_dictionary": False, "column_encoding": texts}
    arrow_parquet.write_table(
        table(), path, compression=packing, data_page_version=version, row_group_size=20_000, **chosen
    )
    check_parquet(path)
    told = parquet_facts(path)
    seen = look_into_pages(path, told)
    check_lengths(path, seen)
    for (n_rows, chunks), (_, found) in zip(told.groups, seen.groups, strict=True):
        for chunk, one, leaf in zip(chunks, found, told.leaves, strict=True):
            assert one.encodings == chunk.encodings
            in_words = sum(page.n_values for page in pages(path.read_bytes(), chunk) if page.kind == 2)
            assert one.n_bytes <= chunk.n_bytes + 16 * in_words
            n_values = sum(page.n_values for page in pages(path.read_bytes(), chunk) if page.kind != 2)
            assert n_values == chunk.n_values
            assert n_values == n_rows or "lists" in leaf.path


def test_a_table_without_rows_has_no_pages(tmp_path: Path) -> None:
    arrow_parquet.write_table(table().slice(0, 0), tmp_path / "x.parquet")
    facts = parquet_facts(tmp_path / "x.parquet")
    assert look_into_pages(tmp_path / "x.parquet", facts) == facts


# ---------------------------------------------------------------- lies


@pytest.mark.parametrize(
    ("which", "changed", "match"),
    [
        (0, {"n_bytes": 2**30}, r"at most 268 MB in a file of its size, got 1\.07 GB"),
        (1, {"n_bytes": 2**30}, r"at most 268 MB in a file of its size, got 1\.07 GB"),
        (0, {"n_values": 2**27}, "134,217,728 words in a page of 18 bytes"),
        (0, {"n_packed": 2**27}, "a page of 134,217,7.. bytes"),
        (1, {"n_bytes": -1}, "a page of .* bytes"),
        (1, {"n_values": 13}, "pages of 13 values, and facts of 12"),
        (1, {"n_values": -5}, "pages of -5 values, and facts of 12"),
        (1, {"kind": 3}, "a page that lacks its head"),
    ],
)
def test_heads_that_lie(tmp_path: Path, which: int, changed: dict[str, int], match: str) -> None:
    path = small(tmp_path / "x.parquet", compression="zstd", write_page_checksum=True)
    told_otherwise(path, which)
    assert open_source(path).read(slice(None)).shape == (12, 1)
    told_otherwise(path, which, **changed)
    with pytest.raises(SourceError, match=match):
        open_source(path)


@pytest.mark.parametrize("which", [0, 1])
def test_more_lengths_than_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int) -> None:
    """Of what words share with the one before, and of the rest; Arrow takes four bytes for each without a look."""
    path = small(tmp_path / "x.parquet", use_dictionary=False, column_encoding={"word": "DELTA_BYTE_ARRAY"})
    parts = path.read_bytes().split(b"\x80\x01\x04\x0b")  # blocks of 128 in 4 parts, and 11 of them
    assert len(parts) == 3
    parts[which] += b"\x80\x01\x04\x2c" + parts.pop(which + 1)
    path.write_bytes(b"\x80\x01\x04\x0b".join(parts))
    with pytest.raises(SourceError, match="a page of 12 texts and 44 lengths"):
        open_source(path)
    monkeypatch.setattr(arrow_sizes, "check_lengths", lambda *args: None)
    assert len(open_source(path)) == 12  # Arrow takes memory for 44


def test_encodings_are_those_of_the_pages(tmp_path: Path) -> None:
    path = small(tmp_path / "x.parquet")
    facts = parquet_facts(path)
    ((n_rows, (chunk,)),) = facts.groups
    hidden = replace(facts, groups=((n_rows, (replace(chunk, encodings=frozenset({0})),)),))
    assert RLE_DICTIONARY in look_into_pages(path, hidden).groups[0][1][0].encodings


def test_columns_above_each_other(tmp_path: Path) -> None:
    path = small(tmp_path / "x.parquet")
    facts = parquet_facts(path)
    with pytest.raises(ValueError, match="columns that lie above each other"):
        look_into_pages(path, replace(facts, groups=facts.groups * 100))


def test_pages_without_end_or_values() -> None:
    """Pages of a kind that is passed over end where their column does."""
    data = structure({1: 1, 2: 0, 3: 0}) * 1000
    chunk = Chunk(5, 10, frozenset(), 0, 0, 100)
    with pytest.raises(ValueError, match="pages of 0 values, and facts of 5"):
        list(pages(data, chunk))
    with pytest.raises(ValueError, match="cut short"):
        list(pages(data[:-1], replace(chunk, n_packed=10**6)))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"\x80\x01\x04\x0c\x00\x00\x01", "lengths that are cut short"),
        (b"\x80\x01\x00\x0c\x00", "0 parts a block of 128 lengths"),
        (b"\x80\x01\x05\x0c\x00", "5 parts a block of 128 lengths"),
        (b"\x00\x04\x0c\x00", "4 parts a block of 0 lengths"),
        (b"\x80", "cut short"),
    ],
)
def test_lengths_that_cannot_be(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "x"
    head = structure({1: 0, 2: len(content), 3: len(content), 5: {1: 12, 2: DELTA_BYTE_ARRAY, 3: 3, 4: 3}})
    padding = bytes(200)  # what follows is no part of the page
    path.write_bytes(head + content + padding)
    whole = parquet_facts(small(tmp_path / "x.parquet"))
    chunk = Chunk(12, 0, frozenset({DELTA_BYTE_ARRAY}), 0, 0, len(head) + len(content))
    leaf = Leaf("word", BYTES, 0, (0, 0))
    with pytest.raises(ValueError, match=match):
        check_lengths(path, replace(whole, leaves=(leaf,), groups=((12, (chunk,)),)))

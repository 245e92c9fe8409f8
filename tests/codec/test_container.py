"""The container: what is written is read, by a slow reader too; damage is told, and costs what it touches."""

from __future__ import annotations

import bz2
import json
import os
import random
import signal
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slow_reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.codec.container import Archive, ArchiveWriter, frames, writer
from isthmus.codec.container.frames import FOOT, HEAD, Frame
from isthmus.codec.container.index import index_bytes
from isthmus.errors import ArtifactError, OutputError, ParameterError


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of files: the disk is not waited for."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


HEADER = {"kind": "letters", "shape": [2, 3], "é": None, "share": 0.1}
SECTIONS = {"model": bytes(range(70)), "tables": b""}
FOOTER = {"verified": True}
ROWS = ((3, "raw", b"aab"), (1, "zstd", b""), (4, "raw", b"\xc5ROW\0" * 3), (2, "raw", bytes(9)))


def write(path: Path, **choices: Any) -> ArchiveWriter:
    """All of the small archive that is not there already."""
    with ArchiveWriter(path, HEADER, sections=SECTIONS, **choices) as out:
        for n_rows, codec, payload in ROWS[out.n_blocks :]:
            out.add(codec, n_rows, payload)
        out.close(FOOTER)
    return out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "a.isth")
    return tmp_path / "a.isth"


def refusal(path: Path) -> str:
    """What is said of a file that is no archive."""
    with pytest.raises(ArtifactError) as caught:
        Archive(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


# -------------------------------------------------------------------- whole archives


def test_what_is_written_is_read(path: Path) -> None:
    with Archive(path) as archive:
        assert archive.header == HEADER
        assert list(archive.header) == list(HEADER)
        assert archive.footer == FOOTER
        assert archive.sections == ("model", "tables")
        assert {name: archive.section(name) for name in archive.sections} == SECTIONS
        assert [(b.n_rows, b.codec, archive.read(n)) for n, b in enumerate(archive.blocks)] == list(ROWS)
        assert archive.n_rows == 10
        assert archive.check() == ()
    assert list(path.parent.iterdir()) == [path]


def test_the_slow_reader_reads_the_same(path: Path) -> None:
    slow = slow_reader.SlowArchive(path)
    assert (slow.header, slow.footer, slow.sections) == (HEADER, FOOTER, SECTIONS)
    assert slow.blocks == [
        ("raw", 0, 3, ROWS[0][2]),
        ("zstd", 3, 1, b""),
        ("raw", 4, 4, ROWS[2][2]),
        ("raw", 8, 2, ROWS[3][2]),
    ]


NAMES = st.text("abc-XYZ0189!~", min_size=1, max_size=12)
WORDS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé", max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
DOCUMENTS = st.dictionaries(st.text("abcé", max_size=4), WORDS, max_size=3)
BYTES = st.binary(max_size=50) | st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 400)).map(
    lambda pair: pair[0] * pair[1]
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    DOCUMENTS,
    DOCUMENTS,
    st.dictionaries(NAMES, BYTES, max_size=3),
    st.lists(st.tuples(NAMES, st.integers(1, 2**32 - 1), BYTES), max_size=6),
    st.data(),
)
def test_any_archive_is_read_by_both(
    tmp_path: Path,
    header: dict[str, Any],
    footer: dict[str, Any],
    sections: dict[str, bytes],
    rows: list[tuple[str, int, bytes]],
    data: st.DataObject,
) -> None:
    path = tmp_path / "any.isth"
    with ArchiveWriter(path, header, sections=sections, overwrite=True) as out:
        for codec, n_rows, payload in rows:
            out.add(codec, n_rows, payload)
        out.close(footer)
    slow = slow_reader.SlowArchive(path)
    with Archive(path) as archive:
        assert archive.header == header == slow.header
        assert archive.footer == footer == slow.footer
        assert {name: archive.section(name) for name in archive.sections} == sections == slow.sections
        found = [(b.codec, b.first_row, b.n_rows, archive.read(n)) for n, b in enumerate(archive.blocks)]
        assert found == slow.blocks
        assert [(codec, n, payload) for codec, _, n, payload in found] == rows
        assert archive.sizes.total == path.stat().st_size
        assert archive.sizes.lost == 0
        assert archive.check() == ()
        start = data.draw(st.integers(0, archive.n_rows))
        stop = data.draw(st.integers(start, archive.n_rows))
        assert list(archive.blocks_of(start, stop)) == [
            n for n, b in enumerate(archive.blocks) if b.first_row < stop and start < b.stop and start < stop
        ]


def test_the_bytes_are_a_function_of_the_contents(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "b.isth")
    assert (tmp_path / "b.isth").read_bytes() == path.read_bytes()


def test_no_rows_at_all(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.isth", {}) as out:
        out.close()
    with Archive(tmp_path / "a.isth") as archive:
        assert (archive.header, archive.footer, archive.blocks, archive.n_rows) == ({}, {}, (), 0)
        assert list(archive.blocks_of(0, 0)) == []
        assert archive.check() == ()
    assert slow_reader.SlowArchive(tmp_path / "a.isth").blocks == []


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.isth", {}, sections={"model": bytes(10**6)}) as out:
        for number in range(1000):
            out.add("raw", 1000, bytes([number % 256]) * 3000)
        out.close()
    with Archive(tmp_path / "a.isth") as archive:
        opened = archive.n_bytes_read
        assert opened < 10_000
        numbers = archive.blocks_of(500_950, 501_050)
        assert list(numbers) == [500, 501]
        for number in numbers:
            assert archive.read(number) == bytes([number % 256]) * 3000
        assert archive.n_bytes_read - opened == 2 * (HEAD.size + 3000)


def test_sizes_say_what_the_bytes_are_spent_on(path: Path) -> None:
    with Archive(path) as archive:
        sizes = archive.sizes
    assert sizes.sections == {"model": 52 + 70 + 4 + 70, "tables": 52}
    assert sizes.blocks == {"raw": 3 * 52 + 3 + 15 + 9, "zstd": 52}
    assert sizes.total == path.stat().st_size


def test_blocks_of_any_rows(path: Path) -> None:
    with Archive(path) as archive:
        owner = [number for number, row in enumerate(ROWS) for _ in range(row[0])]
        for start in range(11):
            for stop in range(start, 11):
                assert list(archive.blocks_of(start, stop)) == sorted(set(owner[start:stop]))


def test_rows_that_are_not_there_are_refused(path: Path) -> None:
    with Archive(path) as archive:
        for start, stop in ((-1, 2), (3, 2), (0, 11)):
            with pytest.raises(ParameterError, match=f"expected rows within 0:10, got {start}:{stop}"):
                archive.blocks_of(start, stop)
        for number in (-1, 4):
            with pytest.raises(ParameterError, match=f"expected a block from 0 to 3, got {number}"):
                archive.read(number)
        with pytest.raises(ParameterError, match="has no section 'modl'; it has model, tables"):
            archive.section("modl")


# -------------------------------------------------------------------- damage


def truth(archive: Archive) -> list[bytes]:
    """Payloads of an archive's blocks, those that can be read; others are named by their rows."""
    found = list[bytes]()
    for number, block in enumerate(archive.blocks):
        try:
            found.append(archive.read(number))
        except ArtifactError as error:
            told = str(error)
            if f"block {number} with rows {block.first_row}:{block.stop} is damaged" not in told:
                raise AssertionError(told) from error
    return found


def undetected(path: Path, changed: Path, places: range) -> Iterator[int]:
    """Places of an archive of which some bit can be turned without notice; all else is held against the whole."""
    data, random_ = path.read_bytes(), random.Random(0)
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << random_.randrange(8)
        changed.write_bytes(damaged)
        with Archive(changed) as archive:
            assert archive.header == HEADER
            assert {name: archive.section(name) for name in archive.sections} == SECTIONS
            assert [(b.n_rows, b.codec) for b in archive.blocks] == [row[:2] for row in ROWS]
            found = truth(archive)
            assert len(found) >= len(ROWS) - 1
            told = archive.check()
            assert len(told) + len(found) >= len(ROWS)
            if not told:
                yield place
            assert set(found) <= {row[2] for row in ROWS}


def test_every_turned_bit_is_told_and_costs_at_most_its_block(path: Path, tmp_path: Path) -> None:
    assert list(undetected(path, tmp_path / "b.isth", range(path.stat().st_size))) == []


def test_without_digests_turned_bits_are_not_seen(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Anything(bytes):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = bytes.__hash__

    with Archive(path) as archive:
        start = archive.blocks[2].offset + HEAD.size
    monkeypatch.setattr(Frame, "digest_of", lambda self, content, id_: Anything(self.digest))
    with pytest.raises(AssertionError):
        list(undetected(path, tmp_path / "b.isth", range(start, start + 15)))


def test_bits_of_a_large_archive(tmp_path: Path) -> None:
    random_, path = random.Random(0), tmp_path / "a.isth"
    payloads = [random_.randbytes(random_.randrange(1, 20_000)) for _ in range(100)]
    model = random_.randbytes(100_000)
    with ArchiveWriter(path, HEADER, sections={"model": model}) as out:
        for payload in payloads:
            out.add("raw", 10, payload)
        out.close()
    with Archive(path) as archive:
        blocks = archive.blocks
    data = path.read_bytes()
    n_lost = n_refused = 0
    with path.open("r+b", buffering=0) as file:
        for _ in range(5000):
            place = random_.randrange(len(data))
            file.seek(place)
            file.write(bytes([data[place] ^ 1 << random_.randrange(8)]))
            with Archive(path) as archive:
                assert archive.blocks == blocks
                under = next(
                    (n for n, b in enumerate(blocks) if 0 <= place - b.offset < HEAD.size + b.n_bytes), None
                )
                for number in {under or 0, random_.randrange(100)}:
                    try:
                        assert archive.read(number) == payloads[number]
                    except ArtifactError as error:
                        n_lost += number == under and f"block {number} with rows {10 * number}:" in str(error)
                        n_refused += 1
                        continue
                    assert number != under or place - blocks[number].offset < HEAD.size - 16
                if place < blocks[0].offset:
                    assert archive.header == HEADER
                    assert archive.section("model") == model
                    assert archive.check()
                elif under is None:
                    assert archive.damage
            file.seek(place)
            file.write(data[place : place + 1])
    assert n_lost == n_refused > 4000
    assert path.read_bytes() == data


def test_a_file_cut_at_any_byte_keeps_its_whole_blocks(path: Path, tmp_path: Path) -> None:
    data, cut = path.read_bytes(), tmp_path / "b.isth"
    with Archive(path) as archive:
        ends = [block.offset + HEAD.size + block.n_bytes for block in archive.blocks]
        begin, n_guard = archive.sizes.header, frames.guard_size(archive._parts[0][1].n_bytes)
    for n_bytes in range(len(data)):
        cut.write_bytes(data[:n_bytes])
        if n_bytes < begin - n_guard:
            assert "expected an archive" in refusal(cut)
            continue
        archive = Archive(cut)
        with archive:
            assert archive.header == HEADER
            whole = sum(end <= n_bytes for end in ends)
            assert truth(archive) == [payload for _, _, payload in ROWS[:whole]]
            assert len(archive.blocks) == whole
            assert "index is damaged or missing" in archive.damage[0] or "end is damaged" in archive.damage[0]
            for name in archive.sections:
                assert archive.section(name) == SECTIONS[name]
            if "model" not in archive.sections:
                with pytest.raises(ArtifactError, match="'model' was not found again"):
                    archive.section("model")


def test_what_was_appended_is_told(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")
    with Archive(path) as archive:
        assert len(truth(archive)) == len(ROWS)
        assert archive.footer == FOOTER
        assert "end is damaged" in archive.damage[0]
        assert archive.sizes.total == path.stat().st_size


def blotted(path: Path, *places: tuple[int, int]) -> None:
    data = bytearray(path.read_bytes())
    for start, stop in places:
        data[start:stop] = bytes(stop - start)
    path.write_bytes(data)


def test_blocks_are_found_behind_a_lost_one_without_the_index(path: Path) -> None:
    with Archive(path) as archive:
        blocks, end = archive.blocks, path.stat().st_size
    blotted(path, (blocks[1].offset, blocks[3].offset), (end - 70, end))
    with Archive(path) as archive:
        assert [(b.codec, b.first_row, b.n_rows) for b in archive.blocks] == [
            ("raw", 0, 3),
            ("", 3, 5),
            ("raw", 8, 2),
        ]
        assert truth(archive) == [ROWS[0][2], ROWS[3][2]]
        assert list(archive.blocks_of(4, 9)) == [1, 2]
        assert any("block 1 with rows 3:8 is damaged" in text for text in archive.damage)
        assert archive.sizes.total == path.stat().st_size
        assert archive.sizes.lost > 0
    assert [(f.name, f.first_row) for f in slow_reader.scan(path) if f.mark == "ROW"] == [
        ("raw", 0),
        ("raw", 8),
    ]


def test_an_index_without_its_foot_names_what_is_lost(path: Path) -> None:
    with Archive(path) as archive:
        blocks, end = archive.blocks, path.stat().st_size
    blotted(path, (blocks[1].offset, blocks[3].offset), (end - FOOT.size, end))
    with Archive(path) as archive:
        assert archive.blocks == blocks
        assert truth(archive) == [ROWS[0][2], ROWS[3][2]]
        assert archive.footer == FOOTER


def test_an_archive_within_another_is_not_taken_for_it(path: Path, tmp_path: Path) -> None:
    inner, outer = path.read_bytes(), tmp_path / "outer.isth"
    with ArchiveWriter(outer, {"kind": "files"}) as out:
        for n_rows, payload in ((1, b"first"), (10, inner), (1, b"last")):
            out.add("raw", n_rows, payload)
        out.close()
    with Archive(outer) as archive:
        blocks = archive.blocks
    blotted(
        outer, (blocks[1].offset, blocks[1].offset + 60), (outer.stat().st_size - 200, outer.stat().st_size)
    )
    with Archive(outer) as archive:
        assert [(b.codec, b.rows) for b in archive.blocks] == [("raw", "0:1"), ("", "1:11"), ("raw", "11:12")]


@pytest.mark.parametrize("n_bytes", [1, 100, 4095, 4096, 4097, 8192, 10_000])
def test_a_guard_mends_any_part(n_bytes: int) -> None:
    content = random.Random(n_bytes).randbytes(n_bytes)
    guard = frames.guard_of(content)
    assert guard == slow_reader.guard(content)
    assert len(guard) == frames.guard_size(n_bytes)
    for start in range(0, n_bytes, 4096):
        part = content[start : start + 4096]
        damaged = content[:start] + bytes(255 - byte for byte in part) + content[start + 4096 :]
        assert frames.mended(damaged, guard) == content == slow_reader.mend(damaged, guard)


def test_a_guard_mends_no_more_than_one_part() -> None:
    content = random.Random(0).randbytes(10_000)
    damaged = bytearray(content)
    damaged[0] ^= 1
    damaged[5000] ^= 1
    assert frames.mended(bytes(damaged), frames.guard_of(content)) is None


@pytest.mark.parametrize("n_guard", [0, 3, 4])
def test_half_a_guard_mends_nothing(n_guard: int) -> None:
    assert frames.mended(b"content", frames.guard_of(b"contents")[:n_guard]) is None


def test_a_section_damaged_twice_is_lost_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.isth"
    with ArchiveWriter(path, HEADER, sections={"model": bytes(10_000), "tables": b"t"}) as out:
        out.add("raw", 1, b"x")
        out.close()
    with Archive(path) as archive:
        start = archive.sizes.header + HEAD.size
    data = bytearray(path.read_bytes())
    data[start] ^= 1
    data[start + 5000] ^= 1
    path.write_bytes(data)
    with Archive(path) as archive:
        with pytest.raises(ArtifactError, match="section 'model' is damaged, and nothing"):
            archive.section("model")
        assert archive.section("tables") == b"t"
        assert archive.read(0) == b"x"
        (told,) = archive.check()
        assert "section 'model'" in told


# -------------------------------------------------------------------- files of strangers


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.isth"
    assert "No such file" in refusal(path)
    assert "no regular file" in refusal(tmp_path)
    for data in (b"", b"\x89PNG\r\n\x1a\n" + bytes(500), bytes(5000), b"\x89IST\r\n"):
        path.write_bytes(data)
        assert "got a file that begins otherwise" in refusal(path)
    path.write_bytes(b"\x89IST\r\n\x1a\n\1\0\0\0")
    assert "header is damaged" in refusal(path)


def test_a_disk_that_fails_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(frames.Scan, "_read", broken)
    assert "cannot be read: Input/output error" in refusal(path)
    monkeypatch.undo()
    archive = Archive(path)
    archive.close()
    with pytest.raises(ArtifactError, match="cannot be read: seek of closed file"):
        archive.read(0)


def test_a_format_to_come_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    with Archive(path) as archive:  # a turned bit: the foot says 1
        assert "first bytes are damaged" in archive.damage[0]
    path.write_bytes(data[:-1])
    assert "is of archive format 2, and this isthmus" in refusal(path)
    for module in (frames, writer):
        monkeypatch.setattr(module, "FORMAT", 2)
    write(path, overwrite=True)
    assert "is of archive format 2" in refusal(path)


def made(path: Path, index: bytes, *, n_header: int | None = None, header: bytes = b"\0{}") -> None:
    """An archive of one block whose index, or header, is of a stranger's making, under true digests."""
    head = Frame(frames.HEADER, "header", len(header) if n_header is None else n_header)
    first, id_ = frames.frame_bytes(head, header, frames.NO_ID)
    row, _ = frames.frame_bytes(Frame(frames.ROWS, "raw", 5, 0, 2), b"hello", id_)
    begin = frames.START.pack(frames.MAGIC, 1) + first + row
    last, _ = frames.frame_bytes(Frame(frames.INDEX, "index", len(index)), index, id_)
    path.write_bytes(begin + last + frames.foot_bytes(len(begin), len(begin + last) + FOOT.size, id_))


def hostile() -> dict[str, bytes]:
    """Indexes of strangers; all are left aside, and the blocks found without them."""
    _, id_ = frames.frame_bytes(Frame(frames.HEADER, "header", 3), b"\0{}", frames.NO_ID)
    true = {"blocks": 1, "codecs": ["raw"], "footer": {}, "parts": [["header", 3, id_.hex()]]}
    columns = struct.pack("<IQB", 2, 5, 0)

    def index(columns: bytes = columns, **other: Any) -> bytes:
        words = json.dumps({**true, **other}).encode()
        return b"\0" + struct.pack("<I", len(words)) + words + columns

    return {
        "nothing": b"",
        "no method": b"\x09abc",
        "bomb": b"\3\xff\xff\xff\x7f" + bz2.compress(bytes(10**7)),
        "no length": b"\0ab",
        "long words": b"\0" + struct.pack("<I", 2**32 - 1) + b"{}",
        "no JSON": b"\0" + struct.pack("<I", 2) + b"{]",
        "a list": b"\0" + struct.pack("<I", 2) + b"[]",
        "deep": b"\0" + struct.pack("<I", 50_000) + b"[" * 50_000,
        "no bytes of text": b"\0" + struct.pack("<I", 2) + b"\xff\xff",
        "twice": b"\0" + struct.pack("<I", 15) + b'{"a":1,"a":2}  ',
        "many blocks": index(blocks=2**60),
        "negative": index(blocks=-1),
        "no whole number": index(blocks=1.0),
        "true": index(blocks=True, codecs=["raw"]) + b"x",
        "huge block": index(struct.pack("<IQB", 2, 2**64 - 1, 0)),
        "no rows": index(struct.pack("<IQB", 0, 5, 0)),
        "codec out of range": index(struct.pack("<IQB", 2, 5, 1)),
        "codec without a name": index(codecs=[""]),
        "codec with an escape": index(codecs=["\x1b[2J"]),
        "codec a number": index(codecs=[7]),
        "no parts": index(parts=[]),
        "other header": index(parts=[["header", 4, id_.hex()]]),
        "other id": index(parts=[["header", 3, "00" * 16]]),
        "short digest": index(parts=[["header", 3, "00"]]),
        "huge header": index(parts=[["header", 2**80, id_.hex()]]),
        "negative header": index(parts=[["header", -3, id_.hex()]]),
        "parts are words": index(parts=["abc", "def"]),
        "footer is a list": index(footer=[]),
        "not a number": index(footer={"a": float("nan")}),
        "blocks missing": index(b"", blocks=0),
    }


@pytest.mark.parametrize("which", hostile())
def test_a_hostile_index_is_left_aside(which: str, tmp_path: Path) -> None:
    path = tmp_path / "a.isth"
    made(path, hostile()[which])
    with Archive(path) as archive:
        assert archive.read(0) == b"hello"
        assert archive.damage
        assert archive.footer == {}


def test_a_true_index_of_the_same_making_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.isth"
    made(path, b"")
    with Archive(path) as archive:
        part, blocks = archive._parts[0][1], archive.blocks
    made(path, index_bytes([part], blocks, {"a": 1}))
    with Archive(path) as archive:
        assert archive.footer == {"a": 1}
        assert archive.check() == ()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\0",
        b"\0[]",
        b"\0{",
        b'\0{"a":NaN}',
        b'\0{"a":1,"a":1}',
        b"\0" + b"[" * 50_000,
        b"\0\xff",
        b"\x07{}",
        b'\0{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_hostile_header_is_refused(header: bytes, tmp_path: Path) -> None:
    made(tmp_path / "a.isth", b"", header=header)
    assert "expected an archive with a header" in refusal(tmp_path / "a.isth")


@pytest.mark.parametrize("n_header", [2**63, 2**40, 10**8])
def test_a_header_without_end_is_refused(n_header: int, tmp_path: Path) -> None:
    path = tmp_path / "a.isth"
    made(path, b"", n_header=n_header)
    with path.open("r+b") as file:
        file.truncate(10**9)  # a hole: no such bytes are on the disk
    tracemalloc.start()
    try:
        assert "header is damaged" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_a_header_damaged_and_cut_is_refused(path: Path) -> None:
    with Archive(path) as archive:
        end = archive.sizes.header
    data = bytearray(path.read_bytes()[: end - 1])
    data[12 + HEAD.size] ^= 1
    path.write_bytes(data)
    assert "header is damaged" in refusal(path)


def test_rows_that_stand_twice_are_taken_once(path: Path) -> None:
    with Archive(path) as archive:
        id_, begin = archive._id, archive.blocks[0].offset
    rows = [(0, 4, b"abcd"), (2, 2, b"xy"), (4, 1, b"e"), (0, 9, b"z")]
    heads = [(Frame(frames.ROWS, "raw", len(payload), first, n), payload) for first, n, payload in rows]
    path.write_bytes(path.read_bytes()[:begin] + b"".join(frames.frame_bytes(*one, id_)[0] for one in heads))
    with Archive(path) as archive:
        assert [(block.rows, archive.read(n)) for n, block in enumerate(archive.blocks)] == [
            ("0:4", b"abcd"),
            ("4:5", b"e"),
        ]


def test_heads_that_claim_much_cost_little_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive(path) as archive:
        begin, id_ = archive.blocks[0].offset, archive._id
    data = path.read_bytes()[:begin]
    n_heads = 4000
    for number in range(n_heads):
        rest = (n_heads - number - 1) * HEAD.size
        data += Frame(frames.ROWS, "raw", rest, 0, 1).stated() + bytes(16)
    path.write_bytes(data)
    with path.open("rb") as file:
        scan = frames.Scan(file, begin, len(data), id_)
        assert list(scan.frames(beyond=True)) == []
    assert scan.n_bytes_read < 17 * len(data) + 2**20
    with Archive(path) as archive:
        assert archive.blocks == ()


# -------------------------------------------------------------------- writing


def test_a_place_that_is_taken_stays_as_it_is(path: Path) -> None:
    data = path.read_bytes()
    with pytest.raises(OutputError, match="is there already"):
        ArchiveWriter(path, HEADER)
    with pytest.raises(OutputError, match="is there already"):
        ArchiveWriter(path, HEADER, sections=SECTIONS, resume=True)
    assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]
    with ArchiveWriter(path, {}, overwrite=True) as out:
        assert path.read_bytes() == data
        out.close()
    with Archive(path) as archive:
        assert archive.header == {}


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.isth"
    with ArchiveWriter(path, HEADER) as out:
        path.write_bytes(b"mine")
        with pytest.raises(OutputError, match="is there already"):
            out.close()
    assert path.read_bytes() == b"mine"
    assert out.part.exists()


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        ArchiveWriter(tmp_path, HEADER, overwrite=True)
    with pytest.raises(OutputError, match=r"a.isth.part: cannot be written: No such file"):
        ArchiveWriter(tmp_path / "none" / "a.isth", HEADER)
    with pytest.raises(OutputError, match="cannot be written: embedded null"):
        ArchiveWriter(tmp_path / "a\0", HEADER)


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.isth", HEADER) as out:
        out.add("raw", 1, b"x")
        for choices in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match="another process writes it"):
                ArchiveWriter(tmp_path / "a.isth", HEADER, **choices)
        with pytest.raises(OutputError, match="is there from a writer that did not end"):
            ArchiveWriter(tmp_path / "a.isth", HEADER)
        out.close()
    with Archive(tmp_path / "a.isth") as archive:
        assert archive.read(0) == b"x"


@pytest.mark.parametrize("name", ["", "thirteen-long", "two words", "é", "a\0"])
def test_names_are_short_and_plain(name: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="expected a section of 1 to 12 letters of ASCII"):
        ArchiveWriter(tmp_path / "a.isth", HEADER, sections={name: b""})
    assert list(tmp_path.iterdir()) == []
    with ArchiveWriter(tmp_path / "a.isth", HEADER) as out:
        with pytest.raises(ParameterError, match="expected a codec of 1 to 12 letters of ASCII"):
            out.add(name, 1, b"")
        for n_rows in (0, -1, 2**32):
            with pytest.raises(ParameterError, match="must have 1 to 4,294,967,295 rows"):
                out.add("raw", n_rows, b"")
        out.close()


@pytest.mark.parametrize(
    "header",
    [{"a": float("nan")}, {"a": b""}, {1: "a"}, {"a": (1, 2)}, {"a": "\ud800"}, {"a": "x" * (16 * 2**20)}],
)
def test_what_json_cannot_hold_is_refused(header: dict[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its header cannot be written"):
        ArchiveWriter(tmp_path / "a.isth", header)
    assert list(tmp_path.iterdir()) == []
    with ArchiveWriter(tmp_path / "a.isth", {}) as out:
        with pytest.raises(OutputError, match="its footer cannot be written"):
            out.close(header)
        out.close()
    with Archive(tmp_path / "a.isth") as archive:
        assert archive.check() == ()


def test_a_closed_writer_takes_no_more(tmp_path: Path) -> None:
    out = write(tmp_path / "a.isth")
    with pytest.raises(OutputError, match="nothing can be added, it is closed"):
        out.add("raw", 1, b"")


def test_no_more_codecs_and_blocks_than_an_index_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_CODECS", 1)
    monkeypatch.setattr(writer, "MOST_BLOCKS", 2)
    with ArchiveWriter(tmp_path / "a.isth", {}) as out:
        out.add("raw", 1, b"")
        with pytest.raises(OutputError, match="has 1 codecs already"):
            out.add("other", 1, b"")
        out.add("raw", 1, b"")
        with pytest.raises(OutputError, match="has 2 blocks already"):
            out.add("raw", 1, b"")
        out.close()
    with Archive(tmp_path / "a.isth") as archive:
        assert archive.check() == ()


# -------------------------------------------------------------------- killed writers


def test_resuming_after_any_byte_ends_in_the_same_file(path: Path, tmp_path: Path) -> None:
    data, other = path.read_bytes(), tmp_path / "b.isth"
    part = tmp_path / "b.isth.part"
    for n_bytes in range(len(data) + 1):
        part.write_bytes(data[:n_bytes])
        with ArchiveWriter(other, HEADER, sections=SECTIONS, resume=True) as out:
            assert out.n_rows == sum(row[0] for row in ROWS[: out.n_blocks])
            assert out.n_bytes == part.stat().st_size
        write(other, resume=True)
        assert other.read_bytes() == data
        other.unlink()


def test_rubbish_at_the_end_is_cut_off(path: Path, tmp_path: Path) -> None:
    with Archive(path) as archive:
        end = archive.blocks[1].offset
    for rubbish in (bytes(100), path.read_bytes()[end:][::-1], path.read_bytes()[archive.blocks[2].offset :]):
        (tmp_path / "b.isth.part").write_bytes(path.read_bytes()[:end] + rubbish)
        write(tmp_path / "b.isth", resume=True)
        assert (tmp_path / "b.isth").read_bytes() == path.read_bytes()
        (tmp_path / "b.isth").unlink()


def test_another_beginning_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.isth"
    with ArchiveWriter(path, HEADER, sections=SECTIONS) as out:
        out.add("raw", 1, b"x")
    data = out.part.read_bytes()
    for header, sections in (({}, SECTIONS), (HEADER, {}), (HEADER, {**SECTIONS, "tables": b"x"})):
        with pytest.raises(
            OutputError, match="was begun from other data, with other settings or another model"
        ):
            ArchiveWriter(path, header, sections=sections, resume=True)
    assert out.part.read_bytes() == data


def test_an_exception_leaves_the_part(tmp_path: Path) -> None:
    path = tmp_path / "a.isth"
    with pytest.raises(KeyError), ArchiveWriter(path, HEADER, sections=SECTIONS) as out:  # noqa: PT012
        out.add("raw", 3, ROWS[0][2])
        raise KeyError
    assert not path.exists()
    with Archive(out.part) as archive:
        assert archive.read(0) == ROWS[0][2]
        assert archive.damage
    assert write(path, resume=True).n_rows == 10


def test_a_full_disk_is_told_and_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write_ = tmp_path / "a.isth", writer._write

    def full(file: Any, data: bytes) -> None:
        write_(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with ArchiveWriter(path, HEADER, sections=SECTIONS) as out:
        out.add("raw", 3, ROWS[0][2])
        monkeypatch.setattr(writer, "_write", full)
        with pytest.raises(OutputError, match=r"a\.isth\.part: cannot be written: No space left on device"):
            out.add("zstd", 1, b"")
        monkeypatch.undo()
        with pytest.raises(OutputError, match="after a block that could not be written"):
            out.add("zstd", 1, b"")
        with pytest.raises(OutputError, match="after a block that could not be written"):
            out.close()
    assert not path.exists()
    write(path, resume=True)
    assert slow_reader.SlowArchive(path).blocks[1][1:3] == (3, 1)


KILLED = -signal.SIGKILL


def killed_at(n: int, path: Path, *, resume: bool) -> int:
    """Write in a process of its own that is killed before its ``n``-th call of a function of C; how it ended."""
    process = os.fork()
    if process == 0:
        left = [n]

        def count(frame: object, event: str, function: object) -> None:
            if event == "c_call":
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.setprofile(count)
            write(path, resume=resume)
            status = 0
        finally:
            sys.setprofile(None)
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed as Unix does it")
def test_a_writer_killed_anywhere_is_gone_on_from(path: Path, tmp_path: Path) -> None:
    whole, other, n, n_killed = path.read_bytes(), tmp_path / "b.isth", 0, 0
    np.zeros(1)
    while True:
        n += 7
        status = killed_at(n, other, resume=False)
        assert not other.exists() or other.read_bytes() == whole
        if status != KILLED:
            break
        n_killed += 1
        if not other.exists():
            assert killed_at(n // 2, other, resume=True) in (0, KILLED)
        if not other.exists():
            write(other, resume=True)
        assert other.read_bytes() == whole
        other.unlink()
    assert status == 0
    assert n_killed > 20


def test_blocks_are_synced_before_they_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "a.isth", list[int]()
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_size))
    with ArchiveWriter(path, HEADER) as out:
        for payload in (b"a", b"bc"):
            out.add("raw", 1, payload)
            assert synced[-1] == out.n_bytes == out.part.stat().st_size
        out.close()
        assert path.stat().st_size in synced

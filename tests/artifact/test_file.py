"""The bytes of a model file: canonical, checked whole, written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save

from isthmus.artifact import file
from isthmus.artifact.file import FORMAT, KEY, from_bytes, read, to_bytes, write_atomically
from isthmus.errors import ArtifactError, OutputError

DTYPES = ("float64", "float32", "float16", "int64", "uint8", "bool")
TENSORS = st.dictionaries(
    st.text("abc.0ü", min_size=1, max_size=6),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0, max_side=4))
    ),
    max_size=4,
)
DOCUMENTS = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(1 - 2**64, 2**64 - 1)
        | st.floats(allow_nan=False)
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
SMALL = to_bytes(
    {"a": [1, 2.5, "ü"], "b": {"c": None}}, {"w": np.arange(6.0).reshape(2, 3), "v": np.ones(1, "f4")}
)


def refused(data: bytes, match: str = "m") -> str:
    """The one line that ``data`` is refused with."""
    with pytest.raises(ArtifactError, match=match) as caught:
        from_bytes(data, "m.safetensors")
    message = str(caught.value)
    assert message.startswith("m.safetensors: ")
    assert "\n" not in message
    return message


def forged(header: dict[str, Any] | str | bytes, body: bytes = b"") -> bytes:
    """Bytes with a header of one's own."""
    text = json.dumps(header) if isinstance(header, dict) else header
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw + body


def enveloped(**changes: Any) -> bytes:
    """A file of no tensors whose envelope was changed."""
    envelope = {"format": FORMAT, "digest": file._digest({}, {}), "document": {}, **changes}
    return save({}, metadata={KEY: json.dumps(envelope)})


@given(DOCUMENTS, TENSORS)
def test_what_was_written_is_read(document: dict[str, Any], tensors: file.Tensors) -> None:
    data = to_bytes(document, tensors)
    found, arrays_found = from_bytes(data, "m")
    assert found == document
    assert arrays_found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert (arrays_found[name].dtype, arrays_found[name].shape) == (value.dtype, value.shape)
        assert arrays_found[name].tobytes() == value.tobytes()
    backwards = to_bytes(dict(reversed(document.items())), dict(reversed(tensors.items())))
    assert backwards == data == to_bytes(found, arrays_found)


def test_layout_in_memory_does_not_matter() -> None:
    values = np.arange(12.0).reshape(3, 4)
    assert to_bytes({}, {"w": np.asfortranarray(values)}) == to_bytes({}, {"w": values})
    assert to_bytes({}, {"w": np.repeat(values, 2, axis=1)[:, ::2]}) == to_bytes({}, {"w": values})


def test_every_truncation_is_refused() -> None:
    for length in range(len(SMALL)):
        refused(SMALL[:length])
    refused(SMALL + b"\0")


def test_every_bit_of_every_byte_counts() -> None:
    document, tensors = from_bytes(SMALL, "m")
    for position in range(len(SMALL)):
        for bit in range(8):
            data = bytearray(SMALL)
            data[position] ^= 1 << bit
            try:
                found, arrays_found = from_bytes(bytes(data), "m")
            except ArtifactError as error:
                lines = str(error).splitlines()
            else:
                lines = []
            if lines:
                assert len(lines) == 1
                continue
            # Only another spelling of the same contents may pass: \u00fc and \u00FC.
            assert found == document
            assert chr(data[position]).lower() == chr(SMALL[position]).lower()
            assert all(np.array_equal(arrays_found[name], value) for name, value in tensors.items())


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    refused(data)


@given(st.binary(max_size=120))
def test_random_headers_are_refused(header: bytes) -> None:
    refused(forged(header))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 0),
        save({"w": np.ones(3, np.float32)}),
        save({"w": np.ones(3, np.float32)}, metadata={"format": "pt"}),
        save({}, metadata={KEY: "[]"}),
        save({}, metadata={KEY: "1"}),
        save({}, metadata={KEY: "{"}),
        save({}, metadata={KEY: "[" * 100_000 + "]" * 100_000}),
        save({}, metadata={KEY: '{"a":' * 100_000 + "1" + "}" * 100_000}),
        save({}, metadata={KEY: '{"format": ' + "1" * 5000 + "}"}),
        forged("[" * 200_000),
        forged('{"a":' * 200_000),
        forged("[]"),
        forged("null"),
        forged({"__metadata__": []}),
        forged({"__metadata__": {KEY: 3}}),
        forged('{"a": 1}'.encode("utf-16")),
        b"\x80\x04\x95" + b"x" * 100,
        b"PK\x03\x04" + b"\0" * 100,
    ],
    ids=[str(number) for number in range(21)],
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    assert "'isthmus fit' wrote" in refused(data, "expected a model written by isthmus")


def test_nesting_that_can_be_read_but_not_written_is_refused() -> None:
    for depth in (300, 500, 900, 990, 2_000, 20_000, 60_000):
        envelope = '{"format": 1, "digest": "0", "document": {"a": ' + "[" * depth + "]" * depth + "}}"
        refused(save({}, metadata={KEY: envelope}))


def test_a_key_may_not_stand_twice() -> None:
    envelope = json.dumps({"format": FORMAT, "digest": file._digest({}, {}), "document": {}})
    assert from_bytes(save({}, metadata={KEY: envelope}), "m") == ({}, {})
    refused(save({}, metadata={KEY: envelope[:-1] + ', "document": {}}'}))
    inner = json.dumps(envelope)
    refused(forged(f'{{"__metadata__": {{"{KEY}": {inner}, "{KEY}": {inner}}}}}'))
    refused(forged(f'{{"__metadata__": {{"{KEY}": "{{}}"}}, "__metadata__": {{"{KEY}": {inner}}}}}'))


def test_tensors_that_the_header_misdescribes_are_refused() -> None:
    envelope = json.dumps({"format": FORMAT, "digest": "0", "document": {}})
    for dtype, shape, ends in (
        ("F32", [2], [0, 4]),
        ("F32", [1], [0, 8]),
        ("F32", [2**62], [0, 8]),
        ("F32", [2**40, 2**40], [0, 8]),
        ("F32", [2], [8, 0]),
        ("F32", [-2], [0, 8]),
        ("BF16", [4], [0, 8]),
        ("F8_E4M3", [8], [0, 8]),
        ("OBJECT", [1], [0, 8]),
    ):
        entry = {"dtype": dtype, "shape": shape, "data_offsets": ends}
        refused(forged({"__metadata__": {KEY: envelope}, "w": entry}, b"\0" * 8))


@pytest.mark.parametrize("number", [FORMAT + 1, 99, 10**30])
def test_a_newer_format_says_which_isthmus_reads(number: int) -> None:
    message = refused(
        enveloped(format=number), f"is of model format {number}, and this isthmus reads up to {FORMAT}"
    )
    assert "newer isthmus" in message


@pytest.mark.parametrize("number", [0, -1, None, True, 1.0, "1", [], {}])
def test_what_is_no_format_is_refused(number: object) -> None:
    refused(enveloped(format=number), "its format is")


@pytest.mark.parametrize(
    "change", [{"digest": "0" * 64}, {"digest": None}, {"document": []}, {"document": {"a": 1}}]
)
def test_contents_that_the_digest_is_not_of_are_refused(change: dict[str, Any]) -> None:
    assert from_bytes(enveloped(), "m") == ({}, {})
    refused(enveloped(**change), "its digest does not match its contents")


def test_the_digest_knows_types_shapes_and_names() -> None:
    value = np.zeros(4, np.float32)
    others = [
        {"w": value.reshape(2, 2)},
        {"v": value},
        {"w": np.zeros(4, np.int32)},
        {"w": value, "v": value[:0]},
    ]
    digests = {file._digest({}, tensors) for tensors in ({"w": value}, *others)}
    assert len(digests) == 5


# ------------------------------------------------------------------ writing


def test_written_bytes_are_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_atomically(b"old", path)
    write_atomically(SMALL, path)
    assert read(path) == SMALL
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask to speak of")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_what_the_umask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(b"new", tmp_path / "m")
    finally:
        assert os.umask(before) == mask
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o666 & ~mask


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("at", ["fsync", "replace", "write"])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    path = tmp_path / "m.safetensors"
    write_atomically(b"old", path)
    if at == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif at == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        opened = Path.open
        monkeypatch.setattr(Path, "open", lambda path, mode: Full(opened(path, mode)))
    with pytest.raises(OutputError, match="cannot be written: No space left on device") as caught:
        write_atomically(b"new", path)
    assert str(caught.value).startswith(f"{path}: ")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class Full:
    """A file on a disk that fills up half way."""

    def __init__(self, opened: Any) -> None:
        self.file = opened

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> int:
        self.file.write(data[: len(data) // 2])
        return full()


def test_an_interruption_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "m.safetensors"
    write_atomically(b"old", path)
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _parent_is_a_file(folder: Path) -> Path:
    (folder / "file").write_bytes(b"old")
    return folder / "file" / "m"


def _is_a_folder(folder: Path) -> Path:
    (folder / "m" / "inside").mkdir(parents=True)
    return folder / "m"


@pytest.mark.parametrize(
    "place",
    [
        _parent_is_a_file,
        _is_a_folder,
        lambda folder: folder / ("x" * 300),
        lambda folder: folder / "missing" / "m",
        lambda folder: folder / "nul\0byte",
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    path = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=r"cannot be written: .+\. Nothing was changed") as caught:
        write_atomically(b"new", path)
    assert "\n" not in str(caught.value)
    assert "None" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_is_read_only_where_its_header_fits_its_size(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    for data in (b"", SMALL[:5], SMALL[:100], SMALL[:-1], SMALL + b"\0", b"PK\3\4" * 100,
                 struct.pack("<Q", 2**62) + b"{}", forged("[]"), forged("[" * 9000), forged({"w": 1}),
                 forged({"w": {**entry, "data_offsets": [0, True]}}, b"\0"),
                 forged({"w": {**entry, "data_offsets": [0, 2**50]}}, b"\0" * 4)):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match=r"expected a model written by isthmus") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    path.unlink()
    with path.open("wb") as sparse:
        sparse.truncate(2**36)
    with pytest.raises(ArtifactError, match="its header"):
        read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    with pytest.raises(ArtifactError, match="no regular file"):
        read(tmp_path / "m.safetensors")


def test_a_header_that_could_not_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "LARGEST_HEADER", 1000)
    with pytest.raises(OutputError, match=r"more than the 1,000 .*\. Fit fewer epochs"):
        to_bytes({"epochs": [0] * 1000}, {})


def test_the_longest_name_that_a_folder_takes_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write_atomically(b"new", path)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["nul\0byte", "missing", "", "x" * 300])
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"cannot be read: .+\. Give a model file") as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)

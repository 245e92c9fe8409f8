"""Archives that were made once are read for ever: by isthmus, and by the slow reader that its page describes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import isthmus
from isthmus.codec.container import Archive
from isthmus.workflows.compress import CODERS

torch.set_num_threads(1)
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "scripts"), str(HERE.parent / "codec")]

import golden_archives  # noqa: E402
import slow_contents  # noqa: E402

GOLDEN = golden_archives.digests()


def golden(name: str) -> Path:
    return golden_archives.PLACE / f"{name}.isth"


def is_held(found: Any, path: Path) -> bool:
    """Whether what the slow reader found is what a file or folder holds."""
    if isinstance(found, bytes):
        return [found] == golden_archives.held(path)
    if isinstance(found, pa.Table):
        return golden_archives.table_bytes(found) == golden_archives.held(path)
    if isinstance(found, tuple):  # the samples of a FLAC file, and its blocks
        import soundfile

        return np.array_equal(found[0], soundfile.read(path, dtype="int16", always_2d=True)[0])
    if path.suffix == ".npz":
        return [
            part for name, data in found.items() for part in (name.encode(), data)
        ] == golden_archives.held(path)
    places = {place.relative_to(path).as_posix(): place for place in path.rglob("*")}
    files = {name: place for name, place in places.items() if place.is_file() or not any(place.iterdir())}
    return found.keys() == files.keys() and all(
        place.is_dir() if found[name] is None else is_file(found[name], place)
        for name, place in files.items()
    )


def is_file(found: Any, path: Path) -> bool:
    if path.suffix != ".png":
        return is_held(found, path)
    own = path.with_suffix(".own.png")
    own.write_bytes(found)
    return golden_archives.held(own) == golden_archives.held(path)


@pytest.mark.parametrize("name", GOLDEN)
def test_an_archive_is_read_as_when_it_was_made(name: str, tmp_path: Path) -> None:
    found = golden_archives.read(golden(name), tmp_path)
    assert golden_archives.digest(found) == GOLDEN[name]
    assert golden(name).stat().st_size <= golden_archives.LARGEST


@pytest.mark.parametrize("name", GOLDEN)
def test_the_slow_reader_reads_the_same(name: str, tmp_path: Path) -> None:
    assert is_held(
        slow_contents.read(golden(name), golden_archives.model_of(golden(name))),
        golden_archives.read(golden(name), tmp_path),
    )


@pytest.mark.parametrize("name", golden_archives.ARCHIVES)
def test_what_is_written_now_is_read_by_the_slow_reader(name: str, tmp_path: Path) -> None:
    """With the models of the golden archives, for fitting some takes seconds."""
    source, path = golden_archives.write(name, tmp_path, golden_archives.coder_of(golden(name)))
    found = slow_contents.read(path, golden_archives.model_of(path))
    with Archive(path) as archive:
        assert {block.codec for block in archive.blocks} <= {archive.header["coder"] or "plain"}
        is_exact = archive.header["bounds"] is None and archive.header["coder"] != "preview"
    if isinstance(source, np.ndarray):
        np.save(tmp_path / "source.npy", source)
        source = tmp_path / "source.npy"
    (tmp_path / "again").mkdir()
    back = golden_archives.read(path, tmp_path / "again")
    assert is_held(found, back)
    assert is_held(found, source) == is_exact


def test_every_codec_has_a_golden_archive() -> None:
    coded, kinds = set[str](), set[str]()
    for name in GOLDEN:
        with Archive(golden(name)) as archive:
            coded |= {block.codec for block in archive.blocks}
            kinds.add(archive.header["content"]["kind"])
    assert coded == {"plain", *CODERS}
    assert kinds == set(slow_contents.CONTENTS)
    assert set(golden_archives.ARCHIVES) <= set(GOLDEN)
    assert {path.stem for path in golden_archives.PLACE.glob("*.isth")} == set(GOLDEN)


@pytest.mark.parametrize(
    "name", ["floats", "csv", "parquet", "bits-back-levels", "chain", "preview-tiles", "preview-table"]
)
def test_any_rows_are_those_of_all(name: str) -> None:
    with isthmus.open_archive(golden(name)) as rows:
        whole, n = rows[:], len(rows)
        for start, stop in ((0, 1), (n - 1, n), (n // 3, n // 3 + 60), (47, 53), (5, 5)):
            some = rows[start:stop]
            if isinstance(whole, pa.Table) and "text" in whole.column_names:
                continue
            if isinstance(whole, pa.Table):
                assert some.to_pylist() == whole.slice(start, stop - start).to_pylist()
            else:
                assert some.tobytes() == whole[start:stop].tobytes()


def test_another_value_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = golden_archives.read(golden("floats"), tmp_path)
    data = bytearray(found.read_bytes())
    data[-3] ^= 1
    found.write_bytes(data)
    assert golden_archives.digest(found) != GOLDEN["floats"]
    assert not is_held(slow_contents.read(golden("floats")), found)


def test_an_archive_is_never_made_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden_archives, "PLACE", tmp_path)
    monkeypatch.setattr(golden_archives, "DIGESTS", tmp_path / "digests.json")
    two = {name: golden_archives.ARCHIVES[name] for name in ("floats", "csv")}
    monkeypatch.setattr(golden_archives, "ARCHIVES", {"csv": two["csv"]})
    assert golden_archives.make() == ["csv"]
    before = (tmp_path / "csv.isth").read_bytes()
    monkeypatch.setattr(golden_archives, "ARCHIVES", two)
    assert golden_archives.make() == ["floats"]
    assert (tmp_path / "csv.isth").read_bytes() == before
    assert set(golden_archives.digests()) == set(two)

"""Files from strangers: every reader reads them or refuses them in one sentence, within limits of time and memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import fuzz_run
import fuzz_seeds as seeds
import fuzz_worker
import numpy as np
import pyarrow as pa
import pytest
from fuzz_readers import CORPUS, READERS, Case, Cases, Reader

from isthmus.errors import DataError, IsthmusError, SourceError
from isthmus.sources import open_source
from isthmus.sources.arrow_sizes import check_arrow, check_parquet
from isthmus.sources.folder import file_names
from isthmus.sources.limits import texts

LINUX = sys.platform.startswith("linux")
CHANGED = 30
"""Files changed by chance that each reader is tried with here; ``make fuzz`` has no end."""
HEAVY = ("png", "jpeg", "gif", "parquet", "row-groups", "codes")
"""Readers whose hostile files take seconds: those are for ``make fuzz``, but for a few that break nothing else."""


@pytest.fixture
def limits():
    """The alarm and the limit of private memory of a worker, taken back afterwards."""
    old = fuzz_worker.signal.signal(fuzz_worker.signal.SIGPROF, fuzz_worker._stop)
    limit = fuzz_worker.resource.getrlimit(fuzz_worker.resource.RLIMIT_DATA)
    most = fuzz_worker.data_bytes() + fuzz_worker.MOST_BYTES + 10**9  # for what is loaded on first use
    fuzz_worker.resource.setrlimit(fuzz_worker.resource.RLIMIT_DATA, (most, limit[1]))
    yield
    fuzz_worker.resource.setrlimit(fuzz_worker.resource.RLIMIT_DATA, limit)
    fuzz_worker.signal.signal(fuzz_worker.signal.SIGPROF, old)


@pytest.mark.skipif(not LINUX, reason="limits of private memory are Linux's")
@pytest.mark.parametrize("reader", READERS)
def test_hostile_files_are_read_or_refused(tmp_path, limits, reader):
    for name, data in READERS[reader].companions().items():
        (tmp_path / name).write_bytes(data)
    cases = Cases(reader, bombs=reader not in HEAVY)
    found = [
        (cases[at].told, fuzz_worker.tried(reader, cases[at], tmp_path))
        for at in range(cases.n_fixed + CHANGED)
    ]
    assert [(told, one) for told, one in found if one["what"] not in ("read", "refused")] == []
    assert any(one["what"] == "read" for _, one in found)


def test_the_corpus_is_of_readers():
    assert {path.name for path in CORPUS.iterdir()} <= set(READERS)


@pytest.mark.parametrize("reader", [name for name in READERS if name != "model"])
def test_real_files_are_read(tmp_path, reader):
    """A harness whose files are all refused at the door would find nothing."""
    how = READERS[reader]
    for name, data in how.companions().items():
        (tmp_path / name).write_bytes(data)
    refused = []
    for name, data in how.seeds().items():
        path = tmp_path / name
        path.write_bytes(data)
        try:
            how.read(path)
        except IsthmusError as error:
            refused.append(f"{name}: {error}")
        path.unlink()
    assert len(refused) <= {"npy": 1, "npz": 1, "row-groups": 2, "labels": 1, "pictures": 1}.get(reader, 0), (
        refused
    )


def test_a_file_has_the_same_changes_every_time():
    assert Cases("npz", 3)[100] == Cases("npz", 3)[100]
    assert Cases("npz", 3)[100] != Cases("npz", 4)[100]


# ---------------------------------------------------------------- the drill can fail


def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], None]) -> str:
    """What the worker says of a reader that misbehaves."""
    monkeypatch.setitem(READERS, "bad", Reader(read, lambda: {"x.csv": b""}, lambda random, data: data))
    monkeypatch.setattr(fuzz_worker, "MOST_SECONDS", 0.5)
    monkeypatch.setattr(fuzz_worker, "MOST_BYTES", 2 * 10**7)
    old = fuzz_worker.signal.signal(fuzz_worker.signal.SIGPROF, fuzz_worker._stop)
    try:
        return fuzz_worker.tried("bad", Case("x.csv", b"a,b\n1,2\n", ""), tmp_path)["what"]
    finally:
        fuzz_worker.signal.signal(fuzz_worker.signal.SIGPROF, old)


def _raises(error: Exception) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        raise error

    return read


def _hides_memory(path: Path) -> None:
    try:
        raise MemoryError
    except MemoryError:
        raise SourceError(f"{path}: damaged.") from None


@pytest.mark.skipif(not LINUX, reason="the peak of memory is Linux's")
def test_a_reader_that_misbehaves_is_found(tmp_path, monkeypatch):
    def what(read: Callable[[Path], None]) -> str:
        return tried(tmp_path, monkeypatch, read)

    def spins(path: Path) -> None:
        while True:
            pass

    assert what(lambda path: None) == "read"
    assert what(_raises(SourceError(f"{tmp_path / 'x.csv'}: no."))) == "refused"
    assert what(_raises(KeyError("x"))) == "error"
    assert what(_raises(SourceError("something is wrong."))) == "message"
    assert what(_raises(MemoryError())) == "memory"
    assert what(_hides_memory) == "memory"
    assert what(spins) == "hang"


@pytest.mark.skipif(not LINUX, reason="limits of private memory are Linux's")
def test_without_its_check_a_reader_is_caught(tmp_path, monkeypatch, limits):
    """The negative twin: the size of what a gzip-ed table unpacks to is not looked at."""
    case = next(Cases("csv")[at] for at in range(99) if Cases("csv")[at].name == "zeros.csv.gz")
    case = case._replace(data=case.data[: len(case.data) // 2])
    monkeypatch.setattr(fuzz_worker, "MOST_BYTES", 3 * 10**8)
    assert fuzz_worker.tried("csv", case, tmp_path)["what"] == "refused"
    monkeypatch.setattr("isthmus.sources.delimited.MOST_FREELY", 1 << 30)
    assert fuzz_worker.tried("csv", case, tmp_path)["what"] == "memory"


@pytest.mark.skipif(not LINUX, reason="signals of a crash are told so on Linux")
def test_a_crash_of_a_library_is_found_and_the_rest_goes_on(tmp_path, monkeypatch):
    worker = tmp_path / "fuzz_worker.py"
    worker.write_text(
        f"import os, sys\nsys.path.insert(0, {str(fuzz_run.HERE)!r})\nimport fuzz_readers\n"
        "from fuzz_readers import READERS, Reader\n"
        "def read(path):\n    if path.read_bytes().startswith(b'crash'):\n        os.abort()\n"
        "READERS['npy'] = Reader(read, lambda: {'a.npy': b'good', 'b.npy': b'crash', 'c.npy': b'good'},"
        " lambda r, d: d)\n"
        f"sys.argv[0] = {str(fuzz_run.HERE / 'fuzz_worker.py')!r}\n"
        "import fuzz_worker\nfuzz_worker.warmed = lambda reader: None\nfuzz_worker.main()\n"
    )
    monkeypatch.setattr(fuzz_run, "HERE", tmp_path)
    monkeypatch.setattr(
        fuzz_run, "_environment", lambda: {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    told = fuzz_run.fuzzed("npy", changed=0)
    assert told.n_files >= 3
    assert [found["what"] for found in told.findings.values()] == ["crash"]


# ---------------------------------------------------------------- what is confined


def test_links_out_of_a_folder_are_left_out(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "a", outside):
        folder.mkdir(parents=True)
    picture = seeds.png_files()["L.png"]
    (outside / "secret.png").write_bytes(picture)
    (inside / "a" / "one.png").write_bytes(picture)
    (inside / "two.png").symlink_to(inside / "a" / "one.png")
    (inside / "three.png").symlink_to(outside / "secret.png")
    (inside / "folder").symlink_to(outside)
    (inside / "nothing.png").symlink_to(tmp_path / "nothing.png")
    source = open_source(inside)
    assert source.row_names.tolist() == ["a/one.png", "two.png"]
    assert "Left out: 1 link that leads out of the folder; copy such files into it." in source.notes
    for name in ("two.png", "a/one.png"):
        (inside / name).unlink()
    with pytest.raises(SourceError, match="links that lead out of it, which are not followed"):
        open_source(inside)


def test_a_folder_that_is_a_link_itself_is_read(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "one.png").write_bytes(seeds.png_files()["L.png"])
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert len(open_source(tmp_path / "link")) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "endless.png")
    (tmp_path / "one.png").write_bytes(seeds.png_files()["L.png"])
    assert open_source(tmp_path).row_names.tolist() == ["one.png"]
    with pytest.raises(SourceError, match="got a pipe or a device"):
        open_source(tmp_path / "endless.png")


def test_folders_in_folders_without_end(tmp_path):
    here = Path.cwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1100):
            Path("a").mkdir()
            os.chdir("a")
    finally:
        os.chdir(here)
    (tmp_path / "one.png").write_bytes(seeds.png_files()["L.png"])
    try:
        assert file_names(tmp_path, (".png",)) == ["one.png"]
    finally:  # what removes old folders of tests goes down by calls of itself
        for depth in range(1100, 0, -1):
            tmp_path.joinpath(*"a" * depth).rmdir()


def test_labels_that_name_files_elsewhere_open_none(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.png").write_bytes(seeds.png_files()["L.png"])
    labels = tmp_path / "labels.csv"
    labels.write_text("../../etc/passwd,x\none.png,cat\n/etc/passwd,y\n")
    assert open_source(tmp_path / "data", labels=labels).labels.tolist() == ["cat"]


# ---------------------------------------------------------------- sizes


def test_honest_tables_pass_the_checks_of_sizes(tmp_path):
    random = np.random.default_rng(0)
    n = 50_000
    table = pa.table(
        {
            "same": np.zeros(n),
            "word": [["north", "south"][at % 2] for at in range(n)],
            "number": random.normal(size=n),
            "lists": [["a", "b"]] * n,
        }
    )
    (tmp_path / "x.parquet").write_bytes(seeds.parquet_bytes(table, compression="zstd"))
    (tmp_path / "x.arrow").write_bytes(seeds.arrow_bytes(table, compression="lz4"))
    check_parquet(tmp_path / "x.parquet")
    check_parquet(tmp_path / "x.parquet", by_group=True)
    check_arrow(tmp_path / "x.arrow")


def test_one_text_far_longer_than_the_others():
    assert texts(["a", "b" * 99], "x", "labels").dtype == "<U99"
    with pytest.raises(
        DataError, match=r"x: expected labels of about one length, got one of 100,000 characters"
    ):
        texts(["a"] * 100_000 + ["b" * 100_000], "x", "labels")


def test_a_long_message_keeps_its_beginning_and_its_end():
    text = str(SourceError("x.csv: got " + "y" * 10_000 + "; mend it."))
    assert len(text) < 2100
    assert text.startswith("x.csv: got y")
    assert text.endswith("y; mend it.")


def test_a_wide_table_of_honest_size_is_read_and_an_empty_one_is_not(tmp_path):
    names = ",".join(f"c{at}" for at in range(6000))
    path = tmp_path / "x.csv"
    path.write_text(f"{names}\n" + ",".join(["1.5"] * 6000) + "\n")
    with pytest.raises(
        DataError, match=r"expected at most 5,000 columns in a table of [0-9,]+ characters, got 6,000"
    ):
        open_source(path)
    path.write_text(f"{names}\n" + (",".join(["1.5"] * 6000) + "\n") * 20)
    assert len(open_source(path).column_names) == 6000

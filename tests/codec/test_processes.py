"""Several processes: the same results in the same order, bounded, and gone when the work is over or was stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from isthmus.codec.coding.chain_coder import ChainCoder
from isthmus.codec.coding.chain_fit import fields_of, fit_chain
from isthmus.codec.coding.fields import symbols_of
from isthmus.codec.contents import content_of
from isthmus.codec.contents.base import Content
from isthmus.codec.processes import in_order
from isthmus.codec.store import StoredRows, write_rows
from isthmus.errors import ArtifactError, OutputError, ParameterError, ProcessError
from isthmus.workflows.compress import compress, decompress

torch.set_num_threads(1)

needs_signals = pytest.mark.skipif(os.name == "nt", reason="processes end otherwise")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Processes that are started, as they are started."""
    found, start = list[subprocess.Popen[bytes]](), subprocess.Popen

    def recorded(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        found.append(start(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    return found


def test_results_come_in_order_and_jobs_are_taken_as_results_are_fetched(
    started: list[subprocess.Popen[bytes]],
) -> None:
    taken = list[str]()

    def jobs() -> Iterator[str]:
        for job in ("[3] * 300_000", "1", "2", "4", "5", "6", "7"):
            taken.append(job)
            yield job

    results = in_order(eval, jobs(), 2)
    assert next(results) == [3] * 300_000
    assert len(taken) <= 4
    assert list(results) == [1, 2, 4, 5, 6, 7]
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


def test_one_process_is_this_one(started: list[subprocess.Popen[bytes]]) -> None:
    assert list(in_order(lambda job: (job, os.getpid()), [1, 2], 1)) == [(1, os.getpid()), (2, os.getpid())]
    assert not started


def test_what_the_work_raises_is_raised_here() -> None:
    results = in_order(int, ["7", "seven", "8"], 2)
    assert next(results) == 7
    with pytest.raises(ValueError, match="seven") as caught:
        next(results)
    assert "in _tried" in caught.value.__notes__[0]


def test_a_sentence_of_isthmus_is_kept() -> None:
    from isthmus.codec.coding.coders import BlockCoding

    with pytest.raises(ArtifactError, match="archive"):
        list(in_order(BlockCoding().unpacked, [("plain", b"nothing", 3)] * 2, 2))


@needs_signals
def test_work_that_is_stopped_leaves_no_process(started: list[subprocess.Popen[bytes]]) -> None:
    begin = time.monotonic()
    with closing(in_order(time.sleep, [0, 600, 600], 2)) as results:
        next(results)
    assert time.monotonic() - begin < 60
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


@needs_signals
@pytest.mark.parametrize(
    ("work", "job", "reason"),
    [(os._exit, 3, "status 3"), (signal.raise_signal, int(signal.SIGKILL), "SIGKILL, perhaps for want of memory")],
)  # fmt: skip
def test_a_process_that_ends_is_told(work: Callable[[Any], Any], job: int, reason: str) -> None:
    with pytest.raises(ProcessError, match=f"{reason}.*--processes 1"):
        list(in_order(work, [job], 2))


def test_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(Path(__file__).parent / "nothing"))
    with pytest.raises(ProcessError, match="cannot be started"):
        list(in_order(abs, [1], 2))
    monkeypatch.setattr(sys, "executable", None)
    assert list(in_order(abs, [-1], 2)) == [1]


# ---------------------------------------------------------------- archives


N, BLOCK = 3000, 500


def table() -> pa.Table:
    chance = np.random.default_rng(0)
    a = chance.integers(0, 6, N).astype(np.uint8)
    return pa.table({"a": a, "b": a + chance.integers(0, 2, N).astype(np.uint8), "c": ["x"] * N})


@pytest.fixture(scope="module")
def content() -> Content:
    return content_of(table())


@pytest.fixture(scope="module")
def coder(content: Content) -> ChainCoder:
    block = content.block(slice(0, N))
    fields = fields_of(block)
    symbols = symbols_of(fields, block)
    assert symbols is not None
    return fit_chain(fields, symbols, epochs=1)


@pytest.fixture(scope="module")
def archive(content: Content, coder: ChainCoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process writes."""
    path = tmp_path_factory.mktemp("archive") / "one.isth"
    write_rows(content, path, coder=coder, block_rows=BLOCK)
    return path


def test_an_archive_does_not_depend_on_them(
    content: Content, coder: ChainCoder, archive: Path, tmp_path: Path
) -> None:
    two = tmp_path / "two.isth"
    write_rows(content, two, coder=coder, block_rows=BLOCK, processes=2)
    assert two.read_bytes() == archive.read_bytes()
    with StoredRows(two, coders={ChainCoder.id: ChainCoder}) as rows:
        assert [block.codec for block in rows.archive.blocks] == ["chain"] * (N // BLOCK)
        rows.write(tmp_path / "one.arrow")
        rows.write(tmp_path / "two.arrow", processes=2)
        rows.write_some(700, 2100, tmp_path / "some.arrow", processes=2)
    assert (tmp_path / "one.arrow").read_bytes() == (tmp_path / "two.arrow").read_bytes()
    for name, expected in (("two", table()), ("some", table().slice(700, 1400))):
        with pa.ipc.open_file(tmp_path / f"{name}.arrow") as file:
            assert file.read_all().equals(expected)


@needs_signals
def test_a_process_that_ends_leaves_what_a_killed_writer_leaves(
    content: Content, coder: ChainCoder, archive: Path, tmp_path: Path,
    started: list[subprocess.Popen[bytes]],
) -> None:  # fmt: skip
    path, told = tmp_path / "a.isth", list[int]()

    def kill(n_rows: int) -> None:
        told.append(n_rows)
        for process in started:
            process.kill()

    with pytest.raises(ProcessError, match="--resume"):
        write_rows(content, path, coder=coder, block_rows=BLOCK, processes=2, told=kill)
    assert told[0] == BLOCK
    assert not path.exists()
    there = (tmp_path / "a.isth.part").read_bytes()
    assert archive.read_bytes().startswith(there)
    again = list[int]()
    write_rows(
        content, path, coder=coder, block_rows=BLOCK, processes=2, resume=True, told=again.append
    )  # fmt: skip
    assert told + again == list(range(BLOCK, N + 1, BLOCK))
    assert path.read_bytes() == archive.read_bytes()


def test_a_place_that_cannot_be_written_stops_them(
    content: Content, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    def full(n_rows: int) -> None:
        raise OutputError("no room")

    with pytest.raises(OutputError, match="no room"):
        write_rows(content, tmp_path / "a.isth", coder=None, block_rows=BLOCK, processes=2, told=full)
    assert [process.returncode is not None for process in started] == [True, True]


def test_small_data_start_none_and_more_than_blocks_are_never_started(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    np.save(tmp_path / "a.npy", np.arange(100))
    compress(tmp_path / "a.npy", tmp_path / "a.isth")
    decompress(tmp_path / "a.isth", tmp_path / "b.npy")
    compress(tmp_path / "a.npy", tmp_path / "a.isth", processes=5, force=True)
    decompress(tmp_path / "a.isth", tmp_path / "b.npy", processes=5, force=True)
    assert not started
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ParameterError, match="--processes"):
            compress(tmp_path / "a.npy", tmp_path / "c.isth", processes=wrong)  # pyright: ignore
        with pytest.raises(ParameterError, match="--processes"):
            decompress(tmp_path / "a.isth", tmp_path / "c.npy", processes=wrong)  # pyright: ignore


def test_a_script_is_not_run_again(process: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import numpy as np, isthmus\n"
        "print('once')\n"
        "isthmus.compress(np.arange(200_000), 'a.isth', fits=False, processes=2)\n"
    )
    done = process("python", "script.py", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "once\n", "")


@needs_signals
def test_ctrl_c_is_one_sentence_and_leaves_whole_blocks(environment: dict[str, str], tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", chance.integers(0, 1000, 800_000).astype(np.int16))
    command = [
        sys.executable,
        "-m",
        "isthmus",
        "compress",
        "a.npy",
        "-o",
        "a.isth",
        "--no-model",
        "--processes",
        "2",
    ]
    program = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )  # fmt: skip
    part = tmp_path / "a.isth.part"
    until = time.monotonic() + 120
    while (
        time.monotonic() < until
        and program.poll() is None
        and not (part.exists() and part.stat().st_size > 20_000)
    ):
        time.sleep(0.02)
    os.killpg(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=60)  # their stderr is its own: this waits for them too
    assert (program.returncode, out) == (130, b"")
    assert err.startswith(b"isthmus: interrupted")
    assert err.count(b"\n") == 1
    assert part.exists()
    assert not (tmp_path / "a.isth").exists()

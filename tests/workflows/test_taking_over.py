"""A run that takes an older one's place is the folder's wholly or not at all, wherever it is killed."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.artifact import FittedModel, open_model
from isthmus.artifact.file import write_atomically
from isthmus.cli.main import run as command
from isthmus.config import Config
from isthmus.errors import OutputError
from isthmus.run_folder import CHECKPOINTS, FILES, MODEL, TAKING_OVER, UNFINISHED
from isthmus.sources import ArraySource
from isthmus.training.callbacks import Callback
from isthmus.workflows import run as room
from isthmus.workflows import run_record, taking_over
from isthmus.workflows.run import resume_fit, run_fit
from isthmus.workflows.run_record import is_resumable, progress_of

torch.set_num_threads(1)

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
CONFIG = Config.from_dict(
    {"model": {"code_size": 2}, "training": {"epochs": 2, "seed": 0, "threads": 1, "batch_size": 20}}
)
NEWER = CONFIG.with_training(seed=1)
FOLDER = Path("run")
WHOLE = ("config.toml", MODEL, "report.html")


class Killed(BaseException):
    """The process is gone; what comes after it in Python is not to be."""


class Interrupting(Callback):
    """Asks for the end after the first epoch, and so leaves checkpoints."""

    def epoch(self, epoch: object) -> None:
        signal.raise_signal(signal.SIGINT)


class Stopping(Callback):
    """Is killed after the first epoch."""

    def epoch(self, epoch: object) -> None:
        raise Killed


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older run in its folder, and beside it what it and the newer one are alone."""

    def plain(model: FittedModel, ready: object, path: Path) -> None:
        write_atomically(str(model.config.training.seed).encode(), path)

    monkeypatch.setattr(room, "_write_report", plain)
    monkeypatch.chdir(tmp_path)
    fit(Path("old"), CONFIG)
    fit(Path("new"), NEWER)
    shutil.copytree("old", FOLDER)


def fit(folder: Path, config: Config, **params: Any) -> None:
    run_fit(ArraySource(X), config, name="x", folder=folder, **params)


def killed_at(n: int, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> bool:
    """Whether work was killed before its ``n``-th change of a name in a taking over."""
    seen = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **params: Any) -> Any:
            nonlocal seen
            place = Path(path)
            if (
                not place.name.startswith(".") and place.is_relative_to(FOLDER / TAKING_OVER)
            ) or place == FOLDER / UNFINISHED:
                if seen == n:
                    raise Killed
                seen += 1
            return real(path, *args, **params)

        return call

    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "rmdir"):
            patched.setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        except Killed:
            return True
    return False


def which() -> str:
    """Whose the files in the folder are."""
    for name in ("old", "new"):
        if all((FOLDER / file).read_bytes() == Path(name, file).read_bytes() for file in WHOLE):
            return name
    return "neither"


def looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["info", str(FOLDER)]) == 0
    capsys.readouterr()


def all_kills(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[[], object], begun: Callable[[], None]
) -> list[str]:
    """Whose the folder is after a kill before each change of a name, once it was opened again."""
    found: list[str] = []
    while True:
        shutil.rmtree(FOLDER)
        shutil.copytree("old", FOLDER)
        if not killed_at(len(found), monkeypatch, begun):
            return found
        opened()
        found.append(which())


def over() -> None:
    fit(FOLDER, NEWER, force=True)


def test_whoever_opens_it_next_finds_one_run_or_the_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = all_kills(monkeypatch, lambda: looked_at(capsys), over)
    assert found == ["old"] + ["new"] * (len(found) - 1)
    assert len(found) > len(FILES)


def test_what_was_not_taken_over_goes_on_and_what_was_is_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened() -> None:
        if is_resumable(FOLDER):
            resume_fit(FOLDER, ArraySource(X))
        assert progress_of(FOLDER).what == "finished"
        assert {path.name for path in FOLDER.iterdir()} == set(FILES)

    assert set(all_kills(monkeypatch, opened, over)) == {"new"}


def test_a_model_is_read_from_where_it_is_without_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int | None] = []
    all_kills(monkeypatch, lambda: seeds.append(open_model(FOLDER).config.training.seed), over)
    assert seeds == [0] + [1] * (len(seeds) - 1)


def test_an_interrupted_run_takes_its_checkpoints_along(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun() -> None:
        fit(FOLDER, NEWER, force=True, callbacks=[Interrupting()], seconds=0)

    def opened() -> None:
        assert is_resumable(FOLDER)
        resume_fit(FOLDER, ArraySource(X))

    assert set(all_kills(monkeypatch, opened, begun)) == {"new"}


def test_killed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for first in range(1, 5):
        for second in range(4):
            shutil.rmtree(FOLDER)
            shutil.copytree("old", FOLDER)
            assert killed_at(first, monkeypatch, over)
            assert killed_at(second, monkeypatch, lambda: progress_of(FOLDER))
            progress_of(FOLDER)
            assert which() == "new"


def test_a_run_begun_over_one_that_was_killed_is_over_the_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed_at(4, monkeypatch, over)
    with pytest.raises(Killed):
        fit(FOLDER, CONFIG.with_training(seed=2), force=True, callbacks=[Stopping()])
    assert open_model(FOLDER).config.training.seed == 1


def test_without_its_end_the_folder_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: nobody brings to its end what was begun."""
    monkeypatch.setattr(run_record, "settle", lambda folder: None)
    assert "neither" in all_kills(monkeypatch, lambda: progress_of(FOLDER), over)


def test_without_the_decision_the_folder_is_neither(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The twin: files are moved one by one from where they were trained."""

    def moved(place: Path, folder: Path) -> None:
        shutil.rmtree(place / CHECKPOINTS)
        for name in FILES:
            (place / name).replace(folder / name)

    def counted(n: int) -> bool:
        left = n
        real = os.replace

        def call(path: Any, target: Any) -> None:
            nonlocal left
            if Path(path).parent == FOLDER / UNFINISHED and Path(path).name in FILES:
                if left == 0:
                    raise Killed
                left -= 1
            real(path, target)

        with monkeypatch.context() as patched:
            patched.setattr(room, "take_over", moved)
            patched.setattr(os, "replace", call)
            with pytest.raises(Killed):
                over()
        looked_at(capsys)
        return which() == "neither"

    assert counted(1)


def test_a_folder_of_somebodys_own_is_left_alone() -> None:
    own = FOLDER / TAKING_OVER
    own.mkdir()
    (own / "mine.txt").write_text("mine", "utf-8")
    assert progress_of(FOLDER).what == "finished"
    with pytest.raises(OutputError, match="What is new is in"):
        over()
    assert (own / "mine.txt").read_text("utf-8") == "mine"
    assert which() == "old"
    shutil.rmtree(own)
    resume_fit(FOLDER, ArraySource(X))
    assert which() == "new"


def test_a_folder_of_data_keeps_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    own = Path("data") / TAKING_OVER
    own.mkdir(parents=True)
    np.save("data/x.npy", X)
    command(["info", "data"])
    capsys.readouterr()
    taking_over.settle(Path("data"))
    assert own.is_dir()


def test_what_cannot_be_moved_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed_at(3, monkeypatch, over)

    def full(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr(taking_over, "_move", full)
        with pytest.raises(
            OutputError, match=r"^run: the older run cannot be replaced: Read-only .* 'isthmus info"
        ):
            progress_of(FOLDER)
    progress_of(FOLDER)
    assert which() == "new"

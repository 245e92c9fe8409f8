"""Run folders and places: what is checked before, what is written, under which name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus.artifact import open_model
from isthmus.config import Config, Data
from isthmus.errors import DataError, OutputError, ParameterError, SourceError, TrainingError
from isthmus.journal import read_journal
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.training.callbacks import Callback, Epoch
from isthmus.workflows.data_files import pixels_of, sheet
from isthmus.workflows.open_data import open_data
from isthmus.workflows.outputs import check_file, check_folder
from isthmus.workflows.run import make_run_folder, run_fit

CONFIG = Config.from_dict(
    {"model": {"code_size": 2, "network": {"hidden_sizes": [4]}}, "training": {"epochs": 2, "seed": 0}}
)


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArraySource:
    monkeypatch.chdir(tmp_path)
    return ArraySource(np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32))


class Failing(Callback):
    """Ends the training after some epochs as a defect or a diverging loss would."""

    def __init__(self, after: int) -> None:
        self.after = after

    def begin(self, n_epochs: int, n_rows: int) -> None:
        if self.after == 0:
            raise TrainingError("at once")

    def epoch(self, epoch: Epoch) -> None:
        if epoch.epoch == self.after + 1:
            raise TrainingError("later")


def test_file_and_folder_hold_the_same_model(rows: ArraySource) -> None:
    run = run_fit(rows, CONFIG, name="rows", output=Path("m.safetensors"), folder=Path("run"))
    assert run.model_path == Path("run/model.safetensors")
    assert Path("m.safetensors").read_bytes() == run.model_path.read_bytes()
    assert open_model("run").config == Config.from_toml(Path("run/config.toml").read_text("utf-8"))
    assert not run.interrupted


def test_prepared_is_told_before_the_first_step_and_before_anything_is_written(rows: ArraySource) -> None:
    seen: list[int] = []
    run_fit(rows, CONFIG, name="rows", folder=Path("run"),
            prepared=lambda ready: seen.append(len(list(Path().iterdir())) + len(ready.model.epochs)))  # fmt: skip
    assert seen == [0]


def test_a_run_that_fails_at_once_leaves_nothing(rows: ArraySource) -> None:
    with pytest.raises(TrainingError):
        run_fit(rows, CONFIG, name="rows", folder=Path("run"), callbacks=[Failing(0)])
    assert list(Path().iterdir()) == []


def test_a_run_that_fails_later_leaves_its_journal(rows: ArraySource) -> None:
    with pytest.raises(TrainingError):
        run_fit(rows, CONFIG, name="rows", folder=Path("run"), callbacks=[Failing(1)])
    events = read_journal(Path("run/journal.jsonl"))
    assert [event["event"] for event in events] == ["begin", "epoch", "failed"]
    assert events[-1]["reason"] == "later"


def test_a_failed_run_leaves_the_model_that_was_there(rows: ArraySource) -> None:
    run_fit(rows, CONFIG, name="rows", folder=Path("run"))
    before = Path("run/model.safetensors").read_bytes()
    for after in (0, 1):
        with pytest.raises(TrainingError):
            run_fit(rows, CONFIG, name="rows", folder=Path("run"), force=True, callbacks=[Failing(after)])
        assert Path("run/model.safetensors").read_bytes() == before


@pytest.mark.parametrize("after", [0, 1])
def test_a_run_that_fails_over_an_older_one_leaves_all_of_it(rows: ArraySource, after: int) -> None:
    folder = Path("run")
    run_fit(rows, CONFIG, name="rows", folder=folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TrainingError):
        run_fit(rows, CONFIG.with_training(seed=1), name="rows", folder=folder, force=True,
                callbacks=[Failing(after)])  # fmt: skip
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert read_journal(folder / "failed.jsonl")[-1]["event"] == "failed"
    assert {name: held for name, held in found.items() if name != "failed.jsonl"} == before


@pytest.mark.parametrize("name", ["unfinished", "checkpoints"])
def test_an_older_run_stays_where_no_folder_can_be_made_in_it(
    name: str, rows: ArraySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, mkdir = Path("run"), Path.mkdir
    run_fit(rows, CONFIG, name="rows", folder=folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def full(self: Path, *args: Any, **params: Any) -> None:
        if self.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mkdir(self, *args, **params)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OutputError, match="No space left"):
        run_fit(rows, CONFIG, name="rows", folder=folder, force=True)
    left = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {name: left.get(name) for name in before} == before


def test_a_run_takes_the_place_of_an_older_one(rows: ArraySource) -> None:
    folder, changed = Path("run"), CONFIG.with_training(seed=1)
    run_fit(rows, CONFIG, name="rows", folder=folder)
    names, page = {path.name for path in folder.iterdir()}, (folder / "report.html").read_bytes()
    with pytest.raises(TrainingError):
        run_fit(rows, changed, name="rows", folder=folder, force=True, callbacks=[Failing(1)])
    (folder / ".isthmus-0123456789abcdef.tmp").write_bytes(b"of one that was killed while it wrote")
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / "journal.jsonl").write_text("of a run that was killed", "utf-8")
    run_fit(rows, changed, name="rows", folder=folder, force=True)
    assert {path.name for path in folder.iterdir()} == names
    assert open_model(folder).config.training.seed == 1
    assert "seed = 1" in (folder / "config.toml").read_text("utf-8")
    assert [event["event"] for event in read_journal(folder / "journal.jsonl")].count("begin") == 1
    assert (folder / "report.html").read_bytes() != page


def test_gaps_are_found_wherever_they_are(rows: ArraySource) -> None:
    """A gap among the rows that the split holds out is found before training too."""
    for row in range(0, 40, 5):
        values = rows.read(slice(0, 40)).copy()
        values[row, 0] = np.nan
        with pytest.raises(DataError, match=f"first in row {row}, column 0;"):
            run_fit(ArraySource(values), CONFIG, name="rows", folder=Path("run"))
        assert not Path("run").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits", "digits-basic-01"),
        ("my data (2)", "my-data--2-basic-01"),
        ("...", "data-basic-01"),
        ("ä", "ä-basic-01"),
    ],
)
def test_names_of_run_folders(rows: ArraySource, name: str, expected: str) -> None:
    assert make_run_folder(name, "basic") == Path("runs") / expected
    assert make_run_folder(name, "basic").name == expected[:-2] + "02"


def test_runs_at_a_file(rows: ArraySource) -> None:
    Path("runs").write_text("", "utf-8")
    with pytest.raises(OutputError, match="runs"):
        run_fit(rows, CONFIG, name="rows")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be written to here")
def test_a_folder_that_takes_no_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="takes new files"):
        check_file(tmp_path / "m.safetensors")
    tmp_path.chmod(0o700)


def test_good_places(tmp_path: Path) -> None:
    check_file(tmp_path / "new.npy", suffixes=(".npy",))
    (tmp_path / "old.npy").write_bytes(b"")
    check_file(tmp_path / "old.npy", force=True)
    check_folder(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_folder(tmp_path / "empty")
    check_folder(tmp_path, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"old.npy", "empty"}


def test_a_path_that_exists_comes_before_a_name_and_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("rows.npy:1").open("wb") as file:
        np.save(file, np.zeros((7, 2)))
    with Path("mnist-test").open("wb") as file:
        np.save(file, np.zeros((9, 2)))
    assert (len(open_data("rows.npy:1")), len(open_data("rows.npy:1:3"))) == (7, 1)
    assert len(open_data("mnist-test")) == 9
    with pytest.raises(SourceError, match="nothing of that name"):
        open_data("none:1")


def test_a_sheet_keeps_every_picture_in_its_place() -> None:
    pictures = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3, 1)
    page = sheet(pictures)
    assert page.shape == (2 * 4 - 2, 3 * 5 - 2, 1)
    np.testing.assert_array_equal(page[4:6, 5:8], pictures[4])
    assert (page[2:4] == 255).all()


def test_pixels_fill_the_range_of_the_data() -> None:
    rows = ArraySource(np.linspace(0, 1, 8).reshape(2, 2, 2))
    schema = Scaling.fit(rows, np.arange(2)).schema
    values = np.array([[[[0.0], [0.5]], [[1.0], [2.0]]]])
    np.testing.assert_array_equal(pixels_of(values, schema).ravel(), [0, 128, 255, 255])


def test_only_files_of_images_are_resized(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((2, 5, 5), np.uint8))
    for name in (str(tmp_path / "rows.npy"), "mnist-test", "mnist-test:3"):
        with pytest.raises(
            ParameterError, match=r"data\.resize: only files of images can be resized to 8 x 8"
        ):
            open_data(name, Data(resize=(8, 8)))
    assert len(open_data(str(tmp_path / "rows.npy"), Data(resize=(5, 5)))) == 2

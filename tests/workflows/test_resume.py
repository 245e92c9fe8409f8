"""A run that was ended anyhow goes on to the same model, journal and report as one that was not."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus.config import Config
from isthmus.errors import ArtifactError, DataError, OutputError, SourceError
from isthmus.journal import read_journal
from isthmus.run_folder import CHECKPOINTS
from isthmus.sources import ArraySource, Source
from isthmus.training.callbacks import Callback
from isthmus.training.checkpoints import read_checkpoint
from isthmus.workflows.open_data import open_data
from isthmus.workflows.run import resume_fit, run_fit
from isthmus.workflows.run_record import Origin, progress_of, read_record

X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
EPOCHS = 4


def config(**training: Any) -> Config:
    return Config.from_dict(
        {
            "model": {"code_size": 2, "network": {"hidden_sizes": [4]}, "code": "gaussian"},
            "training": {"epochs": EPOCHS, "batch_size": 9, "seed": 0, "threads": 1, **training},
        }
    )


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Ending(Callback):
    """Ends the training after some steps: as a kill would, or by asking for it."""

    def __init__(self, after: int, *, asks: bool = False) -> None:
        self.left, self.asks = after, asks

    def step(self, n_rows: int) -> None:
        self.left -= 1
        if self.left == 0 and self.asks:
            signal.raise_signal(signal.SIGINT)
        elif self.left == 0:
            raise SystemExit


def rows() -> Source:
    return ArraySource(X)


def journal(folder: str) -> list[dict[str, Any]]:
    events = read_journal(Path(folder) / "journal.jsonl")
    return [{key: value for key, value in event.items() if key != "time"} for event in events]


def assert_same(a: str, b: str) -> None:
    for name in ("model.safetensors", "report.html", "config.toml"):
        assert (Path(a) / name).read_bytes() == (Path(b) / name).read_bytes(), name
    assert journal(a) == journal(b)
    assert {path.name for path in Path(a).iterdir()} == {path.name for path in Path(b).iterdir()}


@pytest.mark.parametrize("after", [2, 6, 7, 13])
def test_killed_and_resumed(after: int) -> None:
    run_fit(rows(), config(), name="x", folder=Path("whole"))
    with pytest.raises(SystemExit):
        run_fit(rows(), config(), name="x", folder=Path("run"), callbacks=[Ending(after)], seconds=0)
    assert progress_of(Path("run")).what == "unfinished"
    with pytest.raises(SystemExit):
        resume_fit(Path("run"), rows(), callbacks=[Ending(3)], seconds=0)
    run = resume_fit(Path("run"), rows())
    assert not run.interrupted
    assert_same("run", "whole")
    assert progress_of(Path("run")).what == "finished"
    with pytest.raises(SourceError, match="got one that has come to its end"):
        resume_fit(Path("run"), rows())


def test_killed_before_the_first_checkpoint_it_begins_anew() -> None:
    run_fit(rows(), config(), name="x", folder=Path("whole"))
    ready = Path("run")
    with pytest.raises(SystemExit):
        run_fit(rows(), config(), name="x", folder=ready, callbacks=[Ending(2)], seconds=0)
    shutil.rmtree(ready / CHECKPOINTS / "000001")
    assert progress_of(ready).checkpoint is None
    resume_fit(ready, rows())
    assert_same("run", "whole")


def test_asked_to_stop_it_is_saved_and_says_how_to_go_on() -> None:
    run_fit(rows(), config(), name="x", folder=Path("whole"))
    told: list[str] = []
    run = run_fit(
        rows(), config(), name="x", folder=Path("run"), callbacks=[Ending(9, asks=True)], told=told.append
    )
    assert run.interrupted
    assert told == ["finishing the step, then saving; once more, and it stops at once."]
    assert run.resume == "isthmus fit --resume run"
    assert Path("run/model.safetensors").is_file()  # of the epochs that were whole
    progress = progress_of(Path("run"))
    assert (progress.what, progress.epoch, progress.n_epochs, progress.checkpoint) == (
        "interrupted",
        1,
        EPOCHS,
        1,
    )
    assert journal("run")[-2]["reason"] == "interrupted"
    resume_fit(Path("run"), rows())
    assert_same("run", "whole")


def test_over_an_older_run_the_new_one_can_go_on_beside_it() -> None:
    run_fit(rows(), config(), name="x", folder=Path("whole"))
    run_fit(rows(), config(seed=9), name="x", folder=Path("run"))
    older = Path("run/model.safetensors").read_bytes()
    with pytest.raises(SystemExit):
        run_fit(rows(), config(), name="x", folder=Path("run"), force=True, callbacks=[Ending(9)], seconds=0)
    assert Path("run/model.safetensors").read_bytes() == older
    assert progress_of(Path("run")).what == "unfinished"
    resume_fit(Path("run"), rows())
    assert_same("run", "whole")


def test_validation_rows_of_their_own_and_rows_by_block() -> None:
    np.save("x.npy", np.tile(X, (2000, 1)) + np.arange(120_000, dtype=np.float32)[:, None] / 1e5)
    np.save("v.npy", X[:20])
    asked = config(batch_size=4096, epochs=2).with_data(memory=2_000_000)

    def opened() -> tuple[Source, Source]:
        return open_data("x.npy", asked.data), open_data("v.npy", asked.data)

    source, held_out = opened()
    run_fit(source, asked, name="x", folder=Path("whole"), validation=held_out)
    with pytest.raises(SystemExit):
        run_fit(
            source,
            asked,
            name="x",
            folder=Path("run"),
            validation=held_out,
            callbacks=[Ending(20)],
            seconds=0,
        )
    source, held_out = opened()
    resume_fit(Path("run"), source, validation=held_out)
    assert_same("run", "whole")


def killed() -> Path:
    folder = Path("run")
    origin = Origin("x.npy", validation="mnist-test")
    with pytest.raises(SystemExit):
        run_fit(rows(), config(), name="x", folder=folder, callbacks=[Ending(9)], seconds=0, origin=origin)
    return folder


def test_other_rows_are_refused() -> None:
    folder = killed()
    other = X.copy()
    other[3, 2] += 1
    for wrong in (other, X[:-1], np.hstack([X, X])):
        with pytest.raises(DataError, match="expected the data that the run began with, 60 rows of digest"):
            resume_fit(folder, ArraySource(wrong))
    with pytest.raises(
        DataError, match="expected the validation data that the run began with, none, got 60 rows"
    ):
        resume_fit(folder, rows(), validation=rows())


def test_the_record_tells_where_rows_came_from() -> None:
    np.save("x.npy", X)
    origin = read_record(killed()).origin
    assert origin == Origin(str(Path("x.npy").absolute()), validation="mnist-test")


def test_a_damaged_checkpoint_is_told_and_the_one_before_used() -> None:
    run_fit(rows(), config(), name="x", folder=Path("whole"))
    folder, told = killed(), list[str]()
    last = read_checkpoint(folder / CHECKPOINTS)
    assert last is not None
    path = folder / CHECKPOINTS / f"{last.number:06d}" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(progress_of(folder).damaged) == 1
    resume_fit(folder, rows(), told=told.append)
    assert len(told) == 1
    assert "weights.safetensors: expected" in told[0]
    assert told[0].endswith("The checkpoint before it is used.")
    assert_same("run", "whole")


def test_what_cannot_go_on_is_told() -> None:
    with pytest.raises(SourceError, match="expected the folder of a run, got nothing there"):
        resume_fit(Path("nowhere"), rows())
    Path("empty").mkdir()
    with pytest.raises(SourceError, match="got one without checkpoints"):
        resume_fit(Path("empty"), rows())
    folder = killed()
    with pytest.raises(
        OutputError, match="Go on with it by 'isthmus fit --resume run', or begin anew with --force"
    ):
        run_fit(rows(), config(), name="x", folder=folder)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "format": 2}))
    with pytest.raises(ArtifactError, match="is of run format 2, and this isthmus reads 1"):
        resume_fit(folder, rows())
    (folder / "run.json").write_text(json.dumps(record).replace('"seed": 0', '"seed": 1'))
    with pytest.raises(
        ArtifactError, match=r"run\.json: .* but its digest does not match its contents\. Begin"
    ):
        resume_fit(folder, rows())
    (folder / "run.json").write_text("{")
    with pytest.raises(ArtifactError, match="it is no JSON"):
        resume_fit(folder, rows())


def test_a_model_without_a_place_is_rescued(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder is gone when the training ends: the model is in that for temporary files."""
    (tmp_path / "rescue").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "rescue"))
    Path("out").mkdir()

    class Removing(Callback):
        def end(self, reason: str) -> None:
            Path("out").rmdir()

    with pytest.raises(OutputError, match="The model is not lost, it is at"):
        run_fit(rows(), config(), name="x", output=Path("out/m.safetensors"), callbacks=[Removing()])
    assert len(list((tmp_path / "rescue").glob("isthmus-*.safetensors"))) == 1


def test_killed_in_its_report_or_later_it_goes_on_to_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run_fit(rows(), config(), name="x", folder=Path("whole"))

    def ending(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("isthmus.workflows.run._write_report", ending)
        with pytest.raises(SystemExit):
            run_fit(rows(), config(), name="x", folder=Path("run"), seconds=0)
    (Path("run") / ".isthmus-0123456789abcdef.tmp").write_bytes(b"of a model that was being written")
    resume_fit(Path("run"), rows())
    assert_same("run", "whole")


def test_half_removed_checkpoints_are_no_damaged_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def ending(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("isthmus.training.checkpoints.shutil.rmtree", ending)
        with pytest.raises(SystemExit):
            run_fit(rows(), config(), name="x", folder=Path("run"))
    assert progress_of(Path("run")).what == "finished"

"""A fit with what it leaves: a model file, or a run folder with everything about the run.

- ``config.toml``: the config, every default explicit; ``isthmus fit --config`` reads it again
- ``environment.json``: versions, machine, threads and device
- ``journal.jsonl``: what happened when
- ``model.safetensors``: the model
- ``report.html``: what it learned, on the validation rows
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.artifact import FittedModel, save_model
from isthmus.artifact.file import write_atomically
from isthmus.config import Config
from isthmus.errors import OutputError
from isthmus.journal import Journal
from isthmus.sources import Source
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import History
from isthmus.version import __version__
from isthmus.workflows.fit import Prepared, prepare, train
from isthmus.workflows.outputs import check_file, check_folder

RUNS = Path("runs")
FILES = ("model.safetensors", "config.toml", "environment.json", "journal.jsonl", "report.html")
"""What a run folder holds."""
UNFINISHED = "unfinished"
"""Where a run over an older one is written until its model is there."""
FAILED = "failed.jsonl"
"""The journal of a run over an older one that failed."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished fit and where its files are."""

    model: FittedModel
    history: History
    seconds: float
    """Of training and of measuring the result."""
    model_path: Path
    folder: Path | None
    """The run folder; None where only a model file was asked for."""

    @property
    def interrupted(self) -> bool:
        """Whether a person ended the training before its time."""
        return self.history.reason == "interrupted"


def run_fit(
    source: Source,
    config: Config,
    *,
    name: str,
    output: Path | None = None,
    folder: Path | None = None,
    validation: Source | None = None,
    force: bool = False,
    callbacks: Sequence[Callback] = (),
    prepared: Callable[[Prepared], None] | None = None,
) -> Run:
    """Fit a model and write it: to a file, to a run folder, or to both.

    Every place is checked before the first step, and nothing is written before the data have been
    read and found good. A training that a person interrupts is saved like any other. An older run
    in the folder stays as it was until the new model is there.

    Parameters
    ----------
    source, config, validation, callbacks
        As for :func:`isthmus.workflows.fit.fit`.
    name
        What the rows are called; a run folder that is not given is named after them.
    output
        A ``.safetensors`` file. Alone, it is the only thing written.
    folder
        The run folder. With neither, one is made under ``runs/``.
    force
        Whether what is there may be overwritten.
    prepared
        Told what will be trained, before it is.

    Raises
    ------
    OutputError
        A place that is taken or cannot be written.
    DataError, ParameterError
        As for :func:`isthmus.workflows.fit.fit`.
    """
    check_places(output, folder, force=force)
    ready = prepare(source, config, validation=validation, who=source.name)
    if prepared is not None:
        prepared(ready)
    if folder is None and output is not None:
        run = _fit(ready, callbacks, output, None)
        save_model(run.model, output)
        return run
    made = folder is None or _make(folder)
    folder = make_run_folder(name, ready.model.config.model.kind) if folder is None else folder
    return _fit_in_folder(ready, folder, output, callbacks, made=made)


def check_places(output: Path | None, folder: Path | None, *, force: bool = False) -> None:
    """Raise unless the model file and the run folder can be written."""
    if output is not None:
        check_file(output, force=force, suffixes=(".safetensors",))
    if folder is not None:
        check_folder(folder, force=force)
    if output is None and folder is None and RUNS.exists():
        check_folder(RUNS, force=True)


def make_run_folder(name: str, kind: str) -> Path:
    """Make the first free folder ``runs/<name>-<kind>-NN``, counted from 01."""
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).strip("-.")
    try:
        RUNS.mkdir(exist_ok=True)
        for number in range(1, 10_000):
            folder = RUNS / f"{stem or 'data'}-{kind}-{number:02d}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise _unwritable(RUNS, error) from None
    raise OutputError(f"{RUNS}: holds 9,999 runs of this name. Name a run folder with --run.")


def environment(config: Config) -> dict[str, Any]:
    """What the numbers of a run depend on beside its config and data."""
    return {
        "isthmus": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": config.training.threads,
        "device": config.training.device,
    }


class JournalCallback(Callback):
    """Writes a training into a journal.

    Parameters
    ----------
    journal
        Where to.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.n_epochs = 0
        """Epochs written so far."""

    def begin(self, n_epochs: int, n_rows: int) -> None:
        """Epochs at most, and rows an epoch."""
        self._journal.write("begin", n_epochs=n_epochs, n_rows=n_rows)

    def epoch(self, epoch: Epoch) -> None:
        """Losses and learning rate."""
        self.n_epochs += 1
        self._journal.write("epoch", **epoch.to_dict())

    def end(self, reason: str) -> None:
        """Why it ended."""
        self._journal.write("end", reason=reason)


def _fit_in_folder(
    ready: Prepared, folder: Path, output: Path | None, callbacks: Sequence[Callback], *, made: bool
) -> Run:
    config = ready.model.config
    over = any((folder / name).exists() for name in FILES)
    place = _unfinished(folder) if over else folder
    try:
        write_atomically(config.to_toml().encode(), place / "config.toml")
        about = json.dumps(environment(config), indent=2) + "\n"
        write_atomically(about.encode(), place / "environment.json")
        with Journal(place / "journal.jsonl") as journal:
            watcher = JournalCallback(journal)
            try:
                run = _fit(ready, [*callbacks, watcher], folder / "model.safetensors", folder)
                save_model(run.model, place / "model.safetensors")
            except BaseException as error:
                journal.write("failed", reason=str(error) or type(error).__name__)
                made = made and watcher.n_epochs == 0
                raise
            journal.write("measured", best_epoch=run.model.best_epoch, metrics=run.model.metrics)
    except BaseException:
        if over:
            _give_up(place, folder)
        elif made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if over:
        _take_over(place, folder)
    if output is not None:
        save_model(run.model, output)
    _write_report(run.model, ready, folder / "report.html")
    return run


def _unfinished(folder: Path) -> Path:
    """An empty folder in the run folder, for the files of a run that is to take an older one's place."""
    place = folder / UNFINISHED
    try:
        if place.exists():
            shutil.rmtree(place)
        place.mkdir()
    except OSError as error:
        raise _unwritable(place, error) from None
    return place


def _take_over(place: Path, folder: Path) -> None:
    """Put the new run's files in the older one's place; its report and failures would tell of another model."""
    try:
        for name in ("report.html", FAILED):
            (folder / name).unlink(missing_ok=True)
        for name in FILES:
            if (place / name).exists():
                (place / name).replace(folder / name)
        place.rmdir()
    except OSError as error:
        raise OutputError(
            f"{folder}: the older run cannot be replaced: {error.strerror}. What is new is in {place}."
        ) from None


def _give_up(place: Path, folder: Path) -> None:
    """Leave the older run as it was, with the journal of the one that failed beside it."""
    with suppress(OSError):
        (place / "journal.jsonl").replace(folder / FAILED)
    shutil.rmtree(place, ignore_errors=True)


def _fit(ready: Prepared, callbacks: Sequence[Callback], model_path: Path, folder: Path | None) -> Run:
    start = time.perf_counter()
    history = train(ready, callbacks)
    return Run(ready.model, history, time.perf_counter() - start, model_path, folder)


def _write_report(model: FittedModel, ready: Prepared, path: Path) -> None:
    from isthmus.evaluation.evaluate import report_data
    from isthmus.evaluation.report import write_report

    seen = ready.training if ready.validation is None else ready.validation
    rows_are = str(model.metrics["rows_are"])
    write_report(report_data(model, seen.source, title=report_title(model), rows_are=rows_are), path)


def report_title(model: FittedModel) -> str:
    """Heading of a model's report.

    It names the model and no file: a report depends on model and rows alone.
    """
    return f"{model.config.model.kind.capitalize()} autoencoder"


def _make(folder: Path) -> bool:
    """Make a folder; whether it was not there before."""
    try:
        new = not folder.exists()
        folder.mkdir(exist_ok=True)
        return new
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be made: {error.strerror}. Choose another place with -o or --run.")

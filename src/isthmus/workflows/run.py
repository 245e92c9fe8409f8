"""A fit with what it leaves: a model file, or a run folder with everything about the run.

- ``config.toml``: the config, every default explicit; ``isthmus fit --config`` reads it again
- ``environment.json``: versions, machine, threads and device
- ``journal.jsonl``: what happened when
- ``run.json``: whose rows it learns from
- ``checkpoints/``: the state of the training, until it has come to its end
- ``model.safetensors``: the model
- ``report.html``: what it learned, on the validation rows

A run that was interrupted or killed goes on from its last checkpoint, and ends in the same bits as one that was
not.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.artifact import FittedModel, open_model, save_model
from isthmus.artifact.file import write_atomically
from isthmus.config import Config
from isthmus.errors import OutputError, SourceError, TrainingError
from isthmus.evaluation.advice import is_advice
from isthmus.journal import Journal
from isthmus.run_folder import CHECKPOINTS, FAILED, FILES, PREPARED, UNFINISHED
from isthmus.sources import Source
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.checkpoints import (
    SECONDS_BETWEEN,
    Checkpoint,
    Checkpoints,
    read_checkpoint,
    remove_checkpoints,
)
from isthmus.training.interruption import Interruption
from isthmus.training.loop import History
from isthmus.training.state import Keeper, State
from isthmus.version import __version__
from isthmus.workflows.fit import Prepared, prepare, prepare_again, train
from isthmus.workflows.outputs import check_file, check_folder
from isthmus.workflows.run_record import Origin, is_resumable, place_of, read_record, write_record
from isthmus.workflows.taking_over import settle, take_over

Told = Callable[[str], None]
RUNS = Path("runs")
STOPPING = "finishing the step, then saving; once more, and it stops at once."


def silent(text: str) -> None:
    """Tell nobody."""


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

    @property
    def resume(self) -> str | None:
        """The command that goes on with an interrupted run; None of one that has ended or keeps no checkpoints."""
        if self.folder is None or not self.interrupted:
            return None
        return f"isthmus fit --resume {shlex.quote(str(self.folder))}"


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
    origin: Origin | None = None,
    told: Told = silent,
    seconds: float = SECONDS_BETWEEN,
) -> Run:
    """Fit a model and write it: to a file, to a run folder, or to both.

    Every place is checked before the first step, and nothing is written before the data have been
    read and found good. A training that a person interrupts is saved like any other, and one in a run folder
    can go on, see :func:`resume_fit`. An older run in the folder stays as it was until the new model is there.

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
    origin
        What the rows were opened by, so that a run can be resumed by the name of its folder alone.
    told
        Called with sentences about the run while it runs.
    seconds
        Between two checkpoints, at least; 0 writes one after every step.

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
        with Interruption(terminate=True, told=lambda: told(STOPPING)) as asked:
            run = _fit(ready, callbacks, output, None, Keeper(lambda: asked.asked), None)
        save_or_rescue(run.model, output)
        return run
    made = folder is None or _make(folder)
    if folder is not None:
        settle(folder)
    folder = make_run_folder(name, ready.model.config.model.kind) if folder is None else folder
    over = any((folder / file).exists() for file in FILES)
    place = _unfinished(folder) if over else folder
    try:
        write_atomically(ready.model.config.to_toml().encode(), place / "config.toml")
        about = json.dumps(environment(ready.model.config), indent=2) + "\n"
        write_atomically(about.encode(), place / "environment.json")
        sources = {"data": source} if validation is None else {"data": source, "validation": validation}
        write_record(place, ready, config, origin, sources)
    except BaseException:
        _give_up(place, folder, over=over, made=made)
        raise
    return _go(ready, folder, place, output, callbacks, told, seconds, None, made=made)


def resume_fit(
    folder: Path,
    source: Source,
    *,
    validation: Source | None = None,
    output: Path | None = None,
    callbacks: Sequence[Callback] = (),
    prepared: Callable[[Prepared], None] | None = None,
    told: Told = silent,
    seconds: float = SECONDS_BETWEEN,
) -> Run:
    """Go on with a run that was interrupted or killed, from its last whole checkpoint or from its beginning.

    Weights, journal (but for its times) and model are those of a run that was never interrupted, bit for bit, on
    the same kind of machine.

    Parameters
    ----------
    folder
        The run's; :func:`isthmus.workflows.run_record.read_record` tells what its rows were opened by.
    source, validation
        The rows that it began with.
    output
        A model file to write beside the run's own.
    callbacks, prepared, told, seconds
        As for :func:`run_fit`.

    Raises
    ------
    SourceError
        No run, or one that has come to its end.
    ArtifactError
        No checkpoint is whole, or the prepared model is not.
    DataError
        Rows that the run did not begin with.
    """
    check_resumable(folder)
    place = place_of(folder)
    record = read_record(place)
    record.check(source, validation)
    found = read_checkpoint(place / CHECKPOINTS)
    model = open_model(place / CHECKPOINTS / PREPARED)
    ready = prepare_again(model, source, record.config, validation=validation, who=source.name)
    for text in () if found is None else found.damaged:
        told(f"{text} The checkpoint before it is used.")
    if prepared is not None:
        prepared(ready)
    journal = "" if found is None else str(found.added.get("journal", ""))
    write_atomically(journal.encode(), place / "journal.jsonl")
    return _go(ready, folder, place, output, callbacks, told, seconds, found, made=False)


def check_resumable(folder: Path) -> None:
    """Raise unless a folder holds a run that can go on."""
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: expected the folder of a run, got nothing there. Give one that 'fit' wrote to."
        )
    if is_resumable(folder):
        return
    if (folder / "model.safetensors").is_file():
        raise SourceError(
            f"{folder}: expected a run that was interrupted, got one that has come to its end. Use its "
            "model.safetensors as it is, or begin a new run."
        )
    raise SourceError(
        f"{folder}: expected the folder of a run that was interrupted, got one without checkpoints. Begin the run "
        "anew with 'isthmus fit DATA --run'."
    )


def check_places(output: Path | None, folder: Path | None, *, force: bool = False) -> None:
    """Raise unless the model file and the run folder can be written."""
    if output is not None:
        check_file(output, force=force, suffixes=(".safetensors",))
    if folder is not None:
        if not force and folder.is_dir() and is_resumable(folder):
            raise OutputError(
                f"{folder}: expected a free name, got the folder of a run that has not come to its end. Go on with "
                f"it by 'isthmus fit --resume {folder}', or begin anew with --force."
            )
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
    begun
        Whether its beginning stands there already.
    """

    def __init__(self, journal: Journal, *, begun: bool = False) -> None:
        self._journal, self._begun = journal, begun
        self.n_epochs = 0
        """Epochs written so far."""

    def begin(self, n_epochs: int, n_rows: int) -> None:
        """Epochs at most, and rows an epoch."""
        if not self._begun:
            self._journal.write("begin", n_epochs=n_epochs, n_rows=n_rows)

    def note(self, text: str) -> None:
        """What a user should know."""
        self._journal.write("note", text=text)

    def epoch(self, epoch: Epoch) -> None:
        """Losses and learning rate."""
        self.n_epochs += 1
        self._journal.write("epoch", **epoch.to_dict())

    def end(self, reason: str) -> None:
        """Why it ended."""
        self._journal.write("end", reason=reason)


def _go(
    ready: Prepared,
    folder: Path,
    place: Path,
    output: Path | None,
    callbacks: Sequence[Callback],
    told: Told,
    seconds: float,
    found: Checkpoint | None,
    *,
    made: bool,
) -> Run:
    """Train in a run folder whose record is written, from a checkpoint where there is one."""
    over = place != folder
    kept: Checkpoints | None = None
    try:
        with (
            Journal(place / "journal.jsonl") as journal,
            Interruption(terminate=True, told=lambda: told(STOPPING)) as asked,
            Checkpoints(
                place / CHECKPOINTS,
                added=lambda: {"journal": journal.text()},
                stop=lambda: asked.asked,
                told=told,
                seconds=seconds,
            ) as kept,
        ):
            if found is not None:
                kept.log.write("resumed", number=found.number, damaged=list(found.damaged))
            watcher = JournalCallback(journal, begun=found is not None)
            model_path, state = folder / "model.safetensors", None if found is None else found.state
            try:
                run = _fit(ready, [*callbacks, watcher], model_path, folder, kept, state)
                save_or_rescue(run.model, place / "model.safetensors", folder)
            except BaseException as error:
                journal.write("failed", reason=str(error) or type(error).__name__)
                made = made and watcher.n_epochs == 0
                raise
            for note in filter(is_advice, run.history.notes):
                journal.write("note", text=note)
            journal.write("measured", best_epoch=run.model.best_epoch, metrics=run.model.metrics)
    except BaseException as error:
        if isinstance(error, TrainingError) or kept is None or not kept.any:
            _give_up(place, folder, over=over, made=made)
        raise
    # The checkpoints go last: a run that is killed before goes on, and writes what is not there yet.
    _write_report(run.model, ready, place / "report.html")
    if over:
        take_over(place, folder)
    if not run.interrupted:
        remove_checkpoints(folder / CHECKPOINTS)
    if output is not None:
        save_or_rescue(run.model, output)
    return run


def save_or_rescue(model: FittedModel, path: Path, folder: Path | None = None) -> None:
    """Save a model, or where its place takes none, in the folder for temporary files: training is dear.

    Raises
    ------
    OutputError
        It could be saved in neither place, or it is of a run, which can go on once there is room.
    """
    try:
        save_model(model, path)
    except OutputError as error:
        if folder is not None and is_resumable(folder):
            raise OutputError(
                f"{str(error).partition(' Nothing was changed')[0]} The run's checkpoints are kept; make room, and go "
                f"on by 'isthmus fit --resume {folder}'."
            ) from None
        rescued = Path(tempfile.gettempdir()) / f"isthmus-{secrets.token_hex(4)}.safetensors"
        try:
            save_model(model, rescued)
        except OutputError:
            raise error from None
        raise OutputError(
            f"{path}: cannot be written. The model is not lost, it is at {rescued}; move it where there is room."
        ) from None


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


def _give_up(place: Path, folder: Path, *, over: bool, made: bool) -> None:
    """Leave nothing of a run that failed but its journal, and an older run as it was."""
    if over:
        with suppress(OSError):
            (place / "journal.jsonl").replace(folder / FAILED)
        shutil.rmtree(place, ignore_errors=True)
    elif made:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _fit(
    ready: Prepared,
    callbacks: Sequence[Callback],
    model_path: Path,
    folder: Path | None,
    keeper: Keeper,
    state: State | None,
) -> Run:
    start = time.perf_counter()
    history = train(ready, callbacks, keeper=keeper, state=state)
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

"""What drills share: small runs of every kind, children to end in the middle of them, and what came of it.

One warm process forks a child for each run, so that a kill costs what the run did and not the imports. It must
not compute itself, for threads do not survive a fork.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import isthmus
from isthmus.artifact import FittedModel
from isthmus.artifact.file import write_atomically
from isthmus.config import Config
from isthmus.errors import IsthmusError
from isthmus.journal import read_journal
from isthmus.sources import ArraySource, Source
from isthmus.workflows.open_data import open_data
from isthmus.workflows.run import resume_fit, run_fit
from isthmus.workflows.run_record import is_resumable

REFUSED = 3
"""Exit status of a child whose work isthmus refused, its sentence in ``refused.txt``."""


@dataclass
class Outcome:
    """What came of a drill."""

    drill: str
    tried: int = 0
    wrong: list[str] = field(default_factory=list[str])
    figures: str = ""
    seconds: float = 0.0

    def check(self, held: bool, what: str) -> None:
        """Count one that was tried."""
        self.tried += 1
        if not held:
            self.wrong.append(what)


class Scene(NamedTuple):
    """A small run."""

    config: Config
    shape: tuple[int, ...]
    n_rows: int = 180
    by_block: bool = False
    """Whether its rows lie in a file larger than what they may take of memory."""

    def source(self, place: Path) -> Source:
        """Its rows; a file of them lies in ``place``."""
        if not self.by_block:
            return ArraySource(self._rows())
        path = place / "rows.npy"
        if not path.exists():
            np.save(path, self._rows())
        return open_data(str(path), self.config.data)

    def _rows(self) -> np.ndarray[Any, Any]:
        rows = np.random.default_rng(5).random((self.n_rows, *self.shape), np.float32)
        return rows + np.linspace(0, 1, self.n_rows, dtype=np.float32).reshape(-1, *(1 for _ in self.shape))


def scene(
    shape: tuple[int, ...],
    model: dict[str, Any],
    training: dict[str, Any] | None = None,
    n_rows: int = 180,
    memory: int | None = None,
) -> Scene:
    settings = {"epochs": 5, "batch_size": 40, "seed": 3, "threads": 1, "device": "cpu", **(training or {})}
    config = Config.from_dict({"model": {"code_size": 3, **model}, "training": settings})
    return Scene(
        config if memory is None else config.with_data(memory=memory), shape, n_rows, memory is not None
    )


SCENES = {
    "dense": scene((7,), {"network": {"hidden_sizes": [8]}}),
    "conv": scene((8, 8, 1), {"kind": "convolutional"}, {"epochs": 3, "batch_size": 60}),
    "Gaussian code": scene((7,), {"network": {"hidden_sizes": [8]}, "code": "gaussian"}, {"warm_up_share": 0.4}),
    "layer by layer": scene((7,), {"network": {"hidden_sizes": [8, 5]}}, {"scheme": "layer_by_layer", "epochs": 6}),
    "by block": scene(
        (5,), {"network": {"hidden_sizes": [4]}, "code": "gaussian"}, {"batch_size": 4096, "epochs": 2},
        n_rows=60_000, memory=1_000_000,
    ),
}  # fmt: skip


def go_on(scene: Scene, folder: Path, seconds: float, **params: Any) -> None:
    """What a person does with a run folder, whatever is in it: go on, or begin."""
    source = scene.source(folder.parent)
    if is_resumable(folder):
        resume_fit(folder, source, seconds=seconds, **params)
    elif not (folder / "model.safetensors").exists():
        run_fit(source, scene.config, name="rows", folder=folder, force=True, seconds=seconds, **params)


def warm_up(place: Path) -> None:
    """Import what a run imports on its way, so that no child has to."""
    log = place / "modules.txt"

    def listing() -> None:
        go_on(SCENES["Gaussian code"], place / "warm", 10.0)
        log.write_text("\n".join(sys.modules), "utf-8")

    if forked(listing, log=log) != 0:
        raise RuntimeError(log.read_text("utf-8"))
    for name in log.read_text("utf-8").split("\n"):
        with suppress(Exception):
            importlib.import_module(name)
    shutil.rmtree(place / "warm")


def forked(work: Callable[[], object], *, kill_after: float | None = None, log: Path | None = None) -> int:
    """Do work in a child, killed after some seconds; its exit status, or minus the signal that ended it.

    Parameters
    ----------
    work
        Whose exceptions go to ``log``; a refusal of isthmus is one line there and exit status ``REFUSED``.
    kill_after
        Seconds until SIGKILL; None: never.
    log
        A file.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _work(work, log)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _work(work: Callable[[], object], log: Path | None) -> None:
    status = 1
    try:
        import torch

        torch.set_num_threads(1)
        work()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except IsthmusError as error:
        status = REFUSED
        if log is not None:
            log.write_text(str(error), "utf-8")
    except BaseException:
        text = traceback.format_exc()
        if log is not None:
            log.write_text(text, "utf-8")
        else:
            sys.stderr.write(text)
    finally:
        os._exit(status)


def environment(**variables: str) -> dict[str, str]:
    """Environment of a process anywhere that finds the isthmus of this one."""
    return {**os.environ, "PYTHONPATH": str(Path(isthmus.__file__).resolve().parents[1]), **variables}


def events(folder: Path) -> list[dict[str, Any]]:
    """The journal of a run, times aside."""
    found = read_journal(folder / "journal.jsonl")
    return [{key: value for key, value in event.items() if key != "time"} for event in found]


def difference(folder: Path, whole: Path) -> str:
    """In what a run folder is not that of the run that nothing befell; "" if in nothing."""
    try:
        for name in ("model.safetensors", "config.toml", "report.html"):
            if (folder / name).read_bytes() != (whole / name).read_bytes():
                return f"{name} differs"
        if events(folder) != events(whole):
            return "the journal differs"
        # Killed at the very last, a run leaves checkpoints that it was about to remove under a name of no meaning.
        names, expected = (
            {path.name for path in place.iterdir() if not path.name.startswith(".checkpoints-")}
            for place in (folder, whole)
        )
        return f"holds {names ^ expected} too or not" if names != expected else ""
    except (OSError, IsthmusError) as error:
        return str(error)


def plain_reports() -> None:
    """Have reports tell only of the model's digest: they take ten times as long as these trainings."""
    import isthmus.workflows.run as room

    def plain(model: FittedModel, ready: object, path: Path) -> None:
        write_atomically(hashlib.sha256(model.to_bytes()).hexdigest().encode(), path)

    room._write_report = plain  # pyright: ignore[reportPrivateUsage]


def emptied(folder: Path) -> Path:
    """A folder that is not there."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder

"""A disk that is full at one write of a run, at a few, or from one on: nothing earlier is lost, and it is said."""

from __future__ import annotations

import errno
import io
import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from drill import REFUSED, Outcome, Scene, difference, emptied, events, forked, go_on, plain_reports, scene

from isthmus.artifact import file as model_file
from isthmus.artifact import open_model
from isthmus.run_folder import CHECKPOINTS
from isthmus.training.checkpoints import read_checkpoint
from isthmus.workflows.run import run_fit
from isthmus.workflows.run_record import is_resumable, place_of

SCENE: Scene = scene((7,), {"network": {"hidden_sizes": [6]}}, {"epochs": 2, "batch_size": 60})
OLDER: Scene = Scene(SCENE.config.with_training(seed=9), SCENE.shape)
WIDTHS = (1, 4, 10**9)
"""Writes that fail in a row."""
SIZES = (4, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Of small disks, in KiB."""


class Full:
    """Stands for the disk: its writes are counted, and some fail after half of their bytes.

    Parameters
    ----------
    first, n
        The first write that fails, counted from 0, and how many do in a row.
    below
        Files elsewhere are let be.
    """

    def __init__(self, first: int, n: int, below: Path) -> None:
        self.first, self.n, self.below = first, n, str(below.resolve())
        self.n_writes = 0
        self._open, self._mkdir = io.open, os.mkdir

    def __enter__(self) -> Self:
        io.open, os.mkdir = self._opened, self._made  # pyright: ignore[reportAttributeAccessIssue]
        return self

    def __exit__(self, *_: object) -> None:
        io.open, os.mkdir = self._open, self._mkdir

    def fails(self) -> bool:
        """Whether this write does."""
        self.n_writes += 1
        return self.first < self.n_writes <= self.first + self.n

    def _opened(self, path: Any, mode: str = "r", *args: Any, **params: Any) -> Any:
        if isinstance(path, int) or mode[0] not in "wxa" or not os.path.realpath(path).startswith(self.below):
            return self._open(path, mode, *args, **params)
        if not Path(path).exists() and self.fails():
            raise _full(path)
        return _File(self._open(path, mode, *args, **params), self)

    def _made(self, path: Any, *args: Any, **params: Any) -> None:
        if os.path.realpath(path).startswith(self.below) and not Path(path).exists() and self.fails():
            raise _full(path)
        self._mkdir(path, *args, **params)


class _File:
    """A file on such a disk."""

    def __init__(self, file: Any, disk: Full) -> None:
        self._file, self._disk = file, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: Any) -> int:
        if self._disk.fails():
            self._file.write(data[: len(data) // 2])
            raise _full(self._file.name)
        return self._file.write(data)


def _full(path: Any) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _begin(place: Path, *, over: bool) -> None:
    source = SCENE.source(place)
    run_fit(source, SCENE.config, name="rows", folder=place / "run", force=over, seconds=0.0)


def full_disk(n: int, place: Path, *, spoilt: bool = False, seed: int = 0) -> Outcome:
    """Fail ``n`` times at writes spread over all of a run, beginning in an empty folder and over an older run."""
    plain_reports()
    outcome = Outcome("disk full at a write")
    whole, older, counted = place / "whole", place / "older", place / "counted.txt"
    place.mkdir(parents=True)
    forked(lambda: run_fit(SCENE.source(place), SCENE.config, name="rows", folder=whole))
    forked(lambda: run_fit(OLDER.source(place), OLDER.config, name="rows", folder=older))
    n_writes = {}
    for over in (False, True):
        home = _home(place, older, over=over)

        def counting(over: bool = over, home: Path = home) -> None:
            with Full(0, 0, home) as disk:
                _begin(home, over=over)
            counted.write_text(str(disk.n_writes), "utf-8")

        forked(counting)
        n_writes[over] = int(counted.read_text("utf-8"))
    cases = [
        (over, first, width)
        for width in WIDTHS
        for over, number in n_writes.items()
        for first in range(number)
    ]
    n_done = 0
    for over, first, width in random.Random(seed).sample(cases, min(n, len(cases))):
        home = _home(place, older, over=over)

        def failing(over: bool = over, first: int = first, width: int = width, home: Path = home) -> None:
            if spoilt:
                _spoil()
            with Full(first, width, home):
                _begin(home, over=over)

        status = forked(failing, log=place / "log.txt")
        found = _what_is_left(home, status, place / "log.txt", whole, older if over else None)
        n_done += status == 0
        outcome.check(
            not found, f"write {first} to {first + width} of {n_writes[over]}, over={over}: {found}"
        )
    outcome.figures = f"{sum(n_writes.values())} places; {n_done} came to their end all the same"
    return outcome


def _home(place: Path, older: Path, *, over: bool) -> Path:
    home = emptied(place / "home")
    home.mkdir()
    if over:
        subprocess.run(["cp", "-r", str(older), str(home / "run")], check=True)
    return home


def _what_is_left(home: Path, status: int, log: Path, whole: Path, older: Path | None) -> str:
    """What is wrong after a run on a full disk, once there is room; "" if nothing."""
    run = home / "run"
    if status == 0:
        return difference(run, whole)
    text = log.read_text("utf-8")
    if status != REFUSED or "\n" in text or "No space left" not in text or str(home) not in text:
        return f"status {status}, told {text}"
    if older is not None and not (run / "model.safetensors").exists():
        return "the older model is gone"
    if (
        older is not None
        and (run / "model.safetensors").read_bytes() != (older / "model.safetensors").read_bytes()
    ):
        return "the older model is lost"
    if older is not None and open_model(run).config.training.seed != 9:
        return "the older config is lost"
    place = place_of(run)
    if is_resumable(run) and (place / CHECKPOINTS).is_dir():
        found = read_checkpoint(place / CHECKPOINTS)
        if found is not None and found.damaged:
            return found.damaged[0]
    if older is not None and not is_resumable(run):
        again = lambda: _begin(home, over=True)  # noqa: E731
    else:
        again = lambda: go_on(SCENE, run, 0.0)  # noqa: E731
    if forked(again, log=log) != 0:
        return f"with room again: {log.read_text('utf-8')}"
    (run / "failed.jsonl").unlink(missing_ok=True)
    return difference(run, whole)


def _spoil() -> None:
    """Files are written in place, and whether that failed is nobody's business."""

    def in_place(data: bytes, path: Path) -> None:
        with suppress(OSError), path.open("wb") as file:
            file.write(data)

    real = model_file.write_atomically
    for room in list(sys.modules.values()):
        if getattr(room, "write_atomically", None) is real:
            room.write_atomically = in_place  # pyright: ignore[reportAttributeAccessIssue]


def small_disks(place: Path) -> Outcome:
    """Runs on real disks of a few KiB, as far as this process may mount some."""
    plain_reports()
    outcome = Outcome("small tmpfs")
    disk, whole, log = place / "disk", place / "whole", place / "log.txt"
    disk.mkdir(parents=True)
    forked(lambda: run_fit(SCENE.source(place), SCENE.config, name="rows", folder=whole))
    n_done = 0
    for size in SIZES:
        if not _mounted(disk, f"mount -t tmpfs -o size={size}k tmpfs"):
            outcome.figures = "left out: this process may mount nothing"
            return outcome
        try:
            status = forked(lambda: _begin(disk, over=False), log=log)
            text = "" if status == 0 else log.read_text("utf-8")
            n_done += status == 0
            if status == 0:
                found = ""
            elif status != REFUSED or "\n" in text:
                found = f"status {status}, told {text}"
            else:
                _mounted(disk, "mount -o remount,size=4m")
                status = forked(lambda: go_on(SCENE, disk / "run", 0.0), log=log)
                found = "" if status == 0 else log.read_text("utf-8")
            if (
                not found
                and (disk / "run" / "model.safetensors").read_bytes()
                != (whole / "model.safetensors").read_bytes()
            ):
                found = "another model"
            if not found and events(disk / "run") != events(whole):
                found = "another journal"
            outcome.check(not found, f"{size} KiB: {found}")
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    outcome.figures = (
        f"of {SIZES[0]} to {SIZES[-1]} KiB; {n_done} were large enough, the others given room later"
    )
    return outcome


def _mounted(disk: Path, command: str) -> bool:
    try:
        return subprocess.run([*command.split(), str(disk)], check=False, capture_output=True).returncode == 0
    except OSError:
        return False

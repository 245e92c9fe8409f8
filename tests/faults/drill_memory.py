"""One run for a stated time, a checkpoint a second: the memory of its own does not grow."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from array import array
from contextlib import suppress
from pathlib import Path

import numpy as np
from drill import Outcome, forked, scene

from isthmus.training.callbacks import Callback
from isthmus.workflows.run import run_fit

# Epochs of seconds, as long runs have them: what is told of an epoch is kept, some kilobytes each.
LONG = scene(
    (64,),
    {"network": {"hidden_sizes": [32]}, "code": "gaussian"},
    {"epochs": 100_000, "batch_size": 32, "patience": None},
    n_rows=200_000,
)
WARM = 0.4
"""Share of the time after which memory is watched."""
PR_SET_THP_DISABLE = 41
"""Of Linux."""
MOST_AN_HOUR = 5.0
"""MB."""
MOST_AT_ONCE = 8.0
"""MB between the parts of a run of less than ten minutes, in which a growth an hour would be all noise."""


class Watching(Callback):
    """Notes the process's own memory every tenth of a second, and ends the training after some time."""

    def __init__(self, seconds: float, path: Path, *, leaks: bool) -> None:
        self.seconds, self.path, self.leaks = seconds, path, leaks
        self.start = self.last = time.monotonic()
        self.seen = array("d")
        self.leaked: list[bytearray] = []

    def step(self, n_rows: int) -> None:
        now = time.monotonic()
        if now - self.last < 0.1:
            return
        self.last = now
        self.seen.extend((now - self.start, _resident(), _asked_for()))
        if self.leaks:
            self.leaked.append(bytearray(os.urandom(2**22)))
        if now - self.start > self.seconds:
            self.seconds = float("inf")
            signal.raise_signal(signal.SIGTERM)  # a shell has its background jobs ignore SIGINT

    def end(self, reason: str) -> None:
        np.save(self.path, np.array(self.seen).reshape(-1, 3))


def memory(seconds: float, place: Path, *, spoilt: bool = False) -> Outcome:
    """Train for ``seconds``; ``spoilt``: something leaks."""
    outcome = Outcome("memory of a long run")
    place.mkdir(parents=True)
    path, log = place / "seen.npy", place / "log.txt"
    if not Path("/proc/self/status").exists():
        outcome.figures = "left out: no /proc"
        return outcome

    def work() -> None:
        _plain_pages()
        watching = Watching(seconds, path, leaks=spoilt)
        run_fit(
            LONG.source(place),
            LONG.config,
            name="rows",
            folder=place / "run",
            callbacks=[watching],
            seconds=1.0,
        )

    status = forked(work, log=log)
    if status != 0:
        outcome.check(False, log.read_text("utf-8"))
        return outcome
    seen = np.load(path)
    times, resident, asked_for = seen[seen[:, 0] > WARM * seconds].T
    slope = float(np.polyfit(times, resident, 1)[0])
    parts, asked = ([float(np.median(p)) for p in np.array_split(of, 4)] for of in (resident, asked_for))
    growth = (parts[2] + parts[3] - parts[0] - parts[1]) / 2
    held = 3600 * slope < MOST_AN_HOUR if seconds >= 600 else growth < MOST_AT_ONCE
    outcome.check(held, f"{growth:.1f} MB more between halves, {3600 * slope:.1f} MB an hour")
    hour, halves = f"{3600 * slope:+.1f} MB an hour", f"{growth:+.2f} MB between halves"
    quarters, of_those = (" ".join(f"{part:.2f}" for part in of) for of in (parts, asked))
    outcome.figures = f"{seconds:.0f} s: {hour}, {halves}; quarters {quarters} MB, asked for {of_those} MB"
    return outcome


def _plain_pages() -> None:
    """No huge pages: the system puts some together when it likes, which then count whole, whatever is used of them."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)


def _resident() -> float:
    """MB in memory of the process's own: pages of libraries, which the system drops and reads again, are none."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


class _MallInfo(ctypes.Structure):
    """Of mallinfo2, which sees what is asked of malloc: not what it keeps, nor the small objects of Python."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    )


def _asked_for() -> float:
    """MB that are in use of what malloc has given, where it tells: a step of the pages alone is its own."""
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if tell is None:
        return 0.0
    tell.restype = _MallInfo
    told = tell()
    return (told.uordblks + told.hblkhd) / 1e6

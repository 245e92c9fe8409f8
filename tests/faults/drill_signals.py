"""Ctrl-C and SIGTERM to the command line while it trains: once, it saves; twice, it stops at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from drill import Outcome, difference, environment

from isthmus.training.interruption import Interruption
from isthmus.training.loop import Trainer
from isthmus.workflows.run_record import progress_of

SLOW = 0.4
"""Seconds of a step, so that a second signal comes within it."""


class Case(NamedTuple):
    """What is sent."""

    number: int
    twice: bool


CASES = (
    Case(signal.SIGINT, False),
    Case(signal.SIGTERM, False),
    Case(signal.SIGINT, True),
    Case(signal.SIGTERM, True),
)


def signals(place: Path, cases: tuple[Case, ...] = CASES, *, spoilt: bool = False) -> Outcome:
    """Send each, and go on; ``spoilt``: nobody listens."""
    outcome = Outcome("SIGINT and SIGTERM")
    place.mkdir(parents=True)
    np.save(place / "rows.npy", np.random.default_rng(0).random((40, 5), np.float32))
    whole = place / "whole"
    _ended(_started(place, "fit", *_command(whole)))
    slowest = 0.0
    for number, case in enumerate(cases):
        run = place / f"run{number}"
        program = _started(place, "fit", *_command(run), slow=True, spoilt=spoilt)
        until = time.monotonic() + 120
        while (
            program.poll() is None
            and time.monotonic() < until
            and "epoch" not in _text(run / "journal.jsonl")
        ):
            time.sleep(0.02)
        begin = time.monotonic()
        program.send_signal(case.number)
        if case.twice:
            time.sleep(0.1)
            program.send_signal(case.number)
        status, told = _ended(program)
        slowest = max(slowest, time.monotonic() - begin)
        what = f"{signal.Signals(case.number).name}{', twice' if case.twice else ''}"
        outcome.check(status == 130, f"{what}: status {status}, told {told[-300:]}")
        if not case.twice:
            outcome.check(
                f"isthmus fit --resume {run}" in told, f"{what}: does not tell how to go on: {told[-300:]}"
            )
            outcome.check((run / "model.safetensors").is_file(), f"{what}: no model was saved")
        if spoilt:
            continue
        known = progress_of(run)
        outcome.check(not known.damaged and known.what != "finished", f"{what}: left as {known}")
        status, told = _ended(_started(place, "fit", "--resume", str(run)))
        outcome.check(status == 0, f"{what}, resumed: status {status}, told {told[-300:]}")
        found = difference(run, whole)
        outcome.check(not found, f"{what}, resumed: {found}")
    outcome.figures = f"{len(cases)} signals; ended {slowest:.1f} s after at most"
    return outcome


def _command(run: Path) -> tuple[str, ...]:
    return ("rows.npy", "--run", str(run), "--code-size", "2", "--epochs", "5", "--seed", "1", "--set",
            "training.batch_size=20", "--set", "model.network.hidden_sizes=[4]", "--device", "cpu")  # fmt: skip


def _started(place: Path, *command: str, slow: bool = False, spoilt: bool = False) -> subprocess.Popen[str]:
    switches = {"DRILL_SLOW": "1"} if slow else {}
    if spoilt:
        switches["DRILL_DEAF"] = "1"
    return subprocess.Popen(
        [sys.executable, __file__, *command],
        cwd=place, env=environment(**switches), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip


def _ended(program: subprocess.Popen[str]) -> tuple[int, str]:
    told, _ = program.communicate(timeout=300)
    return program.returncode, told


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8").partition('"event": "epoch"')[1]
    except OSError:
        return ""


def main() -> int:
    """The command line of isthmus, slower and deaf as asked."""
    from isthmus.cli.main import run

    if "DRILL_SLOW" in os.environ:
        update = Trainer._update  # pyright: ignore[reportPrivateUsage]

        def slow(self: Trainer, rate: float) -> None:
            time.sleep(SLOW)
            update(self, rate)

        Trainer._update = slow  # pyright: ignore[reportPrivateUsage]
    if "DRILL_DEAF" in os.environ:

        def deaf(self: Interruption) -> Interruption:
            return self

        Interruption.__enter__ = deaf  # pyright: ignore[reportAttributeAccessIssue]
    return run()


if __name__ == "__main__":
    sys.exit(main())

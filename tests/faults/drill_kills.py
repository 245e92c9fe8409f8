"""Runs that are killed at any moment and go on, again and again: they end in the bits of one that was not."""

from __future__ import annotations

import random
import time
from pathlib import Path

from drill import SCENES, Outcome, difference, emptied, forked, go_on, plain_reports

from isthmus.run_folder import CHECKPOINTS
from isthmus.training.loop import Trainer
from isthmus.training.state import State

KILLED = -9
AGAIN = 0.5
"""How often one that goes on is killed too."""


def kills(n: int, place: Path, *, spoilt: bool = False, seed: int = 0) -> Outcome:
    """Kill runs ``n`` times over all kinds of them; ``spoilt``: what goes on does so at a wrong place."""
    if spoilt:
        _spoil()
    plain_reports()
    random_ = random.Random(seed)
    outcome, n_kept = Outcome("SIGKILL while training"), 0
    each = {name: n // len(SCENES) + (number < n % len(SCENES)) for number, name in enumerate(SCENES)}
    for name, n_kills in each.items():
        scene, home = SCENES[name], place / name.replace(" ", "-")
        home.mkdir(parents=True)
        whole, run, log = home / "whole", home / "run", home / "log.txt"
        go = lambda folder, seconds: lambda: go_on(scene, folder, seconds)  # noqa: E731, B023
        begin = time.monotonic()
        if forked(go(whole, 0.0), log=log) != 0:
            outcome.check(False, f"{name}: the whole run failed: {log.read_text('utf-8')}")
            continue
        longest, n_done = time.monotonic() - begin, 0
        while n_done < n_kills:
            seconds = random_.choice((0.0, 0.0, 0.01, 0.05))
            status, n_in_row = KILLED, 0
            while status == KILLED:
                killed = n_done < n_kills and (n_in_row == 0 or random_.random() < AGAIN)
                after = random_.uniform(0.1, 1) * longest if killed else None
                status = forked(go(run, seconds), kill_after=after, log=log)
                if status == KILLED:
                    n_done, n_in_row = n_done + 1, n_in_row + 1
                    n_kept += any(path.name.isdecimal() for path in (run / CHECKPOINTS).glob("*"))
            found = log.read_text("utf-8") if status != 0 else difference(run, whole)
            for _ in range(n_in_row):
                outcome.check(
                    not found, f"{name}, killed {n_in_row} times, checkpoints of {seconds} s: {found}"
                )
            emptied(run)
    outcome.figures = f"{n_kept} with a checkpoint kept by then"
    return outcome


# pyright: reportPrivateUsage=false
def _spoil() -> None:
    """A batch is forgotten where a training goes on."""
    load = Trainer._load

    def wrong(self: Trainer, state: State) -> None:
        load(self, state)
        self._n_batches_done = max(0, self._n_batches_done - 1)

    Trainer._load = wrong

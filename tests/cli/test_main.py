"""The entry point: what it sets before torch, and what it says of an interruption."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from isthmus.artifact import open_model
from isthmus.cli.options import told

Command = Callable[..., Any]
Process = Callable[..., "CompletedProcess[str]"]
SHOW = "import os, sys, isthmus.cli.main; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"


def test_threads_that_wait_yield(process: Process) -> None:
    assert process("python", "-c", SHOW, GOMP_SPINCOUNT="7").stdout.split() == ["7", "False"]
    done = process("python", "-c", "import os; os.environ.pop('GOMP_SPINCOUNT', 0)\n" + SHOW)
    assert done.stdout.split() == ["2000", "False"]


def test_an_interruption_says_only_what_is_known(
    place: Path, isthmus: Command, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isthmus.evaluation.report.write_report", interrupt)
    done = isthmus("fit", "table.npy", "--run", "run", *quick)
    assert done.status == 130
    assert done.err == "isthmus: interrupted; only what was complete by then is written.\n"
    assert open_model("run").best_epoch == 1
    assert not Path("run/report.html").exists()


def test_help_breaks_lines_at_its_own_width_alone(isthmus: Callable[..., Any]) -> None:
    def verb() -> None:
        """Do it.

        Parameters
        ----------
        name
            One line,
            and another,
            and more.
        other
            Short.
        """

    text = "Do it.\n\nParameters\n----------\nname\n    One line, and another, and more.\nother\n    Short."
    assert told(verb).__doc__ == text
    said = isthmus("fit", "--help").out
    words = re.sub(r"[\s│]+", " ", said)
    assert "Rows that need more are read by block, in every pass anew." in words

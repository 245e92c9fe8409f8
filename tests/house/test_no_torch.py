"""What starts at once: neither ``import isthmus`` nor any ``--help`` waits for a heavy library."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

HEAVY = ("torch", "sklearn", "scipy", "matplotlib", "pandas", "polars")
SHOW = f"import sys; print('heavy:', *[name for name in {HEAVY!r} if name in sys.modules])"
HELP = f"""
import sys
from isthmus.cli.main import run

sys.argv = ["isthmus", *sys.argv[1:]]
try:
    status = run()
except SystemExit as stop:
    status = stop.code
assert not status, status
{SHOW}
"""
VERBS = ("fit", "info", "encode", "decode", "reconstruct", "report", "demo")

Python = Callable[..., "CompletedProcess[str]"]


def heavy(done: CompletedProcess[str]) -> str:
    """Names of the heavy libraries that a process had loaded at its end."""
    return done.stdout.splitlines()[-1].removeprefix("heavy:").strip()


def test_the_measure_sees_a_heavy_import(python: Python) -> None:
    assert heavy(python(f"import scipy\n{SHOW}")) == "scipy"


def test_import_is_light(python: Python) -> None:
    assert heavy(python(f"import isthmus; dir(isthmus)\n{SHOW}")) == ""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_is_light(python: Python, arguments: list[str]) -> None:
    done = python(HELP, *arguments)
    assert heavy(done) == ""
    assert len(done.stdout.splitlines()) > 1


def test_help_lists_every_verb(python: Python) -> None:
    text = python(HELP, "--help").stdout
    assert [verb for verb in VERBS if verb not in text.split()] == []

"""The command in a process of its own: as a module, through a closed pipe, on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_as_a_module(process: Callable[..., Any], place: Path) -> None:
    done = process("python", "-m", "isthmus", "info", "model.safetensors", "--json", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{")
    done = process("python", "-m", "isthmus", "info", "nowhere", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise")
def test_a_reader_that_has_gone_is_no_error(environment: dict[str, str], place: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", "info", "pictures.npy"],
        stdout=write, stderr=subprocess.PIPE, env=environment, cwd=place, check=False, timeout=120,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminal")
def test_progress_on_a_terminal(environment: dict[str, str], place: Path, quick: tuple[str, ...]) -> None:
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", "fit", "pictures.npy", "-o", "n.safetensors", *quick[2:], "--json"],
        stdout=subprocess.PIPE, stderr=theirs, cwd=place, check=True, timeout=120,
        env={**environment, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert b"epoch" in shown
    assert b"loss" in shown
    assert done.stdout.startswith(b"{")

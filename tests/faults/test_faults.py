"""A short form of the fault matrix, each drill beside a twin in which something is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="drills end processes as Unix does")


@pytest.mark.parametrize(
    "drill", ["kills", "writes", "archives", "power", "disk", "signals", "repeats", "memory"]
)
def test_a_drill_holds_and_its_twin_does_not(
    drill: str, repository: Path, process: Callable[..., Any]
) -> None:
    program = str(repository / "tests" / "faults" / "matrix.py")
    done = process("python", program, drill, "--short", "--json", cwd=repository, OMP_NUM_THREADS="1")
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert not found["wrong"]
    if found["figures"].startswith("left out"):
        return
    assert found["tried"] > 0
    assert found["twin"]["tried"] > 0, found["twin"]
    assert found["twin"]["wrong"], "the twin, in which something is wrong, was not told from it"
    assert done.returncode == 0

"""Benchmarks and scripts name no place of whoever wrote them; what needs data asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Process = Callable[..., "CompletedProcess[str]"]


def test_no_script_leaves_the_repository(repository: Path) -> None:
    scripts = [*(repository / "benchmarks").iterdir(), *(repository / "scripts").iterdir()]
    assert [each.name for each in scripts if each.suffix == ".py" and "../" in each.read_text("utf-8")] == []


@pytest.mark.parametrize("name", ["heart", "linear", "mnist"])
def test_data_are_asked_for(process: Process, repository: Path, name: str) -> None:
    done = process("python", str(repository / "benchmarks" / f"{name}.py"))
    assert done.returncode == 2
    assert "--data" in done.stderr
    assert (
        f"benchmarks/{name}.py" in (repository / "Makefile").read_text("utf-8").partition("BENCH_DATA := ")[2]
    )

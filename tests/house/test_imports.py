"""The floors hold: a room imports only from the rooms below it, and some rooms never import torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

RUN = """
import sys
from importlinter.cli import lint_imports

sys.exit(lint_imports(no_cache=True, no_logo=True))
"""


Process = Callable[..., "CompletedProcess[str]"]


def lint(process: Process, folder: Path) -> CompletedProcess[str]:
    """Run import-linter on the checkout in ``folder``."""
    return process("python", "-c", RUN, cwd=folder, PYTHONPATH=str(folder / "src"))


def test_floors_hold(process: Process, repository: Path) -> None:
    done = lint(process, repository)
    assert done.returncode == 0, done.stdout + done.stderr


def test_broken_floors_are_seen(process: Process, repository: Path, tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "*.gz")
    shutil.copytree(repository / "src", tmp_path / "src", ignore=ignore)
    shutil.copy(repository / "pyproject.toml", tmp_path)
    low, torchless = tmp_path / "src/isthmus/errors.py", tmp_path / "src/isthmus/schema.py"
    low.write_text(low.read_text("utf-8") + "\nfrom isthmus.schema import Schema\n", "utf-8")
    torchless.write_text(torchless.read_text("utf-8") + "\nimport torch\n", "utf-8")

    done = lint(process, tmp_path)

    assert done.returncode == 1
    assert "isthmus.errors -> isthmus.schema" in done.stdout
    assert "isthmus.schema -> torch" in done.stdout

"""Small data and small models to run the verbs on, and a way to run them in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from isthmus.cli.main import run


class Done(NamedTuple):
    """A command that has run."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Done]

QUICK = ("--epochs", "1", "--seed", "0", "--set", "model.network.hidden_sizes=[8]", "--code-size", "3")
"""A fit of a fraction of a second; dense networks alone."""


@pytest.fixture
def isthmus(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run one command line in this process."""

    def command(*arguments: str | Path) -> Done:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return command


def digits(n: int, seed: int = 0) -> np.ndarray:
    """Pictures of 8 x 8 with something to learn: bright squares somewhere on black."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 5, (n, 8, 8), dtype=np.uint8)
    for picture in pictures:
        top, left = random.integers(0, 5, 2)
        picture[top : top + 4, left : left + 4] = random.integers(200, 256)
    return pictures


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and two models: ``model.safetensors``, and ``gaussian.safetensors``."""
    folder = tmp_path_factory.mktemp("trained")
    np.save(folder / "pictures.npy", digits(40))
    np.savez(folder / "labelled.npz", x=digits(20, 1), y=np.arange(20) % 4)
    np.save(folder / "table.npy", np.random.default_rng(0).normal(size=(50, 5)))
    assert run(["fit", str(folder / "pictures.npy"), "-o", str(folder / "model.safetensors"), *QUICK]) == 0
    gaussian = ["fit", str(folder / "table.npy"), "-o", str(folder / "gaussian.safetensors"), *QUICK]
    assert run([*gaussian, "--kind", "variational"]) == 0
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, to work in."""
    folder = tmp_path / "place"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def quick() -> tuple[str, ...]:
    """Options of a fit of a fraction of a second."""
    return QUICK


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes | None]]:
    """Everything below a folder, by name."""
    return _contents


def _contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }

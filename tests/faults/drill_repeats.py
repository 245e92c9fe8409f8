"""The same command twice in two processes, and on two threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from drill import Outcome, environment

from isthmus.artifact import open_model
from isthmus.artifact.file import from_bytes, read


def repeats(place: Path, *, epochs: int = 20, spoilt: bool = False) -> Outcome:
    """Compare models and reports of two processes, and say what a second thread changes; ``spoilt``: another seed."""
    outcome = Outcome("same seed, two processes")
    place.mkdir(parents=True)
    runs = {
        "first": _fitted(place, "first", "1", 1, epochs),
        "again": _fitted(place, "again", "2", 1, epochs, seed=int(spoilt)),
        "two threads": _fitted(place, "threads", "3", 2, epochs),
    }
    for name in ("model.safetensors", "report.html", "config.toml"):
        same = (runs["first"] / name).read_bytes() == (runs["again"] / name).read_bytes()
        outcome.check(same, f"{name} differs")
    one, two = (
        from_bytes(read(runs[name] / "model.safetensors"), name)[1] for name in ("first", "two threads")
    )
    weights = max(_difference(one[name], two[name]) for name in one if one[name].dtype.kind == "f")
    losses = [
        np.array([epoch["training"]["loss"] for epoch in open_model(runs[name]).epochs])
        for name in ("first", "two threads")
    ]
    loss = float(np.max(np.abs(losses[0] / losses[1] - 1)))
    outcome.check(loss < 1e-3, f"a loss on two threads differs by {loss:.1e} of it")
    outcome.figures = (
        f"1 and 2 threads: weights by {weights:.1e} of the largest of their tensor, losses by {loss:.1e}"
    )
    return outcome


def _fitted(place: Path, name: str, hashes: str, threads: int, epochs: int, seed: int = 0) -> Path:
    subprocess.run(
        [
            sys.executable, "-m", "isthmus", "fit", "mnist-test", "--run", str(place / name), "--seed", str(seed),
            "--epochs", str(epochs), "--device", "cpu", "--set", f"training.threads={threads}",
            "--set", "model.network.hidden_sizes=[256,64]",
        ],
        check=True, cwd=place, env=environment(PYTHONHASHSEED=hashes, OMP_NUM_THREADS=str(threads)),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return place / name


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    largest = float(np.max(np.abs(a), initial=0.0))
    return float(np.max(np.abs(a - b), initial=0.0)) / largest if largest else 0.0

"""The same command twice in two processes, and on two threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from drill import Outcome, environment

from isthmus.artifact import open_model
from isthmus.artifact.file import from_bytes, read

NETWORKS = {
    "dense": ("--set", "model.network.hidden_sizes=[512,64]"),
    "convolutional": ("--kind", "convolutional"),
}
BATCH = 256
"""Rows a step: in smaller ones a second thread finds nothing to do."""


def repeats(place: Path, *, epochs: int = 20, spoilt: bool = False) -> Outcome:
    """Compare models and reports of two processes, and say what a second thread changes; ``spoilt``: another seed."""
    outcome = Outcome("same seed, two processes")
    place.mkdir(parents=True)
    told: list[str] = []
    for network in NETWORKS:
        n = epochs if network == "dense" else max(1, epochs // 5)
        first = _fitted(place, network, "first", "1", 1, n)
        again = _fitted(place, network, "again", "2", 1, n, seed=int(spoilt))
        for name in ("model.safetensors", "report.html", "config.toml"):
            same = (first / name).read_bytes() == (again / name).read_bytes()
            outcome.check(same, f"{network}: {name} differs")
        threads = _fitted(place, network, "threads", "3", 2, n)
        weights, losses = _difference_of_weights(first, threads), _difference_of_losses(first, threads)
        outcome.check(losses < 1e-3, f"{network}: a loss on two threads differs by {losses:.1e} of it")
        told.append(
            f"{network}, {n} epochs: weights by {weights:.1e} of the largest of their tensor, losses by {losses:.1e}"
        )
    outcome.figures = f"1 and 2 threads: {'; '.join(told)}"
    return outcome


def _fitted(
    place: Path, network: str, name: str, hashes: str, threads: int, epochs: int, seed: int = 0
) -> Path:
    folder = place / f"{network}-{name}"
    subprocess.run(
        [
            sys.executable, "-m", "isthmus", "fit", "mnist-test", "--run", str(folder), "--seed", str(seed),
            "--epochs", str(epochs), "--device", "cpu", "--set", f"training.threads={threads}",
            "--set", f"training.batch_size={BATCH}", *NETWORKS[network],
        ],
        check=True, cwd=place, env=environment(PYTHONHASHSEED=hashes, OMP_NUM_THREADS=str(threads)),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return folder


def _difference_of_weights(first: Path, second: Path) -> float:
    one, two = (from_bytes(read(run / "model.safetensors"), str(run))[1] for run in (first, second))
    return max(_difference(one[name], two[name]) for name in one if one[name].dtype.kind == "f")


def _difference_of_losses(first: Path, second: Path) -> float:
    losses = [
        np.array([epoch["training"]["loss"] for epoch in open_model(run).epochs]) for run in (first, second)
    ]
    return float(np.max(np.abs(losses[0] / losses[1] - 1)))


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    largest = float(np.max(np.abs(a), initial=0.0))
    return float(np.max(np.abs(a - b), initial=0.0)) / largest if largest else 0.0

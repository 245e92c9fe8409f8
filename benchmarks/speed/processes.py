"""Whole processes: import, ``--help``, ``isthmus fit``; and a grid search on all cores."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from isthmus import Autoencoder, parallel_fits
from isthmus.cores import n_cores
from speed.harness import Contestant, Options, Ratio, Task, Work, beside, over

HERE = Path(__file__).parent
GRID = {"n_components": [2, 4, 8, 16], "learning_rate": [5e-4, 1e-3, 2e-3, 4e-3]}
N_LEARNED = 1437


def starting(_: Options) -> Task:
    commands = {
        "python": ["-c", "pass"],
        "import": ["-c", "import isthmus"],
        "help": ["-m", "isthmus", "--help"],
    }
    return Task(
        "starting",
        "Processes: python alone, one that imports isthmus, isthmus --help. The import is what it takes longer than "
        "python alone, the help is the whole process.",
        [Contestant(name, lambda c=command: partial(_output, c), 1) for name, command in commands.items()],
        [
            Ratio(
                "import isthmus",
                lambda taken: taken["import"] - taken["python"],
                0.1,
                0.03,
                more_is_better=False,
                unit="s",
            ),
            Ratio("isthmus --help", lambda taken: taken["help"], 0.4, 0.2, more_is_better=False, unit="s"),
        ],
        rounds=(7, 15),
    )


def fit_digits(options: Options) -> Task:
    rows = options.folder / "digits.npy"
    np.save(rows, load_digits().data)
    model = str(options.folder / "digits.safetensors")
    fit = ["-m", "isthmus", "fit", str(rows), "-o", model, "--force", "--seed", "0", "--json"]
    plain = [str(HERE / "plain_fit.py"), str(rows), str(options.folder / "digits.pt")]

    def of_ours(output: str) -> float:
        found = json.loads(output)
        return found["error"]["sse"] / found["baselines"]["pca"]["sse"]

    def of_theirs(output: str) -> float:
        found = json.loads(output)
        return found["error"] / found["pca"]

    return Task(
        "fit-digits",
        "isthmus fit of 1,797 digits with its defaults (64-256-128-8, 40 epochs, batches of 32), beside a script with "
        "the same layers, batches and epochs: whole processes. Errors are shares of PCA's on the same held-out rows.",
        [
            Contestant("isthmus", lambda: partial(_output, fit), 1, of_ours),
            Contestant("plain script", lambda: partial(_output, plain), 1, of_theirs),
        ],
        [
            Ratio(
                "time over the plain script",
                beside("isthmus", "plain script"),
                1.1,
                1.0,
                more_is_better=False,
            )
        ],
    )


def grid_search(_: Options) -> Task:
    """scikit-learn's ``GridSearchCV`` in processes of isthmus, in those that it has by itself, and in none."""
    X = load_digits().data.astype(np.float32)
    split = [(np.arange(N_LEARNED), np.arange(N_LEARNED, len(X)))]

    def search(n_jobs: int | None) -> GridSearchCV:
        model = Autoencoder(max_epochs=10, random_state=0, device="cpu")
        return GridSearchCV(model, GRID, cv=split, refit=False, n_jobs=n_jobs).fit(X)

    def forked() -> GridSearchCV:
        with parallel_fits(n):
            return search(None)

    def ready(*, begun: bool) -> Work:
        from joblib import Parallel, delayed
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)
        if begun:
            Parallel(n)(delayed(Autoencoder)() for _ in range(4 * n))
        return partial(search, n)

    def error(found: Any) -> float:
        return -float(found.best_score_)

    n = n_cores()
    return Task(
        "grid-search",
        f"16 models of a grid (10 epochs of 1,437 digits each) by GridSearchCV in {n} processes: of isthmus's "
        "parallel_fits, of n_jobs with their start, and of n_jobs once they are there; beside one after the other. "
        "Errors are the best model's, a value.",
        [
            Contestant("one after the other", lambda: partial(search, 1), 1, error),
            Contestant("parallel_fits", lambda: forked, 1, error),
            Contestant("n_jobs", lambda: ready(begun=False), 1, error),
            Contestant("n_jobs, begun", lambda: ready(begun=True), 1, error),
        ],
        [
            Ratio("over one after the other", over("one after the other", "parallel_fits"), 1.7, 3.0),
            Ratio("over n_jobs of scikit-learn", over("n_jobs", "parallel_fits")),
            Ratio("over n_jobs of scikit-learn, begun", over("n_jobs, begun", "parallel_fits")),
        ],
        rounds=(3, 5),
    )


def _output(arguments: list[str]) -> str:
    return subprocess.run(
        [sys.executable, *arguments], cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True
    ).stdout

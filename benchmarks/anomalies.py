"""The detector with its defaults beside an isolation forest, PCA's residual and PyOD's autoencoder.

Each is fitted on half of the usual rows and ranks the other half among the anomalies; the figure is the
area under the receiver operating characteristic (AUROC), mean over seeds. Usual rows are the benign of
breast_cancer, one digit of ten against the others, one wine of three against the others, and with ``--data``
the patients of ``heart_disease.csv`` without a narrowing. PCA has the detector's code size and the columns'
standard units, of digits the pixels'. PyOD's autoencoder is left out where PyOD is not installed; its batches
are made smaller than the rows. The detector takes the heart table as it is; the others take its numbers with
gaps filled by the median, and zeros and ones for its categories, gaps filled by the commonest.

The last line fits a linear detector of one unit to breast_cancer: it is PCA's residual.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from isthmus import AnomalyDetector

Rows = NDArray[np.float64]
Scores = Callable[[Any, Any, int], Rows]
"""Of training rows, test rows and a seed the anomaly of the test rows."""
TASKS = {
    "breast_cancer": (load_breast_cancer, (1,), 0.95),
    "wine": (load_wine, (0, 1, 2), 0.97),
    "digits": (load_digits, tuple(range(10)), 0.985),
}
"""How to load the rows, the classes of which each is the usual one in turn, and the goal."""
FILE, TARGET = "heart_disease.csv", "diameter narrowing"


def split(rows: Any, labels: NDArray[np.int64], usual: int, seed: int) -> tuple[Any, Any, NDArray[np.bool_]]:
    """Training rows, test rows and which of those are anomalies; rows are an array or a frame."""
    own = np.random.RandomState(seed).permutation(np.flatnonzero(labels == usual))
    train = own[: len(own) // 2]
    test = np.setdiff1d(np.arange(len(labels)), train)
    if isinstance(rows, pd.DataFrame):
        return rows.iloc[train], rows.iloc[test], labels[test] != usual
    return rows[train], rows[test], labels[test] != usual


def numbers(train: Any, test: Any) -> tuple[Rows, Rows]:
    """Rows of a frame as numbers, by what its training rows hold; those of an array as they are."""
    if not isinstance(train, pd.DataFrame):
        return train, test
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(drop="if_binary", handle_unknown="ignore", sparse_output=False),
    )
    made = make_column_transformer(
        (SimpleImputer(strategy="median"), make_column_selector(dtype_include="number")), remainder=words
    ).fit(train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of words that no training row has
        return made.transform(train), made.transform(test)


def detector(train: Any, test: Any, seed: int) -> Rows:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same
        return AnomalyDetector(random_state=seed).fit(train).anomaly_score(test)


def forest(train: Any, test: Any, seed: int) -> Rows:
    train, test = numbers(train, test)
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def pca_residual(train: Any, test: Any, seed: int, size: int | None = None) -> Rows:
    size = size or max(1, round(train.shape[1] ** 0.5))
    train, test = numbers(train, test)
    x, y = units(train, train), units(train, test)
    pca = PCA(size, random_state=seed).fit(x)
    return np.square(pca.inverse_transform(pca.transform(y)) - y).sum(axis=1)


def pyod(train: Any, test: Any, seed: int) -> Rows:
    from pyod.models.auto_encoder import AutoEncoder

    train, test = numbers(train, test)
    model = AutoEncoder(batch_size=max(2, min(32, len(train) // 4)), random_state=seed, verbose=0)
    return model.fit(train).decision_function(test)


def units(train: Rows, rows: Rows) -> Rows:
    """Standard units of the training rows, but of pixels, which share one."""
    if train.shape[1] == 64:
        return rows / 16.0
    spread = train.std(axis=0)
    return (rows - train.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def load_heart(folder: Path) -> Callable[..., tuple[pd.DataFrame, NDArray[np.int64]]]:
    def load(**_: bool) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        frame = pd.read_csv(folder / FILE)
        labels = frame.pop(TARGET).to_numpy()
        return frame, labels

    return load


def tasks(name: str, n_seeds: int) -> Iterator[tuple[int, Any, Any, NDArray[np.bool_]]]:
    load, classes, _ = TASKS[name]
    rows, labels = load(return_X_y=True)
    for seed in range(n_seeds):
        for usual in classes:
            yield (seed, *split(rows, labels, usual, seed))


def linear(n_seeds: int) -> None:
    """A linear detector of one unit beside PCA's residual."""
    found = []
    for seed, train, test, is_anomaly in tasks("breast_cancer", n_seeds):
        model = AnomalyDetector(
            1, hidden_sizes=(), corruption=None, measure="squared_error", validation_share=0.0,
            max_epochs=1500, batch_size=256, learning_rate=1e-2, random_state=seed,
        ).fit(train)  # fmt: skip
        ours = roc_auc_score(is_anomaly, model.anomaly_score(test))
        found.append((ours, roc_auc_score(is_anomaly, pca_residual(train, test, seed, 1))))
    ours, theirs = np.mean(found, axis=0)
    first = " and ".join(f"{value:.4f}" for value in found[0])
    apart = max(abs(a - b) for a, b in found)
    print(
        f"linear, one unit: {ours:.4f}, PCA's residual {theirs:.4f}; seed 0 {first}; at most {apart:.4f} apart"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[*TASKS, "heart"])
    parser.add_argument("--data", type=Path, help=f"folder that holds {FILE}")
    options = parser.parse_args()
    if options.data is not None:
        TASKS["heart"] = (load_heart(options.data), (0,), None)
    elif "heart" in (options.only or ()):
        parser.error("heart is in --data FOLDER, which is missing")
    torch.set_num_threads(1)
    methods: dict[str, Scores] = {"isthmus": detector, "forest": forest, "PCA": pca_residual}
    if find_spec("pyod") is not None:
        methods["PyOD AE"] = pyod
    print(f"{'AUROC':14} {'goal':>5}" + "".join(f" {name:>8}" for name in methods) + f" {'s/fit':>6}")
    ranks: dict[str, list[float]] = defaultdict(list)
    for name in options.only or TASKS:
        found: dict[str, list[float]] = defaultdict(list)
        seconds = []
        for seed, train, test, is_anomaly in tasks(name, options.seeds):
            start = time.perf_counter()
            for method, scores in methods.items():
                found[method].append(float(roc_auc_score(is_anomaly, scores(train, test, seed))))
                if method == "isthmus":
                    seconds.append(time.perf_counter() - start)
        table = np.array([found[method] for method in methods])
        # Each data set counts once, however many classes it has.
        for method, rank in zip(methods, rankdata(-table, axis=0).mean(axis=1), strict=True):
            ranks[method].append(float(rank))
        means = "".join(f" {statistics.mean(found[method]):8.4f}" for method in methods)
        goal = "" if TASKS[name][2] is None else f"{TASKS[name][2]:5.3f}"
        print(f"{name:14} {goal:5}{means} {statistics.mean(seconds):6.2f}", flush=True)
    print(f"{'mean rank':20}" + "".join(f" {statistics.mean(ranks[method]):8.2f}" for method in methods))
    if "breast_cancer" in (options.only or TASKS):
        linear(options.seeds)


if __name__ == "__main__":
    main()

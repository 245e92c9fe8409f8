"""Groups found without labels beside the labels: normalised mutual information, ten groups.

A mixture of normal distributions (full covariances) on an autoencoder's codes, beside k-means and mixtures
on the pixels and on PCA at the same code size; the labels take no part. Scikit-learn's digits, and with
``--data`` the first training rows of MNIST. Mixtures on MNIST's 784 pixels have diagonal covariances: full
ones have 3 million numbers.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

from isthmus import Autoencoder
from isthmus.exploration.groups import agreement, find_groups
from isthmus.sources import open_source

SIZE, N_GROUPS, N_STARTS = 10, 10, 5
SETTINGS = {
    "digits": {"hidden_sizes": (256, 128)},
    "MNIST": {"hidden_sizes": (500, 250), "max_epochs": 15},
}
GOALS = {"digits": 0.02, "MNIST": 0.12}
"""By how much the codes are to be ahead of the best of the others."""

Rows = NDArray[np.generic]


def on(values: NDArray[np.float64], labels: Rows, method: str, seed: int) -> float:
    """Mutual information of groups of these values."""
    if method == "diagonal":
        floor = 0.01 * float(values.var(axis=0).mean())
        mixture = GaussianMixture(
            N_GROUPS, covariance_type="diag", reg_covar=floor, n_init=N_STARTS, random_state=seed
        )
        return float(normalized_mutual_info_score(labels, mixture.fit_predict(values)))
    if method == "k-means":
        found = KMeans(N_GROUPS, n_init=N_STARTS, random_state=seed).fit_predict(values)
        return float(normalized_mutual_info_score(labels, found))
    groups = find_groups(values, N_GROUPS, seed=seed, n_starts=N_STARTS)
    return agreement(groups.members(values), labels).nmi


def compare(name: str, rows: Rows, labels: Rows, n_seeds: int) -> None:
    pixels = rows.reshape(len(rows), -1).astype(np.float64) / rows.max()
    reduced = PCA(SIZE, svd_solver="covariance_eigh").fit_transform(pixels)
    print(f"{name}: {len(rows):,} rows, a code of {SIZE}", flush=True)
    scores: dict[str, float] = {}

    def show(way: str, each: list[float]) -> None:
        scores[way] = statistics.mean(each)
        print(f"  {way:18} {scores[way]:.3f}  ({' '.join(f'{one:.3f}' for one in each)})", flush=True)

    for what, values in (("pixels", pixels), ("PCA", reduced)):
        for method in ("k-means", "mixture" if values.shape[1] < 100 else "diagonal"):
            show(f"{what}, {method}", [on(values, labels, method, seed) for seed in range(n_seeds)])
    best = max(scores.values())
    ours: dict[str, list[float]] = {"k-means": [], "mixture": []}
    seconds: list[float] = []
    for seed in range(n_seeds):
        start = time.process_time()
        model = Autoencoder(SIZE, random_state=seed, threads=1, **SETTINGS[name])
        codes = model.fit_transform(rows).astype(np.float64)
        seconds.append(time.process_time() - start)
        for method, each in ours.items():
            each.append(on(codes, labels, method, seed))
        print(f"  seed {seed}: {ours['mixture'][-1]:.3f}", flush=True)
    for method, each in ours.items():
        show(f"codes, {method}", each)
    ahead = scores["codes, mixture"] - best
    print(f"  ahead of the best by {ahead:+.3f}, goal {GOALS[name]:+.2f}; ", end="")
    print(f"{statistics.mean(seconds):.0f} s of one core a fit", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the MNIST files; without it the digits alone")
    parser.add_argument("--rows", type=int, default=20_000, help="of MNIST (default 20,000)")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.data is None:
        compare("digits", *load_digits(return_X_y=True), options.seeds)
        return
    images, labels = (
        next(options.data.glob(f"train-{part}-ubyte*")) for part in ("images-idx3", "labels-idx1")
    )
    source = open_source(images, labels=labels)
    compare("MNIST", source.read(slice(0, options.rows)), source.labels[: options.rows], options.seeds)


if __name__ == "__main__":
    main()

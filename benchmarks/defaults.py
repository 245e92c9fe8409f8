"""Untouched defaults beside PCA at the same code size, on held-out rows, mean of five splits.

Nothing but the code size and the seed is set. PCA is scikit-learn's, fitted on all the rows that the
autoencoder is given (of which that holds out a tenth for validation), in the same model units.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_sample_images, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder
from isthmus.sources import ArraySource

N_SPLITS = 5
TABLES = {"digits": (load_digits, 8), "breast_cancer": (load_breast_cancer, 4),
          "wine": (load_wine, 2), "iris": (load_iris, 2)}  # fmt: skip
GOALS = {"digits": 0.70, "breast_cancer": 0.90, "wine": 0.92, "iris": 1.02, "colour patches": 1.02}
SIDE, STRIPE = 32, 128

Split = tuple[NDArray[np.generic], NDArray[np.generic]]


def random_splits(rows: NDArray[np.float64], test_share: float) -> Iterator[Split]:
    for seed in range(N_SPLITS):
        yield tuple(train_test_split(rows, test_size=test_share, random_state=seed))


def patch_splits(step: int) -> Iterator[Split]:
    """32 x 32 colour patches of two photographs; one of five upright stripes is held out."""
    for held_out in range(N_SPLITS):
        parts: tuple[list, list] = ([], [])
        for picture in load_sample_images().images:
            for stripe in range(picture.shape[1] // STRIPE):
                block = picture[:, stripe * STRIPE : (stripe + 1) * STRIPE]
                for top in range(0, block.shape[0] - SIDE + 1, step):
                    for left in range(0, STRIPE - SIDE + 1, step):
                        patch = block[top : top + SIDE, left : left + SIDE]
                        parts[stripe == held_out].append(patch)
        yield np.stack(parts[0]), np.stack(parts[1])


def one(
    train: NDArray[np.generic], test: NDArray[np.generic], size: int, seed: int
) -> tuple[float, float, float]:
    """Squared error a row, held out, in model units: ours, PCA's, and seconds of our fit."""
    start = time.perf_counter()
    model = Autoencoder(size, random_state=seed).fit(train)
    seconds = time.perf_counter() - start
    scaling = model._model.scaling
    x, y = (
        scaling.to_model(ArraySource(rows).read(slice(0, len(rows)))).reshape(len(rows), -1)
        for rows in (train, test)
    )
    pca = PCA(size, svd_solver="full" if x.shape[1] < 1000 else "covariance_eigh").fit(x)
    error = float(np.square(pca.inverse_transform(pca.transform(y)) - y).sum(axis=1).mean())
    return -model.score(test) * y.shape[1], error, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test-share", type=float, default=0.25, help="of the tables (default 0.25)")
    parser.add_argument("--step", type=int, default=16, help="pixels between patches (default 16)")
    parser.add_argument("--only", nargs="*", default=list(GOALS))
    options = parser.parse_args()
    print(f"{'data':15} {'code':>4} {'rows':>6} {'ours':>8} {'PCA':>8} {'ratio':>6} {'goal':>5}", end="")
    print(f" {'each split':>32} {'s/fit':>6}")
    for name in options.only:
        if name == "colour patches":
            size, splits = 32, patch_splits(options.step)
        else:
            load, size = TABLES[name]
            splits = random_splits(load().data, options.test_share)
        n_rows, found = 0, []
        for seed, (train, test) in enumerate(splits):
            n_rows = len(train)
            found.append(one(train, test, size, seed))
        ours, pca, seconds = (statistics.mean(column) for column in zip(*found, strict=True))
        each = " ".join(f"{a / b:.3f}" for a, b, _ in found)
        print(f"{name:15} {size:4} {n_rows:6} {ours:8.3f} {pca:8.3f} {ours / pca:6.3f}", end="")
        print(f" {GOALS[name]:5.2f} {each:>32} {seconds:6.1f}", flush=True)


if __name__ == "__main__":
    main()

"""Modes that a variational autoencoder's samples find: 25 spots on a grid, and 8 on a ring.

The spots are those of VEEGAN (Srivastava et al. 2017): a grid of means -4, -2, ..., 4 with standard
deviation 0.05, a ring of radius 2 with 0.02. A mode counts as found, and a sample as good, within three
standard deviations; of the data themselves 0.989 are. Samples are decoded draws of N(0, I), and of a
mixture fitted to the codes, its size by BIC. The decoder's scale is fixed below that of the spots, and
beta falls from far above 1, so that the spots are told apart before what lies within them.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from isthmus import Autoencoder, Gaussian, GaussianCode

GRID = np.array([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)], np.float64)
TURN = 2 * np.pi * np.arange(8) / 8
RING = 2 * np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
DATA = {"grid": (GRID, 0.05, 0.95), "ring": (RING, 0.02, 0.99)}
"""Means of the modes, their standard deviation, and the goal."""
N_ROWS, N_SAMPLES = 10_000, 10_000
FIRST_SCALE, SHARE = 0.4, 0.4
"""Where the decoder's scale in effect begins, and its end as a share of the modes'."""

Points = NDArray[np.float64]


def spots(means: Points, scale: float, seed: int) -> Points:
    random = np.random.default_rng(seed)
    return means[random.integers(0, len(means), N_ROWS)] + random.normal(0, scale, (N_ROWS, 2))


def found(samples: Points, means: Points, scale: float) -> tuple[int, float]:
    """Modes with a sample within three standard deviations, and the share of such samples."""
    distances = np.linalg.norm(samples[:, None] - means, axis=2)
    good = distances.min(axis=1) < 3 * scale
    return len(set(distances.argmin(axis=1)[good])), float(good.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--only", nargs="*", default=list(DATA), choices=list(DATA))
    options = parser.parse_args()
    print(f"{'':14} {'samples of':20} {'modes':>9} {'share within 3 sd':>28} {'goal':>5} {'s/fit':>6}")
    for name in options.only:
        means, scale, goal = DATA[name]
        rows: dict[str, list[tuple[int, float]]] = {"data": [], "N(0, I)": [], "mixture by BIC": []}
        seconds = 0.0
        for seed in range(options.seeds):
            X = spots(means, scale, seed)
            last = SHARE * scale
            code = GaussianCode(first_beta=(FIRST_SCALE / last) ** 2, warm_up_share=0.7)
            start = time.perf_counter()
            model = Autoencoder(
                2, code=code, likelihood=Gaussian(last), hidden_sizes=(128, 128), scaling="raw", start="random",
                max_epochs=options.epochs, batch_size=200, learning_rate=2e-3, patience=None, random_state=seed,
                threads=1,
            ).fit(X)  # fmt: skip
            seconds += (time.perf_counter() - start) / options.seeds
            rows["data"].append(found(X, means, scale))
            rows["N(0, I)"].append(found(model.sample(N_SAMPLES, seed, "normal"), means, scale))
            rows["mixture by BIC"].append(found(model.sample(N_SAMPLES, seed, "mixture", X=X), means, scale))
        for prior, figures in rows.items():
            modes = min(n for n, _ in figures)
            share = statistics.mean(each for _, each in figures)
            each = " ".join(f"{value:.3f}" for _, value in figures)
            end = f" {goal:5.2f} {seconds:6.1f}" if prior == "mixture by BIC" else ""
            print(f"{name:14} {prior:20} {modes:4} of {len(means):2} {share:.3f} ({each}){end}", flush=True)


if __name__ == "__main__":
    main()

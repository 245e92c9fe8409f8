"""Modes that a variational autoencoder's samples find: 25 spots on a grid, and 8 on a ring.

The spots are those of VEEGAN (Srivastava et al. 2017): a grid of means -4, -2, ..., 4 with standard
deviation 0.05, a ring of radius 2 with 0.02. A mode counts as found, and a sample as good, within three
standard deviations; of the data themselves 0.989 are. Samples are decoded draws of N(0, I), and of a
mixture fitted to the codes, its size by BIC. The decoder's scale is fixed below that of the spots, and
beta falls from far above 1, so that the spots are told apart before what lies within them.

The second table is the likelihood fitness of Xu et al. (2019, table 2), mean over three sets: a grid, one
whose spots are moved at random, and a ring of radius 1, all of variance 0.05. L_syn is the mean log-likelihood
of samples under the mixture that made the data, L_test that of other rows of the data under a mixture of as many
spots fitted to the samples.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from isthmus import Autoencoder, Gaussian, GaussianCode

GRID = np.array([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)], np.float64)
TURN = 2 * np.pi * np.arange(8) / 8
RING = 2 * np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
DATA = {"grid": (GRID, 0.05, 0.95), "ring": (RING, 0.02, 0.99)}
"""Means of the modes, their standard deviation, and the goal."""
N_ROWS, N_SAMPLES = 10_000, 10_000
FIRST_SCALE, SHARE = 0.4, 0.4
"""Where the decoder's scale in effect begins, and its end as a share of the modes'."""

WIDE = np.sqrt(0.05)
SIMULATED = {
    "grid": GRID,
    "grid, moved": GRID + np.random.default_rng(0).uniform(-0.5, 0.5, GRID.shape),
    "ring": RING / 2,
}
PUBLISHED = {"identity": (-2.61, -2.61), "TVAE": (-2.65, -5.42), "CTGAN": (-5.72, -3.40)}
"""L_syn and L_test, mean over three such sets (Xu et al. 2019, table 2)."""
PRIORS = ("data", "N(0, I)", "mixture by BIC")

Points = NDArray[np.float64]


def spots(means: Points, scale: float, seed: int) -> Points:
    random = np.random.default_rng(seed)
    return means[random.integers(0, len(means), N_ROWS)] + random.normal(0, scale, (N_ROWS, 2))


def found(samples: Points, means: Points, scale: float) -> tuple[int, float]:
    """Modes with a sample within three standard deviations, and the share of such samples."""
    distances = np.linalg.norm(samples[:, None] - means, axis=2)
    good = distances.min(axis=1) < 3 * scale
    return len(set(distances.argmin(axis=1)[good])), float(good.mean())


def drawn(X: Points, scale: float, seed: int, epochs: int) -> tuple[dict[str, Points], float]:
    """Rows by where they come from (:data:`PRIORS`), and the seconds of the fit."""
    last = SHARE * scale
    code = GaussianCode(first_beta=max(1.0, (FIRST_SCALE / last) ** 2), warm_up_share=0.7)
    start = time.perf_counter()
    model = Autoencoder(
        2, code=code, likelihood=Gaussian(last), hidden_sizes=(128, 128), scaling="raw", start="random",
        max_epochs=epochs, batch_size=200, learning_rate=2e-3, patience=None, random_state=seed,
        threads=1,
    ).fit(X)  # fmt: skip
    seconds = time.perf_counter() - start
    rows = (X, model.sample(N_SAMPLES, seed, "normal"), model.sample(N_SAMPLES, seed, "mixture", X=X))
    return dict(zip(PRIORS, rows, strict=True)), seconds


def mixture(means: Points, scale: float) -> GaussianMixture:
    """The mixture of equal spots that made the data."""
    truth = GaussianMixture(len(means), covariance_type="spherical")
    truth.weights_, truth.means_ = np.full(len(means), 1 / len(means)), means
    truth.covariances_ = np.full(len(means), scale**2)
    truth.precisions_cholesky_ = np.full(len(means), 1 / scale)
    return truth


def fitness(rows: Points, test: Points, means: Points) -> tuple[float, float]:
    """L_syn and L_test."""
    refitted = GaussianMixture(len(means), covariance_type="diag", n_init=3, random_state=0).fit(rows)
    return float(mixture(means, WIDE).score(rows)), float(refitted.score(test))


def print_modes(names: list[str], seeds: int, epochs: int) -> None:
    print(f"{'':14} {'samples of':20} {'modes':>9} {'share within 3 sd':>28} {'goal':>5} {'s/fit':>6}")
    for name in names:
        means, scale, goal = DATA[name]
        figures: dict[str, list[tuple[int, float]]] = {prior: [] for prior in PRIORS}
        seconds = 0.0
        for seed in range(seeds):
            samples, taken = drawn(spots(means, scale, seed), scale, seed, epochs)
            seconds += taken / seeds
            for prior, rows in samples.items():
                figures[prior].append(found(rows, means, scale))
        for prior, several in figures.items():
            modes = min(n for n, _ in several)
            share = statistics.mean(each for _, each in several)
            each = " ".join(f"{value:.3f}" for _, value in several)
            end = f" {goal:5.2f} {seconds:6.1f}" if prior == PRIORS[-1] else ""
            print(f"{name:14} {prior:20} {modes:4} of {len(means):2} {share:.3f} ({each}){end}", flush=True)


def print_fitness(seeds: int, epochs: int) -> None:
    print(f"\n{'':20} {'L_syn':>7} {'L_test':>7}   each set")
    figures: dict[str, dict[str, Points]] = {prior: {} for prior in PRIORS}
    for name, means in SIMULATED.items():
        several: dict[str, list[tuple[float, float]]] = {prior: [] for prior in PRIORS}
        for seed in range(seeds):
            test = spots(means, WIDE, 1000 + seed)
            for prior, rows in drawn(spots(means, WIDE, seed), WIDE, seed, epochs)[0].items():
                several[prior].append(fitness(rows, test, means))
        for prior, values in several.items():
            figures[prior][name] = np.mean(values, axis=0)
    for prior, by_set in figures.items():
        syn, test = np.mean(list(by_set.values()), axis=0)
        each = ", ".join(f"{name} {one[0]:.2f} {one[1]:.2f}" for name, one in by_set.items())
        print(f"{prior:20} {syn:7.2f} {test:7.2f}   {each}")
    for name, (syn, test) in PUBLISHED.items():
        print(f"{'published, ' + name:20} {syn:7.2f} {test:7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--only", nargs="*", default=[*DATA, "fitness"], choices=[*DATA, "fitness"])
    options = parser.parse_args()
    if modes := [name for name in options.only if name in DATA]:
        print_modes(modes, options.seeds, options.epochs)
    if "fitness" in options.only:
        print_fitness(options.seeds, options.epochs)


if __name__ == "__main__":
    main()

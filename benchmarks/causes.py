"""How often what made a row odd is named first: a column, a patch, a moment that was changed.

A detector with its defaults is fitted to the usual rows but 200 (a third of small sets), and one region of each of
these is changed. Columns: one moved by 4 standard deviations; one given another row's value that is wrong only
beside the others (``context``): more than 3 standard deviations of what a random forest of the other columns leaves
open, by its out-of-bag errors, from what it says; and one given any other row's value, more than one standard
deviation of the column from its own (``exchanged``), whether anything speaks against it or not, so that no share
is asked for. Pictures: a patch turned to its negative, or taken from another place of another picture, which is
wrong beside the rest (``foreign``), so that it changes by a quarter of the range (root mean square). Of a noisy
sine a spike, a stretch turned over or set to zero. ``isthmus`` is the share of rows whose change ``causes`` names
first, ``error`` the share in which the changed region has the largest error. Beside columns stands what a normal
distribution fitted to the training rows finds, which is told how they were changed: the column whose value is least
likely given the others (``normal``), and given that it was drawn from the column by itself (``drawn``). Figures are
means over seeds.

Tables: three factors in twelve columns; ten columns on a curved sheet; eight skewed columns and two flags, and
wine, breast cancer (benign) and diabetes of scikit-learn. Pictures: smooth textures of 16 x 16 and the digits of
8 x 8; sines of 128 steps.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import RandomForestRegressor

from isthmus import AnomalyDetector
from isthmus.exploration.anomaly import AnomalyScore
from isthmus.inference import Inference
from isthmus.sources import ArraySource

Rows = NDArray[np.float64]
N_ROWS, N_CHANGED = 1200, 200
RIDGE = 1e-2
N_OPEN = 3
"""Standard deviations of what the other columns leave open that a value is off that they speak against."""


def factors(chance: np.random.Generator) -> Rows:
    return chance.normal(size=(N_ROWS, 3)) @ chance.normal(size=(3, 12)) + 0.3 * chance.normal(
        size=(N_ROWS, 12)
    )


def curved(chance: np.random.Generator) -> Rows:
    u = chance.uniform(-1, 1, (N_ROWS, 2))
    bent = np.sin(2 * u @ chance.normal(size=(2, 10))) + u**2 @ chance.normal(size=(2, 10))
    return bent + 0.05 * chance.normal(size=bent.shape)


def mixed(chance: np.random.Generator) -> Rows:
    z = chance.normal(size=(N_ROWS, 3))
    skewed = np.exp(0.7 * z @ chance.normal(size=(3, 8)) + 0.2 * chance.normal(size=(N_ROWS, 8)))
    return np.hstack([skewed, z @ chance.normal(size=(3, 2)) > 0])


def wine(_: np.random.Generator) -> Rows:
    return load_wine(return_X_y=True)[0]


def breast_cancer(_: np.random.Generator) -> Rows:
    rows, is_benign = load_breast_cancer(return_X_y=True)
    return rows[is_benign == 1]


def diabetes(_: np.random.Generator) -> Rows:
    return load_diabetes(return_X_y=True)[0]


def textures(chance: np.random.Generator) -> Rows:
    smooth = gaussian_filter(chance.normal(size=(N_ROWS, 16, 16)), (0, 2, 2))
    return (np.clip(0.5 + smooth / (4 * smooth.std()), 0, 1) * 255).round()[..., None]


def digits(_: np.random.Generator) -> Rows:
    return load_digits().images[..., None] * 15


def sines(chance: np.random.Generator) -> Rows:
    phase, period = chance.uniform(0, 2 * np.pi, (N_ROWS, 1)), chance.uniform(20, 40, (N_ROWS, 1))
    clean = np.sin(2 * np.pi * np.arange(128) / period + phase)
    return (clean + 0.1 * chance.normal(size=clean.shape))[..., None]


# What is changed: rows, and the numbers of the values that were


def moved(rows: Rows, training: Rows, chance: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    where = np.eye(rows.shape[1], dtype=bool)[chance.integers(0, rows.shape[1], len(rows))]
    far = 4 * training.std(axis=0) * chance.choice([-1, 1], (len(rows), 1))
    return rows + where * far, where


def exchanged(rows: Rows, training: Rows, chance: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    changed, where = rows.copy(), np.zeros(rows.shape, bool)
    for row in range(len(rows)):
        column = chance.integers(rows.shape[1])
        other = np.flatnonzero(np.abs(rows[:, column] - rows[row, column]) > training[:, column].std())
        changed[row, column] = rows[chance.choice(other), column]
        where[row, column] = True
    return changed, where


def wrong_in_context(
    rows: Rows, training: Rows, chance: np.random.Generator
) -> tuple[Rows, NDArray[np.bool_]]:
    """A column of each row has a value of another row that the rest of the row speaks against."""
    n, width = rows.shape
    is_wrong = np.zeros((n, width, n), bool)
    for column in range(width):
        judge = RandomForestRegressor(oob_score=True, random_state=0, n_jobs=1).fit(
            np.delete(training, column, axis=1), training[:, column]
        )
        open_still = np.std(training[:, column] - judge.oob_prediction_)
        expected = judge.predict(np.delete(rows, column, axis=1))
        is_wrong[:, column] = np.abs(rows[:, column] - expected[:, None]) > N_OPEN * open_still
    is_wrong &= rows.T[None] != rows[:, :, None]
    can_be = is_wrong.any(axis=(1, 2))
    changed, where, is_wrong = rows[can_be], np.zeros((can_be.sum(), width), bool), is_wrong[can_be]
    for row, wrong in enumerate(is_wrong):
        column = chance.choice(np.flatnonzero(wrong.any(axis=1)))
        changed[row, column] = rows[chance.choice(np.flatnonzero(wrong[column])), column]
        where[row, column] = True
    return changed, where


def negative(rows: Rows, training: Rows, chance: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    return _patches(rows, training.max() - rows, chance)


def foreign(rows: Rows, _: Rows, chance: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    others = [np.roll(row, tuple(chance.integers(1, rows.shape[1], 2)), (0, 1)) for row in rows]
    return _patches(rows, np.stack(others)[chance.permutation(len(rows))], chance)


def _patches(rows: Rows, others: Rows, chance: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    """One patch of the grid in each picture, of those that change by a quarter of the range or more."""
    side = -(-rows.shape[1] // 5)
    place = np.arange(rows.shape[1]) // side
    number = place[:, None] * (place[-1] + 1) + place
    patches = np.arange(number.max() + 1)[:, None, None] == number
    changes = np.square(others - rows)[..., 0]
    where = np.zeros(rows.shape, bool)
    for row, change in enumerate(changes):
        sizes = np.sqrt([change[patch].mean() for patch in patches])
        large = np.flatnonzero(sizes >= np.ptp(rows) / 4)
        where[row, ..., 0] = patches[chance.choice(large) if len(large) else sizes.argmax()]
    return np.where(where, others, rows), where


def _stretch(rows: Rows, chance: np.random.Generator, length: int) -> NDArray[np.bool_]:
    start = chance.integers(0, rows.shape[1] - length, (len(rows), 1, 1))
    steps = np.arange(rows.shape[1])[:, None]
    return (steps >= start) & (steps < start + length)


def spike(rows: Rows, _: Rows, chance: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    where = _stretch(rows, chance, 1)
    return rows + 2 * where, where


def turned(rows: Rows, _: Rows, chance: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    where = _stretch(rows, chance, 12)
    return np.where(where, -rows, rows), where


def silent(rows: Rows, _: Rows, chance: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    where = _stretch(rows, chance, 12)
    return np.where(where, 0, rows), where


Change = Callable[[Rows, Rows, np.random.Generator], tuple[Rows, NDArray[np.bool_]]]
COLUMNS: dict[str, Change] = {"4 sd": moved, "context": wrong_in_context, "exchanged": exchanged}
PATCHES: dict[str, Change] = {"negative": negative, "foreign": foreign}
MOMENTS: dict[str, Change] = {"spike": spike, "turned": turned, "silent": silent}
SETS = {
    **dict.fromkeys((factors, curved, mixed, wine, breast_cancer, diabetes), ("vectors", COLUMNS)),
    **dict.fromkeys((textures, digits), ("pictures", PATCHES)),
    sines: ("sequences", MOMENTS),
}
GOALS = {**dict.fromkeys(("4 sd", "negative", *MOMENTS), 0.9), "context": 0.8, "foreign": 0.8}
"""Of what is wrong beside the rest alone, less is asked for."""


def normal(training: Rows, rows: Rows) -> tuple[Rows, Rows]:
    """How little each value is expected given the others, and how much less so than by itself."""
    mean, scale = training.mean(axis=0), training.std(axis=0)
    x, y = (training - mean) / scale, (rows - mean) / scale
    precision = np.linalg.inv(x.T @ x / len(x) + RIDGE * np.eye(x.shape[1]))
    given_others = np.square(y @ precision) / np.diag(precision)
    return given_others, given_others - np.square(y)


def named(model: AnomalyDetector, kind: str, rows: Rows, where: NDArray[np.bool_]) -> dict[str, float]:
    """Share of the rows in which the changed region is named first, by what names it."""
    score = AnomalyScore(Inference(model._model))
    source = ArraySource(rows.astype(np.uint8) if kind == "pictures" else rows, row_kind=kind)
    parts, regions = score.causes(source)
    errors = np.zeros_like(parts)
    np.add.at(errors.T, regions.of_value, score._relative_errors(source).reshape(len(rows), -1).T)
    changed = np.zeros(parts.shape, bool)
    np.logical_or.at(changed.T, regions.of_value, np.moveaxis(where, -1, 1).reshape(len(rows), -1).T)
    own = np.arange(len(rows))
    return {name: float(changed[own, found.argmax(axis=1)].mean()) for name, found in
            (("isthmus", parts), ("error", errors))}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [make.__name__ for make in SETS]
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    columns = ("isthmus", "error", "normal", "drawn")
    print(f"{'named first':14} {'change':>9} {'goal':>5}" + "".join(f" {name:>8}" for name in columns))
    for make, (kind, changes) in SETS.items():
        if make.__name__ not in asked.only:
            continue
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for seed in range(asked.seeds):
            chance = np.random.default_rng(seed)
            rows = chance.permutation(make(chance))
            n = min(N_CHANGED, len(rows) // 3)
            held_out, training = rows[:n], rows[n:]
            given = training.astype(np.uint8) if kind == "pictures" else training
            model = AnomalyDetector(row_kind=kind, random_state=seed).fit(given)
            for name, change in changes.items():
                changed, where = change(held_out, training, chance)
                each = named(model, kind, changed, where)
                if kind == "vectors":
                    for other, values in zip(columns[2:], normal(training, changed), strict=True):
                        each[other] = float(where[np.arange(len(where)), values.argmax(axis=1)].mean())
                for way, share in each.items():
                    found[name][way].append(share)
        for name, by_way in found.items():
            figures = "".join(f" {np.mean(by_way[way]):8.3f}" if by_way[way] else " " * 9 for way in columns)
            goal = f"{GOALS[name]:5.2f}" if name in GOALS else " " * 5
            print(f"{make.__name__:14} {name:>9} {goal}{figures}", flush=True)


if __name__ == "__main__":
    main()

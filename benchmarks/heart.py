"""A table of 303 patients with numbers, categories and gaps: its rows made anew, and its hidden cells filled.

Rows: three quarters are learned from by a variational autoencoder with its defaults, and as many are made. How
like the columns are (``isthmus.evaluation.fidelity``) is told beside what the training rows themselves reach on
the held-out quarter, and so is the AUROC of a random forest that learned the diagnosis from either.

Cells: a fifth of all cells is hidden, the model is fitted on what is left and fills it. Errors are those of
the hidden cells: of numbers the mean absolute error over that of the median, and the root mean square error
over that of the mean, mean over the columns; of categories the share that is wrong, mean over the columns.
``isthmus`` is ``fit --kind imputing``, ``estimator`` is ``AutoencoderImputer``. Beside them stand mean and
mode; neighbours (15, 20 and 30; the best in either kind of column) on standard numbers and categories as
zeros and ones; chained regressions on the numbers of the categories. ``average of 5`` is the mean of five
models' outputs.

The data are those of Cleveland's heart disease patients (Detrano et al. 1989) as ``heart_disease.csv``.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from isthmus import AutoencoderImputer
from isthmus.config import Config
from isthmus.config.recipes import variational
from isthmus.evaluation.samples import measure_samples
from isthmus.exploration.priors import choose_prior
from isthmus.exploration.sampling import sample
from isthmus.inference import Inference
from isthmus.schema import Column
from isthmus.sources import TableSource, conform, open_source, table_of
from isthmus.workflows.fit import fit

FILE = "heart_disease.csv"
TARGET = "diameter narrowing"
HIDDEN_SHARE = 0.2
NEIGHBOURS = (15, 20, 30)
N_AVERAGED = 5

Rows = NDArray[np.float64]


def made_rows(source: TableSource, seed: int) -> dict[str, float]:
    """What is measured of the rows that a variational autoencoder makes."""
    order = np.random.default_rng(seed).permutation(len(source))
    n_held_out = len(source) // 4
    held_out, training = (source.take(rows) for rows in (order[:n_held_out], order[n_held_out:]))
    model, _ = fit(training, Config(model=variational()).with_training(seed=seed))
    inference = Inference(model)
    found: dict[str, float] = {}
    for name, kind, prior in (("", "normal", None), ("mixture ", "mixture", training)):
        drawn = sample(
            inference, len(training), choose_prior(inference, kind, prior, seed=seed), seed=seed, noise=True
        )
        rows = model.scaling.to_data(drawn)
        quality = measure_samples(rows, training, held_out, scaling=model.scaling, target=TARGET, seed=seed)
        assert quality.to_training is not None
        assert quality.to_held_out is not None
        assert quality.real is not None
        assert quality.usefulness is not None
        assert quality.privacy.nearer_share is not None
        found |= {
            f"{name}shapes": quality.to_training.shapes,
            f"{name}shapes held out": quality.to_held_out.shapes,
            f"{name}trends": quality.to_training.trends or np.nan,
            f"{name}trends held out": quality.to_held_out.trends or np.nan,
            f"{name}AUROC": quality.usefulness.made,
            f"{name}copies": float(quality.privacy.n_copies),
            f"{name}nearer": quality.privacy.nearer_share,
        }
        found |= {
            "real shapes held out": quality.real.shapes,
            "real trends held out": quality.real.trends or np.nan,
            "real AUROC": quality.usefulness.real,
        }
    return found


def errors(
    columns: Sequence[Column], true: Rows, filled: Rows, hidden: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Of the hidden cells: absolute and squared error of numbers, share of wrong categories."""
    absolute, squared, wrong = list[float](), list[float](), list[float]()
    for place, column in enumerate(columns):
        cells = hidden[:, place]
        t, f = true[cells, place], filled[cells, place]
        rest = true[~cells & ~np.isnan(true[:, place]), place]
        if column.categories is not None:
            wrong.append(float(np.mean(t != f)))
            continue
        absolute.append(float(np.abs(t - f).mean() / np.abs(t - np.median(rest)).mean()))
        squared.append(float(np.sqrt(np.square(t - f).mean() / np.square(t - rest.mean()).mean())))
    return statistics.mean(absolute), statistics.mean(squared), statistics.mean(wrong)


def constant(columns: Sequence[Column], rows: Rows) -> Rows:
    found = rows.copy()
    for place, column in enumerate(columns):
        known = rows[~np.isnan(rows[:, place]), place]
        value = known.mean() if column.categories is None else np.bincount(known.astype(np.int64)).argmax()
        found[np.isnan(rows[:, place]), place] = value
    return found


def neighbours(columns: Sequence[Column], rows: Rows, n: int) -> Rows:
    """Means of the nearest rows that have a value, and the word that most of them have."""
    mean, scale = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    blocks = [
        (rows[:, [place]] - mean[place]) / scale[place]
        if column.categories is None
        else np.where(
            np.isnan(rows[:, [place]]), np.nan, rows[:, [place]] == np.arange(len(column.categories))
        )
        for place, column in enumerate(columns)
    ]
    filled = KNNImputer(n_neighbors=n).fit_transform(np.hstack(blocks))
    parts = np.split(filled, np.cumsum([block.shape[1] for block in blocks])[:-1], axis=1)
    found = rows.copy()
    for place, (column, part) in enumerate(zip(columns, parts, strict=True)):
        values = part.argmax(axis=1) if column.categories else part[:, 0] * scale[place] + mean[place]
        gaps = np.isnan(rows[:, place])
        found[gaps, place] = values[gaps]
    return found


def chained(columns: Sequence[Column], rows: Rows, seed: int) -> Rows:
    """A ridge regression of each column on the others, in turn; numbers of categories rounded."""
    mean, scale = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        imputer = IterativeImputer(max_iter=20, random_state=seed)
        filled = imputer.fit_transform((rows - mean) / scale) * scale + mean
    for place, column in enumerate(columns):
        if column.categories is not None:
            filled[:, place] = np.clip(np.rint(filled[:, place]), 0, len(column.categories) - 1)
    return np.where(np.isnan(rows), filled, rows)


def networks(source: TableSource, seed: int) -> dict[str, Rows]:
    """The rows as one model fills them, and as several do together."""
    said, rows, scaling = [], source.read(slice(None)), None
    for member in range(N_AVERAGED):
        config = Config.from_dict({"model": {"kind": "imputing"}, "training": {"seed": 100 * seed + member}})
        model, _ = fit(source, config)
        scaling = model.scaling
        said.append(Inference(model).reconstruct_model_units(source))
    assert scaling is not None
    outputs = {"isthmus": said[0], f"average of {N_AVERAGED}": np.mean(said, axis=0)}
    return {name: np.where(np.isnan(rows), scaling.to_data(each), rows) for name, each in outputs.items()}


def estimator(source: TableSource, seed: int) -> Rows:
    """As ``AutoencoderImputer`` fills them with its defaults."""
    frame = table_of(source.read(slice(None)), source.schema)
    filled = AutoencoderImputer(random_state=seed).fit_transform(frame)
    return conform(filled, source.schema).read(slice(None))


def imputed(source: TableSource, seed: int) -> dict[str, tuple[float, float, float]]:
    """Errors of each way to fill a fifth of the cells."""
    columns = source.schema.table or ()
    true = source.read(slice(None))
    hidden = (np.random.default_rng(seed).random(true.shape) < HIDDEN_SHARE) & ~np.isnan(true)
    rows = np.where(hidden, np.nan, true)
    left = conform(table_of(rows, source.schema), source.schema)
    ways = {
        **networks(left, seed),
        "estimator": estimator(left, seed),
        "mean and mode": constant(columns, rows),
        **{f"{n} neighbours": neighbours(columns, rows, n) for n in NEIGHBOURS},
        "chained": chained(columns, rows, seed),
    }
    return {name: errors(columns, true, filled, hidden) for name, filled in ways.items()}


def print_means(found: dict[str, list[float]]) -> None:
    for name, values in found.items():
        each = " ".join(f"{value:.3f}" for value in values)
        print(f"{name:26} {statistics.mean(values):6.3f}   ({each})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {FILE}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["rows", "cells"], choices=["rows", "cells"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = open_source(options.data / FILE)
    assert isinstance(source, TableSource)
    if "rows" in options.only:
        print(
            "New rows: mean over seeds (each); 'mixture': codes from one that was fitted to the training rows'"
        )
        made: dict[str, list[float]] = defaultdict(list)
        for seed in range(options.seeds):
            for name, value in made_rows(source, seed).items():
                made[name].append(value)
        print_means(made)
    if "cells" in options.only:
        print("Hidden cells: absolute error of numbers, squared error of numbers, share of wrong categories")
        filled: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for seed in range(options.seeds):
            for name, values in imputed(source, seed).items():
                filled[name].append(values)
        for name, triples in filled.items():
            means = "".join(f" {statistics.mean(one):7.3f}" for one in zip(*triples, strict=True))
            each = " ".join(f"{absolute:.3f}/{wrong:.3f}" for absolute, _, wrong in triples)
            print(f"{name:16}{means}   ({each})", flush=True)


if __name__ == "__main__":
    main()

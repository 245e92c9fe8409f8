"""Depth and widths that nobody set, beside the best of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import ACCENT, INK, Experiment, Finding, Lab, Outcome, start
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split

from isthmus.config import Config
from isthmus.evaluation.metrics import squared_errors
from isthmus.inference import Inference
from isthmus.sources import ArraySource
from isthmus.workflows.fit import fit

EXPERIMENT = Experiment(
    name="default_sizes",
    title="Defaults: depth and widths beside the best of a grid",
    claim="Depth and widths left at their defaults come within 10 % of the best of twelve choices.",
    minutes=8,
)
DATA = {"digits": (load_digits, 8), "breast_cancer": (load_breast_cancer, 4), "wine": (load_wine, 2),
        "iris": (load_iris, 2), "diabetes": (load_diabetes, 3)}  # fmt: skip
WIDTHS, DEPTHS = (64, 128, 256, 512), (1, 2, 3)
GRID = tuple(tuple(width >> layer for layer in range(depth)) for depth in DEPTHS for width in WIDTHS)
"""Each layer half as wide as the one before, as the defaults are."""


def error(name: str, sizes: tuple[int, ...] | str, seed: int, quick: bool) -> float:
    """Held-out squared error a row in model units; all else as it is when only the code size is set."""
    load, code_size = DATA[name]
    parts = train_test_split(load().data, test_size=0.25, random_state=seed)
    training: dict[str, Any] = {"seed": seed, "threads": 1, **({"epochs": 2} if quick else {})}
    network = {"type": "dense", "hidden_sizes": sizes}
    config = Config.from_dict({"model": {"code_size": code_size, "network": network}, "training": training})
    training_rows, test_rows = (ArraySource(part) for part in parts)
    return float(squared_errors(Inference(fit(training_rows, config)[0]), test_rows).mean())


def run(lab: Lab) -> Outcome:
    names = lab.pick(list(DATA), ["wine", "iris"])
    grid = lab.pick(GRID, GRID[:2])
    found: dict[str, dict[Any, float]] = {}
    for name in names:
        found[name] = {
            sizes: float(np.mean(lab.once(
                f"{name}, {sizes if isinstance(sizes, str) else ' '.join(map(str, sizes))}",
                lambda name=name, sizes=sizes: [error(name, sizes, seed, lab.quick) for seed in lab.seeds(5)],
            )))
            for sizes in ("auto", *grid)
        }  # fmt: skip
    findings, ratios = [], {}
    for name, errors in found.items():
        best = min(grid, key=errors.__getitem__)
        ratios[name] = errors["auto"] / errors[best]
        findings.append(
            Finding(
                f"error over that of the best sizes, {name}",
                f"{ratios[name]:.3f}",
                f"best {' '.join(map(str, best))}; worst of the grid {max(errors[s] for s in grid) / errors[best]:.3f}",
                "1.10",
                None if lab.quick else ratios[name] <= 1.1,
            )
        )
    lab.figure(picture(found, grid))
    return Outcome(
        findings,
        "Held-out squared error, mean of five splits, each with a quarter held out and a start of its own. The grid: "
        "1, 2 or 3 layers, the first of 64, 128, 256 or 512 units, each next half as wide. The best of the grid is "
        "chosen on the held-out rows themselves, which favours it.",
    )


def picture(found: dict[str, dict[Any, float]], grid: tuple[tuple[int, ...], ...]) -> plt.Figure:
    """Every choice of every data set as a dot, over the best; the defaults as a diamond."""
    figure, axis = plt.subplots(figsize=(7, 0.6 * len(found) + 1.2))
    for row, errors in enumerate(found.values()):
        best = min(errors[sizes] for sizes in grid)
        axis.plot([errors[sizes] / best for sizes in grid], [row] * len(grid), "o", color=INK, alpha=0.35,
                  label="one of the grid" if row == 0 else None)  # fmt: skip
        axis.plot(errors["auto"] / best, row, "D", color=ACCENT, ms=8, label="default" if row == 0 else None)
    axis.axvline(1.1, color=INK, lw=0.8, ls=":", label="10 % above the best")
    axis.set(yticks=range(len(found)), yticklabels=list(found), xlabel="held-out error over the best's")
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


if __name__ == "__main__":
    start(EXPERIMENT, run)

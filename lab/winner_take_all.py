"""Lifetime sparsity on scikit-learn's digits, judged by a linear classifier."""

from __future__ import annotations

import numpy as np
from harness import ACCENT, Experiment, Finding, Lab, Outcome, mean_and_spread, start, train
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from isthmus.sources import ArraySource

EXPERIMENT = Experiment(
    name="winner_take_all",
    title="Sparse: winner-take-all features under a linear classifier",
    claim="Classification without labels: 256 rectified units of which each wins on 7 % of a batch; a linear SVM on "
    "the codes of digits reaches 99.0 % (a public repetition of Makhzani and Frey 2015; raw pixels 95.5 %).",
    minutes=5,
)
SHARE = 0.07


def accuracy(training: np.ndarray, test: np.ndarray, labels: tuple[np.ndarray, np.ndarray]) -> float:
    """Of a linear SVM whose C is chosen by cross-validation on training rows."""
    grid = {"linearsvc__C": np.logspace(-4, 0, 5)}
    machine = make_pipeline(StandardScaler(), LinearSVC(dual=False, tol=1e-3, max_iter=5000))
    return float(GridSearchCV(machine, grid, cv=3, n_jobs=1).fit(training, labels[0]).score(test, labels[1]))


def measured(lab: Lab, seed: int) -> dict[str, list | float]:
    x, y = load_digits(return_X_y=True)
    training, test, *labels = train_test_split((x / 16).astype(np.float32), y, test_size=0.35, random_state=0)
    inference = train(
        training,
        {
            "code_size": 256,
            "network": {"type": "dense", "hidden_sizes": []},
            "code": {"type": "winner_take_all", "active_share": SHARE},
            "likelihood": "squared_error",
        },
        {
            "epochs": lab.pick(1000, 5), "batch_size": 200, "learning_rate": 2e-3, "schedule": "constant", "seed": seed,
            "threads": 1,
        },
    )  # fmt: skip
    codes = [inference.encode(ArraySource(part)) for part in (training, test)]
    decoder = inference.module.decoder.layers[0].weight.detach().numpy().T
    return {"accuracy": accuracy(*codes, labels), "units": decoder[:40].tolist()}  # type: ignore[arg-type]


def run(lab: Lab) -> Outcome:
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x / 16, y, test_size=0.35, random_state=0)
    raw = lab.once("raw pixels", lambda: accuracy(parts[0], parts[1], (parts[2], parts[3])))
    found = [lab.once(f"seed {seed}", lambda seed=seed: measured(lab, seed)) for seed in lab.seeds()]
    ours = [one["accuracy"] for one in found]
    figure, axes = plt.subplots(4, 10, figsize=(7, 3))
    for axis, unit in zip(axes.flat, found[0]["units"], strict=True):
        axis.imshow(np.reshape(unit, (8, 8)), cmap="gray")
        axis.axis("off")
    figure.suptitle("what 40 of the units draw", fontsize=10, color=ACCENT)
    lab.figure(figure)
    met = None if lab.quick else min(ours) >= 0.97
    return Outcome(
        [
            Finding(
                "accuracy of a linear SVM on the codes",
                mean_and_spread(ours, 4),
                f"raw pixels {raw:.4f}",
                "0.970 each",
                met,
            )
        ]
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

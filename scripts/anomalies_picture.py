"""Draw the picture of docs/recipes/anomalies.md: how odd, and where.

python scripts/anomalies_picture.py docs/images/anomalies.png    (a minute or two)
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer

from isthmus import AnomalyDetector
from isthmus.sources import bundled

N_SHOWN, SIDE = 4, 7


def main(target: str) -> None:
    """Benign and malignant samples on the left, digits with a foreign patch on the right."""
    rows, benign = load_breast_cancer(return_X_y=True)
    usual = np.flatnonzero(benign == 1)
    test = np.setdiff1d(np.arange(len(rows)), usual[::2])
    detector = AnomalyDetector(random_state=0, threads=1).fit(rows[usual[::2]])
    anomaly = detector.anomaly_score(rows[test])
    figure = Figure(figsize=(10, 3.4))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25))
    axes = left.subplots()
    left.subplots_adjust(left=0.12, right=0.96, top=0.9, bottom=0.16)
    bins = np.linspace(0, anomaly.max(), 40)
    for kind, name, colour in ((1, "benign, held out", "#4477aa"), (0, "malignant", "#cc6677")):
        axes.hist(anomaly[benign[test] == kind], bins, label=name, color=colour, alpha=0.75)
    axes.axvline(detector.threshold_, color="black", linestyle="--", linewidth=1, label="threshold")
    axes.set_xlabel("anomaly")
    axes.set_ylabel("rows")
    axes.legend(frameon=False, fontsize=8)

    train, shown = (
        bundled("mnist-train").read(slice(0, 4000)),
        bundled("mnist-test").read(slice(0, N_SHOWN)).copy(),
    )
    pictures = AnomalyDetector(32, max_epochs=15, random_state=0, threads=1).fit(train)
    random = np.random.default_rng(3)
    for picture in shown:
        top, across = random.integers(3, 28 - SIDE - 3, 2)
        picture[top : top + SIDE, across : across + SIDE, 0] = random.integers(0, 256, (SIDE, SIDE))
    found = pictures.explain(shown)[..., 0]
    rebuilt = pictures.reconstruct(shown).reshape(shown.shape)
    grid = right.subplots(3, N_SHOWN)
    right.subplots_adjust(left=0.14, right=0.99, top=0.97, bottom=0.03, wspace=0.05, hspace=0.05)
    for line, (name, images, colours) in enumerate(
        (("given", shown[..., 0], "gray"), ("rebuilt", rebuilt[..., 0], "gray"), ("odd", found, "magma"))
    ):
        for number in range(N_SHOWN):
            grid[line, number].imshow(images[number], cmap=colours)
            grid[line, number].set(xticks=[], yticks=[])
        grid[line, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])

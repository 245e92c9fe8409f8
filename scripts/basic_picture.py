"""Draw the picture of docs/recipes/basic.md: an S curve beside PCA's and an autoencoder's.

python scripts/basic_picture.py docs/images/basic.png    (the page's own example: seconds)
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_s_curve
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder

INK, MODEL, BASELINE = "#24292f", "#0072b2", "#d55e00"


def main(target: str) -> None:
    """Fit as the page does, and draw the held-out points, coloured by their place along the S."""
    X, place = make_s_curve(1500, random_state=0)
    train, test, _, colour = train_test_split(X, place, test_size=500, random_state=0)
    model = Autoencoder(2, hidden_sizes=(128, 64), max_epochs=80, learning_rate=5e-3, random_state=0).fit(
        train
    )
    pca = PCA(2).fit(train)
    rebuilt = {
        "original": (test, INK),
        "PCA": (pca.inverse_transform(pca.transform(test)), BASELINE),
        "autoencoder": (model.reconstruct(test), MODEL),
    }
    figure = Figure(figsize=(8.2, 2.6), dpi=200, facecolor="white")
    for number, (name, (points, ink)) in enumerate(rebuilt.items()):
        axes = figure.add_axes((0.01 + 0.33 * number, -0.05, 0.31, 1.0), projection="3d")
        axes.scatter(*points.T, c=colour, s=5, cmap="viridis", depthshade=False)
        axes.set(xlim=(-1, 1), ylim=(0, 2), zlim=(-2, 2))
        axes.view_init(elev=12, azim=-72)
        axes.set_box_aspect(None, zoom=1.2)
        axes.set_axis_off()
        error = np.square(points - test).sum(axis=1).mean()
        text = name if name == "original" else f"{name}: squared error {error:.3f}"
        figure.text(0.165 + 0.33 * number, 0.93, text, ha="center", fontsize=10, color=ink)
    figure.savefig(target, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

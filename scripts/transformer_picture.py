"""Draw the picture of docs/recipes/transformer.md: held-out digits beside a transformer's and PCA's.

python scripts/transformer_picture.py docs/images/transformer.png    (the page's own example: seconds)
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder

CODE_SIZE = 8
INK, MODEL, BASELINE = "#24292f", "#0072b2", "#d55e00"


def main(target: str) -> None:
    """Fit as the page does, and draw one held-out example of each digit."""
    digits = load_digits()
    train, test, _, labels = train_test_split(digits.data / 16, digits.target, test_size=0.3, random_state=0)
    model = Autoencoder(
        CODE_SIZE, network="transformer", sample_shape=(8, 8), max_epochs=25, random_state=0
    ).fit(train)
    pca = PCA(CODE_SIZE).fit(train)
    rebuilt = {
        "original": test,
        "transformer": model.reconstruct(test),
        "PCA": pca.inverse_transform(pca.transform(test)),
    }
    chosen = np.array([np.flatnonzero(labels == digit)[0] for digit in range(10)])
    errors = {name: float(np.square(rows - test).sum(axis=1).mean()) for name, rows in rebuilt.items()}
    print({name: round(error, 3) for name, error in errors.items()})
    draw({name: rows[chosen].reshape(-1, 8, 8) for name, rows in rebuilt.items()}, errors, target)


def draw(pixels: dict[str, NDArray[np.float64]], errors: dict[str, float], target: str) -> None:
    """A line of digits for each way of rebuilding, its error beside it."""
    figure = Figure(figsize=(8.2, 2.25), dpi=200, facecolor="white")
    heading = f"Held-out digits rebuilt from {CODE_SIZE} numbers each, and the mean squared error per image"
    figure.text(0.01, 0.93, heading, ha="left", va="center", fontsize=9, color=INK)
    for line, (name, images) in enumerate(pixels.items()):
        bottom = 0.6 - 0.29 * line
        colour = {"original": INK, "PCA": BASELINE}.get(name, MODEL)
        axes = figure.add_axes((0.23, bottom, 0.76, 0.27))
        gap = np.ones((8, 1))
        strip = [part for image in images for part in (np.clip(image, 0, 1), gap)]
        axes.imshow(np.concatenate(strip[:-1], axis=1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_axis_off()
        figure.text(0.01, bottom + 0.13, name, ha="left", va="center", fontsize=10, color=colour)
        if name != "original":
            figure.text(
                0.22, bottom + 0.13, f"{errors[name]:.2f}", ha="right", va="center", fontsize=10, color=colour
            )
    figure.savefig(target, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

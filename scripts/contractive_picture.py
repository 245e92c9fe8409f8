"""Draw the picture of docs/recipes/contractive.md: how far a small step of a digit moves code and reconstruction.

python scripts/contractive_picture.py docs/images/contractive.png    (trains three small models: half a minute)
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Contractive, DeterministicCode, GaussianNoise

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "denoising": {"corruption": GaussianNoise(0.3)},
    "contractive": {"penalties": Contractive(0.1)},
}
COLOURS = ("#8c959f", "#d55e00", "#0072b2")
STEP = 1e-2


def main(target: str) -> None:
    """Train each way, measure both norms and the error, and draw three bars each."""
    train, test = train_test_split(load_digits().data / 16, test_size=0.35, random_state=0)
    moved = test + STEP * np.random.default_rng(0).normal(size=test.shape)
    bars: dict[str, list[float]] = {"|dh/dx|² of the code": [], "|dg(f(x))/dx|² of the reconstruction": []}
    bars["squared error"] = []
    for name, way in WAYS.items():
        model = Autoencoder(
            32,
            code=DeterministicCode("sigmoid"),
            hidden_sizes=(),
            scaling="raw",
            likelihood="squared_error",
            max_epochs=100,
            random_state=0,
            **way,
        ).fit(train)
        code, whole = (
            np.square(f(moved) - f(test)).sum(axis=1).mean() / STEP**2
            for f in (model.transform, model.reconstruct)
        )
        error = np.square(model.reconstruct(test) - test).sum(axis=1).mean()
        for values, value in zip(bars.values(), (code, whole, error), strict=True):
            values.append(float(value))
        print(f"{name}: code {code:.2f}, reconstruction {whole:.2f}, error {error:.2f}")
    figure = Figure(figsize=(8.2, 2.3), dpi=200, facecolor="white")
    for place, (title, values) in enumerate(bars.items()):
        axes = figure.add_subplot(1, len(bars), place + 1)
        drawn = axes.barh(list(WAYS)[::-1], values[::-1], color=COLOURS[::-1])
        axes.bar_label(drawn, fmt="%.2f", fontsize=8, padding=2)
        axes.set_title(title, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.set_xlim(0, 1.2 * max(values))
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

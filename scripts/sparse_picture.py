"""Draw the picture of docs/recipes/sparse.md: what each unit of a sparse code adds to a digit.

python scripts/sparse_picture.py docs/images/sparse.png    (trains three small models: half a minute)
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import L1, L2, Autoencoder, DeterministicCode, TopKCode

WAYS: dict[str, dict[str, Any]] = {
    "L2: every unit in every digit": {"code": DeterministicCode(), "penalties": L2(0.01)},
    "L1: few units, exact zeros": {"code": DeterministicCode("relu"), "penalties": L1(0.1)},
    "top-k: eight units, exactly": {"code": TopKCode(8, "relu"), "dead_units": "revived"},
}
N_UNITS, N_SHOWN = 100, 30


def main(target: str) -> None:
    """Train one linear decoder a way, and show the strongest units of each."""
    train, test = train_test_split(load_digits().data / 16, test_size=0.35, random_state=0)
    figure = Figure(figsize=(8.2, 3.1), dpi=200, facecolor="white")
    for place, (name, way) in enumerate(WAYS.items()):
        model = Autoencoder(
            N_UNITS,
            hidden_sizes=(),
            scaling="raw",
            likelihood="squared_error",
            max_epochs=60,
            random_state=0,
            **way,
        ).fit(train)
        codes = model.transform(test)
        error = np.square(model.reconstruct(test) - test).sum(axis=1).mean()
        words = f"{(np.abs(codes) > 1e-3).sum(axis=1).mean():.0f} of {N_UNITS} active, error {error:.2f}"
        print(name, words, model.metrics_["code"])
        columns = model.module_.weights()[1].detach().numpy().T
        strength = np.square(codes).mean(axis=0) * np.square(columns).sum(axis=1)
        axes = figure.add_subplot(1, len(WAYS), place + 1)
        axes.imshow(
            grid(columns[np.argsort(-strength, kind="stable")[:N_SHOWN]]), cmap="RdBu_r", vmin=-1, vmax=1
        )
        axes.set_axis_off()
        axes.set_title(f"{name}\n{words}", fontsize=8)
    figure.tight_layout()
    figure.savefig(target, metadata={"Software": None})


def grid(columns: NDArray[np.floating]) -> NDArray[np.floating]:
    """Units as pictures of 8 x 8, six a row, each scaled to [-1, 1], with a pixel between them."""
    pictures = columns.reshape(-1, 8, 8) / np.abs(columns).max(axis=1)[:, None, None].clip(1e-9)
    padded = np.pad(pictures, ((0, 0), (0, 1), (0, 1)))
    return np.concatenate([np.concatenate(list(row), axis=1) for row in padded.reshape(-1, 6, 9, 9)])


if __name__ == "__main__":
    main(sys.argv[1])

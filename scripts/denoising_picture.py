"""Draw the picture of docs/recipes/denoising.md: clean, corrupted and restored digits.

python scripts/denoising_picture.py docs/images/denoising.png    (trains two models: two minutes)
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus.config import Config
from isthmus.numerics.randomness import Randomness
from isthmus.sources import bundled
from isthmus.workflows.fit import fit

INK, MODEL, PCA = "#24292f", "#0072b2", "#d55e00"
CORRUPTIONS = {
    "normal noise": {"type": "gaussian_noise", "scale": 0.5},
    "missing patch": {"type": "block", "hidden_share": 0.2},
}
CODE_SIZE, EPOCHS, N = 64, 12, 8


def restored(corruption: dict[str, object]) -> dict[str, tuple[NDArray[np.floating], float]]:
    """Pictures of a few held-out digits, and the mean error over all of them, by what was done to them."""
    model = {"kind": "denoising", "code_size": CODE_SIZE, "corruption": corruption, "likelihood": "bernoulli"}
    training = {"seed": 0, "epochs": EPOCHS, "threads": 1}
    fitted, _ = fit(bundled("mnist-train"), Config.from_dict({"model": model, "training": training}))
    print(
        corruption["type"],
        {name: round(each["sse"], 2) for name, each in fitted.metrics["denoising"].items()},
    )
    test = bundled("mnist-test")
    clean = fitted.scaling.to_model(test.read(slice(0, len(test))))
    damage, baseline = fitted.module.corruption, fitted.baseline
    if damage is None or baseline is None:
        raise SystemExit("a denoiser has a corruption and a baseline")
    shown = damage(torch.from_numpy(clean), Randomness(0, "picture"))
    with torch.inference_mode():
        rebuilt = fitted.module.reconstruct(shown).numpy()
    found = {
        "clean": clean,
        "corrupted": shown.numpy(),
        "restored": rebuilt,
        "PCA of it": baseline.reconstruct(shown.numpy()),
    }
    labels = np.asarray(test.labels)
    chosen = [int(np.flatnonzero(labels == digit)[3]) for digit in range(N)]
    return {
        name: (x[chosen, 0], float(np.square(x - clean).sum(axis=(1, 2, 3)).mean()))
        for name, x in found.items()
    }


def main(target: str) -> None:
    """Train a denoiser for each corruption, and draw what both do, side by side."""
    parts = {name: restored(corruption) for name, corruption in CORRUPTIONS.items()}
    figure = Figure(figsize=(8.2, 2.2), dpi=200, facecolor="white")
    height, width = 0.21, 0.385
    for column, (title, rows) in enumerate(parts.items()):
        left = 0.09 + column * (width + 0.07)
        figure.text(left, 0.955, title, ha="left", va="center", fontsize=9, color=INK)
        for row, (name, (pictures, error)) in enumerate(rows.items()):
            bottom = 0.93 - (row + 1) * height * 1.08
            axes = figure.add_axes((left, bottom, width, height))
            strip = np.concatenate([np.pad(each, ((0, 0), (0, 1))) for each in pictures], axis=1)
            axes.imshow(np.clip(strip, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
            colour = {"restored": MODEL, "PCA of it": PCA}.get(name, INK)
            middle = bottom + height / 2
            if column == 0:
                figure.text(0.01, middle, name, ha="left", va="center", fontsize=9, color=colour)
            if error:
                figure.text(
                    left + width + 0.005,
                    middle,
                    f"{error:.1f}",
                    ha="left",
                    va="center",
                    fontsize=9,
                    color=colour,
                )
    figure.savefig(target, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

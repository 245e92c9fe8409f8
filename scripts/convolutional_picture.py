"""Draw the picture of docs/recipes/convolutional.md: digits rebuilt by each way down and up again.

python scripts/convolutional_picture.py docs/images/convolutional.png    (trains five small models)
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus import Autoencoder, Conv2d, Dense
from isthmus.sources import bundled

INK, MODEL = "#24292f", "#0072b2"
N_TRAINING, N_TEST, CODE_SIZE, EPOCHS = 2_000, 1_000, 16, 12
POOLED: dict[str, Any] = {"kernel_size": 3, "down": "max_pool"}
WAYS: dict[str, Dense | Conv2d] = {
    "dense": Dense((256, 128)),
    "strided, transposed": Conv2d((16, 32)),
    "average pool, resize": Conv2d((16, 32), 3, down="average_pool", up="resize"),
    "max pool, unpool": Conv2d((16, 32), up="unpool", **POOLED),
    "with switches": Conv2d((16, 32), up="unpool", switches=True, **POOLED),
}
Errors = dict[str, tuple[float, int]]


def main(target: str) -> None:
    """Train on some digits, measure on others, and draw ten of them."""
    training, test = bundled("mnist-train"), bundled("mnist-test")
    rows = training.read(slice(0, N_TRAINING)).astype(np.float32) / 255
    held_out = test.read(slice(0, N_TEST)).astype(np.float32) / 255
    labels = np.asarray(test.labels)[:N_TEST]
    chosen = np.array([np.flatnonzero(labels == digit)[3] for digit in range(10)])
    pixels: dict[str, NDArray[Any]] = {"original": held_out[chosen, ..., 0]}
    errors: Errors = {}
    for name, network in WAYS.items():
        model = Autoencoder(
            CODE_SIZE,
            network=network,
            likelihood="squared_error",
            start="random",
            max_epochs=EPOCHS,
            batch_size=64,
            random_state=0,
            threads=1,
        ).fit(rows)
        module = model.module_.eval()
        x = torch.from_numpy(np.moveaxis(held_out, -1, 1).copy())
        with torch.no_grad():
            ways = (
                {name: False, "the same, switches given": True} if name == "with switches" else {name: False}
            )
            for label, with_context in ways.items():
                rebuilt = module.reconstruct(x, with_context=with_context)
                error = float((rebuilt - x).square().flatten(1).sum(dim=1).mean())
                errors[label] = error, sum(p.numel() for p in module.parameters())
                pixels[label] = rebuilt[chosen, 0].numpy()
                print(f"{label:26} {error:7.2f}  {errors[label][1]:,} parameters", flush=True)
    print("PCA", model.metrics_["baselines"]["pca"])
    draw(pixels, errors, target)


def draw(pixels: dict[str, NDArray[Any]], errors: Errors, target: str) -> None:
    """One row a way, its error beside it."""
    figure = Figure(figsize=(8.6, 0.62 * len(pixels) + 0.35), dpi=150, facecolor="white")
    height = figure.get_figheight()
    for row, (name, images) in enumerate(pixels.items()):
        bottom = 1 - 0.3 / height - (row + 1) * 0.62 / height
        axes = figure.add_axes((0.31, bottom, 0.68, 0.58 / height))
        axes.imshow(np.concatenate(list(np.clip(images, 0, 1)), axis=1), cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
        middle, colour = bottom + 0.29 / height, INK if name == "original" else MODEL
        figure.text(0.01, middle, name, ha="left", va="center", fontsize=10, color=colour)
        if name in errors:
            figure.text(
                0.3, middle, f"{errors[name][0]:.1f}", ha="right", va="center", fontsize=10, color=colour
            )
    heading = (
        f"Held-out digits rebuilt from {CODE_SIZE} numbers, {N_TRAINING:,} learned from: "
        "mean squared error an image"
    )
    figure.text(0.01, 1 - 0.16 / height, heading, ha="left", va="center", fontsize=9, color=INK)
    figure.savefig(target, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

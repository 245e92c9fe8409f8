"""Draw the README's picture: held-out digits, and what each way of rebuilding makes of them.

python scripts/readme_picture.py docs/images/demo.png    (trains the demo's two models: minutes)
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus.evaluation.metrics import measure
from isthmus.inference import Inference
from isthmus.sources import bundled
from isthmus.sources.subset import Subset
from isthmus.training.callbacks import Callback
from isthmus.workflows.demo import CODE_SIZE, run_demo

INK, MODEL, PCA = "#24292f", "#0072b2", "#d55e00"


def main(target: str) -> None:
    """Train, rebuild one example of each digit, and draw them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.html"
        found = run_demo(
            report, watch=lambda _: nullcontext(Callback()), done=lambda one: print(one.name, one.seconds)
        )
    test = bundled("mnist-test")
    labels = np.asarray(test.labels)
    chosen = np.array([np.flatnonzero(labels == digit)[3] for digit in range(10)])
    some = Subset(test, chosen)
    pixels = {"original": np.asarray(some.read(slice(0, len(chosen)))) / 255.0}
    errors: dict[str, float] = {}
    for one in found:
        inference = Inference(one.model)
        pixels[one.name] = np.moveaxis(inference.reconstruct_model_units(some), 1, -1)
        errors[one.name] = float(measure(inference, test).errors.mean())
    model = found[0].model
    baseline = model.baseline
    if baseline is not None:
        x = model.scaling.to_model(some.read(slice(0, len(chosen))))
        pixels["PCA"] = np.moveaxis(baseline.reconstruct(x), 1, -1)
        errors["PCA"] = found[0].metrics["baselines"]["pca"]["sse"]
    draw(pixels, errors, target)


def draw(pixels: dict[str, NDArray[np.floating]], errors: dict[str, float], target: str) -> None:
    """One row a way of rebuilding, its error beside it."""
    figure = Figure(figsize=(8.2, 0.62 * len(pixels) + 0.35), dpi=200, facecolor="white")
    top = 1 - 0.3 / figure.get_figheight()
    for row, (name, images) in enumerate(pixels.items()):
        bottom = top - (row + 1) * 0.62 / figure.get_figheight()
        axes = figure.add_axes((0.25, bottom, 0.74, 0.58 / figure.get_figheight()))
        gap = np.ones((28, 1))
        strip = [part for image in images for part in (np.clip(image[..., 0], 0, 1), gap)]
        axes.imshow(
            np.concatenate(strip[:-1], axis=1),
            cmap="gray",
            vmin=0,
            vmax=1,
            aspect="equal",
            interpolation="nearest",
        )
        axes.set_axis_off()
        middle = bottom + 0.29 / figure.get_figheight()
        colour = INK if name == "original" else PCA if name == "PCA" else MODEL
        figure.text(0.01, middle, name, ha="left", va="center", fontsize=10, color=colour)
        if name in errors:
            figure.text(
                0.24, middle, f"{errors[name]:.2f}", ha="right", va="center", fontsize=10, color=colour
            )
    heading = f"Held-out digits rebuilt from {CODE_SIZE} numbers each, and the mean squared error per image"
    figure.text(
        0.01, 1 - 0.16 / figure.get_figheight(), heading, ha="left", va="center", fontsize=9, color=INK
    )
    figure.savefig(target, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

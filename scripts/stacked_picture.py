"""Draw the picture of docs/recipes/stacked.md: held-out loss of two schemes, epoch by epoch.

python scripts/stacked_picture.py docs/images/stacked.png    (trains two models: one minute)
"""

from __future__ import annotations

import sys

from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense

EPOCHS = 60
COLOURS = {"end_to_end": "#d55e00", "layer_by_layer": "#0072b2"}


def main(target: str) -> None:
    """Train a deep tied sigmoid network both ways, and draw the whole model's validation loss."""
    rows = load_digits().data / 16
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    for scheme, colour in COLOURS.items():
        model = Autoencoder(
            16, network=Dense((128, 64, 32), "sigmoid", tied=True), scheme=scheme, start="random", scaling="raw",
            likelihood="squared_error", max_epochs=EPOCHS, patience=None, threads=1, random_state=0,
        ).fit(rows)  # fmt: skip
        whole = [epoch for epoch in model.history_ if "level" not in epoch]
        losses = [epoch["validation"]["loss"] for epoch in whole]
        axes.plot([epoch["epoch"] for epoch in whole], losses, color=colour, label=scheme.replace("_", " "))
        print(scheme, round(losses[-1], 3))
        if len(whole) < EPOCHS:
            axes.axvspan(0, whole[0]["epoch"], color=colour, alpha=0.08, label="one layer after the other")
    axes.set(xlabel="epoch", ylabel="squared error a digit", ylim=(0, None), xlim=(0, EPOCHS))
    axes.legend(frameon=False)
    figure.savefig(target, dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1])

"""A transformer on MNIST, for twenty minutes."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import ACCENT, Experiment, Finding, Lab, Outcome, start, train
from matplotlib import pyplot as plt

from isthmus.evaluation.metrics import measure
from isthmus.sources.subset import Subset

EXPERIMENT = Experiment(
    name="transformer_digits",
    title="Transformer: digits through 32 numbers, in twenty minutes",
    claim="Attention between patches with a code in between: MNIST in twenty minutes of two cores, squared error an "
    "image on the 10,000 test images; PCA of 32 components leaves 13.19.",
    minutes=12,
    data="mnist",
)
SHOWN = 12


def measured(lab: Lab) -> dict[str, Any]:
    """Squared errors of the model, of PCA and of the mean, and some pictures rebuilt."""
    training, test = lab.mnist()
    if lab.quick:
        training, test = (Subset(part, np.arange(400)) for part in (training, test))
    inference = train(
        training,
        {
            "code_size": 32,
            "network": {"type": "transformer", "patch_size": 14, "width": 128, "depth": 1, "n_heads": 4},
            "likelihood": "bernoulli",
        },
        {"epochs": lab.pick(50, 1), "batch_size": 64, "learning_rate": 4e-3},
        scaling="auto",
    )
    found = measure(inference, test).to_dict()
    rebuilt = inference.reconstruct(Subset(test, np.arange(SHOWN)))
    return {
        "ours": found["error"]["sse"],
        "pca": found["baselines"]["pca"]["sse"],
        "mean": found["baselines"]["mean"]["sse"],
        "weights": sum(p.numel() for p in inference.module.parameters()),
        "pictures": np.asarray(rebuilt)[..., 0].tolist(),
    }


def run(lab: Lab) -> Outcome:
    found = lab.once("transformer", lambda: measured(lab))
    originals = lab.mnist()[1].read(slice(0, SHOWN))[..., 0]
    rows = {
        "test images": originals,
        f"from 32 numbers,\nerror {found['ours']:.2f}": np.array(found["pictures"]),
    }
    figure, axes = plt.subplots(2, SHOWN, figsize=(9, 1.7))
    for line, (title, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture, cmap="gray_r", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8, color=ACCENT)
    lab.figure(figure)
    return Outcome(
        [
            Finding(
                "squared error an image, code 32",
                f"{found['ours']:.2f}",
                f"PCA {found['pca']:.2f}, the mean {found['mean']:.2f}",
                "6.5",
                None if lab.quick else found["ours"] <= 6.5,
            ),
            Finding("weights", f"{found['weights']:,}"),
        ],
        "Four patches of 14 x 14 pixels are tokens of 128 numbers; one block on each side, log loss, every grey value "
        "between 0 and 1.",
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

"""Convolutions beside dense layers of as many weights, and four ways back up."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import ACCENT, INK, Experiment, Finding, Lab, Outcome, mean_and_spread, start, train
from matplotlib import pyplot as plt

from isthmus.evaluation.metrics import measure
from isthmus.sources import Source
from isthmus.sources.subset import Subset

EXPERIMENT = Experiment(
    name="conv_against_dense",
    title="Convolutional: as many weights, shared over the picture",
    claim="For pictures, convolutions do more with the same number of weights than dense layers (Masci et al. 2011).",
    minutes=85,
    data="mnist",
)
CODE_SIZE, SHOWN = 32, 10
CONV = {"type": "conv2d", "channels": [16, 32], "kernel_size": 4, "stride": 2}
NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {"type": "dense", "hidden_sizes": [72]},
    "transposed": CONV,
    "resize": {**CONV, "up": "resize"},
    "unpool": {**CONV, "down": "max_pool", "up": "unpool"},
    "unpool with switches": {**CONV, "down": "max_pool", "up": "unpool", "switches": True},
}
MAIN = ("dense", "transposed")
"""These two with three seeds; the others, as ways of the same network to come back up, with one."""


def digits(lab: Lab) -> tuple[Source, Source]:
    training, test = lab.mnist()
    return (Subset(training, np.arange(300)), Subset(test, np.arange(100))) if lab.quick else (training, test)


def measured(lab: Lab, name: str, seed: int) -> dict[str, Any]:
    """Squared errors on the test rows, from the code alone and with what travels beside it; some pictures rebuilt."""
    training, test = digits(lab)
    inference = train(
        training,
        {"code_size": CODE_SIZE, "network": NETWORKS[name], "likelihood": "bernoulli"},
        {"epochs": lab.pick(20, 1), "batch_size": 128, "learning_rate": 4e-3, "seed": seed},
        scaling="auto",
    )
    found = measure(inference, test).to_dict()
    return {
        "error": found["error"]["sse"],
        "with switches": found.get("error_with_context", {}).get("sse"),
        "pca": found["baselines"]["pca"]["sse"],
        "weights": sum(p.numel() for p in inference.module.parameters()),
        "pictures": np.asarray(inference.reconstruct(Subset(test, np.arange(SHOWN))))[..., 0].tolist(),
    }


def run(lab: Lab) -> Outcome:
    found = {
        name: [
            lab.once(f"{name}, seed {seed}", lambda name=name, seed=seed: measured(lab, name, seed))
            for seed in lab.seeds(3 if name in MAIN else 1)
        ]
        for name in NETWORKS
    }
    dense, conv = ([one["error"] for one in found[name]] for name in MAIN)
    ratios = [ours / theirs for ours, theirs in zip(conv, dense, strict=True)]
    findings = [
        Finding(
            "squared error over the dense network's, code 32",
            mean_and_spread(ratios),
            f"{found['transposed'][0]['weights']:,} weights beside {found['dense'][0]['weights']:,}",
            "0.8",
            None if lab.quick else max(ratios) <= 0.8,
        )
    ]
    for name, several in found.items():
        switched = several[0]["with switches"]
        findings.append(
            Finding(
                f"squared error an image, {name}",
                mean_and_spread([one["error"] for one in several], 2),
                f"PCA {several[0]['pca']:.2f}; {several[0]['weights']:,} weights"
                + ("" if switched is None else f"; told where the largest values were {switched:.2f}"),
            )
        )
    lab.figure(strips(found, digits(lab)[1]))
    return Outcome(
        findings,
        "All with log loss, 20 epochs, the same rate and a code of 32. The switches of unpooling tell the decoder "
        "where the encoder found the largest value of each window; they travel beside the code, in no stored one, "
        "so an error with them is no error of 32 numbers. Pooling convolves at full size: about four times the work.",
    )


def strips(found: dict[str, list[dict[str, Any]]], test: Source) -> plt.Figure:
    """Test digits, and what each network makes of them."""
    rows = {"test images": test.read(slice(0, SHOWN))[..., 0]}
    rows |= {
        f"{name}, {several[0]['error']:.2f}": np.array(several[0]["pictures"])
        for name, several in found.items()
    }
    figure, axes = plt.subplots(len(rows), SHOWN, figsize=(8, 4.4))
    for line, (title, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture, cmap="gray_r", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        colour = INK if title.startswith(("test", "dense")) else ACCENT
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8, color=colour)
    return figure


if __name__ == "__main__":
    start(EXPERIMENT, run)

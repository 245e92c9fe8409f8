"""A prior on the code against a prior on the weights; Laplace against normal."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import ACCENT, INK, SECOND, Experiment, Finding, Lab, Outcome, start, train
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus.sources import ArraySource

EXPERIMENT = Experiment(
    name="two_readings",
    title="Sparse: two readings of L + Omega as MAP inference",
    claim="Sparse: L + Omega(h) is MAP inference with a prior on the hidden units instead of the usual one on the "
    "weights. L1 (a V) gives exact zeros, L2 (a U) near-zeros.",
    minutes=3,
)
WEIGHTS = (0.003, 0.01, 0.03, 0.1)
KINDS = {"L1 on the code": "l1", "L2 on the code": "l2", "weight decay": "weight_decay"}


def measured(lab: Lab, penalty: str, weight: float) -> dict[str, Any]:
    """Held-out squared error, share of codes exactly 0 and below a hundredth of the largest, and some codes."""
    training, test = train_test_split(
        (load_digits().data / 16).astype(np.float32), test_size=0.35, random_state=0
    )
    inference = train(
        training,
        {
            "code_size": 128,
            "network": {"type": "dense", "hidden_sizes": []},
            "code": {"type": "deterministic", "activation": "relu"},
            "likelihood": "squared_error",
            "penalties": [{"type": penalty, "weight": weight}],
        },
        {"epochs": lab.pick(400, 5), "batch_size": 64, "learning_rate": 2e-3, "threads": 1},
    )
    codes = inference.encode(ArraySource(test))
    used = codes[:, (codes > 0).any(axis=0)]
    size = used / max(used.max(), 1e-12)
    return {
        "error": float(np.square(inference.reconstruct(ArraySource(test)) - test).sum(axis=1).mean()),
        "zero": float((codes == 0).mean()),
        "small": float(((size > 0) & (size < 0.01)).mean()) if size.size else 0.0,
        "codes": np.histogram(codes, bins=60, range=(0, 3))[0].tolist(),
    }


def run(lab: Lab) -> Outcome:
    weights = lab.pick(WEIGHTS, WEIGHTS[1:2])
    found = {
        name: [lab.once(f"{penalty}, {w:g}", lambda p=penalty, w=w: measured(lab, p, w)) for w in weights]
        for name, penalty in KINDS.items()
    }
    findings = [
        Finding(
            f"{name}, weight {weight:g}: exact zeros; squared error",
            f"{one['zero']:.1%}; {one['error']:.3f}",
        )
        for name, several in found.items()
        for weight, one in zip(weights, several, strict=True)
    ]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
    for (name, several), colour in zip(found.items(), (ACCENT, SECOND, INK), strict=True):
        left.plot(
            [one["error"] for one in several],
            [one["zero"] for one in several],
            "o-",
            color=colour,
            label=name,
        )
        right.step(
            np.linspace(0, 3, 60), np.array(several[len(several) // 2]["codes"]) + 1, color=colour, label=name
        )
    left.set(xlabel="held-out squared error", ylabel="share of codes exactly 0")
    right.set(xlabel="value of a unit", ylabel="how often (log)", yscale="log")
    left.legend(frameon=False, fontsize=8)
    lab.figure(figure)
    return Outcome(
        findings, "Rectified codes of 128 units for 64 pixels. At equal error L1 leaves most units silent."
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

"""A variational autoencoder whose rate is too dear falls back on independent pixels."""

from __future__ import annotations

import math

import numpy as np
import torch
from harness import ACCENT, INK, Experiment, Finding, Lab, Outcome, start, train
from matplotlib import pyplot as plt

from isthmus.evaluation.metrics import measure
from isthmus.sources import ArraySource

EXPERIMENT = Experiment(
    name="collapsed",
    title="Variational: collapse, and the number that it ends at",
    claim="With beta large the code carries nothing and the decoder gives the mean: the bound is the entropy of "
    "independent pixels.",
    minutes=10,
    data="mnist",
)


def digits(lab: Lab) -> np.ndarray:
    """Binary digits, every pixel white with its grey value as probability, drawn once."""
    grey = lab.mnist()[0].read(slice(0, lab.pick(20_000, 500)))[..., 0] / 255
    return (np.random.default_rng(0).random(grey.shape) < grey).reshape(len(grey), -1).astype(np.float32)


def bound(x: np.ndarray) -> float:
    """Entropy of independent pixels in nats: ``-sum_i p_i ln p_i + (1 - p_i) ln(1 - p_i)``."""
    p = np.clip(x.mean(axis=0, dtype=np.float64), 1e-12, 1 - 1e-12)
    return float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).sum())


def loss(lab: Lab, beta: float) -> list[float]:
    """Minus the evidence bound of the training rows, and its rate, in nats."""
    x = digits(lab)
    inference = train(
        x,
        {
            "code_size": 20,
            "network": {"type": "dense", "hidden_sizes": [200], "activation": "tanh"},
            "code": {"type": "gaussian", "beta": beta},
            "likelihood": "bernoulli",
        },
        {"epochs": lab.pick(12, 2), "batch_size": 200, "learning_rate": 2e-3},
    )
    found = measure(inference, ArraySource(x)).to_dict()
    return [-found["elbo_nats"], found["rate_nats"]]


def run(lab: Lab) -> Outcome:
    known = lab.once("independent pixels", lambda: bound(digits(lab)))
    betas = lab.pick((1.0, 4.0, 16.0, 100.0), (1.0, 100.0))
    found = {beta: lab.once(f"beta {beta:g}", lambda beta=beta: loss(lab, beta)) for beta in betas}
    last = found[betas[-1]][0]
    findings = [
        Finding(
            f"minus the evidence bound, rate, beta {beta:g} (nats)", f"{nats:.2f}, {rate:.2f}", f"{known:.2f}"
        )
        for beta, (nats, rate) in found.items()
    ]
    findings[-1] = Finding(
        findings[-1].what,
        findings[-1].ours,
        f"independent pixels {known:.2f}",
        "0.5 %",
        None if lab.quick else math.isclose(last, known, rel_tol=0.005),
    )
    figure, axis = plt.subplots(figsize=(5, 3))
    axis.axhline(known, color=INK, lw=1, label="independent pixels")
    axis.semilogx(
        betas, [found[beta][0] for beta in betas], "o-", color=ACCENT, label="minus the evidence bound"
    )
    axis.semilogx(betas, [found[beta][1] for beta in betas], "o--", color=ACCENT, alpha=0.5, label="its rate")
    axis.set(xlabel="beta", ylabel="nats an image")
    axis.legend(frameon=False)
    lab.figure(figure)
    return Outcome(findings, "On the rows that both were fitted to, so that the two are the same optimum.")


if __name__ == "__main__":
    torch.set_num_threads(2)
    start(EXPERIMENT, run)

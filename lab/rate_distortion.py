"""A linear beta-VAE lies on the Gaussian rate-distortion curve, unit by unit."""

from __future__ import annotations

import numpy as np
import torch
from harness import ACCENT, INK, Experiment, Finding, Lab, Outcome, start, train
from matplotlib import pyplot as plt

EXPERIMENT = Experiment(
    name="rate_distortion",
    title="Variational, linear: beta is a price, and units die at a known one",
    claim="With output variance s a unit is active if and only if its eigenvalue exceeds beta s; rate and "
    "distortion then lie on the Gaussian rate-distortion curve (reverse water-filling).",
    minutes=4,
)
EIGENVALUES = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.0625])
VARIANCE = 0.25
BETAS = (0.5, 1.0, 2.0, 6.0, 12.0, 24.0)


def data(n: int = 4096) -> np.ndarray:
    """Rows whose covariance has these eigenvalues exactly, turned at random."""
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(n, len(EIGENVALUES)))
    rows -= rows.mean(axis=0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T, bias=True))).T
    turn = np.linalg.qr(chance.normal(size=(len(EIGENVALUES),) * 2))[0]
    return (rows * np.sqrt(EIGENVALUES) @ turn).astype(np.float32)


def curve(water: float) -> tuple[float, float]:
    """Rate in nats and squared error at a water level, in closed form."""
    rate = 0.5 * np.log(np.maximum(EIGENVALUES / water, 1)).sum()
    return float(rate), float(np.minimum(EIGENVALUES, water).sum())


def measured(lab: Lab, beta: float) -> list[float]:
    """Rate, squared error of a drawn code (expected exactly), and active units."""
    x = data()
    inference = train(
        x,
        {
            "code_size": len(EIGENVALUES),
            "network": {"type": "dense", "hidden_sizes": []},
            "code": {"type": "gaussian", "beta": beta},
            "likelihood": {"type": "gaussian", "scale": VARIANCE**0.5},
        },
        {"epochs": lab.pick(2500, 5), "batch_size": len(x), "learning_rate": 0.02, "threads": 1},
    )
    module, rows = inference.module.double(), torch.from_numpy(x).double()
    with torch.no_grad():
        mean, scale = module.code_distribution(rows)
        weight = module.decoder.layers[0].weight
        rates = module.code.rate_per_unit(module.encoder(rows)[0]).mean(dim=0)
        error = (rows - module.decoder(mean)).square().sum(dim=1) + scale.square() @ weight.square().sum(
            dim=0
        )
    return [float(rates.sum()), float(error.mean()), int((rates > 0.01).sum())]


def run(lab: Lab) -> Outcome:
    betas = lab.pick(BETAS, BETAS[2:3])
    found = {beta: lab.once(f"beta {beta:g}", lambda beta=beta: measured(lab, beta)) for beta in betas}
    findings = []
    for beta, (rate, error, active) in found.items():
        known_rate, known_error = curve(beta * VARIANCE)
        known_active = int((beta * VARIANCE < EIGENVALUES).sum())
        off = max(abs(rate / known_rate - 1) if known_rate else rate, abs(error / known_error - 1))
        findings.append(
            Finding(
                f"beta {beta:g}: rate, squared error, active units",
                f"{rate:.4f}, {error:.4f}, {active}",
                f"{known_rate:.4f}, {known_error:.4f}, {known_active}",
                "1 %, the same count",
                None if lab.quick else bool(off < 0.01 and active == known_active),
            )
        )
    levels = np.geomspace(0.05, 9, 200)
    figure, axis = plt.subplots(figsize=(5, 3.2))
    axis.plot(*np.array([curve(level) for level in levels]).T, color=INK, lw=1, label="closed form")
    for beta, (rate, error, _) in found.items():
        axis.plot(rate, error, "o", color=ACCENT)
        axis.annotate(f"beta {beta:g}", (rate, error), xytext=(6, 4), textcoords="offset points", fontsize=8)
    axis.set(xlabel="rate (nats)", ylabel="squared error")
    axis.legend(frameon=False)
    lab.figure(figure)
    return Outcome(
        findings, "Raising beta walks down the curve, and collapse begins at the smallest eigenvalue."
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

"""Contractive against denoising at equal error: which derivative each makes small."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from harness import ACCENT, INK, SECOND, Experiment, Finding, Lab, Outcome, mean_and_spread, start, train
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus.numerics.jacobians import exact_squared_norm
from isthmus.sources import ArraySource

EXPERIMENT = Experiment(
    name="robustness",
    title="Contractive: a robust f(x), where the denoiser makes g(f(x)) robust",
    claim="The contractive penalty is the squared Frobenius norm of the hidden units' Jacobian: robust f(x), where "
    "the denoiser makes g(f(x)) robust (Rifai et al. 2011).",
    minutes=45,
)
STRENGTHS = {
    "contractive": (0.003, 0.01, 0.03, 0.1, 0.3),
    "denoising": (0.1, 0.15, 0.2, 0.3, 0.4),
    "plain": (0.0,),
}


def parts(kind: str, strength: float) -> dict[str, Any]:
    """The same tied sigmoid net, contractive or shown noise."""
    shared = {
        "code_size": 120,
        "network": {"type": "dense", "hidden_sizes": [], "tied": True},
        "code": {"type": "deterministic", "activation": "sigmoid"},
        "likelihood": "squared_error",
    }
    if kind == "contractive":
        return {**shared, "penalties": [{"type": "contractive", "weight": strength}]}
    if kind == "denoising":
        return {**shared, "corruption": {"type": "gaussian_noise", "scale": strength}}
    return shared


def measured(lab: Lab, kind: str, strength: float, seed: int) -> dict[str, float]:
    """Clean held-out error, both squared norms, and seconds a step."""
    training, test = train_test_split(
        (load_digits().data / 16).astype(np.float32), test_size=0.35, random_state=0
    )
    epochs = lab.pick(400, 3)
    begin = time.perf_counter()
    settings = {"epochs": epochs, "batch_size": 64, "learning_rate": 3e-3, "seed": seed, "threads": 1}
    inference = train(training, parts(kind, strength), settings)
    seconds = time.perf_counter() - begin
    module = inference.module
    rows = torch.from_numpy(test[: lab.pick(300, 20)])
    return {
        "error": float(np.square(inference.reconstruct(ArraySource(test)) - test).sum(axis=1).mean()),
        "code": float(exact_squared_norm(module.encode, rows).detach().mean()),
        "whole": float(exact_squared_norm(module.reconstruct, rows).detach().mean()),
        "step": seconds / (epochs * -(-len(training) // 64)) * 1000,
    }


def run(lab: Lab) -> Outcome:
    found: dict[str, list[list[dict[str, float]]]] = {}
    for kind, strengths in STRENGTHS.items():
        chosen = strengths if not lab.quick else strengths[:2]
        found[kind] = [
            [
                lab.once(f"{kind} {k:g}, seed {s}", lambda kind=kind, k=k, s=s: measured(lab, kind, k, s))
                for s in lab.seeds()
            ]
            for k in chosen
        ]

    def curve(kind: str, key: str, seed: int) -> np.ndarray:
        return np.array([several[seed][key] for several in found[kind]])

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    ratios: dict[str, list[float]] = {"code": [], "whole": []}
    for seed in lab.seeds():
        low = max(curve(kind, "error", seed).min() for kind in ("contractive", "denoising"))
        high = min(curve(kind, "error", seed).max() for kind in ("contractive", "denoising"))
        at = (low + high) / 2
        for key, ratio in ratios.items():
            norms = []
            for kind in ("contractive", "denoising"):
                order = np.argsort(curve(kind, "error", seed))
                errors, values = curve(kind, "error", seed)[order], np.log(curve(kind, key, seed)[order])
                norms.append(np.exp(np.interp(at, errors, values)))
            ratio.append(float(norms[0] / norms[1]))
    for axis, key, title in zip(
        axes, ("code", "whole"), ("||dh/dx||$^2$", "||d g(f(x))/dx||$^2$"), strict=True
    ):
        for kind, colour in (("contractive", ACCENT), ("denoising", SECOND), ("plain", INK)):
            errors = np.mean([curve(kind, "error", seed) for seed in lab.seeds()], axis=0)
            norms = np.mean([curve(kind, key, seed) for seed in lab.seeds()], axis=0)
            axis.semilogy(errors, norms, "o-", color=colour, label=kind)
        axis.set(xlabel="clean squared error, held out", title=title)
    axes[0].legend(frameon=False, fontsize=8)
    lab.figure(figure)
    step = {kind: np.median([one["step"] for several in found[kind] for one in several]) for kind in found}
    full = not lab.quick
    return Outcome(
        [
            Finding(
                "||dh/dx||^2 at equal error, contractive over denoising",
                mean_and_spread(ratios["code"]),
                "",
                "below 1",
                max(ratios["code"]) < 1 if full else None,
            ),
            Finding(
                "||d g(f(x))/dx||^2 at equal error, contractive over denoising",
                mean_and_spread(ratios["whole"]),
                "",
                "above 1",
                min(ratios["whole"]) > 1 if full else None,
            ),
            Finding(
                "milliseconds a step: contractive, denoising",
                f"{step['contractive']:.2f}, {step['denoising']:.2f}",
                f"plain {step['plain']:.2f}",
            ),
        ],
        "Read at the middle of the range of held-out errors that both reach, between the strengths tried.",
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

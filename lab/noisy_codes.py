"""A classifier on codes, shown damaged digits: with a denoiser's codes and with a plain autoencoder's."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import ACCENT, INK, SECOND, Experiment, Finding, Lab, Outcome, mean_and_spread, start, train
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus.sources import ArraySource, bundled

EXPERIMENT = Experiment(
    name="noisy_codes",
    title="Denoising: codes that survive damage",
    claim="Features that are robust to damage: trained to undo noise, the code keeps what tells digits apart "
    "(Vincent et al. 2010).",
    minutes=10,
)
LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
KINDS = {"denoising": {"corruption": {"type": "masking", "hidden_share": 0.5}}, "plain": {}}
NOISES = {"hidden": "share of the pixels hidden", "gaussian": "standard deviation of added noise"}


def damaged(x: np.ndarray, noise: str, level: float, seed: int) -> np.ndarray:
    """Rows with a share of their pixels set to 0, or with normal noise."""
    chance = np.random.default_rng([seed, int(100 * level)])
    if noise == "hidden":
        return np.where(chance.random(x.shape) < level, 0, x).astype(np.float32)
    return (x + level * chance.normal(size=x.shape)).astype(np.float32)


def measured(lab: Lab, kind: str, seed: int) -> dict[str, list[float]]:
    """Accuracy of a classifier fitted to the codes of clean training rows, on test rows by damage."""
    parts = []
    for name, n in (("mnist-train", lab.pick(8000, 500)), ("mnist-test", lab.pick(2000, 300))):
        source = bundled(name)
        parts.append((source.read(slice(0, n)).reshape(n, -1).astype(np.float32) / 255, source.labels[:n]))
    (training, labels), (test, truth) = parts
    inference = train(
        training,
        {
            "code_size": 64,
            "network": {"type": "dense", "hidden_sizes": [512, 256]},
            "likelihood": "bernoulli",
            **KINDS[kind],
        },
        {"epochs": lab.pick(60, 2), "batch_size": 100, "learning_rate": 1e-3, "seed": seed, "threads": 1},
    )
    machine = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    machine.fit(inference.encode(ArraySource(training)), labels)
    return {
        noise: [
            float(machine.score(inference.encode(ArraySource(damaged(test, noise, level, seed))), truth))
            for level in LEVELS
        ]
        for noise in NOISES
    }


def run(lab: Lab) -> Outcome:
    found: dict[str, list[dict[str, Any]]] = {
        kind: [
            lab.once(f"{kind}, seed {s}", lambda kind=kind, s=s: measured(lab, kind, s)) for s in lab.seeds()
        ]
        for kind in KINDS
    }
    curves = {
        (kind, noise): 100 * np.array([one[noise] for one in several])
        for kind, several in found.items()
        for noise in NOISES
    }
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
    for axis, (noise, label) in zip(axes, NOISES.items(), strict=True):
        for kind, colour in (("denoising", ACCENT), ("plain", SECOND)):
            values = curves[kind, noise]
            axis.plot(LEVELS, values.mean(axis=0), "o-", color=colour, label=f"codes, {kind}")
            axis.fill_between(LEVELS, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0)
        axis.axhline(10, color=INK, lw=0.8, ls=":")
        axis.set(xlabel=label)
    axes[0].text(0, 11, "guessing", color=INK, fontsize=8)
    axes[0].set(ylabel="accuracy on test digits (%)", ylim=(0, 100))
    axes[0].legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 0.15))
    lab.figure(figure)
    gain = curves["denoising", "hidden"] - curves["plain", "hidden"]
    findings = [
        Finding(
            f"accuracy with {level:.0%} of the pixels hidden (%)",
            mean_and_spread(list(curves["denoising", "hidden"][:, place]), 1),
            f"plain {mean_and_spread(list(curves['plain', 'hidden'][:, place]), 1)}",
            "above plain, each seed" if level >= 0.2 else "",
            bool(gain[:, place].min() > 0) if level >= 0.2 and not lab.quick else None,
        )
        for place, level in enumerate(LEVELS)
        if level in {0.0, 0.2, 0.4, 0.6}
    ]
    place = LEVELS.index(0.4)
    findings.append(
        Finding(
            "accuracy under normal noise of 0.4, which it was not trained for (%)",
            mean_and_spread(list(curves["denoising", "gaussian"][:, place]), 1),
            f"plain {mean_and_spread(list(curves['plain', 'gaussian'][:, place]), 1)}",
        )
    )
    ours, plain = (curves[kind, "gaussian"][:, place].mean().item() for kind in ("denoising", "plain"))
    return Outcome(
        findings,
        "Net 784-512-256-64 with log loss on 8,000 digits; the denoiser saw half of the pixels hidden. The logistic "
        "regression saw codes of clean digits alone. "
        + "The gain is for the damage that was trained against: under normal noise this denoiser is worse."
        * (ours < plain),
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

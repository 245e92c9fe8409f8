"""A code larger than the input learns the identity, unless something forbids it."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import ACCENT, INK, Experiment, Finding, Lab, Outcome, start, train
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus.inference import Inference
from isthmus.sources import ArraySource

EXPERIMENT = Experiment(
    name="overcomplete",
    title="Overcomplete: the identity, unless it is regularised",
    claim="A code larger than the input learns the identity unless it is regularised.",
    minutes=4,
)
SIZE = 256
KINDS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "L1": {
        "code": {"type": "deterministic", "activation": "relu"},
        "penalties": [{"type": "l1", "weight": 0.03}],
    },
    "top-k": {"code": {"type": "top_k", "n_active": 12}},
    "masking": {"corruption": {"type": "masking", "hidden_share": 0.5}},
    "contractive": {
        "code": {"type": "deterministic", "activation": "sigmoid"},
        "penalties": [{"type": "contractive", "weight": 0.1}],
    },
    "Gaussian code": {"code": "gaussian", "likelihood": {"type": "gaussian", "scale": "learned"}},
}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits in [0, 1], training and test rows."""
    return tuple(
        train_test_split((load_digits().data / 16).astype(np.float32), test_size=0.35, random_state=0)
    )  # type: ignore[return-value]


def errors(inference: Inference, test: np.ndarray) -> dict[str, float]:
    """Squared errors of digits, of noise that no digit looks like, and of digits half hidden; units in use."""
    hidden = test * (np.random.default_rng(0).random(test.shape) < 0.5)
    noise = np.random.default_rng(1).random(test.shape).astype(np.float32)
    codes = inference.encode(ArraySource(test))

    def error(shown: np.ndarray, target: np.ndarray) -> float:
        rebuilt = inference.reconstruct(ArraySource(shown.astype(np.float32)))
        return float(np.square(rebuilt - target).sum(axis=1).mean())

    return {
        "digits": error(test, test),
        "noise": error(noise, noise),
        "hidden": error(hidden, test),
        "active": float((np.abs(codes) > 1e-6).sum(axis=1).mean()),
    }


def baselines() -> list[float]:
    """Squared error of the identity on digits half hidden, and of the mean training digit."""
    training, test = digits()
    hidden = test * (np.random.default_rng(0).random(test.shape) < 0.5)
    return [float(np.square(one - test).sum(axis=1).mean()) for one in (hidden, training.mean(axis=0))]


def measured(lab: Lab, parts: dict[str, Any]) -> dict[str, float]:
    training, test = digits()
    model = {
        "code_size": SIZE,
        "network": {"type": "dense", "hidden_sizes": []},
        "likelihood": "squared_error",
        **parts,
    }
    inference = train(
        training, model, {"epochs": lab.pick(600, 5), "batch_size": 64, "learning_rate": 2e-3, "threads": 1}
    )
    return errors(inference, test)


def run(lab: Lab) -> Outcome:
    names = list(KINDS) if not lab.quick else ["nothing", "L1"]
    copied, mean = lab.once("identity and mean digit", baselines)
    beside = f"the identity: 0 / 0 / {copied:.2f}; the mean digit: {mean:.2f}"
    found = {name: lab.once(name, lambda name=name: measured(lab, KINDS[name])) for name in names}
    findings = [
        Finding(
            f"{name}: squared error of digits / of noise / of digits half hidden; units not zero",
            f"{one['digits']:.3f} / {one['noise']:.2f} / {one['hidden']:.2f}; {one['active']:.0f} of {SIZE}",
            beside if name == "nothing" else "",
        )
        for name, one in found.items()
    ]
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True)
    for axis, key, title in zip(
        axes,
        ("digits", "noise", "hidden"),
        ("held-out digits", "noise (it copies)", "half hidden (it fills in)"),
        strict=True,
    ):
        colours = [INK if name == "nothing" else ACCENT for name in names]
        axis.barh(names, [found[name][key] for name in names], color=colours)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("squared error")
    axes[0].invert_yaxis()
    lab.figure(figure)
    return Outcome(
        findings,
        "A linear code of 256 for 64 pixels. Unregularised it copies whatever comes, noise as well as digits, and "
        "leaves hidden pixels hidden. Every regulariser makes it worse at copying noise; noise on the input, few "
        "active units or a Gaussian code also let it fill in what was hidden, a penalty on the code does not.",
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

"""k-sparse codes of MNIST under logistic regression, and how many units to keep when encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import ACCENT, INK, Experiment, Finding, Lab, Outcome, mean_and_spread, start, train
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression

from isthmus.codes.top_k import TopK
from isthmus.inference import Inference
from isthmus.sources import ArraySource

EXPERIMENT = Experiment(
    name="k_sparse",
    title="Sparse: the k largest of 1,000 units under a linear classifier",
    claim="Classification without labels: logistic regression on k-sparse codes of MNIST, k = 25, errs on 1.35 % of "
    "the test digits, on raw pixels on 7.2 % (Makhzani and Frey 2014, table 2).",
    minutes=30,
    data="mnist",
)
UNITS, ACTIVE, FIRST = 1000, 25, 100
ALPHAS = (1, 2, 3, 4)
"""Units kept when encoding, as multiples of those kept in training; the paper takes 3."""
STRENGTHS = (0.003, 0.03, 0.3)
"""Values of C, the inverse strength of the regularisation, to choose from on held-out training rows."""

Labelled = tuple[np.ndarray, np.ndarray]


def digits(lab: Lab) -> dict[str, Labelled]:
    """Rows for features and classifier, rows to choose C by, test rows."""
    return lab.labelled_digits(lab.pick(50_000, 1000), lab.pick(10_000, 300))


def error(features: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> list[float]:
    """Test error in % at the C of lowest validation error, and that C. Features are brought to a common scale."""
    scale = features["training"].std()
    x = {part: (rows / scale).astype(np.float32) for part, rows in features.items()}
    machines = [
        LogisticRegression(C=c, max_iter=600, tol=1e-3).fit(x["training"], labels["training"])
        for c in STRENGTHS
    ]
    best = max(machines, key=lambda machine: machine.score(x["validation"], labels["validation"]))
    return [100 * float(1 - best.score(x["test"], labels["test"])), float(best.C)]


def fitted(lab: Lab, x: np.ndarray, seed: int) -> Inference:
    """Tied linear autoencoder that keeps 100 units at first and 25 from the middle of the training on."""
    return train(
        x,
        {
            "code_size": UNITS,
            "network": {"type": "dense", "hidden_sizes": [], "tied": True},
            "code": {"type": "top_k", "n_active": ACTIVE, "first_n_active": FIRST},
            "likelihood": "squared_error",
        },
        {
            "epochs": lab.pick(30, 2),
            "batch_size": 100,
            "learning_rate": 3e-4,
            "seed": seed,
        },
    )


def measured(lab: Lab, seed: int) -> dict[str, Any]:
    """Errors by units kept, units that no row keeps, and what some of the units draw."""
    data = digits(lab)
    inference = fitted(lab, data["training"][0], seed)
    labels = {part: y for part, (_, y) in data.items()}
    found: dict[str, Any] = {"errors": {}}
    for alpha in lab.pick(ALPHAS, (1, 3)):
        inference.module.code = TopK(UNITS, n_active=alpha * ACTIVE)
        codes = {part: inference.encode(ArraySource(x)) for part, (x, _) in data.items()}
        if alpha == 1:
            found["dead"] = int((~codes["training"].any(axis=0)).sum())
        found["errors"][str(alpha * ACTIVE)] = error(codes, labels)
        print(f"    {alpha * ACTIVE} units kept: {found['errors'][str(alpha * ACTIVE)]}", flush=True)
    weights = inference.module.decoder.layers[0].weight.detach().numpy().T
    found["units"] = np.round(weights[:32], 4).tolist()
    return found


def raw(lab: Lab) -> list[float]:
    data = digits(lab)
    features, labels = ({part: both[index] for part, both in data.items()} for index in (0, 1))
    return error(features, labels)


def run(lab: Lab) -> Outcome:
    pixels = lab.once("raw pixels", lambda: raw(lab))[0]
    found = [lab.once(f"seed {seed}", lambda seed=seed: measured(lab, seed)) for seed in lab.seeds()]
    errors = {int(kept): [one["errors"][kept][0] for one in found] for kept in found[0]["errors"]}
    ours = {kept: float(np.mean(several)) for kept, several in errors.items()}
    kept = 3 * ACTIVE
    figure = plt.figure(figsize=(10, 3), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.4))
    axis = left.subplots()
    axis.axhline(pixels, color=INK, lw=1)
    axis.text(max(ours), pixels - 0.15, "raw pixels", ha="right", va="top", color=INK, fontsize=9)
    axis.plot(list(ours), list(ours.values()), "-", color=ACCENT)
    for kept_now, several in errors.items():
        axis.plot([kept_now] * len(several), several, "o", color=ACCENT, ms=4)
    axis.set(xlabel="units kept when encoding (25 in training)", ylabel="test error (%)", xticks=list(ours))
    axis.set_ylim(0, 1.1 * max(pixels, *ours.values()))
    axes = right.subplots(4, 8)
    for one, unit in zip(axes.flat, found[0]["units"], strict=True):
        most = np.abs(unit).max()
        one.imshow(np.reshape(unit, (28, 28)), cmap="RdBu_r", vmin=-most, vmax=most)
        one.axis("off")
    right.suptitle("what 32 of the units draw", fontsize=10, color=ACCENT)
    lab.figure(figure)
    return Outcome(
        [
            Finding(
                f"test error of logistic regression, {kept} units kept when encoding (%)",
                mean_and_spread(errors[kept], 2),
                f"published 1.35; raw pixels {pixels:.2f}",
                "2.2 each",
                None if lab.quick else max(errors[kept]) <= 2.2,
            ),
            Finding(
                f"the same, the {ACTIVE} units of the training kept (%)",
                mean_and_spread(errors[ACTIVE], 2),
            ),
            Finding(
                "units that no training row keeps",
                mean_and_spread([one["dead"] for one in found], 0),
                f"of {UNITS}",
            ),
        ],
        f"Encoding keeps alpha k = {kept} units, alpha = 3, as in the paper: more of what the encoder "
        "found than the decoder was trained with. C of the logistic regression is chosen on 10,000 training rows "
        "that neither model saw. A low rate and few epochs: at 1e-3 for 60 epochs, "
        "units that no row keeps given new weights, the units draw whole digits and the three seeds err on "
        "2.3, 2.6 and 4.1 %.",
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

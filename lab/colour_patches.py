"""Colour patches of photographs: where PCA is nearly the best that can be done."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import numpy as np
from harness import ACCENT, HERE, INK, Experiment, Finding, Lab, Outcome, mean_and_spread, start, train
from matplotlib import pyplot as plt

from isthmus.evaluation.metrics import measure
from isthmus.inference import Inference
from isthmus.sources import ArraySource

sys.path.append(str(HERE.parent / "benchmarks"))

from defaults import N_SPLITS, patch_splits

EXPERIMENT = Experiment(
    name="colour_patches",
    title="Natural patches: level with PCA, and what it takes to beat it",
    claim="Small patches of photographs are near PCA's best case; a nonlinear code of the same size may do better.",
    minutes=60,
)
CODE_SIZE, SHOWN = 32, 10
TEST_STEP = 16
"""Pixels between the patches that are measured, as in the benchmark of the defaults."""
WAYS: dict[str, dict[str, Any]] = {
    "dense from PCA": {
        "network": {"type": "dense", "hidden_sizes": [512, 256]}, "step": 16, "mirrored": False,
        "training": {"start": "pca", "learning_rate": 5e-5, "epochs": 60},
    },
    "dense from PCA, more patches": {
        "network": {"type": "dense", "hidden_sizes": [512, 256]}, "step": 4, "mirrored": True,
        "training": {"start": "pca", "learning_rate": 1e-4, "epochs": 8},
    },
    "convolutions, more patches": {
        "network": {"type": "conv2d", "channels": [32, 64, 128]}, "step": 4, "mirrored": True,
        "training": {"learning_rate": 2e-3, "epochs": 5},
    },
}  # fmt: skip


def patches(fold: int, step: int, *, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Training patches, ``step`` pixels apart, and the held-out stripe's; ``(rows, 32, 32, 3)``, uint8."""
    training = next(islice(patch_splits(step), fold, None))[0]
    test = next(islice(patch_splits(TEST_STEP), fold, None))[1]
    return np.concatenate([training, training[:, :, ::-1]]) if mirrored else training, test


def rebuilt_by_pca(inference: Inference, rows: np.ndarray) -> np.ndarray:
    """What the model's own baseline makes of rows, in [0, 1]."""
    baseline = inference.model.baseline
    assert baseline is not None
    x = inference.model.scaling.to_model(rows).reshape(len(rows), -1) - baseline.mean
    flat = baseline.mean + x @ baseline.components.T @ baseline.components
    return np.clip(flat.reshape(len(rows), 3, 32, 32).transpose(0, 2, 3, 1), 0, 1)


def measured(lab: Lab, name: str, fold: int) -> dict[str, Any]:
    """Squared errors on the held-out stripe, ours and PCA's of the same training rows."""
    way = WAYS[name]
    training, test = patches(fold, lab.pick(way["step"], 32), mirrored=way["mirrored"])
    plan = {"batch_size": 128, "seed": fold, **way["training"], **({"epochs": 1} if lab.quick else {})}
    inference = train(
        ArraySource(training),
        {"code_size": CODE_SIZE, "network": way["network"], "likelihood": "squared_error"},
        plan,
        scaling="range",
    )
    found = measure(inference, ArraySource(test)).to_dict()
    some = test[:: len(test) // SHOWN][:SHOWN]
    return {
        "error": found["error"]["sse"],
        "pca": found["baselines"]["pca"]["sse"],
        "rows": len(training),
        "pictures": np.round(
            inference.reconstruct_model_units(ArraySource(some)).transpose(0, 2, 3, 1), 2
        ).tolist(),
        "pca pictures": np.round(rebuilt_by_pca(inference, some), 2).tolist(),
        "originals": np.round(some / 255, 2).tolist(),
    }


def run(lab: Lab) -> Outcome:
    findings, shown = [], {}
    for name in lab.pick(list(WAYS), list(WAYS)[::2]):
        found = [
            lab.once(f"{name}, stripe {fold}", lambda name=name, fold=fold: measured(lab, name, fold))
            for fold in lab.seeds(N_SPLITS)
        ]
        ratios = [one["error"] / one["pca"] for one in found]
        mean = sum(one["error"] for one in found) / sum(one["pca"] for one in found)
        shown[name] = found[0]
        findings.append(
            Finding(
                f"squared error over PCA's, {name}",
                f"{mean:.3f} (stripes: {', '.join(f'{ratio:.3f}' for ratio in ratios)})",
                f"PCA {mean_and_spread([one['pca'] for one in found], 1)}, {found[0]['rows']:,} training rows",
                "1.0, the best way" if name == list(WAYS)[-1] else "",
            )
        )
    lab.figure(strips(shown))
    return Outcome(findings, TEXT)


TEXT = (
    "32 x 32 colour patches of scikit-learn's two photographs, one of five upright stripes held out in turn, code 32, "
    "linear outputs. The first figure is of the mean error over the five stripes. PCA is fitted to the very rows that "
    "each network is given."
)


def strips(shown: dict[str, dict[str, Any]]) -> plt.Figure:
    """Held-out patches, what PCA makes of them, and what the networks do."""
    first = next(iter(shown.values()))
    rows = {"held-out patches": first["originals"], f"PCA, {first['pca']:.1f}": first["pca pictures"]}
    rows |= {f"{name}, {one['error']:.1f}": one["pictures"] for name, one in shown.items()}
    figure, axes = plt.subplots(len(rows), SHOWN, figsize=(8, 0.75 * len(rows)))
    for line, (title, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(np.clip(picture, 0, 1))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        colour = INK if title.startswith(("held", "PCA")) else ACCENT
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8, color=colour)
    return figure


if __name__ == "__main__":
    start(EXPERIMENT, run)

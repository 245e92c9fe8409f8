"""What the first layer looks for in natural patches, with noise and without."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Experiment, Finding, Lab, Outcome, mean_and_spread, start, train
from matplotlib import pyplot as plt
from scipy.optimize import least_squares
from sklearn.datasets import load_digits, load_sample_images

EXPERIMENT = Experiment(
    name="filters",
    title="Denoising: edge filters appear with noise",
    claim="Edge filters appear with noise: a denoising autoencoder on 12 x 12 natural patches learns Gabor-like "
    "filters where one without noise does not (Vincent et al. 2010, figures 5 and 6).",
    minutes=4,
)
SIDE, UNITS = 12, 128
GABOR_FIT, ORIENTATION = 0.5, 0.4
"""A filter counts if a Gabor function explains more than half of it and it prefers an orientation: a blob
is a Gabor function of frequency nothing, and white noise fits neither."""


def patches(n: int, seed: int) -> np.ndarray:
    """Grey patches of scikit-learn's two photographs, each brought to mean 0 and standard deviation 1."""
    chance = np.random.default_rng(seed)
    pictures = [picture.mean(axis=2) / 255 for picture in load_sample_images().images]
    found = np.empty((n, SIDE * SIDE), np.float32)
    for row in range(n):
        while True:
            picture = pictures[chance.integers(2)]
            top, left = (chance.integers(side - SIDE) for side in picture.shape)
            patch = picture[top : top + SIDE, left : left + SIDE].ravel()
            if patch.std() > 0.02:
                break
        found[row] = (patch - patch.mean()) / patch.std()
    return found


def gabor(parameters: np.ndarray) -> np.ndarray:
    """Cosine of some frequency, direction and phase under a Gaussian window, ``(side, side)``."""
    x0, y0, width, length, angle, frequency, phase, height = parameters
    y, x = np.mgrid[:SIDE, :SIDE]
    along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
    across = -(x - x0) * np.sin(angle) + (y - y0) * np.cos(angle)
    window = np.exp(-(along**2) / (2 * width**2) - across**2 / (2 * length**2))
    return height * window * np.cos(2 * np.pi * frequency * along + phase)


def gabor_fit(unit: np.ndarray) -> float:
    """Share of a filter's squares that the best Gabor function explains, in [0, 1]."""
    picture = unit.reshape(SIDE, SIDE)
    y, x = np.mgrid[:SIDE, :SIDE]
    energy = picture**2 / max((picture**2).sum(), 1e-12)
    centre = (energy * x).sum(), (energy * y).sum()
    power = np.abs(np.fft.fft2(picture, (48, 48)))
    row, column = np.unravel_index(power.argmax(), power.shape)
    fy, fx = (np.fft.fftfreq(48)[index] for index in (row, column))
    best = 0.0
    for phase in (0.0, np.pi / 2, np.pi, -np.pi / 2):
        first = [
            *centre,
            2.5,
            2.5,
            np.arctan2(fy, fx),
            max(np.hypot(fx, fy), 0.02),
            phase,
            np.abs(picture).max(),
        ]
        bounds = ([-2, -2, 0.8, 0.8, -10, 0, -10, 0], [14, 14, 8, 12, 10, 0.5, 10, np.inf])
        fitted = least_squares(
            lambda p: (gabor(p) - picture).ravel(),
            np.clip(first, *np.array(bounds) + 1e-6 * np.array([[1], [-1]])),
            bounds=bounds,
            max_nfev=60,
        )
        best = max(best, 1 - 2 * fitted.cost / (picture**2).sum())
    return float(best)


def orientation_index(unit: np.ndarray) -> float:
    """How far a filter prefers one orientation: ``|sum P e^(2 i theta)| / sum P`` of its power spectrum."""
    power = np.abs(np.fft.fft2(unit.reshape(SIDE, SIDE), (48, 48))) ** 2
    fy, fx = np.meshgrid(np.fft.fftfreq(48), np.fft.fftfreq(48), indexing="ij")
    power[0, 0] = 0
    return float(np.abs((power * np.exp(2j * np.arctan2(fy, fx))).sum()) / max(power.sum(), 1e-12))


def share(units: np.ndarray) -> float:
    """Share of filters that a Gabor function explains and that prefer an orientation."""
    return float(
        np.mean([orientation_index(unit) > ORIENTATION and gabor_fit(unit) > GABOR_FIT for unit in units])
    )


def measured(lab: Lab, scale: float, seed: int) -> dict[str, Any]:
    x = patches(lab.pick(50_000, 1000), seed)
    inference = train(
        x,
        {
            "code_size": UNITS,
            "network": {"type": "dense", "hidden_sizes": []},
            "code": {"type": "deterministic", "activation": "relu"},
            "likelihood": "squared_error",
            "corruption": {"type": "gaussian_noise", "scale": scale},
        },
        {"epochs": lab.pick(20, 2), "batch_size": 200, "learning_rate": 2e-2, "seed": seed, "threads": 1},
    )
    units = inference.module.encoder.layers[0].weight.detach().numpy()
    units = units[: lab.pick(UNITS, 8)]
    return {"share": share(units), "units": np.round(units[:48], 4).tolist()}


def strokes(lab: Lab, hidden: float) -> list[Any]:
    """Filters on digits, where half the pixels are hidden: shown beside."""
    x = (load_digits().data / 16).astype(np.float32)
    inference = train(
        x,
        {
            "code_size": 100,
            "network": {"type": "dense", "hidden_sizes": []},
            "code": {"type": "deterministic", "activation": "relu"},
            "likelihood": "squared_error",
            "corruption": {"type": "masking", "hidden_share": hidden},
        },
        {"epochs": lab.pick(300, 2), "batch_size": 100, "learning_rate": 2e-3, "threads": 1},
    )
    return np.round(inference.module.encoder.layers[0].weight.detach().numpy()[:48], 4).tolist()


def run(lab: Lab) -> Outcome:
    found = {
        scale: [
            lab.once(f"noise {scale:g}, seed {s}", lambda k=scale, s=s: measured(lab, k, s))
            for s in lab.seeds()
        ]
        for scale in (0.0, 1.0)
    }
    white = lab.once(
        "white noise", lambda: share(np.random.default_rng(0).normal(size=(lab.pick(200, 8), SIDE**2)))
    )
    digits = {
        hidden: lab.once(f"digits, {hidden:.0%} hidden", lambda h=hidden: strokes(lab, h))
        for hidden in (0.0, 0.5)
    }
    shares = {scale: [100 * one["share"] for one in several] for scale, several in found.items()}
    gap = [with_noise - without for with_noise, without in zip(shares[1.0], shares[0.0], strict=True)]
    panels = [
        ("patches, no noise", found[0.0][0]["units"]),
        ("patches, noise of one standard deviation", found[1.0][0]["units"]),
        ("digits, nothing hidden", digits[0.0]),
        ("digits, half hidden", digits[0.5]),
    ]
    figure = plt.figure(figsize=(10, 7.4))
    for part, (title, units) in zip(figure.subfigures(2, 2).flat, panels, strict=True):
        part.suptitle(title, fontsize=10)
        axes = part.subplots(6, 8)
        for axis in axes.flat:
            axis.axis("off")
        for axis, unit in zip(axes.flat, units, strict=False):
            picture = np.array(unit).reshape((int(len(unit) ** 0.5),) * 2)
            axis.imshow(picture, cmap="gray", vmin=-np.abs(picture).max(), vmax=np.abs(picture).max())
    lab.figure(figure)
    return Outcome(
        [
            Finding(
                "oriented Gabor filters with noise (%)",
                mean_and_spread(shares[1.0], 1),
                "first try 38 and 27",
            ),
            Finding("without noise (%)", mean_and_spread(shares[0.0], 1), f"white noise {100 * white:.1f}"),
            Finding(
                "more with noise (points)",
                mean_and_spread(gap, 1),
                "",
                "20 each",
                None if lab.quick else min(gap) >= 20,
            ),
        ],
        f"A filter counts if a Gabor function explains more than {GABOR_FIT:.0%} of its squares and its orientation "
        f"index is over {ORIENTATION}.",
    )


if __name__ == "__main__":
    start(EXPERIMENT, run)

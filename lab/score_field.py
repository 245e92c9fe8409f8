"""What a denoiser knows of the density: its slope on a mixture, its field onto a rolled-up sheet."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from harness import ACCENT, INK, Experiment, Finding, Lab, Outcome, mean_and_spread, start
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus.config import Model
from isthmus.config.catalogue import Custom
from isthmus.config.parts.corruptions import GaussianNoise
from isthmus.exploration.score import score
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build

EXPERIMENT = Experiment(
    name="score_field",
    title="Denoising: r(x) - x is the slope of the log density, and points back to the manifold",
    claim="A denoiser's (r(x) - x) / scale^2 estimates the gradient of the log density (Alain and Bengio 2014); "
    "corrupted examples are brought back to the manifold (Vincent et al. 2010).",
    minutes=8,
)
Numbers = NDArray[np.float64]

MEANS = np.array([[-1.5, 0.0], [1.0, 1.2], [0.8, -1.3]])
SPREADS = np.array([0.5, 0.4, 0.6])
SHARES = np.array([0.4, 0.3, 0.3])
FLOORS, AIMS = {0.4: 0.05, 0.1: 0.12}, {0.4: 0.02, 0.1: 0.05}
FIRST, LAST, LEVEL = 1.5 * np.pi, 4.5 * np.pi, 4 * np.pi
"""Where the roll begins and ends, and what its radius is divided by."""
NOISE = 0.06
BATCH = 4_096


def drawn(n: int, scale: float, seed: int) -> Numbers:
    """Rows of the mixture with normal noise of ``scale``."""
    chance = np.random.default_rng(seed)
    which = chance.choice(len(SHARES), n, p=SHARES)
    spread = np.sqrt(SPREADS[which] ** 2 + scale**2)
    return MEANS[which] + spread[:, None] * chance.normal(size=(n, 2))


def slope(x: Numbers, scale: float) -> Numbers:
    """Gradient of the log density of the mixture with noise, in closed form."""
    variance = SPREADS**2 + scale**2
    away = MEANS - x[:, None]
    logs = np.log(SHARES / variance) - np.square(away).sum(axis=2) / (2 * variance)
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return ((weight / variance)[..., None] * away).sum(axis=1)


class Onward(nn.Module):
    """Decodes a code, which here is the row, to itself and a learned step in units of the noise."""

    def __init__(self, size: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.step = nn.Sequential(
            nn.Linear(size, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, size)
        )

    def forward(self, h: Tensor) -> Tensor:
        return h + self.scale * self.step(h)


def denoiser(x: Numbers, scale: float, n_steps: int, seed: int) -> AutoencoderModule:
    """A model of its own network: ``r(x) = x + scale * step(x)``, trained with a rate that goes to 0."""
    size = x.shape[1]
    described = Model(
        code_size=size,
        network=Custom("onward"),
        likelihood="squared_error",
        corruption=GaussianNoise(scale),
    )
    torch.manual_seed(seed)
    pair = nn.Identity(), Onward(size, scale)
    module = build(described, (size,), seed=seed, parts={"onward": lambda: pair})
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, n_steps)
    rows, chance = torch.from_numpy(x.astype(np.float32)), torch.Generator().manual_seed(seed)
    for step in range(n_steps):
        optimiser.zero_grad()
        batch = rows[torch.randint(len(rows), (BATCH,), generator=chance)]
        (module.objective(batch, step).loss / scale**2).backward()
        optimiser.step()
        schedule.step()
    return module.eval()


def field(module: AutoencoderModule, x: Numbers) -> Numbers:
    with torch.no_grad():
        return score(module, torch.from_numpy(x.astype(np.float32))).numpy().astype(np.float64)


def missed(lab: Lab, scale: float, seed: int) -> dict[str, Any]:
    """Root mean square of the error over that of the slope, at fresh noisy points; the field on a grid."""
    x = drawn(lab.pick(200_000, 2_000), 0.0, seed)
    module = denoiser(x, scale, lab.pick(5_000, 20), seed)
    test = drawn(20_000, scale, 1_000 + seed)
    known = slope(test, scale)
    error = np.square(field(module, test) - known).mean() / np.square(known).mean()
    grid = np.stack(np.meshgrid(np.linspace(-3, 3, 19), np.linspace(-3, 3, 19)), axis=-1).reshape(-1, 2)
    return {
        "relative": float(np.sqrt(error)),
        "grid": grid.tolist(),
        "field": field(module, grid).tolist(),
    }


def roll(angle: Numbers, height: Numbers) -> Numbers:
    """A sheet rolled up in three dimensions; radius about 1."""
    return np.stack([angle * np.cos(angle) / LEVEL, angle * np.sin(angle) / LEVEL, height], axis=1)


def distance(x: Numbers) -> Numbers:
    """To the sheet, which goes on in height."""
    fine = np.linspace(FIRST, LAST, 4_000)
    curve = roll(fine, np.zeros_like(fine))[:, :2]
    return np.array([np.sqrt(np.square(curve - point).sum(axis=1).min()) for point in x[:, :2]])


def onto(lab: Lab, seed: int) -> dict[str, Any]:
    """Share of points off the sheet that end nearer, and a slice through the field."""
    chance = np.random.default_rng(seed)
    n = lab.pick(50_000, 2_000)
    x = roll(chance.uniform(FIRST, LAST, n), chance.uniform(-1, 1, n))
    module = denoiser(x, NOISE, lab.pick(5_000, 20), seed)

    angle, height = chance.uniform(FIRST + 0.3, LAST - 0.3, 2_000), chance.uniform(-0.8, 0.8, 2_000)
    outward = np.stack(
        [np.sin(angle) + angle * np.cos(angle), -np.cos(angle) + angle * np.sin(angle), 0 * angle], axis=1
    )
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    # From half of the noise's scale to twice it, on both sides: turns stand eight scales apart.
    far = chance.choice([-1, 1], len(angle)) * chance.uniform(0.5, 2.0, len(angle)) * NOISE
    off = roll(angle, height) + far[:, None] * outward
    moved = off + NOISE**2 * field(module, off)
    before, after = distance(off), distance(moved)
    return {
        "nearer": float(np.mean(after < before)),
        "left": float(after.mean() / before.mean()),
        "off": off[:300, :2].tolist(),
        "moved": moved[:300, :2].tolist(),
    }


def run(lab: Lab) -> Outcome:
    findings: list[Finding] = []
    slopes = {}
    for scale, floor in FLOORS.items():
        found = [
            lab.once(f"noise {scale:g}, seed {seed}", lambda s=scale, k=seed: missed(lab, s, k))
            for seed in lab.seeds()
        ]
        slopes[scale] = found[0]
        errors = [100 * one["relative"] for one in found]
        findings.append(
            Finding(
                f"error of the slope at noise {scale:g}, relative (%)",
                mean_and_spread(errors, 1),
                f"aim {100 * AIMS[scale]:g}",
                f"{100 * floor:g}",
                None if lab.quick else max(errors) <= 100 * floor,
            )
        )
    sheets = [lab.once(f"sheet, seed {seed}", lambda k=seed: onto(lab, k)) for seed in lab.seeds()]
    nearer = [one["nearer"] for one in sheets]
    findings += [
        Finding(
            "share of points off a rolled-up sheet that are brought nearer",
            mean_and_spread(nearer),
            "aim 0.99",
            "0.9",
            None if lab.quick else min(nearer) >= 0.9,
        ),
        Finding("what is left of their distance", mean_and_spread([one["left"] for one in sheets])),
    ]
    draw(lab, slopes, sheets[0])
    return Outcome(
        findings,
        "The slope is compared with that of the mixture with noise added, which the best denoiser gives exactly, at "
        "fresh noisy points. Points off the sheet lie half to twice the noise's scale away along its normal.",
    )


def draw(lab: Lab, slopes: dict[float, Any], sheet: Any) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.7))
    for axis, (scale, one) in zip(axes, slopes.items(), strict=False):
        grid, ours = np.array(one["grid"]), np.array(one["field"])
        known = slope(grid, scale)
        length = np.linalg.norm(known, axis=1, keepdims=True)
        axis.quiver(*grid.T, *(known / length).T, color=INK, alpha=0.35, scale=24, width=0.006)
        axis.quiver(*grid.T, *(ours / length).T, color=ACCENT, scale=24, width=0.003)
        axis.set(aspect="equal")
        axis.set_title(f"slope at noise {scale:g}\nknown grey, ours green", fontsize=10)
    angle = np.linspace(FIRST, LAST, 400)
    axes[2].plot(*roll(angle, angle)[:, :2].T, color=INK, lw=0.8)
    off, moved = np.array(sheet["off"]), np.array(sheet["moved"])
    axes[2].quiver(
        *off.T, *(moved - off).T, color=ACCENT, angles="xy", scale_units="xy", scale=1, width=0.004
    )
    axes[2].set(aspect="equal")
    axes[2].set_title("a rolled-up sheet from its end\nr(x) - x", fontsize=10)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    lab.figure(figure)


if __name__ == "__main__":
    torch.set_num_threads(1)
    start(EXPERIMENT, run)

"""The report's figures: each takes plain arrays and gives one inline SVG.

Figures are about 500 CSS pixels wide, so that two stand side by side on a laptop and one fills a
phone with its text still legible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import FuncFormatter, MaxNLocator

from isthmus.evaluation.pictures import diverging
from isthmus.evaluation.plotting import (
    dot_size,
    dots,
    floats,
    legend_above,
    log_axis,
    plain_numbers,
    thinned,
)
from isthmus.evaluation.report_data import Errors, Numbers
from isthmus.evaluation.svg import MEAN, MODEL, MUTED, PCA, canvas, drawing, place, to_svg

MOST_BARS = 48
"""Units drawn as bars of their own; more become one outline, largest first."""
MOST_NAMED = 48
"""Values of a row whose names stand beside their weights."""


# Errors ---------------------------------------------------------------------------------------


def error_distribution(model: Errors, pca: Errors | None, mean: Errors | None, noun: str) -> str:
    """How many rows have which squared error: the model filled, PCA and the mean as outlines."""
    named = [("model", MODEL, model), ("PCA", PCA, pca), ("mean", MEAN, mean)]
    known = [
        (name, colour, floats(errors.per_example))
        for name, colour, errors in named
        if errors is not None and errors.per_example is not None and len(errors.per_example) > 0
    ]
    pooled = np.concatenate([values for _, _, values in known])
    logarithmic = bool((pooled > 0).all()) and _spans_decades(np.quantile(pooled, [0.01, 0.99]).tolist())
    edges = _edges(pooled, logarithmic)
    with drawing():
        figure, axes = canvas()
        for name, colour, values in known:
            counts = np.histogram(values, edges)[0] / len(values)
            filled = name == "model"
            if filled:
                axes.stairs(counts, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(counts, edges, color=colour, linewidth=1.8, label=name)
        if logarithmic:
            log_axis(axes, "x")
        else:
            axes.xaxis.set_major_formatter(plain_numbers())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.3g} %"))
        axes.set_xlabel(f"squared error per {noun}")
        axes.set_ylabel(f"share of {noun}s")
        axes.set_ylim(bottom=0)
        legend_above(axes)
        return to_svg(figure, "errors", f"Distribution of the squared error per {noun}: model, PCA and mean")


def error_duel(model: Numbers, pca: Numbers, noun: str) -> str:
    """Each row as a dot, PCA's error across and the model's up: below the line the model is closer."""
    index = thinned(len(model))
    across, up = floats(pca)[index], floats(model)[index]
    pooled = np.concatenate([across, up])
    positive = bool((pooled > 0).all())
    low, high = float(pooled.min()), float(pooled.max())
    logarithmic = positive and _spans_decades([low, high])
    low, high = (low / 1.15, high * 1.15) if logarithmic else (0.0, (high * 1.05) or 1.0)
    with drawing():
        figure, axes = canvas()
        if logarithmic:
            log_axis(axes, "x")
            log_axis(axes, "y")
        else:
            axes.xaxis.set_major_formatter(plain_numbers())
            axes.yaxis.set_major_formatter(plain_numbers())
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.plot([low, high], [low, high], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        dots(axes, across, up, MODEL, dot_size(len(index)))
        axes.text(0.03, 0.95, "PCA closer", transform=axes.transAxes, color=MUTED, va="top")
        axes.text(0.97, 0.06, "model closer", transform=axes.transAxes, color=MUTED, ha="right")
        axes.set_xlabel(f"PCA's squared error per {noun}")
        axes.set_ylabel("model's squared error")
        return to_svg(figure, "duel", f"Squared error of each {noun}: the model's against PCA's")


# Examples -------------------------------------------------------------------------------------


def traces(original: Numbers, model: Numbers, pca: Numbers | None, name: str, what: str = "value") -> str:
    """One signal and its reconstructions as lines over the index of the value or step."""
    with drawing():
        figure, axes = canvas(420, 220)
        axes.plot(original, color=MUTED, linewidth=3.5, alpha=0.45, label="original")
        if pca is not None:
            axes.plot(pca, color=PCA, linewidth=1.3, label="PCA")
        axes.plot(model, color=MODEL, linewidth=1.6, label="model")
        axes.margins(x=0.01)
        axes.set_xlabel(what)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend_above(axes)
        return to_svg(figure, name, f"An example and its reconstructions, {what} by {what}")


# Units ----------------------------------------------------------------------------------------


def unit_bars(
    values: Numbers, dead: npt.NDArray[np.bool_], what: str, name: str, *, shares: bool = False
) -> str:
    """One number for each unit of the code, dead units crossed; many units largest first."""
    plain = floats(values)
    with drawing():
        figure, axes = canvas(480, 260)
        if len(plain) <= MOST_BARS:
            units = np.arange(len(plain))
            axes.bar(units, plain, width=0.78, color=[MEAN if d else MODEL for d in dead])
            floor = float(plain.max()) * 0.025
            axes.plot(units[dead], plain[dead] + floor, "x", color=MUTED, markersize=5, markeredgewidth=1.6)
            axes.set_xlabel("unit of the code")
            axes.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
            axes.set_xlim(-0.7, max(len(plain) - 0.3, 0.7))
        else:
            ordered = np.sort(plain)[::-1]
            edges = np.arange(len(plain) + 1)
            axes.stairs(ordered, edges, fill=True, color=MODEL, alpha=0.3)
            axes.stairs(ordered, edges, color=MODEL, linewidth=1.6)
            if dead.any():
                alive = len(plain) - int(dead.sum())
                axes.axvspan(alive, len(plain), color=MEAN, alpha=0.15, linewidth=0)
                axes.text(alive, axes.get_ylim()[1] * 0.97, "dead ", color=MUTED, ha="right", va="top")
            axes.set_xlabel("units of the code, largest first")
            axes.set_xlim(0, len(plain))
        if shares:
            axes.set_ylim(0, 1.04)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
        else:
            axes.set_ylim(bottom=0)
        axes.set_ylabel(what)
        return to_svg(figure, name, f"{what} of each unit of the code")


def weight_heatmap(weights: Numbers, names: Sequence[str] | None) -> str:
    """Learned weights ``(m, features)``: a column a unit, a row a feature, each unit scaled by itself."""
    largest = np.abs(weights).max(axis=1, keepdims=True)
    signed = (weights / np.where(largest > 0, largest, 1.0)).T
    n_features, n_units = signed.shape
    words: list[str] = []
    with drawing():
        figure, axes = canvas(600, min(max(n_features * 15, 160), 560) + 40)
        axes.imshow(diverging(signed), interpolation="none", aspect="auto")
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(16, integer=True, min_n_ticks=1))
        axes.set_xlabel("unit" if n_units > 1 else "the one unit")
        if names is not None and n_features <= MOST_NAMED:
            axes.set_yticks(range(n_features), [place(name, words, 26) for name in names])
        else:
            axes.yaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
            axes.set_ylabel("value")
        return to_svg(figure, "weights", "Learned weights: one column a unit, one row a feature", words)


# Training -------------------------------------------------------------------------------------


def loss_curves(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> str:
    """Training and validation loss over the epochs, the kept epoch marked."""
    training = [(entry["epoch"], entry["training"]["loss"]) for entry in history]
    validation = [
        (entry["epoch"], entry["validation"]["loss"]) for entry in history if entry.get("validation")
    ]
    losses = [loss for _, loss in training + validation]
    with drawing():
        figure, axes = canvas(560, 300)
        marker = "o" if len(training) == 1 else None
        axes.plot(*zip(*training, strict=True), color=MEAN, label="training", marker=marker, markersize=5)
        kept = validation or training
        if validation:
            axes.plot(
                *zip(*validation, strict=True), color=MODEL, label="validation", marker=marker, markersize=5
            )
        best = dict(kept).get(best_epoch)
        if best is not None and best_epoch is not None:
            axes.axvline(best_epoch, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
            colour = MODEL if validation else MEAN
            axes.plot(
                [best_epoch], [best], "o", color=colour, markersize=7, label=f"kept: epoch {best_epoch}"
            )
        if min(losses) > 0 and max(losses) / min(losses) > 8:
            log_axis(axes, "y")
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        legend_above(axes)
        return to_svg(figure, "loss", "Loss over the epochs of training")


# Parts of figures -----------------------------------------------------------------------------


def _edges(values: Numbers, logarithmic: bool) -> Numbers:
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.linspace(low - 0.5, high + 0.5, 12)
    if logarithmic:
        return np.geomspace(low, high, 61)
    return np.linspace(0.0 if 0.0 < low < high / 3 else low, high, 61)


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > 30

"""The report's figures: each takes plain arrays and gives one inline SVG.

Every figure is about 480 CSS pixels wide, so that two stand side by side on a laptop and one fills
a phone with its text still legible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from isthmus.evaluation.pictures import diverging
from isthmus.evaluation.report_data import Codes, Errors, Numbers
from isthmus.evaluation.svg import (
    CLASSES,
    INK,
    MEAN,
    MODEL,
    MUTED,
    N_CLASS_COLOURS,
    PCA,
    canvas,
    drawing,
    place,
    to_svg,
)

MOST_POINTS = 5_000
"""Points in one scatter; more rows are thinned evenly."""

MOST_BARS = 48
"""Units drawn as bars of their own; more become one outline, largest first."""


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A swatch and its text, set beside a figure in HTML: ``colour`` is a CSS value."""

    colour: str
    text: str


# Errors ---------------------------------------------------------------------------------------


def error_distribution(model: Errors, pca: Errors | None, mean: Errors | None, noun: str) -> str:
    """How many rows have which squared error: the model filled, PCA and the mean as outlines."""
    named = [("model", MODEL, model), ("PCA", PCA, pca), ("mean", MEAN, mean)]
    known = [(name, colour, _floats(e.per_example)) for name, colour, e in named if _has_rows(e)]
    pooled = np.concatenate([values for _, _, values in known])
    logarithmic = _spans_decades([float(np.quantile(pooled, 0.01)), float(np.quantile(pooled, 0.99))])
    edges = _edges(pooled, logarithmic and bool((pooled > 0).all()))
    with drawing():
        figure, axes = canvas()
        for name, colour, values in known:
            counts = np.histogram(values, edges)[0] / len(values)
            filled = name == "model"
            if filled:
                axes.stairs(counts, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(counts, edges, color=colour, linewidth=1.8, label=name)
        if logarithmic and bool((pooled > 0).all()):
            _log_axis(axes, "x")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.3g} %"))
        axes.set_xlabel(f"squared error per {noun}")
        axes.set_ylabel(f"share of {noun}s")
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper right")
        return to_svg(figure, "errors", f"Distribution of the squared error per {noun}: model, PCA and mean")


def error_duel(model: Numbers, pca: Numbers, noun: str) -> str:
    """Each row as a dot, PCA's error across and the model's up: below the line the model is closer."""
    index = thinned(len(model))
    across, up = _floats(pca)[index], _floats(model)[index]
    pooled = np.concatenate([across, up])
    positive = bool((pooled > 0).all())
    low, high = float(pooled.min()), float(pooled.max())
    logarithmic = positive and _spans_decades([low, high])
    low, high = (low / 1.15, high * 1.15) if logarithmic else (0.0, (high * 1.05) or 1.0)
    with drawing():
        figure, axes = canvas()
        if logarithmic:
            _log_axis(axes, "x")
            _log_axis(axes, "y")
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.plot([low, high], [low, high], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        _dots(axes, across, up, MODEL, _dot_size(len(index)))
        axes.text(0.03, 0.95, "PCA closer", transform=axes.transAxes, color=MUTED, va="top")
        axes.text(0.97, 0.06, "model closer", transform=axes.transAxes, color=MUTED, ha="right")
        axes.set_xlabel(f"PCA's squared error per {noun}")
        axes.set_ylabel("model's")
        return to_svg(figure, "duel", f"Squared error of each {noun}: the model's against PCA's")


# Examples -------------------------------------------------------------------------------------


def traces(original: Numbers, model: Numbers, pca: Numbers | None, name: str) -> str:
    """One signal and its reconstructions as lines over the index of the value."""
    with drawing():
        figure, axes = canvas(420, 220)
        axes.plot(original, color=MUTED, linewidth=3.5, alpha=0.45, label="original")
        if pca is not None:
            axes.plot(pca, color=PCA, linewidth=1.3, label="PCA")
        axes.plot(model, color=MODEL, linewidth=1.6, label="model")
        axes.margins(x=0.01)
        axes.set_xlabel("value")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, borderaxespad=0.2)
        return to_svg(figure, name, "An example and its reconstructions, value by value")


# Codes ----------------------------------------------------------------------------------------


def code_map(codes: Codes, noun: str) -> tuple[str, list[LegendEntry], str]:
    """The codes in two dimensions.

    Returns
    -------
    tuple
        The SVG, the legend of its classes, and a sentence that says what its axes are.
    """
    values = _floats(codes.values)
    groups, legend = _groups(codes.labels, len(values))
    if values.shape[1] == 1:
        svg = _code_histogram(values[:, 0], groups, legend, noun)
        return svg, legend, "The code has one unit: its distribution."
    points, axes_are = (values, ("unit 0", "unit 1")) if values.shape[1] == 2 else principal_plane(values)
    index = thinned(len(points))
    words: list[str] = []
    with drawing():
        figure, axes = canvas(480, 440)
        size = _dot_size(len(index))
        for part in np.array_split(_shuffled(index), 8):
            for group, colour in enumerate(_stand_ins(legend)):
                chosen = part[groups[part] == group]
                _dots(axes, points[chosen, 0], points[chosen, 1], colour, size)
        _frame(axes, points[index])
        if len(legend) > 1:
            _name_groups(axes, points, groups, legend, words)
        axes.grid(visible=True, axis="both")
        axes.set_xlabel(axes_are[0])
        axes.set_ylabel(axes_are[1])
        svg = to_svg(figure, "map", f"Map of the codes of the {noun}s", words)
    said = "The code itself." if values.shape[1] == 2 else "The first two principal axes of the codes."
    return svg, legend, said + (f" {len(index):,} of {len(points):,} rows." if len(index) < len(points) else "")


def principal_plane(values: Numbers) -> tuple[Numbers, tuple[str, str]]:
    """Coordinates ``(n, 2)`` on the first two principal axes, and a name for each axis.

    The sign of an axis is chosen so that its largest loading is positive.
    """
    centred = values - values.mean(axis=0)
    spectrum, vectors = np.linalg.eigh(centred.T @ centred / len(values))
    spectrum, vectors = np.maximum(spectrum[::-1], 0.0), vectors[:, ::-1]
    vectors = vectors[:, :2] * np.sign(vectors[np.abs(vectors[:, :2]).argmax(axis=0), [0, 1]])
    shares = spectrum[:2] / (spectrum.sum() or 1.0) * 100.0
    return centred @ vectors, (
        f"first principal axis ({shares[0]:.0f} % of variance)",
        f"second ({shares[1]:.0f} %)",
    )


def _code_histogram(
    values: Numbers, groups: npt.NDArray[np.intp], legend: Sequence[LegendEntry], noun: str
) -> str:
    edges = np.histogram_bin_edges(values, 60)
    with drawing():
        figure, axes = canvas()
        for group, colour in enumerate(_stand_ins(legend)):
            counts = np.histogram(values[groups == group], edges)[0]
            if len(legend) == 1:
                axes.stairs(counts, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(counts, edges, color=colour, linewidth=1.6)
        axes.set_xlabel("code")
        axes.set_ylabel(f"{noun}s")
        return to_svg(figure, "map", f"Distribution of the one-unit code over the {noun}s")


def _groups(labels: Any, n_rows: int) -> tuple[npt.NDArray[np.intp], list[LegendEntry]]:
    """A group for each row and the groups' legend: every class, or the most frequent and the rest."""
    if labels is None:
        return np.zeros(n_rows, np.intp), [LegendEntry("var(--model)", "")]
    plain: list[Any] = np.asarray(labels).tolist()
    counts = Counter(plain)
    names = sorted(counts, key=_natural)
    if len(names) > N_CLASS_COLOURS:
        frequent = sorted(names, key=lambda name: -counts[name])[: N_CLASS_COLOURS - 1]
        names = [name for name in names if name in set(frequent)]
    order = {name: index for index, name in enumerate(names)}
    groups = np.array([order.get(label, N_CLASS_COLOURS) for label in plain], np.intp)
    legend = [LegendEntry(f"var(--class-{index})", str(name)) for index, name in enumerate(names)]
    if len(names) < len(counts):
        groups[groups == N_CLASS_COLOURS] = len(names)
        legend.append(LegendEntry("var(--mean)", f"{len(counts) - len(names)} other classes"))
    return groups, legend


def _stand_ins(legend: Sequence[LegendEntry]) -> list[str]:
    """The colour of each entry as :mod:`isthmus.evaluation.svg` wants it."""
    named = {"var(--model)": MODEL, "var(--mean)": MEAN}
    return [named.get(entry.colour) or CLASSES[index] for index, entry in enumerate(legend)]


def _name_groups(
    axes: Axes, points: Numbers, groups: npt.NDArray[np.intp], legend: Sequence[LegendEntry], words: list[str]
) -> None:
    for group, entry in enumerate(legend):
        if entry.colour != "var(--mean)":
            x, y = np.median(points[groups == group], axis=0)
            stand_in = place(entry.text, words, 16)
            axes.text(x, y, stand_in, ha="center", va="center", fontsize=13, weight="bold", color=INK)


# Units ----------------------------------------------------------------------------------------


def unit_bars(values: Numbers, dead: npt.NDArray[np.bool_], what: str, name: str, *, shares: bool = False) -> str:
    """One number for each unit of the code, dead units crossed; many units largest first."""
    plain = _floats(values)
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


def weight_heatmap(weights: Numbers, columns: Sequence[str] | None) -> str:
    """Learned weights ``(m, features)``: a column a unit, a row a feature, each unit scaled by itself."""
    largest = np.abs(weights).max(axis=1, keepdims=True)
    signed = (weights / np.where(largest > 0, largest, 1.0)).T
    n_features, n_units = signed.shape
    words: list[str] = []
    named = columns is not None and n_features <= 48
    with drawing():
        figure, axes = canvas(720, min(max(n_features * 15, 160), 560) + 40)
        axes.imshow(diverging(signed), interpolation="none", aspect="auto")
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(16, integer=True, min_n_ticks=1))
        axes.set_xlabel("unit" if n_units > 1 else "the one unit")
        if named and columns is not None:
            axes.set_yticks(range(n_features), [place(column, words, 26) for column in columns])
        else:
            axes.yaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
            axes.set_ylabel("value")
        return to_svg(figure, "weights", "Learned weights: one column a unit, one row a feature", words)


# Training -------------------------------------------------------------------------------------


def loss_curves(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> str:
    """Training and validation loss over the epochs, the kept epoch marked."""
    training = [(entry["epoch"], entry["training"]["loss"]) for entry in history]
    validation = [(entry["epoch"], entry["validation"]["loss"]) for entry in history if entry.get("validation")]
    losses = [loss for _, loss in training + validation]
    with drawing():
        figure, axes = canvas(720, 300)
        marker = "o" if len(training) == 1 else None
        axes.plot(*zip(*training, strict=True), color=MEAN, label="training", marker=marker, markersize=5)
        kept = validation or training
        if validation:
            axes.plot(*zip(*validation, strict=True), color=MODEL, label="validation", marker=marker, markersize=5)
        best = dict(kept).get(best_epoch)
        if best is not None and best_epoch is not None:
            axes.axvline(best_epoch, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
            colour = MODEL if validation else MEAN
            axes.plot([best_epoch], [best], "o", color=colour, markersize=7, label=f"kept: epoch {best_epoch}")
        if min(losses) > 0 and max(losses) / min(losses) > 8:
            _log_axis(axes, "y")
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.legend(loc="upper right")
        return to_svg(figure, "loss", "Loss over the epochs of training")


# Parts of figures -----------------------------------------------------------------------------


def thinned(n_rows: int, most: int = MOST_POINTS) -> npt.NDArray[np.intp]:
    """At most ``most`` row numbers, evenly spread, the same every time.

    >>> thinned(5, 3).tolist(), thinned(2, 3).tolist()
    ([0, 2, 4], [0, 1])
    """
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.intp)


def _shuffled(index: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The same rows in a mixed order, so that no class lies wholly on top."""
    return index[np.random.default_rng(0).permutation(len(index))]


def _dots(axes: Axes, across: Numbers, up: Numbers, colour: str, size: float) -> None:
    """Points as one path of strokes of length nought: a few bytes each, and the page may colour them."""
    if len(across) == 0:
        return
    vertices = np.repeat(np.stack([across, up], axis=1), 2, axis=0)
    path = Path(vertices, np.tile([Path.MOVETO, Path.LINETO], len(across)).astype(np.uint8))
    path.should_simplify = False
    patch = PathPatch(path, fill=False, edgecolor=colour, linewidth=size, capstyle="round", alpha=0.7, snap=False)
    axes.add_patch(patch)


def _dot_size(n_points: int) -> float:
    return float(np.clip(60.0 / max(n_points, 1) ** 0.4, 2.4, 9.0))


def _frame(axes: Axes, points: Numbers) -> None:
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, (high - low) * 0.04, 1.0)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _edges(values: Numbers, logarithmic: bool) -> Numbers:
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.linspace(low - 0.5, high + 0.5, 12)
    if logarithmic:
        return np.geomspace(low, high, 61)
    return np.linspace(0.0 if 0.0 < low < high / 3 else low, high, 61)


def _log_axis(axes: Axes, which: str) -> None:
    """Logarithmic, with ticks at 1, 2 and 5 of each decade as people write them."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    narrow = high / low < 300
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > 30


def _has_rows(errors: Errors | None) -> bool:
    return errors is not None and errors.per_example is not None and len(errors.per_example) > 0


def _floats(values: Any) -> Numbers:
    return np.asarray(values, dtype=np.float64)


def _natural(label: Any) -> tuple[bool, float, str]:
    return (True, 0.0, label) if isinstance(label, str) else (False, float(label), "")



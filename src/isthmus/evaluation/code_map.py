"""The map of the codes: where the rows lie in the code, coloured by class where there are labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from isthmus.evaluation.plotting import dot_size, dots, floats, thinned
from isthmus.evaluation.report_data import Codes, Numbers
from isthmus.evaluation.svg import CLASSES, INK, MEAN, MODEL, N_CLASS_COLOURS, canvas, drawing, place, to_svg


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A swatch and its text, set beside a figure in HTML: ``colour`` is a CSS value."""

    colour: str
    text: str


def code_map(codes: Codes, noun: str) -> tuple[str, list[LegendEntry], str]:
    """The codes in two dimensions.

    Returns
    -------
    tuple
        The SVG, the legend of its classes, and a sentence that says what its axes are.
    """
    values = floats(codes.values)
    groups, legend = _groups(codes.labels, len(values))
    if values.shape[1] == 1:
        svg = _code_histogram(values[:, 0], groups, legend, noun)
        return svg, legend, "The code has one unit: its distribution."
    points, axes_are = (values, ("unit 0", "unit 1")) if values.shape[1] == 2 else principal_plane(values)
    index = thinned(len(points))
    words: list[str] = []
    with drawing():
        figure, axes = canvas(560, 500)
        size = dot_size(len(index))
        for part in np.array_split(_shuffled(index), 8):
            for group, colour in enumerate(_stand_ins(legend)):
                chosen = part[groups[part] == group]
                dots(axes, points[chosen, 0], points[chosen, 1], colour, size)
        _frame(axes, points[index])
        if len(legend) > 1:
            _name_groups(axes, points, groups, legend, words)
        axes.grid(visible=True, axis="both")
        axes.set_xlabel(axes_are[0])
        axes.set_ylabel(axes_are[1])
        svg = to_svg(figure, "map", f"Map of the codes of the {noun}s", words)
    said = "The code itself." if values.shape[1] == 2 else "The first two principal axes of the codes."
    return (
        svg,
        legend,
        said + (f" {len(index):,} of {len(points):,} rows." if len(index) < len(points) else ""),
    )


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
    """Each class's name at the median of its points, where no earlier name lies."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    taken: list[tuple[float, float, float]] = []
    for group, entry in enumerate(legend):
        if entry.colour == "var(--mean)":
            continue
        x, y = np.median(points[groups == group], axis=0)
        across, up = ((np.array([x, y]) - low) / (high - low) * (500, 430)).tolist()
        stand_in = place(entry.text, words, 16)
        half = len(stand_in) * 4.5
        if all(abs(across - a) > half + h or abs(up - u) > 15 for a, u, h in taken):
            axes.text(x, y, stand_in, ha="center", va="center", fontsize=13, weight="bold", color=INK)
            taken.append((across, up, half))


def _shuffled(index: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The same rows in a mixed order, so that no class lies wholly on top."""
    return index[np.random.default_rng(0).permutation(len(index))]


def _frame(axes: Axes, points: Numbers) -> None:
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.where(high > low, (high - low) * 0.04, 1.0)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _natural(label: Any) -> tuple[bool, float, str]:
    return (True, 0.0, label) if isinstance(label, str) else (False, float(label), "")

"""What several figures are drawn with: points, axes, legends."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from isthmus.evaluation.report_data import Numbers

MOST_POINTS = 5_000
"""Points in one scatter; more rows are thinned evenly."""


def thinned(n_rows: int, most: int = MOST_POINTS) -> npt.NDArray[np.intp]:
    """At most ``most`` row numbers, evenly spread, the same every time.

    >>> thinned(5, 3).tolist(), thinned(2, 3).tolist()
    ([0, 2, 4], [0, 1])
    """
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.intp)


def dots(axes: Axes, across: Numbers, up: Numbers, colour: str, size: float) -> None:
    """Points as one path of strokes of length nought: a few bytes each, and the page may colour them."""
    if len(across) == 0:
        return
    vertices = np.repeat(np.stack([across, up], axis=1), 2, axis=0)
    path = Path(vertices, np.tile([Path.MOVETO, Path.LINETO], len(across)).astype(np.uint8))
    path.should_simplify = False
    patch = PathPatch(
        path, fill=False, edgecolor=colour, linewidth=size, capstyle="round", alpha=0.7, snap=False
    )
    axes.add_patch(patch)


def dot_size(n_points: int) -> float:
    """The width of a dot in pixels: smaller the more there are."""
    return float(np.clip(60.0 / max(n_points, 1) ** 0.4, 2.4, 9.0))


def legend_above(axes: Axes) -> None:
    """A legend in one line above the axes, where it covers nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=3,
        borderaxespad=0.2,
        borderpad=0.2,
        handlelength=1.4,
    )


def log_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Logarithmic, with ticks at 1, 2 and 5 of each decade as people write them."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    narrow = high / low < 300
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.set_major_formatter(plain_numbers())
    axis.set_minor_formatter(NullFormatter())


def plain_numbers() -> FuncFormatter:
    """Ticks as people write them: 0.5, 1,000."""
    return FuncFormatter(lambda value, _: f"{value:,g}")


def floats(values: Any) -> Numbers:
    """The values as an array of float64."""
    return np.asarray(values, dtype=np.float64)

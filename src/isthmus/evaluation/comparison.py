"""A comparison of kinds as files: one table, one picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus.artifact.file import write_atomically

INK, OURS, LOWEST = "#8a94a3", "#5fa8a0", "#0f766e"
"""Baselines; kinds; the kind of the lowest error."""


class Result(Protocol):
    """What is drawn of each."""

    @property
    def name(self) -> str:
        """The kind, ``"PCA"`` or ``"mean"``."""
        ...

    @property
    def errors(self) -> NDArray[np.float32]:
        """Squared error of each row."""
        ...

    @property
    def seconds(self) -> float | None:
        """Of training."""
        ...


def write_comparison(table: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One line each, under the names of the keys; what is unknown stays empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in table)
    write_atomically(text.getvalue().encode(), path)


def draw_comparison(results: Sequence[Result], code_size: int, path: Path) -> None:
    """Bars of the squared error; those of the difference from PCA, row by row, as whiskers of two standard errors."""
    means = {one.name: float(one.errors.mean(dtype=np.float64)) for one in results}
    shown = [one for one in results if one.name != "mean"]
    lowest = min((one.name for one in shown if one.name != "PCA"), key=means.__getitem__, default="")
    figure = Figure(figsize=(7.2, 1.1 + 0.42 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))[::-1]
    values = np.array([means[one.name] for one in shown])
    pca = next((one.errors for one in shown if one.name == "PCA"), np.float32(0))
    spread = np.array([_two_standard_errors(one.errors - pca) for one in shown])
    colours = [INK if one.name == "PCA" else LOWEST if one.name == lowest else OURS for one in shown]
    axes.barh(
        places,
        values,
        color=colours,
        height=0.66,
        xerr=spread,
        error_kw={"ecolor": "#1f2a37", "elinewidth": 1},
    )
    if "PCA" in means:
        axes.axvline(means["PCA"], color=INK, linewidth=1, linestyle=":")
    for place, value, extent, one in zip(places, values, spread, shown, strict=True):
        seconds = "" if one.seconds is None else f"   {one.seconds:.0f} s"
        axes.text(value + extent, place, f"  {value:.4g}{seconds}", va="center", fontsize=9)
    axes.set_yticks(places, [one.name for one in shown])
    axes.set_xlim(0, 1.25 * float((values + spread).max()))
    beside = f"; the mean row: {means['mean']:.4g}" if "mean" in means else ""
    axes.set_xlabel(
        f"squared error a held-out row, {code_size} numbers each{beside}\n"
        "whiskers that reach the dotted line: no difference from PCA beyond chance"
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(left=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    write_atomically(buffer.getvalue(), path)


def _two_standard_errors(errors: NDArray[np.float32]) -> float:
    return 2 * float(errors.std(ddof=1)) / np.sqrt(len(errors)) if len(errors) > 1 else 0.0

"""A matplotlib figure as inline SVG that wears the page's colours.

Text stays text, the background is transparent, and every colour is a CSS variable of the page, so
that one drawing is right on screen, on paper and in the dark. The same figure gives the same bytes:
no clock, no random ids. matplotlib's settings are restored afterwards; nothing else is touched.
"""

from __future__ import annotations

import html
import io
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, RULE, MODEL, PCA, MEAN = "#010101", "#010102", "#010103", "#010104", "#010105", "#010106"
"""Stand-ins that :func:`to_svg` exchanges for the page's colours."""

N_CLASS_COLOURS = 10
CLASSES = tuple(f"#0201{index:02x}" for index in range(N_CLASS_COLOURS))
"""Stand-ins for the colours of classes."""

_PAGE_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    MODEL: "var(--model)",
    PCA: "var(--pca)",
    MEAN: "var(--mean)",
    **{stand_in: f"var(--class-{index})" for index, stand_in in enumerate(CLASSES)},
}

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED,
    "axes.labelpad": 8,
    "axes.labelsize": 11,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}

_lock = threading.RLock()


@contextmanager
def drawing() -> Generator[None]:
    """Draw in the page's style: make, fill and save a figure inside.

    matplotlib keeps its settings for the whole process, so one thread draws at a time and the
    settings are put back at the end.
    """
    with _lock, mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def canvas(width: int = 480, height: int = 300) -> tuple[Figure, Axes]:
    """An empty figure whose units are CSS pixels: ``width`` by ``height``."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    return figure, figure.add_subplot()


def place(text: str, words: list[str], limit: int = 24) -> str:
    """Hand a foreign text to a figure: returns a stand-in of its length, kept in ``words``.

    The text itself never passes through matplotlib, which may lack its letters.
    """
    short = shortened(text, limit)
    words.append(short)
    return f"@{len(words) - 1}@".ljust(len(short), "n")


def shortened(text: str, limit: int = 24) -> str:
    """One line of at most ``limit`` characters.

    >>> shortened("a very long name of a column", 12)
    'a very long…'
    """
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def to_svg(figure: Figure, name: str, label: str, words: list[str] | None = None) -> str:
    """The figure as an ``<svg>`` element.

    Parameters
    ----------
    figure
        Drawn inside :func:`drawing`.
    name
        Unique on the page; its ids begin with it.
    label
        What the figure shows, for those who do not see it.
    words
        Texts that :func:`place` put aside.
    """
    buffer = io.StringIO()
    mpl.rcParams["svg.hashsalt"] = name
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = _compact(_with_own_ids(svg, name))
    for stand_in, colour in _PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    box = re.search(r'viewBox="[^"]*"', svg)
    head = f'<svg {box.group() if box else ""} role="img" aria-label="{html.escape(label)}">'
    svg = head + svg[svg.index(">") + 1 :]
    return re.sub(r"@(\d+)@n*", lambda found: html.escape((words or [])[int(found.group(1))]), svg)


def _with_own_ids(svg: str, name: str) -> str:
    """Ids that something refers to begin with ``name``; the others go."""
    used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'href="#([^"]+)"', svg))

    def own(found: re.Match[str]) -> str:
        return f' id="{name}-{found.group(1)}"' if found.group(1) in used else ""

    svg = re.sub(r' id="([^"]*)"', own, svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    return re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{name}-\1"', svg).replace("xlink:href", "href")


def _compact(svg: str) -> str:
    """Two decimals are a hundredth of a pixel; a dot is a stroke of length nought."""

    def path(found: re.Match[str]) -> str:
        rounded = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number.group()):.4g}", found.group(1))
        dots = re.sub(r"M (\S+) (\S+)\s+L \1 \2(?!\S)\s*", r"M\1 \2h0", rounded)
        return f' d="{" ".join(dots.split())}"'

    return re.sub(r'\sd="([^"]*)"', path, svg)

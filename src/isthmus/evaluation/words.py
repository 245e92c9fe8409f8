"""Numbers and comparisons in words, honest in both directions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from isthmus.evaluation.figures import MOST_BARS
from isthmus.evaluation.report_data import ReportData


def number_text(value: float | None) -> str:
    """A measured number, as exact as a reader needs.

    >>> number_text(13.194), number_text(0.04213), number_text(-98.21), number_text(12345.6)
    ('13.19', '0.0421', '−98.21', '12,346')
    """
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else ("∞" if value > 0 else "−∞")
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-3:
        text = f"{value:.2e}"
    elif size >= 1_000:
        text = f"{value:,.0f}"
    elif size >= 100:
        text = f"{value:,.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:#.3g}" if value else "0"
    return text.replace("-", "−", 1) if value < 0 else text


def brief_text(value: float) -> str:
    """A value in a crowded table: three figures, and all of those before the point.

    >>> brief_text(2501.04), brief_text(95.31), brief_text(-0.094567), brief_text(16.0)
    ('2,501', '95.3', '−0.0946', '16.0')
    """
    size = abs(value)
    if not math.isfinite(value) or size >= 1e7 or 0 < size < 1e-3:
        return number_text(value)
    text = f"{value:,.0f}" if size >= 100 or size == 0 else f"{value:#.3g}"
    return text.replace("-", "−", 1)


def count_text(value: int) -> str:
    """A count with its thousands apart.

    >>> count_text(1234567)
    '1,234,567'
    """
    return f"{value:,}"


def ratio_text(ratio: float) -> str:
    """A ratio to two decimals, or more where it is small.

    >>> ratio_text(0.4193), ratio_text(0.00312), ratio_text(23.44)
    ('0.42', '0.0031', '23.4')
    """
    if ratio >= 10:
        return f"{ratio:,.1f}"
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def pca_is_exact(data: ReportData) -> bool:
    """Whether PCA loses nothing beyond rounding, so that nothing can be measured by it."""
    scale = data.mean.sse if data.mean is not None else 1.0
    return data.pca is not None and data.pca.sse <= 1e-10 * scale


def relation_text(sse: float, data: ReportData) -> str:
    """The error as a multiple of PCA’s, or a dash where there is nothing to compare with."""
    return "–" if data.pca is None or pca_is_exact(data) else f"{ratio_text(sse / data.pca.sse)} ×"


def units_text(dead: Sequence[int], n_units: int) -> str:
    """How many units of the code carry something, and which do not.

    >>> units_text([], 1), units_text([3], 8)
    ('The one unit carries something.', '1 of 8 units is dead (crossed): 3.')
    """
    if not dead:
        return (
            "The one unit carries something." if n_units == 1 else f"All {n_units:,} units carry something."
        )
    listed = ", ".join(str(unit) for unit in dead[:20])
    more = f" and {len(dead) - 20:,} more" if len(dead) > 20 else ""
    verb, mark = "is" if len(dead) == 1 else "are", "crossed" if n_units <= MOST_BARS else "shaded"
    return f"{len(dead):,} of {n_units:,} units {verb} dead ({mark}): {listed}{more}."


def headline(data: ReportData) -> str:
    """The one sentence to take away: the error, beside PCA’s, and whether it is worse than the mean."""
    noun, error = data.noun, data.model.sse
    start = f"{data.facts.rows_are.capitalize()} squared error per {noun} {number_text(error)}"
    sentence = start + _beside_pca(data)
    if data.mean is not None and error >= data.mean.sse:
        sentence += f" It is no better than guessing the mean, whose error is {number_text(data.mean.sse)}."
    return sentence


def _beside_pca(data: ReportData) -> str:
    error, size = data.model.sse, data.facts.code_size
    if data.pca is None:
        return f" with a code of {size}."
    theirs = number_text(data.pca.sse)
    if pca_is_exact(data):
        why = f", no smaller than the {data.noun}’s {data.n_values:,} values" if size >= data.n_values else ""
        return f" with a code of {size}{why}; PCA loses nothing there."
    ratio = error / data.pca.sse
    if 0.995 <= ratio <= 1.005:
        return f", the same as PCA’s {theirs} at the same code size of {size}."
    if ratio > 1:
        return f": worse than PCA’s {theirs} ({ratio_text(ratio)} times it) at the same code size of {size}."
    return f", {ratio_text(ratio)} of PCA’s {theirs} at the same code size of {size}."

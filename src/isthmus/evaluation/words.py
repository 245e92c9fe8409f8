"""Numbers and comparisons in words, honest in both directions."""

from __future__ import annotations

import math

from isthmus.evaluation.report_data import Errors, ReportData


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
    elif size >= 10_000:
        text = f"{value:,.0f}"
    elif size >= 100:
        text = f"{value:,.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.3g}"
    return text.replace("-", "−", 1) if value < 0 else text


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


def relation_text(sse: float, pca: Errors | None) -> str:
    """The error as a multiple of PCA's, or a dash where PCA leaves none."""
    return "–" if pca is None or pca.sse <= 0 else f"{ratio_text(sse / pca.sse)} ×"


def headline(data: ReportData) -> str:
    """The one sentence to take away: the error, beside PCA's, and whether it is worse than the mean."""
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
    if size >= data.n_values:
        return f"; a code of {size} is no smaller than the {data.noun}'s {data.n_values} values, so PCA's has no error."
    theirs = number_text(data.pca.sse)
    if data.pca.sse <= 0:
        return f"; PCA leaves none at the same code size of {size}."
    ratio = error / data.pca.sse
    if 0.995 <= ratio <= 1.005:
        return f", the same as PCA's {theirs} at the same code size of {size}."
    if ratio > 1:
        return f": worse than PCA's {theirs} ({ratio_text(ratio)} times it) at the same code size of {size}."
    return f", {ratio_text(ratio)} of PCA's {theirs} at the same code size of {size}."

"""The one-file report: everything about a model on one page that needs nothing else.

The page holds its own style, pictures and figures. It asks for nothing from outside (its own
content policy forbids it) and holds no clock, host or path: the same data give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from isthmus.artifact.file import write_atomically
from isthmus.evaluation import figures
from isthmus.evaluation.code_map import code_map
from isthmus.evaluation.examples import (
    column_tables,
    denoising_lines,
    picture_groups,
    picture_side,
    trace_groups,
)
from isthmus.evaluation.pictures import filter_uri, longest_side, picture_uri
from isthmus.evaluation.report_data import Errors, ReportData
from isthmus.evaluation.report_sound import sound_view
from isthmus.evaluation.words import count_text, headline, number_text, relation_text, units_text

MOST_FILTERS = 64
"""Learned filters shown; the first ones."""
MOST_SOUND_WEIGHTS = 2048
"""Weights of a filter of sound; one of more, at hundreds of frequencies, would fill the page and tell little."""

_TEMPLATES = Path(__file__).with_name("templates")


def write_report(data: ReportData, path: str | os.PathLike[str]) -> None:
    """Write the report to ``path``: wholly, or not at all.

    Parameters
    ----------
    data
        What to show.
    path
        The HTML file; one that exists is replaced.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    write_atomically(render_report(data).encode("utf-8"), Path(path))


def render_report(data: ReportData) -> str:
    """The report as one HTML document.

    Parameters
    ----------
    data
        What to show. Texts are escaped; pictures larger than the page can hold are averaged down.

    Returns
    -------
    str
        A page of at most about a megabyte; equal data give equal text.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number_text, count=count_text, rate="{:.3g}".format)
    view: dict[str, Any] = {
        "data": data,
        "headline": headline(data),
        "comparison": _comparison(data),
        "examples": _examples(data),
        "examples_width": _crisp(data.sample_shape[1], 96) if data.is_pictures else 0,
        "denoising": _denoising(data),
        "errors": _errors(data),
        "map": _map(data),
        "filters": _filters(data),
        "generated": _generated(data),
        "units": _units(data),
        "training": _training(data.history, data.best_epoch),
    }
    return environment.get_template("report.html.j2").render(view)


def _comparison(data: ReportData) -> list[dict[str, Any]]:
    """A line of the table for the model and each baseline that is known."""
    named = (("model", "Model", data.model), ("pca", "PCA", data.pca), ("mean", "Mean", data.mean))
    known = [(key, name, errors) for key, name, errors in named if errors is not None]
    largest = max(errors.sse for _, _, errors in known) or 1.0
    return [
        {
            "key": key,
            "name": name,
            "sse": errors.sse,
            "mse": errors.mse,
            "share": max(errors.sse / largest * 100.0, 0.5),
            "relation": relation_text(errors.sse, data),
        }
        for key, name, errors in known
    ]


def _examples(data: ReportData) -> dict[str, Any]:
    sound = sound_view(data)
    if sound is not None:
        return {"layout": "sounds", **sound}
    if data.is_pictures:
        reduced = max(data.sample_shape[:2]) > picture_side(data)
        return {"layout": "pictures", "groups": picture_groups(data), "reduced": reduced}
    if data.is_sequences or (data.columns is None and data.n_values > 16):
        return {"layout": "traces", "groups": trace_groups(data)}
    return {"layout": "columns", "groups": column_tables(data)}


def _denoising(data: ReportData) -> dict[str, Any] | None:
    found = data.denoising
    if found is None:
        return None
    named = [
        ("mean", "Corrupted rows", found.corrupted.sse),
        ("model", "Restored by the model", found.restored.sse),
        *([] if found.pca is None else [("pca", "Restored by PCA", found.pca.sse)]),
        *([] if found.linear is None else [("mean", "Best linear map", found.linear)]),
    ]
    largest = max(sse for _, _, sse in named) or 1.0
    table = [
        {
            "key": key,
            "name": name,
            "sse": sse,
            "mse": sse / data.n_averaged,
            "share": max(sse / largest * 100.0, 0.5),
        }
        for key, name, sse in named
    ]
    return {"table": table, "lines": denoising_lines(data), "rows": [int(row) for row in found.rows]}


def _errors(data: ReportData) -> dict[str, Any] | None:
    model, pca = data.model.per_example, _per_example(data.pca)
    if model is None or len(model) == 0:
        return None
    duel = None if pca is None or len(pca) != len(model) else figures.error_duel(model, pca, data.noun)
    closer = None if duel is None or pca is None else float(np.mean(np.asarray(model) < np.asarray(pca)))
    return {
        "distribution": figures.error_distribution(data.model, data.pca, data.mean, data.noun),
        "duel": duel,
        "closer": closer,
        "median": float(np.median(model)),
        "worst": float(np.max(model)),
    }


def _map(data: ReportData) -> dict[str, Any] | None:
    if len(data.codes.values) == 0:
        return None
    svg, legend, said = code_map(data.codes, data.noun)
    return {"svg": svg, "legend": legend if legend[0].text else [], "said": said}


def _filters(data: ReportData) -> dict[str, Any] | None:
    if data.filters is None or len(data.filters.weights) == 0:
        return None
    weights = np.asarray(data.filters.weights, dtype=np.float64)
    if data.sounds and weights[0].size > MOST_SOUND_WEIGHTS:
        return None
    shown = weights[:MOST_FILTERS]
    said = f"The first {len(shown)} of {len(weights):,}. " if len(shown) < len(weights) else ""
    view: dict[str, Any] = {"title": data.filters.title, "said": said, "pictures": [], "svg": None}
    if shown.ndim == 4:
        side = longest_side(len(shown), shown.shape[-1], 250_000)
        view["pictures"] = [filter_uri(each, side) for each in shown]
        view["coloured"] = shown.shape[-1] >= 3
        view["width"] = _crisp(shown.shape[2], 72)
    else:
        view["svg"] = figures.weight_heatmap(shown.reshape(len(shown), -1), data.filters.names)
    return view


def _generated(data: ReportData) -> dict[str, Any] | None:
    """New examples, and strips between two rows, as pictures."""
    found = data.generated
    if found is None or not data.is_pictures:
        return None
    n_pictures = len(found.samples) + sum(len(strip) for strip in found.between)
    side = longest_side(n_pictures, data.sample_shape[-1], 400_000)
    strips = [
        {"ends": ends, "uris": [picture_uri(np.asarray(each, np.float64), side) for each in strip]}
        for ends, strip in zip(found.ends, found.between, strict=True)
    ]
    samples = [picture_uri(np.asarray(each, np.float64), side) for each in found.samples]
    width = _crisp(data.sample_shape[1], 72)
    return {"prior": found.prior, "samples": samples, "strips": strips, "width": width}


def _units(data: ReportData) -> dict[str, Any]:
    codes = data.codes
    dead = np.asarray(codes.dead, dtype=np.bool_)
    drawn = [figures.unit_bars(codes.variance, dead, "variance", "variance")]
    if codes.active_shares is not None:
        drawn.append(
            figures.unit_bars(codes.active_shares, dead, "share of rows active", "activity", shares=True)
        )
    if codes.rates is not None:
        drawn.append(figures.unit_bars(codes.rates, dead, "rate in nats", "rates"))
    return {"svgs": drawn, "said": units_text(np.flatnonzero(dead).tolist(), len(dead))}


def _training(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> dict[str, Any] | None:
    if not history:
        return None
    kept = next((entry for entry in history if entry["epoch"] == best_epoch), history[-1])
    validation: Mapping[str, float] = kept.get("validation") or {}
    names = sorted({*kept["training"], *validation}, key=lambda name: (name != "loss", name))
    return {
        "svg": figures.loss_curves(history, best_epoch),
        "epoch": kept["epoch"],
        "is_best": kept["epoch"] == best_epoch,
        "n_epochs": len(history),
        "rates": (history[0].get("learning_rate"), history[-1].get("learning_rate")),
        "has_validation": bool(validation),
        "terms": [(name, kept["training"].get(name), validation.get(name)) for name in names],
    }


def _per_example(errors: Errors | None) -> Any:
    return None if errors is None else errors.per_example


def _crisp(width: int, wanted: int) -> int:
    """The whole multiple of a picture's width that is nearest below ``wanted`` CSS pixels."""
    return max(wanted // width, 1) * width if width <= wanted else wanted

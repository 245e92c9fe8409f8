"""The best, typical and worst examples beside their reconstructions, laid out for the page."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.evaluation import figures
from isthmus.evaluation.pictures import longest_side, picture_uri
from isthmus.evaluation.report_data import Numbers, ReportData
from isthmus.evaluation.svg import shortened
from isthmus.evaluation.words import brief_text, number_text
from isthmus.sources.table_out import array_of

MOST_CHANNELS = 4
"""Channels of a sequence that are drawn."""

MOST_COLUMNS = 16
"""Columns of a vector that are listed; the most missed ones."""

MOST_LETTERS = 22
"""Of a word in a cell."""

WIDEST_MISS = 2.0
"""Ends of the scale of misses, in standard deviations of the column."""


def picture_groups(data: ReportData) -> list[dict[str, Any]]:
    """Groups of examples by role; each has lines (original, model, PCA) of picture URIs."""
    chosen = data.examples
    kinds = [("original", "Original", chosen.originals), ("model", "Model", chosen.reconstructions)]
    if chosen.pca_reconstructions is not None:
        kinds.append(("pca", "PCA", chosen.pca_reconstructions))
    side = picture_side(data)
    groups: list[dict[str, Any]] = []
    for role, members in _by_role(data):
        lines = [
            {
                "key": key,
                "name": name,
                "uris": [picture_uri(np.asarray(pictures[i], dtype=np.float64), side) for i in members],
                "alts": [_alt(data, name, role, i) for i in members],
                "errors": _errors_of(data, key, members),
            }
            for key, name, pictures in kinds
        ]
        groups.append({"role": role, "rows": [int(chosen.rows[i]) for i in members], "lines": lines})
    return groups


def picture_side(data: ReportData) -> int:
    """The longest side at which all pictures of the examples fit the page; larger ones are reduced."""
    n_kinds = 2 if data.examples.pca_reconstructions is None else 3
    return longest_side(n_kinds * len(data.examples.rows), data.sample_shape[-1], 600_000)


def denoising_lines(data: ReportData) -> list[dict[str, Any]]:
    """Clean, corrupted and restored pictures of the same rows, a line each."""
    found = data.denoising
    if found is None or not data.is_pictures:
        return []
    none = [""] * len(found.rows)
    kinds = [
        ("original", "Clean", found.clean, none),
        ("mean", "Corrupted", found.damaged, [number_text(float(error)) for error in found.damaged_errors]),
        ("model", "Restored", found.rebuilt, [number_text(float(error)) for error in found.rebuilt_errors]),
    ]
    side = longest_side(len(kinds) * len(found.rows), data.sample_shape[-1], 250_000)
    return [
        {
            "key": key,
            "name": name,
            "uris": [picture_uri(np.asarray(picture, dtype=np.float64), side) for picture in pictures],
            "alts": [f"Row {int(row)}, {name.lower()}" for row in found.rows],
            "errors": errors,
        }
        for key, name, pictures, errors in kinds
    ]


def trace_groups(data: ReportData) -> list[dict[str, Any]]:
    """The first example of each role as lines over the index of the value, or of the step a channel."""
    chosen = data.examples
    pca = chosen.pca_reconstructions
    return [
        {
            "role": role,
            "row": int(chosen.rows[i]),
            "error": chosen.errors[i],
            "pca_error": None if chosen.pca_errors is None else chosen.pca_errors[i],
            "svgs": [
                figures.traces(
                    original,
                    model,
                    theirs,
                    f"trace-{role}-{channel}",
                    "step" if data.is_sequences else "value",
                )
                for channel, (original, model, theirs) in enumerate(
                    zip(
                        _curves(data, chosen.originals[i]),
                        _curves(data, chosen.reconstructions[i]),
                        [None] * MOST_CHANNELS if pca is None else _curves(data, pca[i]),
                        strict=False,
                    )
                )
            ],
            "left_out": max(0, data.sample_shape[-1] - MOST_CHANNELS) if data.is_sequences else 0,
        }
        for role, (i, *_) in _by_role(data)
    ]


def _curves(data: ReportData, row: Numbers) -> list[Numbers]:
    """The channels of a sequence, the first ones; a vector is one curve."""
    return list(np.asarray(row).T[:MOST_CHANNELS]) if data.is_sequences else [np.ravel(row)]


def column_tables(data: ReportData) -> list[dict[str, Any]]:
    """The first example of each role as a table: a column a line, the misses on a small scale.

    What is no number is wrong or right.
    """
    chosen = data.examples
    names = list(data.columns) if data.columns is not None else [f"value {i}" for i in range(data.n_values)]
    scales, is_word = _scales(data), _is_word(data)
    groups: list[dict[str, Any]] = []
    for role, (i, *_) in _by_role(data):
        original = np.ravel(chosen.originals[i])
        rebuilt = {"model": chosen.reconstructions, "pca": chosen.pca_reconstructions}
        missed = {
            key: _missed(original, np.ravel(rows[i]), scales, is_word)
            for key, rows in rebuilt.items()
            if rows is not None
        }
        order = np.argsort(-np.abs(missed["model"]), kind="stable")[:MOST_COLUMNS]
        lines: list[dict[str, Any]] = []
        for j in np.sort(order).tolist():
            line: dict[str, Any] = {"name": names[j], "short": shortened(names[j], 32)}
            line["value"] = _cell(data, j, float(original[j]))
            for key, rows in rebuilt.items():
                own = float("nan") if rows is None else float(np.ravel(rows[i])[j])
                line[key] = _cell(data, j, own)
                line[f"{key}_wrong"] = key in missed and bool(is_word[j]) and missed[key][j] != 0
                line[f"{key}_at"] = (
                    None if is_word[j] or np.isnan(own - original[j]) else _at(float(missed[key][j]))
                )
            lines.append(line)
        groups.append(
            {
                "role": role,
                "row": int(chosen.rows[i]),
                "error": chosen.errors[i],
                "pca_error": None if chosen.pca_errors is None else chosen.pca_errors[i],
                "lines": lines,
                "has_pca": "pca" in missed,
                "left_out": data.n_values - len(lines),
            }
        )
    return groups


def _is_word(data: ReportData) -> NDArray[np.bool_]:
    """Which values stand for words and not for amounts."""
    if data.table is None:
        return np.zeros(data.n_values, np.bool_)
    return np.array([column.categories is not None for column in data.table])


def _missed(original: Numbers, rebuilt: Numbers, scales: Numbers, is_word: NDArray[np.bool_]) -> Numbers:
    """Misses in units of the scale; of another word as far as the scale goes, of a gap 0."""
    away = (np.asarray(rebuilt, np.float64) - original) / scales
    away[is_word] = WIDEST_MISS * (np.rint(rebuilt) != original)[is_word]
    return np.where(np.isnan(original), 0.0, away)


def _cell(data: ReportData, place: int, value: float) -> str:
    """A value as people write it."""
    if np.isnan(value):
        return "–"
    column = None if data.table is None else data.table[place]
    if column is None or column.type in ("continuous", "count"):
        return brief_text(value)
    return shortened(str(array_of(np.array([value]), column)[0].as_py()), MOST_LETTERS)


def _by_role(data: ReportData) -> list[tuple[str, list[int]]]:
    roles = list(data.examples.roles)
    present = [role for role in ("best", "typical", "worst") if role in roles]
    return [(role, [i for i, own in enumerate(roles) if own == role]) for role in present]


def _errors_of(data: ReportData, key: str, members: list[int]) -> list[str]:
    errors = {"model": data.examples.errors, "pca": data.examples.pca_errors}.get(key)
    return ["" if errors is None else number_text(float(errors[i])) for i in members]


def _alt(data: ReportData, name: str, role: str, i: int) -> str:
    what = "original" if name == "Original" else f"{name}'s reconstruction"
    return f"Row {int(data.examples.rows[i])} ({role}), {what}"


def _scales(data: ReportData) -> Numbers:
    """Each column's standard deviation, or the spread of the shown examples where it is unknown."""
    if data.column_scales is not None:
        scales = np.asarray(data.column_scales, dtype=np.float64).ravel()
    else:
        rows = np.ma.masked_invalid(np.reshape(data.examples.originals, (len(data.examples.rows), -1)))
        scales = rows.std(axis=0).filled(0.0)
    return np.where(scales > 0, scales, 1.0)


def _at(miss: float) -> float:
    """Where a miss lies on the scale, in per cent of its width; beyond its ends, at its ends."""
    return round(float(np.clip(miss / WIDEST_MISS, -1.0, 1.0)) * 46.0 + 50.0, 2)

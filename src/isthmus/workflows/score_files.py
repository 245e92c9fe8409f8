"""Anomalies as files: how odd each row is, whether it counts as an anomaly, and what makes it so."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.artifact.file import atomically, write_atomically
from isthmus.sources import Source
from isthmus.workflows.npy_files import write_npy

SCORE_SUFFIXES = (".csv", ".npy", ".npz")
N_CAUSES = 3
LINES = 1 << 13
"""Rows that are made text at a time."""


def write_scores(
    path: Path,
    anomaly: NDArray[np.floating[Any]],
    is_anomaly: NDArray[np.bool_],
    causes: Iterable[Sequence[str]],
    source: Source,
) -> None:
    """Write how odd rows are, whole or not at all.

    Parameters
    ----------
    path
        ``.csv``: columns ``row`` (its name where it has one, else its number from 0), ``anomaly``,
        ``is_anomaly`` (0 or 1), ``cause_1`` to ``cause_3``, and ``label`` where there are some;
        ``.npy``: the anomaly alone, ``(rows,)``; ``.npz``: arrays ``anomaly``, ``is_anomaly``, ``causes``
        ``(rows, 3)`` and ``labels``.
    anomaly, is_anomaly
        ``(rows,)``.
    causes
        Names of at most three regions of each row, the first one most to blame. They are asked for a row
        at a time as they are written, and not at all where they are not.
    source
        The rows: their names and labels.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        write_npy(path, (part.astype(np.float64) for part in _parts(anomaly)), anomaly.shape, np.float64)
    elif suffix == ".npz":
        padded = [_padded(names) for names in causes]
        named: dict[str, Any] = {
            "anomaly": anomaly.astype(np.float64),
            "is_anomaly": is_anomaly,
            "causes": np.array(padded),
        }
        if source.labels is not None:
            named["labels"] = source.labels
        buffer = io.BytesIO()
        np.savez(buffer, **named)
        write_atomically(buffer.getvalue(), path)
    else:
        with atomically(path) as file:
            lines = _lines(anomaly, is_anomaly, causes, source)
            while text := _csv(islice(lines, LINES)):
                file.write(text.encode())


def row_names(source: Source) -> Sequence[Any] | NDArray[Any]:
    """What each row is called: its name where it has one, else its number from 0."""
    return range(len(source)) if source.row_names is None else source.row_names


def _lines(
    anomaly: NDArray[np.floating[Any]],
    is_anomaly: NDArray[np.bool_],
    causes: Iterable[Sequence[str]],
    source: Source,
) -> Iterator[list[str]]:
    """The cells of the heading and of each row."""
    labels, names = source.labels, row_names(source)
    columns = ["row", "anomaly", "is_anomaly", *(f"cause_{number + 1}" for number in range(N_CAUSES))]
    yield columns + (["label"] if labels is not None else [])
    for row, why in zip(range(len(anomaly)), causes, strict=True):
        cells = [str(names[row]), f"{anomaly[row]:.6g}", str(int(is_anomaly[row])), *_padded(why)]
        yield cells + ([str(labels[row])] if labels is not None else [])


def _csv(lines: Iterable[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _padded(names: Sequence[str]) -> list[str]:
    return [*names, *[""] * N_CAUSES][:N_CAUSES]


def _parts(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (values[start : start + LINES] for start in range(0, len(values), LINES))

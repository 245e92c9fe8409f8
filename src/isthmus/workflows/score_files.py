"""Anomalies as files: how odd each row is, whether it counts as an anomaly, and what makes it so."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.artifact.file import write_atomically
from isthmus.sources import Source

SCORE_SUFFIXES = (".csv", ".npy", ".npz")
N_CAUSES = 3


def write_scores(
    path: Path,
    anomaly: NDArray[np.float64],
    is_anomaly: NDArray[np.bool_],
    causes: Sequence[Sequence[str]],
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
        Names of at most three regions of each row, the first one most to blame.
    source
        The rows: their names and labels.
    """
    padded = [[*row, *[""] * N_CAUSES][:N_CAUSES] for row in causes]
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_atomically(_csv_bytes(anomaly, is_anomaly, padded, source), path)
        return
    buffer = io.BytesIO()
    if suffix == ".npz":
        named: dict[str, Any] = {"anomaly": anomaly, "is_anomaly": is_anomaly, "causes": np.array(padded)}
        if source.labels is not None:
            named["labels"] = source.labels
        np.savez(buffer, **named)
    else:
        np.save(buffer, anomaly)
    write_atomically(buffer.getvalue(), path)


def row_names(source: Source) -> NDArray[Any]:
    """What each row is called: its name where it has one, else its number from 0."""
    return np.arange(len(source)) if source.row_names is None else source.row_names


def _csv_bytes(
    anomaly: NDArray[np.float64], is_anomaly: NDArray[np.bool_], causes: list[list[str]], source: Source
) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    labels, names = source.labels, row_names(source)
    columns = ["row", "anomaly", "is_anomaly", *(f"cause_{number + 1}" for number in range(N_CAUSES))]
    writer.writerow(columns + (["label"] if labels is not None else []))
    for row, value in enumerate(anomaly):
        cells = [str(names[row]), f"{value:.6g}", str(int(is_anomaly[row])), *causes[row]]
        writer.writerow(cells + ([str(labels[row])] if labels is not None else []))
    return text.getvalue().encode()

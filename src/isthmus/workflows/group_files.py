"""Groups as files: which row is in which, and a sheet with examples of each."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isthmus.artifact.file import write_atomically
from isthmus.errors import OutputError
from isthmus.exploration.groups import Examples
from isthmus.schema import Schema
from isthmus.shapes import shape_text
from isthmus.sources import Source
from isthmus.workflows.data_files import pixels_of
from isthmus.workflows.outputs import check_file

GROUP_SUFFIXES = (".csv", ".npy", ".npz")
N_CENTRE, N_EDGE = 8, 4
"""Examples of a group on a sheet: nearest to its centre, and at its edge."""
_GAP, _BREAK = 2, 8


def write_groups(
    path: Path, members: NDArray[np.int64], probabilities: NDArray[np.float64], source: Source
) -> None:
    """Write the group of each row, whole or not at all.

    Parameters
    ----------
    path
        ``.csv``: columns ``row`` (its name where it has one, else its number from 0), ``group``,
        ``probability`` of that group and ``label`` where there are some; ``.npy``: the groups alone,
        ``(rows,)``; ``.npz``: arrays ``groups``, ``probabilities`` ``(rows, groups)`` and ``labels``.
    members
        ``(rows,)``.
    probabilities
        ``(rows, groups)``.
    source
        The rows: their names and labels.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        write_atomically(_csv_bytes(members, probabilities, source), path)
        return
    buffer = io.BytesIO()
    if suffix == ".npz":
        named = {"groups": members, "probabilities": probabilities, "labels": source.labels}
        np.savez(buffer, **{name: value for name, value in named.items() if value is not None})  # pyright: ignore[reportArgumentType]
    else:
        np.save(buffer, members)
    write_atomically(buffer.getvalue(), path)


def check_examples_output(path: Path, schema: Schema, *, force: bool = False) -> None:
    """Raise unless a sheet with examples of such rows can be written to ``path``."""
    if schema.kind != "pictures" or schema.sample_shape[-1] not in (1, 3):
        raise OutputError(
            f"{path}: examples are drawn of pictures with 1 or 3 channels, got rows that are {schema.kind} "
            f"{shape_text(schema.sample_shape)}. Leave the examples out; the groups name the rows."
        )
    check_file(path, force=force, suffixes=(".png",))


def write_examples(
    path: Path, shown: Examples, centres: NDArray[Any], source: Source, schema: Schema
) -> None:
    """Write a sheet, a group a line: its decoded mean, the rows nearest to it, and those at its edge.

    Parameters
    ----------
    path
        A ``.png``.
    shown
        Row numbers in ``source``.
    centres
        Decoded means, ``(groups, *sample_shape)`` in data units.
    source
        The rows.
    schema
        That of the model.
    """
    height, width, channels = schema.sample_shape
    columns = 1 + N_CENTRE + N_EDGE
    breaks = np.array([0, *[_BREAK] * N_CENTRE, *[2 * _BREAK] * N_EDGE])
    left = np.arange(columns) * (width + _GAP) + breaks
    page = np.full((len(centres) * (height + _GAP) - _GAP, left[-1] + width, channels), 255, np.uint8)
    for group, mean in enumerate(centres):
        top = group * (height + _GAP)
        placed = [(0, mean)]
        for first, rows in ((1, shown.centre[group][:N_CENTRE]), (1 + N_CENTRE, shown.edge[group][:N_EDGE])):
            read = source.read(rows) if len(rows) else ()
            placed += [(first + at, picture) for at, picture in enumerate(read)]
        for column, picture in placed:
            page[top : top + height, left[column] : left[column] + width] = _bytes(picture, schema)
    buffer = io.BytesIO()
    Image.fromarray(page[..., 0] if channels == 1 else page).save(buffer, "PNG")
    write_atomically(buffer.getvalue(), path)


def _bytes(picture: NDArray[Any], schema: Schema) -> NDArray[np.uint8]:
    pixels = pixels_of(np.reshape(picture, (1, *schema.sample_shape)), schema)[0]
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def _csv_bytes(members: NDArray[np.int64], probabilities: NDArray[np.float64], source: Source) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    labels = source.labels
    writer.writerow(["row", "group", "probability"] + (["label"] if labels is not None else []))
    names = np.arange(len(members)) if source.row_names is None else source.row_names
    for row, group in enumerate(members):
        values = [str(names[row]), str(group), f"{probabilities[row, group]:.6g}"]
        writer.writerow(values + ([str(labels[row])] if labels is not None else []))
    return text.getvalue().encode()

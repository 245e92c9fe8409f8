"""Rows in data units as files: ``.npy``, a folder of PNG pictures, or one sheet of them."""

from __future__ import annotations

import io
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isthmus.artifact.file import write_atomically
from isthmus.errors import OutputError
from isthmus.schema import Schema
from isthmus.shapes import shape_text
from isthmus.workflows.outputs import check_file, check_folder

MOST_ON_A_SHEET = 400
"""Pictures on one sheet; the first ones."""
_GAP = 2


def check_rows_output(path: Path, *, folder: bool, schema: Schema, force: bool = False) -> None:
    """Raise unless rows of this schema can be written to ``path``.

    Parameters
    ----------
    path
        ``.npy`` for any rows; for pictures also ``.png``, one sheet of them, or a folder.
    folder
        Whether ``path`` is meant as a folder.
    schema
        What a row is.
    force
        Whether what is there may be overwritten.
    """
    pictures = schema.kind == "pictures" and schema.sample_shape[-1] in (1, 3)
    if path.suffix.lower() == ".npy" and not folder:
        check_file(path, force=force)
    elif not pictures:
        raise OutputError(
            f"{path}: rows that are {schema.kind} {shape_text(schema.sample_shape)} go into a .npy file, "
            f"got {'a folder' if folder else path.suffix or 'no ending'!r}. Give a name that ends in .npy."
        )
    elif folder:
        check_folder(path, force=force)
    else:
        check_file(path, force=force, suffixes=(".npy", ".png"))


def means_folder(text: str) -> bool:
    """Whether an output is meant as a folder: one that is there, a name without an ending, a last slash.

    >>> means_folder("out/"), means_folder("out"), means_folder("out.png")
    (True, True, False)
    """
    return text.endswith(("/", "\\")) or not Path(text).suffix or Path(text).is_dir()


def write_rows(path: Path, rows: NDArray[Any], schema: Schema, *, folder: bool) -> int:
    """Write rows in data units, whole or not at all; how many were written.

    Parameters
    ----------
    path
        As :func:`check_rows_output` found it good.
    rows
        ``(rows, *sample_shape)``.
    schema
        What a row is.
    folder
        Whether ``path`` is a folder: then ``000000.png``, ``000001.png``, ...
    """
    if folder:
        _write_folder(path, pixels_of(rows, schema))
        return len(rows)
    if path.suffix.lower() == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, rows)
        write_atomically(buffer.getvalue(), path)
        return len(rows)
    shown = rows[:MOST_ON_A_SHEET]
    write_atomically(_png(sheet(pixels_of(shown, schema))), path)
    return len(shown)


def pixels_of(rows: NDArray[Any], schema: Schema) -> NDArray[Any]:
    """Pictures as uint8 (or uint16 where they were), their value range stretched over it."""
    if rows.dtype == np.uint8 or (rows.dtype == np.uint16 and rows.shape[-1] == 1):
        return rows
    low, high = schema.value_range or (float(rows.min()), float(rows.max()))
    share = (rows.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.rint(np.clip(share, 0.0, 1.0) * 255.0).astype(np.uint8)


def sheet(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pictures ``(n, height, width, channels)`` side by side on one, nearly square, with gaps between."""
    n, height, width, channels = pixels.shape
    n_wide = math.ceil(math.sqrt(n))
    n_high = math.ceil(n / n_wide)
    white = np.iinfo(pixels.dtype).max
    page = np.full(
        (n_high * (height + _GAP) - _GAP, n_wide * (width + _GAP) - _GAP, channels), white, pixels.dtype
    )
    for at, picture in enumerate(pixels):
        top, left = at // n_wide * (height + _GAP), at % n_wide * (width + _GAP)
        page[top : top + height, left : left + width] = picture
    return page


def _write_folder(path: Path, pixels: NDArray[Any]) -> None:
    """Write beside the folder first; a new folder then takes its name in one step."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as beside:
            made = Path(beside) / "pictures"
            made.mkdir()
            for row, picture in enumerate(pixels):
                (made / f"{row:06d}.png").write_bytes(_png(picture))
            if path.is_dir():
                for file in made.iterdir():
                    file.replace(path / file.name)
            else:
                made.rename(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}. Choose another place.") from None


def _png(picture: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    return buffer.getvalue()

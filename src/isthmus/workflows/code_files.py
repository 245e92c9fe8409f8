"""Codes as files: ``.npy``, ``.npz`` with labels and scales, ``.csv`` for spreadsheets."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.artifact.file import write_atomically
from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.sources.files import read_npy
from isthmus.sources.npz import open_npz

CODE_SUFFIXES = (".npy", ".npz", ".csv")


def write_codes(
    path: Path, codes: NDArray[Any], *, labels: NDArray[Any] | None = None, scale: NDArray[Any] | None = None
) -> None:
    """Write codes, whole or not at all.

    Parameters
    ----------
    path
        ``.npy`` holds the codes alone; ``.npz`` arrays ``codes``, ``labels`` and ``scale``; ``.csv``
        columns ``code_0``, ..., ``scale_0``, ... and ``label``.
    codes
        ``(rows, code_size)``.
    labels
        ``(rows,)``.
    scale
        Standard deviations of a Gaussian code, ``(rows, code_size)``.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy" and scale is not None:
        raise ParameterError(
            f"{path}: a .npy file holds codes alone, not their scale too. Write .npz or .csv."
        )
    if suffix == ".csv":
        write_atomically(_csv_bytes(codes, labels, scale), path)
        return
    buffer = io.BytesIO()
    if suffix == ".npz":
        named = {"codes": codes, "labels": labels, "scale": scale}
        np.savez(buffer, **{name: value for name, value in named.items() if value is not None})  # pyright: ignore[reportArgumentType]
    else:
        np.save(buffer, codes)
    write_atomically(buffer.getvalue(), path)


def read_codes(path: Path) -> NDArray[Any]:
    """Codes as :func:`write_codes` wrote them, ``(rows, code_size)``.

    Raises
    ------
    SourceError
        Nothing there, or not a file of codes.
    DataError
        Values that are not numbers.
    """
    if not path.is_file():
        raise SourceError(
            f"{path}: expected a file of codes, got nothing of that name. Give what 'encode' wrote."
        )
    suffix = path.suffix.lower()
    if suffix not in CODE_SUFFIXES:
        raise SourceError(
            f"{path}: expected codes as {', '.join(CODE_SUFFIXES)}, got {suffix or 'no ending'!r}. "
            "Give what 'encode' wrote."
        )
    codes = {".npy": read_npy, ".npz": _read_npz, ".csv": _read_csv}[suffix](path)
    if codes.dtype.kind not in "biuf":
        raise DataError(f"{path}: codes must be numbers, got type {codes.dtype}. Give what 'encode' wrote.")
    return codes


def read_code_labels(path: Path) -> NDArray[Any] | None:
    """Labels that :func:`write_codes` wrote beside codes, ``(rows,)``; None where it wrote none."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        with open_npz(path) as file:
            return file.read("labels") if "labels" in file else None
    if suffix != ".csv":
        return None
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *lines = list(csv.reader(file)) or [[]]
    if "label" not in header:
        return None
    return np.array([line[header.index("label")] for line in lines if line], dtype=str)


def _read_npz(path: Path) -> NDArray[Any]:
    with open_npz(path) as file:
        if "codes" in file:
            return file.read("codes")
        held = ", ".join(file)
    raise SourceError(f"{path}: expected an array named codes, got {held}. Give what 'encode' wrote.")


def _read_csv(path: Path) -> NDArray[Any]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = list(csv.reader(file)) or [[]]
        wanted = [position for position, name in enumerate(header) if name.startswith("code_")]
        if not wanted:
            raise SourceError(
                f"{path}: expected columns code_0, code_1, ... under a heading, got none of them. "
                "Give what 'encode' wrote."
            )
        return np.array([[float(line[at]) for at in wanted] for line in lines if line], np.float64).reshape(
            -1, len(wanted)
        )
    except (ValueError, IndexError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"{path}: expected a table of numbers, got {error}. Give what 'encode' wrote."
        ) from None


def _csv_bytes(codes: NDArray[Any], labels: NDArray[Any] | None, scale: NDArray[Any] | None) -> bytes:
    blocks = [("code", codes)] + ([("scale", scale)] if scale is not None else [])
    header = [f"{name}_{unit}" for name, block in blocks for unit in range(block.shape[1])]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header + (["label"] if labels is not None else []))
    for row in range(len(codes)):
        values = [str(value) for _, block in blocks for value in block[row]]
        writer.writerow(values + ([str(labels[row])] if labels is not None else []))
    return text.getvalue().encode()

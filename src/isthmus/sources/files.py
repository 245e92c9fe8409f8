"""Rows and labels among the arrays of an ``.npz`` file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from isthmus.errors import ParameterError, SourceError
from isthmus.sources.npz import Npz, listed, open_npz
from isthmus.sources.sparse import is_sparse_npz, read_sparse_npz

DATA_NAMES = ("x", "X", "data", "images", "x_train", "arr_0")
LABEL_NAMES = ("y", "labels", "y_train")
_Found = tuple[Any, NDArray[Any] | None, tuple[str, ...]]
"""Rows (an array, or a sparse matrix), labels, and notes."""


def read_npz(path: Path, array: str | Sequence[str] | None = None) -> _Found:
    """The rows of an ``.npz`` file, their labels, if it has any, and what is said of them.

    The rows are the array of the name ``array``, or without one the array named x, X, data, images, x_train
    or arr_0, the first of these that is there, or the only array of two or more axes; of a file that
    ``scipy.sparse.save_npz`` wrote they are its matrix. The labels are y, labels or y_train, if there is one a
    row.

    Raises
    ------
    SourceError
        Damaged, encrypted, too large, or no array can be told to be the rows; the message lists what
        there is.
    ParameterError
        ``array`` is no array of the file.
    """
    with open_npz(path) as file:
        if array is None and is_sparse_npz(file):
            rows: Any = read_sparse_npz(path, file)
            return rows, _labels_in(file, "data", rows.shape[:1]), ()
        name = _named(path, file, array)
        rows = file.read(name)
        others = [key for key in file if key != name and len(file.shape(key)) >= 2]
        said = () if array is not None or not others else (
            f"Rows are the array {name!r}; data.array names another ({', '.join(map(repr, others[:3]))}).",
        )  # fmt: skip
        return rows, _labels_in(file, name, rows.shape[:1]), said


def _labels_in(file: Npz, rows: str, length: tuple[int, ...]) -> NDArray[Any] | None:
    """The array of labels that is as long as the rows."""
    found = (key for key in LABEL_NAMES if key in file and key != rows)
    own = next((key for key in found if file.shape(key) == length), None)
    return None if own is None else file.read(own)


def _named(path: Path, file: Npz, array: str | Sequence[str] | None) -> str:
    """Name of the array that is the rows."""
    if array is None:
        return next((name for name in DATA_NAMES if name in file), None) or _only_wide(path, file)
    wanted = [array] if isinstance(array, str) else list(array)
    if len(wanted) == 1 and wanted[0] in file:
        return wanted[0]
    raise ParameterError(
        f"data.array: expected the name of one array of {path}, got {', '.join(map(repr, wanted)) or 'none'}; "
        f"it holds {_held(file)}."
    )


def _held(file: Npz) -> str:
    return listed([f"{key} {file.shape(key)}" for key in file])


def _only_wide(path: Path, file: Npz) -> str:
    """Name of the only array of two or more axes."""
    wide = [key for key in file if len(file.shape(key)) >= 2]
    if len(wide) != 1:
        name = f"={wide[0]}" if wide else "=NAME"
        raise SourceError(
            f"{path}: expected an array named {', '.join(DATA_NAMES)}, or a single one of two or more axes, "
            f"got {_held(file)}; say which one holds the rows with --set data.array{name} (in Python array=)."
        )
    return wide[0]

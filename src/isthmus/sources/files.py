"""NumPy's own files: ``.npy``, memory-mapped, and ``.npz``."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import SourceError

DATA_NAMES = ("x", "X", "data", "images", "x_train", "arr_0")
LABEL_NAMES = ("y", "labels", "y_train")
_Pair = tuple[NDArray[Any], NDArray[Any] | None]


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an ``.npy`` file as a read-only memory map; nothing is unpickled.

    Raises
    ------
    SourceError
        Truncated, not an ``.npy`` file, or one that holds Python objects.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise SourceError(f"{path}: expected a whole .npy file of numbers, got one that NumPy cannot read "
                          f"({error}); save the numbers again with numpy.save.") from error  # fmt: skip


def read_npz(path: Path) -> _Pair:
    """The rows of an ``.npz`` file and their labels, if it has any.

    The rows are the array named x, X, data, images, x_train or arr_0, the first of these that is
    there, or the only array of two or more axes. The labels are y, labels or y_train, if there is one a row.

    Raises
    ------
    SourceError
        Damaged, or no array can be told to be the rows; the message lists what there is.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return _rows_and_labels(path, cast("Mapping[str, NDArray[Any]]", file))
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise SourceError(f"{path}: expected a whole .npz file of numbers, got one that NumPy cannot read "
                          f"({error}); save the numbers again with numpy.savez.") from error  # fmt: skip


def _rows_and_labels(path: Path, file: Mapping[str, NDArray[Any]]) -> _Pair:
    name = next((name for name in DATA_NAMES if name in file), None)
    arrays = {key: file[key] for key in ([name] if name else file)}
    wide = [key for key, array in arrays.items() if array.ndim >= 2]
    if name is None and len(wide) == 1:
        name = wide[0]
    if name is None:
        held = ", ".join(f"{key} {array.shape}" for key, array in arrays.items()) or "nothing"
        raise SourceError(
            f"{path}: expected an array named {', '.join(DATA_NAMES)}, or a single one of two or more axes, "
            f"got {held}; rename the rows to x."
        )
    labels = (file[key] for key in LABEL_NAMES if key in file and key != name)
    return arrays[name], next((found for found in labels if found.shape == arrays[name].shape[:1]), None)

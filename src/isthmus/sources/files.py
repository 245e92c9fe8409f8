"""NumPy's own files: ``.npy``, memory-mapped, and ``.npz``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import SourceError
from isthmus.sources.npz import Npz, open_npz

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
        Damaged, encrypted, too large, or no array can be told to be the rows; the message lists what
        there is.
    """
    with open_npz(path) as file:
        name = next((name for name in DATA_NAMES if name in file), None) or _only_wide(path, file)
        rows = file.read(name)
        labels = (key for key in LABEL_NAMES if key in file and key != name)
        own = next((key for key in labels if file.shape(key) == rows.shape[:1]), None)
        return rows, None if own is None else file.read(own)


def _only_wide(path: Path, file: Npz) -> str:
    """Name of the only array of two or more axes."""
    shapes = {key: file.shape(key) for key in file}
    wide = [key for key, shape in shapes.items() if len(shape) >= 2]
    if len(wide) != 1:
        held = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise SourceError(
            f"{path}: expected an array named {', '.join(DATA_NAMES)}, or a single one of two or more axes, "
            f"got {held}; rename the rows to x."
        )
    return wide[0]

"""Arrays as ``.npy`` files, written as they come."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from isthmus.artifact.file import atomically


def write_npy(
    path: Path, blocks: Iterable[NDArray[np.generic]], shape: tuple[int, ...], dtype: DTypeLike
) -> None:
    """Write an array, whole or not at all, from blocks of its rows: the same bytes that ``numpy.save`` writes.

    Parameters
    ----------
    path
        The file.
    blocks
        ``(n, *shape[1:])`` each; a block may be forgotten as soon as the next one is asked for.
    shape, dtype
        Of the whole array.
    """
    header = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with atomically(path) as file:
        npy.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype).reshape(-1).view(np.uint8).data)

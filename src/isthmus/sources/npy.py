"""``.npy`` files, memory-mapped, and the headers of members of ``.npz`` files: looked at before NumPy sees them."""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from isthmus.errors import SourceError
from isthmus.shapes import Shape

LONGEST = 10_000
"""Bytes of a header, as NumPy has it; a member that is packed could unpack to gigabytes of them."""
_DEEPEST = 250
"""Brackets and signs in a header: Python's parser gives up on nests of thousands."""
_READERS = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0, 3: npy.read_array_header_2_0}
_PADDING = b" " * 64
"""What fills a header up stands at its end; elsewhere NumPy takes the cube of its length to find that it is none."""


NPY_BROKEN = (
    ValueError,
    TypeError,
    EOFError,
    OSError,
    OverflowError,
    RecursionError,
    SyntaxError,
    struct.error,
    TokenError,
)
"""What NumPy and Python's parser raise on a header that is none."""


class NpyHeader(NamedTuple):
    """What a header promises."""

    shape: Shape
    dtype: np.dtype[Any]
    offset: int
    """Bytes before the values."""
    turned: bool = False
    """Whether the first axis is the fastest, as in Fortran."""

    @property
    def n_bytes(self) -> int:
        """Bytes of the values; sides are of Python's integers, which know no overflow."""
        n = self.dtype.itemsize
        for side in self.shape:
            n *= side
        return n


@contextmanager
def quiet() -> Generator[None]:
    """Without the warnings of NumPy and of Python's parser about how a header is written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """The header at the beginning of a file.

    Raises
    ------
    ValueError
        What is none; also struct.error and whatever NumPy raises on types that it does not know.

    Examples
    --------
    >>> buffer = io.BytesIO()
    >>> np.save(buffer, np.zeros((2, 3), np.float32))
    >>> _ = buffer.seek(0)
    >>> header = read_npy_header(buffer)
    >>> header.shape, header.n_bytes
    ((2, 3), 24)
    """
    version, _ = npy.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"version {version} of the .npy format")
    size = file.read(2 if version == 1 else 4)
    (length,) = struct.unpack("<H" if version == 1 else "<I", size)
    if length > LONGEST:
        raise ValueError(f"a header of {length:,} bytes")
    text = file.read(length)
    if sum(text.count(sign) for sign in b"([{-+~") > _DEEPEST:
        raise ValueError("a header of too many brackets")
    if _PADDING in text.rstrip():
        raise ValueError("a header with blanks that are not at its end")
    with quiet():
        shape, turned, dtype = _READERS[version](io.BytesIO(size + text))
    most = max(1, dtype.itemsize) * math.prod(max(1, side) for side in shape)
    if any(side < 0 for side in shape) or len(shape) > 64 or most >= 1 << 63:
        raise ValueError(f"a shape of {shape}")
    return NpyHeader(shape, dtype, 6 + 2 + len(size) + length, turned)


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an ``.npy`` file as a read-only memory map; nothing is unpickled.

    Raises
    ------
    SourceError
        Truncated, not an ``.npy`` file, or one that holds Python objects.
    """
    try:
        with path.open("rb") as file:
            header = read_npy_header(file)
        there = path.stat().st_size - header.offset
        if header.n_bytes > there and not header.dtype.hasobject:
            raise ValueError(f"a shape of {header.shape} in {max(0, there):,} bytes")
        with quiet():
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except NPY_BROKEN as error:
        if isinstance(error, PermissionError):
            raise
        reason = " ".join(str(error).split())
        raise SourceError(
            f"{path}: expected a whole .npy file of numbers, got one that NumPy cannot read ({reason}); save the "
            f"numbers again with numpy.save."
        ) from error

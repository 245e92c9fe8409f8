"""IDX files, plain or gzipped: the format of MNIST and its kin (Y. LeCun's page, "The IDX file format").

Two zero bytes, a type code, the number of axes; one big-endian uint32 an axis; then the values,
big-endian, last axis fastest.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import SourceError
from isthmus.shapes import Shape
from isthmus.sources.limits import most_unpacked

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"
_LARGEST_RATIO = 1032
"""No deflate stream unpacks to more than this many times its size."""

MOST_AXES = 16
_PIECE = 1 << 24


def is_idx(start: bytes) -> bool:
    r"""Whether a file that starts so is an IDX file.

    >>> is_idx(b"\x00\x00\x08\x03"), is_idx(b"PK\x03\x04")
    (True, False)
    """
    return len(start) >= 4 and start[:2] == b"\0\0" and start[2] in IDX_TYPES and start[3] > 0


def read_idx(path: Path) -> NDArray[Any]:
    """The array of an IDX file; a plain file is memory-mapped, a gzipped one is unpacked.

    The size that the header promises is held against the file before any memory is taken for it.

    Raises
    ------
    SourceError
        Not an IDX file, truncated, or longer than its header says.
    """
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    try:
        return _read_packed(path) if packed else _read_plain(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(
            f"{path}: expected a whole gzip file, got a damaged or truncated one ({error}); "
            f"download it again."
        ) from error


def labels_beside(path: Path) -> Path | None:
    """The labels file that lies beside an images file under the usual name, if there is one.

    ``train-images-idx3-ubyte.gz`` goes with ``train-labels-idx1-ubyte.gz``, ``images.idx3-ubyte`` with
    ``labels.idx1-ubyte``; either may be gzipped or not.
    """
    if "images" not in path.name:
        return None
    name = re.sub(r"idx\d", "idx1", path.name.replace("images", "labels"))
    plain = name.removesuffix(".gz")
    for candidate in (name, plain, plain + ".gz"):
        if path.with_name(candidate).is_file():
            return path.with_name(candidate)
    return None


def _read_plain(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        dtype, shape = _header(file, path)
        offset = file.tell()
    n_bytes = _n_bytes(path, shape, dtype)
    _check_size(path, path.stat().st_size - offset, n_bytes, shape)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)


def _read_packed(path: Path) -> NDArray[Any]:
    with gzip.open(path, "rb") as file:
        dtype, shape = _header(file, path)
        n_bytes = _n_bytes(path, shape, dtype)
        _check_size(path, min(n_bytes, path.stat().st_size * _LARGEST_RATIO), n_bytes, shape)
        if n_bytes > most_unpacked(path):
            raise SourceError(
                f"{path}: expected values as large as their file makes likely, got {n_bytes / 2**30:.3g} GiB (shape "
                f"{shape}) in {path.stat().st_size:,} bytes; unpack it first if it is meant so."
            )
        memory = bytearray(n_bytes + 1)
        _check_size(path, _fill(file, memory), n_bytes, shape)
    return np.frombuffer(memory, dtype, count=math.prod(shape)).reshape(shape)


def _fill(file: gzip.GzipFile, memory: bytearray) -> int:
    """Read until the memory is full or the file ends; how many bytes came."""
    view, filled = memoryview(memory), 0
    while n_read := file.readinto(view[filled : filled + _PIECE]):
        filled += n_read
    return filled


def _header(file: BinaryIO | gzip.GzipFile, path: Path) -> tuple[np.dtype[Any], Shape]:
    start = file.read(4)
    if not is_idx(start):
        raise SourceError(
            f"{path}: expected an IDX file (two zero bytes, a type code, the number of axes), "
            f"got the bytes {start.hex(' ') or 'of an empty file'}; check that this is the right file."
        )
    sides = file.read(4 * start[3])
    if len(sides) < 4 * start[3]:
        raise SourceError(
            f"{path}: the IDX header promises {start[3]} axes, got a file cut short; download it again."
        )
    shape = tuple(int(side) for side in np.frombuffer(sides, ">u4"))
    return np.dtype(IDX_TYPES[start[2]]), shape


def _n_bytes(path: Path, shape: Shape, dtype: np.dtype[Any]) -> int:
    """Bytes of the values, of which there have to be some."""
    if len(shape) > MOST_AXES or 0 in shape:
        raise SourceError(
            f"{path}: the IDX header promises {len(shape)} axes of {min(shape)} values and more, expected "
            f"{MOST_AXES} at "
            f"most and a value in each; check that this is the right file."
        )
    return math.prod(shape) * dtype.itemsize


def _check_size(path: Path, found: int, expected: int, shape: Shape) -> None:
    if found != expected:
        state = "a truncated" if found < expected else "an over-long"
        raise SourceError(
            f"{path}: the IDX header promises {expected} bytes of values (shape {shape}), got {state} file; "
            f"download it again."
        )

"""Arrays, in memory or as ``.npy`` and IDX files: one column of values, a file that comes back byte for byte."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from isthmus.codec.columns import Columns
from isthmus.codec.contents.base import Content, Facts, Form, beside, check_rows, fact, unfit
from isthmus.errors import DataError
from isthmus.shapes import Shape
from isthmus.sources.idx import GZIP_MAGIC, IDX_TYPES, is_idx, read_idx
from isthmus.sources.npy import NPY_BROKEN, NpyHeader, quiet, read_npy, read_npy_header

VALUES = "values"
"""Name of the only column."""
_SUFFIXES = {"npy": ".npy", "idx": "", "idx.gz": ".gz"}
_LONGEST = 20_000
"""Characters of a header."""


@final
class ArrayForm(Form):
    """An array and the file that it was: facts are the file's kind and its header, as it stands there, in base64.

    Parameters
    ----------
    facts
        ``n_rows``, ``file`` (``"npy"``, ``"idx"`` or ``"idx.gz"``) and ``header``.
    """

    kind = "array"

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        self.file = fact(facts, "file", str)
        self.header, header = _parsed(self.file, fact(facts, "header", str))
        """The bytes before the values."""
        self.shape: Shape = header.shape
        """Of the whole array."""
        self.dtype, self._turned = header.dtype, header.turned
        if self.n_rows != (self.shape[0] if self.shape else 1):
            raise unfit(f"{self.n_rows:,} rows of an array of shape {self.shape}")

    @property
    def suffix(self) -> str:
        """The ending of its kind; IDX files have none of their own."""
        return _SUFFIXES[self.file]

    def no_rows(self) -> NDArray[Any]:
        """An array without rows."""
        return np.zeros((0, *self.shape[1:]), self.dtype)

    def some(self, n_rows: int) -> ArrayForm:
        """An ``.npy`` file."""
        some = np.broadcast_to(np.zeros((), self.dtype), (n_rows, *self.shape[1:]))
        return ArrayForm({"kind": self.kind, **array_facts(some)})

    def rows(self, columns: Columns) -> NDArray[Any]:
        """Rows of the array, ``(n, *shape[1:])``, in its own type and byte order."""
        return restored(columns.get(VALUES), self.dtype, self.shape[1:])

    def write(self, blocks: Iterable[Columns], path: Path) -> None:
        """Write the file, byte for byte as it was; of one that was packed its contents."""
        with beside(path) as place:
            if self._turned and len(self.shape) > 1:
                self._write_turned(place, blocks)
                return
            with place.open("wb") as file:
                if self.file == "idx.gz":
                    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                        self._write(packed, blocks)
                else:
                    self._write(file, blocks)

    def _write(self, file: IO[bytes] | gzip.GzipFile, blocks: Iterable[Columns]) -> None:
        file.write(self.header)
        for rows in self._all(blocks):
            file.write(rows.tobytes())

    def _write_turned(self, path: Path, blocks: Iterable[Columns]) -> None:
        path.write_bytes(self.header)
        with path.open("rb+") as file:
            file.truncate(len(self.header) + math.prod(self.shape) * self.dtype.itemsize)
        whole = flat = None
        if math.prod(self.shape) * self.dtype.itemsize:
            whole = np.memmap(path, self.dtype, "r+", len(self.header), self.shape, "F")
            flat = _whole(whole)
        start = 0
        for rows in self._all(blocks):
            if flat is not None:
                flat[start : start + len(rows)] = _whole(rows)
            start += len(rows)
        if whole is not None:
            whole.flush()

    def _all(self, blocks: Iterable[Columns]) -> Iterator[NDArray[Any]]:
        n_rows = 0
        for columns in blocks:
            rows = self.rows(columns)
            n_rows += len(rows)
            if n_rows > self.n_rows:
                break
            yield rows
        check_rows(n_rows, self)


@final
class ArrayContent(Content):
    """An array.

    Parameters
    ----------
    array
        Of any type but Python objects, in memory or mapped.
    facts
        Of its file; without them those of the ``.npy`` file that it would be.
    name
        What messages begin with.

    Raises
    ------
    DataError
        An array of objects.
    """

    def __init__(self, array: NDArray[Any], facts: Facts | None = None, name: str = "array") -> None:
        if array.dtype.hasobject:
            raise DataError(
                f"{name}: expected an array of values, got one of Python objects; turn it into numbers or texts of "
                f"one width."
            )
        self.name = name
        self.facts = {"kind": "array", **(array_facts(array) if facts is None else facts)}
        self.form = ArrayForm(self.facts)
        self._array = array if array.shape else array[None]
        self.row_bytes = float(math.prod(array.shape[1:]) * array.dtype.itemsize)

    @property
    def numbers(self) -> dict[str, int]:
        """The values, where they are real numbers."""
        return {VALUES: 0} if self._array.dtype.kind in "iuf" and self._array.dtype.itemsize <= 8 else {}

    def block(self, rows: slice) -> Columns:
        """The values of some rows; truth values as bytes, complex ones as two floats, dates as their numbers."""
        return {VALUES: stored(self._array[rows])}


def array_facts(array: NDArray[Any]) -> Facts:
    """The facts of an array in memory: it becomes the ``.npy`` file that NumPy would write."""
    with quiet():
        descr = npy.dtype_to_descr(array.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": array.shape}
        try:
            npy.write_array_header_1_0(file := io.BytesIO(), header)
        except ValueError:  # a record of many fields
            npy.write_array_header_2_0(file := io.BytesIO(), header)
    return _facts("npy", file.getvalue(), array.shape)


def open_array(path: Path) -> ArrayContent | None:
    """The content of an ``.npy`` or IDX file; None of one that is neither, is damaged, or holds more than its array."""
    try:
        with path.open("rb") as file:
            start, kind = file.read(4), "idx"
        if start[:2] == GZIP_MAGIC:
            with gzip.open(path) as packed:
                start, kind = packed.read(4), "idx.gz"
        if is_idx(start):
            array = read_idx(path)
            header = start + np.array(array.shape, ">u4").tobytes()
            return ArrayContent(array, _facts(kind, header, array.shape), str(path))
        return _open_npy(path) if start == npy.MAGIC_PREFIX[:4] else None
    except (*NPY_BROKEN, zlib.error):
        return None


def _open_npy(path: Path) -> ArrayContent | None:
    with path.open("rb") as file:
        header = read_npy_header(file)
        file.seek(0)
        raw = file.read(header.offset)
    if header.dtype.hasobject or header.offset + header.n_bytes != path.stat().st_size:
        return None
    return ArrayContent(read_npy(path), _facts("npy", raw, header.shape), str(path))


def _facts(file: str, header: bytes, shape: Shape) -> Facts:
    return {"n_rows": int(shape[0]) if shape else 1, "file": file, "header": b64encode(header).decode()}


def _parsed(file: str, text: str) -> tuple[bytes, NpyHeader]:
    """The header of a file, as bytes and as what it says."""
    try:
        if len(text) > _LONGEST or file not in _SUFFIXES:
            raise ValueError("a header that is too long, or of another file")
        raw = b64decode(text, validate=True)
        if file == "npy":
            header = read_npy_header(io.BytesIO(raw))
        elif is_idx(raw[:4]) and len(raw) == 4 + 4 * raw[3]:
            shape = tuple(int(side) for side in np.frombuffer(raw, ">u4", offset=4))
            header = NpyHeader(shape, np.dtype(IDX_TYPES[raw[2]]), len(raw))
        else:
            raise ValueError("no header of an IDX file")
        if header.offset != len(raw) or header.dtype.hasobject:
            raise ValueError("a header of something else")
    except NPY_BROKEN as error:
        raise unfit(f"{' '.join(str(error).split())[:100]} in the facts of an array") from None
    return raw, header


def stored(array: NDArray[Any]) -> NDArray[Any]:
    """Values as numbers of 8 to 64 bits in this machine's byte order, every bit kept.

    >>> (
    ...     stored(np.array([True])).dtype,
    ...     stored(np.array([1 + 2j])).tolist(),
    ...     stored(np.array([b"ab"])).tolist(),
    ... )
    (dtype('uint8'), [[1.0, 2.0]], [[97, 98]])
    """
    array = np.ascontiguousarray(_whole(array))
    if array.dtype.kind in "iuf" and array.dtype.itemsize <= 8:
        native = array if array.dtype.isnative else array.byteswap().view(array.dtype.newbyteorder("="))
        return native.view(np.ndarray)
    held = _held(array.dtype)
    if not array.dtype.itemsize:
        return np.zeros((*array.shape, 0), np.uint8)
    values = (
        array.view(np.ndarray)
        .reshape(*array.shape, 1)
        .view(held.newbyteorder("=") if held.isnative else held)
    )
    values = values if held.isnative else values.byteswap().view(held.newbyteorder("="))
    return values[..., 0] if held.itemsize == array.dtype.itemsize else values


def _whole(array: NDArray[Any]) -> NDArray[Any]:
    """Records as pieces of bytes: a copy of records leaves out what lies between their fields."""
    return array.view(np.dtype((np.void, array.dtype.itemsize))) if array.dtype.names else array


def restored(values: Any, dtype: np.dtype[Any], shape: Shape) -> NDArray[Any]:
    """An array of its own type and byte order of what :func:`stored` made of it.

    Raises
    ------
    ArtifactError
        Values of another type or shape.
    """
    own = dtype.kind in "iuf" and dtype.itemsize <= 8
    held = dtype.newbyteorder("=") if own else _held(dtype).newbyteorder("=")
    ratio = () if own or held.itemsize == dtype.itemsize else (dtype.itemsize // held.itemsize,)
    if not isinstance(values, np.ndarray) or values.dtype != held or values.shape[1:] != (*shape, *ratio):
        raise unfit(f"values that are no {dtype} of shape {shape}")
    if not dtype.itemsize:
        return np.zeros((len(values), *shape), dtype)
    swapped = held if own else _held(dtype)
    if own and not dtype.isnative:
        return values.byteswap().view(dtype)
    if not own and not swapped.isnative:
        values = values.byteswap()
    values = np.ascontiguousarray(values)
    return values.view(dtype).reshape(len(values), *shape)


def _held(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of numbers that hold a value of another type, in its byte order."""
    order = "<" if dtype.newbyteorder("<") == dtype else ">"
    if dtype.kind in "mM":
        return np.dtype(f"{order}i8")
    if dtype.kind == "c" and dtype.itemsize <= 16:
        return np.dtype(f"{order}f{dtype.itemsize // 2}")
    return np.dtype("u1")

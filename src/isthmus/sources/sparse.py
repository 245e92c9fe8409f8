"""Sparse rows: a matrix of which only what is not 0 is kept, made dense a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from isthmus.errors import DataError, SourceError
from isthmus.schema import Schema
from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.check import TYPE_RANGES
from isthmus.sources.labels import labels_of
from isthmus.sources.npz import Npz

MOST_ROW_BYTES = 1 << 26
"""One dense row may take so much (64 MiB)."""
_MOST_EMPTY = 1 << 23
"""Rows that a file may have beyond its values, for each takes memory too."""
_PARTS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
    "dia": ("data", "offsets"),
}
"""Arrays that ``scipy.sparse.save_npz`` writes beside format and shape."""


@final
class SparseSource(Source):
    """The rows of a sparse matrix as vectors; no more of them is dense at a time than is asked for.

    Parameters
    ----------
    matrix
        ``(rows, features)``, a sparse array or matrix of SciPy of any format; one that is not CSR is
        converted once. Values that are not kept are 0, and never gaps.
    labels
        One integer or string a row.
    columns
        Names of the features.
    who
        What messages begin with.

    Raises
    ------
    DataError
        What is no sparse matrix, values that are not numbers, or one without rows or features.

    Examples
    --------
    >>> words = SparseSource(sparse.csr_array([[0.0, 2.0], [1.0, 0.0]]))
    >>> words.schema.describe(), words.read(slice(0, 1)).tolist()
    ('vectors 2, float64', [[0.0, 2.0]])
    """

    def __init__(
        self,
        matrix: Any,
        labels: ArrayLike | None = None,
        columns: Sequence[str] | None = None,
        *,
        who: str = "SparseSource",
    ) -> None:
        if not sparse.issparse(matrix):
            raise DataError(
                f"{who}: expected a sparse matrix of SciPy, got {type(matrix).__name__}; "
                f"rows that are dense are for ArraySource."
            )
        if matrix.dtype.kind not in "biuf":
            raise DataError(
                f"{who}: values must be booleans, integers or floats, got type {matrix.dtype}; "
                f"convert them first, for example with matrix.astype('float32')."
            )
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise DataError(
                f"{who}: expected at least one row and one feature, got shape {matrix.shape}; give it some data."
            )
        n_rows, n_features = map(int, matrix.shape)
        if columns is not None and len(columns) != n_features:
            raise DataError(
                f"{who}: columns must name each feature, got {len(columns)} names for {n_features} features; "
                f"leave columns out or give one name a feature."
            )
        if n_features * max(8, matrix.dtype.itemsize) > MOST_ROW_BYTES:
            raise DataError(
                f"{who}: expected at most {MOST_ROW_BYTES // 8:,} features, of which a row can be dense, got "
                f"{n_features:,}; hash them into fewer, or leave out those that hardly occur."
            )
        self.name = who
        self._matrix: Any = sparse.csr_array(matrix)
        self._dtype = np.dtype(matrix.dtype).newbyteorder("=")
        self.labels = None if labels is None else labels_of(labels, n_rows, who)
        self.schema = Schema(
            "vectors",
            (n_features,),
            self._dtype.name,
            None if self._dtype == np.uint16 else TYPE_RANGES.get(self._dtype.name),
            columns=None if columns is None else tuple(map(str, columns)),
        )
        share = 100.0 * self._matrix.nnz / (n_rows * n_features)
        self.notes = (
            f"A sparse matrix that keeps {share:.3g} % of its values: rows are made dense a block at a time.",
        )

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self._matrix.shape[0])

    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, in the order asked, dense, as ``(n, features)``.

        Raises
        ------
        DataError
            A row number that the matrix does not have.
        """
        try:
            block = self._matrix[rows]
        except IndexError as error:
            raise DataError(
                f"{self.name}: row numbers must be below {len(self)}, got {rows}; the first row is 0."
            ) from error
        return np.asarray(block.toarray(), self._dtype)


def is_sparse_npz(file: Npz) -> bool:
    """Whether an ``.npz`` file is one that ``scipy.sparse.save_npz`` wrote."""
    return all(name in file for name in ("format", "shape", "data"))


def read_sparse_npz(path: Path, file: Npz) -> Any:
    """The matrix that ``scipy.sparse.save_npz`` wrote, in CSR; nothing of it is taken on trust.

    Raises
    ------
    SourceError
        Parts that are missing or do not fit each other.
    """
    kind = file.read("format").item()
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    if kind not in _PARTS or not all(name in file for name in _PARTS[kind]):
        raise SourceError(
            f"{path}: expected a sparse matrix as scipy.sparse.save_npz writes it, got the format {kind!r} with "
            f"{', '.join(file)}; save it again from matrix.tocsr()."
        )
    parts: list[NDArray[Any]] = [file.read(name) for name in _PARTS[kind]]
    sides = file.read("shape").ravel()
    told = list(zip(parts, ("biufc", *["iu"] * 2), strict=False))
    if any(part.dtype.kind not in kinds for part, kinds in [*told, (sides, "iu")]):
        kinds = ", ".join(str(part.dtype) for part in [*parts, sides])
        raise SourceError(
            f"{path}: expected a sparse matrix of numbers at whole places, got parts of the types {kinds}; "
            f"save it again "
            f"with scipy.sparse.save_npz."
        )
    shape = tuple(int(side) for side in sides)
    n_values = sum(part.size for part in parts)
    if len(shape) == 2 and max(shape) - n_values > _MOST_EMPTY:
        raise SourceError(
            f"{path}: expected a sparse matrix of about as many rows and columns as values, got {shape[0]:,} x "
            f"{shape[1]:,} with {n_values:,}; leave out rows and columns that are empty."
        )
    try:
        _check_places(kind, parts, shape)
        matrix = _matrix(kind, parts, shape)
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)
        return sparse.csr_array(matrix)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise SourceError(
            f"{path}: expected a whole sparse matrix, got parts that do not fit each other ({reason}); "
            f"save it again with scipy.sparse.save_npz."
        ) from None


def _check_places(kind: str, parts: list[NDArray[Any]], shape: tuple[int, ...]) -> None:
    """Raise if a place leads out of the matrix: SciPy's compiled code follows all of them without a look.

    Its own check passes over what ends in a 0, and comes after numbers without a sign have lost their highest bit.
    """
    if kind not in ("csr", "csc", "bsr") or len(shape) != 2:
        return  # the places of "coo" are all looked at by SciPy, and those of "dia" by code that is not compiled
    data, indices, starts = parts
    if indices.ndim != 1 or starts.ndim != 1 or data.ndim != (3 if kind == "bsr" else 1):
        raise ValueError(f"parts of {data.ndim}, {indices.ndim} and {starts.ndim} dimensions")
    sides = data.shape[1:] if kind == "bsr" else (1, 1)
    if 0 in sides or any(side % each for side, each in zip(shape, sides, strict=True)):
        raise ValueError(f"blocks of {sides[0]} x {sides[1]} in a matrix of {shape[0]} x {shape[1]}")
    n_lines, n_places = (side // each for side, each in zip(shape, sides, strict=True))
    if kind == "csc":
        n_lines, n_places = n_places, n_lines
    if len(starts) != n_lines + 1 or len(indices) != len(data):
        raise ValueError(
            f"{len(starts) - 1} lines of {n_lines}, and {len(indices)} places of {len(data)} values"
        )
    if starts[0] != 0 or starts[-1] > len(indices) or (starts[1:] < starts[:-1]).any():
        raise ValueError(f"lines that do not follow each other from 0 to {len(indices)} at most")
    used = indices[: int(starts[-1])]  # SciPy may leave room after them
    if len(used) and not (used.min() >= 0 and used.max() < n_places):
        raise ValueError(f"places that are not below {n_places}")


def _matrix(kind: str, parts: list[NDArray[Any]], shape: tuple[int, ...]) -> Any:
    data, *places = parts
    if kind == "coo":
        return sparse.coo_array((data, tuple(places)), shape=shape)
    if kind == "dia":
        return sparse.dia_array((data, places[0]), shape=shape)
    made: Any = {"csr": sparse.csr_array, "csc": sparse.csc_array, "bsr": sparse.bsr_array}[kind]
    return made((data, *places), shape=shape)

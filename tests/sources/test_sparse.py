"""Sparse matrices: the same rows as the dense matrix, never more of them at a time than are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource, SparseSource, open_source

MATRIX = sparse.random(40, 12, density=0.2, format="csr", random_state=0)
FORMATS = ("csr", "csc", "coo", "bsr", "dia")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_every_format_gives_the_dense_rows(tmp_path: Path, kind: str, dtype: str) -> None:
    matrix = (MATRIX * 100).astype(dtype).asformat(kind)
    dense = matrix.toarray()
    sparse.save_npz(tmp_path / "x.npz", matrix)
    for source in (SparseSource(matrix), open_source(tmp_path / "x.npz")):
        assert source.schema == ArraySource(dense).schema
        assert np.array_equal(source.read(slice(3, 9)), dense[3:9])
        assert np.array_equal(source.read(np.array([7, 0, 7])), dense[[7, 0, 7]])
        assert source.read(slice(None)).dtype == dense.dtype


def test_duplicates_are_summed_as_scipy_does() -> None:
    matrix = sparse.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 2))
    assert SparseSource(matrix).read(slice(None)).tolist() == [[0.0, 3.0], [0.0, 0.0]]


def test_scaling_is_that_of_the_dense_rows() -> None:
    rows = np.arange(40)
    dense, thin = (
        Scaling.fit(source, rows) for source in (ArraySource(MATRIX.toarray()), SparseSource(MATRIX))
    )
    assert np.array_equal(dense.shift, thin.shift)
    assert np.array_equal(dense.scale, thin.scale)


def test_a_matrix_that_no_memory_holds_is_read_by_blocks() -> None:
    n, width = 2_000_000, 1_000_000  # 16 TB of float64
    rows = np.array([5, n - 1])
    matrix = sparse.csr_array((np.array([1.0, 2.0]), (rows, [3, width - 1])), shape=(n, width))
    source = SparseSource(matrix)
    block = source.read(slice(4, 7))
    assert (len(source), block.shape, block[1, 3], block.sum()) == (n, (3, width), 1.0, 1.0)


def test_labels_and_names() -> None:
    source = SparseSource(sparse.eye(3, format="csr"), labels=["a", "b", "a"], columns=["u", "v", "w"])
    assert source.labels is not None
    assert source.labels.tolist() == ["a", "b", "a"]
    assert source.schema.columns == ("u", "v", "w")


@pytest.mark.parametrize(
    ("matrix", "options", "match"),
    [
        (np.eye(2), {}, "expected a sparse matrix of SciPy, got ndarray"),
        (sparse.csr_array((0, 3)), {}, r"at least one row and one feature, got shape \(0, 3\)"),
        (sparse.eye(2).astype(complex), {}, "got type complex128"),
        (sparse.eye(2), {"columns": ["a"]}, "got 1 names for 2 features"),
        (sparse.eye(2), {"labels": [1]}, r"expected one label a row, 2 in all"),
    ],
)
def test_what_cannot_be_rows(matrix: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match):
        SparseSource(matrix, **options)


def test_a_row_that_is_not_there() -> None:
    with pytest.raises(DataError, match="row numbers must be below 40"):
        SparseSource(MATRIX).read(np.array([40]))


def damaged(**parts: Any) -> dict[str, Any]:
    whole = {"format": b"csr", "shape": [2, 3], "data": [1.0, 2.0], "indices": [0, 2], "indptr": [0, 1, 2]}
    return {name: np.array(value) for name, value in {**whole, **parts}.items() if value is not None}


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"indices": [0, 3]}, "parts that do not fit each other"),
        ({"indices": [0, -1]}, "parts that do not fit each other"),
        ({"indptr": [0, 5, 2]}, "parts that do not fit each other"),
        ({"indptr": [0, 2, 0]}, "lines that do not follow each other from 0 to 2 at most"),
        ({"indptr": [0, 1, 1], "indices": [3, 0]}, "places that are not below 3"),
        ({"format": b"csc", "indptr": [0, 2, 1, 0]}, "lines that do not follow each other"),
        ({"indices": np.array([0, 2**63], np.uint64)}, "places that are not below 3"),
        ({"indptr": np.array([0, 2**63, 2], np.uint64)}, "lines that do not follow each other"),
        ({"format": b"bsr", "data": np.ones((2, 1, 3)), "indptr": [0, 2, 0]}, "lines that do not follow"),
        ({"format": b"bsr", "data": np.ones((2, 1, 3))}, "places that are not below 1"),
        ({"format": b"bsr", "data": np.ones((2, 0, 3))}, "blocks of 0 x 3 in a matrix of 2 x 3"),
        ({"format": b"bsr", "data": np.ones((2, 2, 2))}, "blocks of 2 x 2 in a matrix of 2 x 3"),
        ({"format": b"bsr"}, "parts of 1, 1 and 1 dimensions"),
        ({"data": [1.0]}, "2 places of 1 values"),
        ({"indptr": [0, 2]}, "1 lines of 2"),
        ({"indptr": [0, 1, 9]}, "parts that do not fit each other"),
        ({"shape": [2]}, "parts that do not fit each other"),
        ({"shape": [2, -3]}, "parts that do not fit each other"),
        ({"format": b"coo", "row": [0, 9], "col": [0, 1]}, "parts that do not fit each other"),
        ({"format": b"lil"}, "got the format 'lil'"),
        ({"indptr": None}, "got the format 'csr' with format, shape, data, indices"),
    ],
)
def test_damaged_files_are_refused_before_anything_is_read(tmp_path: Path, parts: Any, match: str) -> None:
    np.savez(tmp_path / "x.npz", **damaged(**parts))
    with pytest.raises(SourceError, match=match):
        open_source(tmp_path / "x.npz")


def test_room_after_the_values_is_left_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **damaged(data=[1.0, 2.0, 9.0], indices=[0, 2, 99]))
    assert open_source(tmp_path / "x.npz").read(slice(None)).tolist() == [[1, 0, 0], [0, 0, 2]]


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo", "dia"])
def test_every_format_is_read_back(tmp_path: Path, kind: str) -> None:
    sparse.save_npz(tmp_path / "x.npz", MATRIX.asformat(kind))
    np.testing.assert_array_equal(open_source(tmp_path / "x.npz").read(slice(None)), MATRIX.toarray())


def test_sparse_rows_are_vectors(tmp_path: Path) -> None:
    sparse.save_npz(tmp_path / "x.npz", MATRIX)
    with pytest.raises(ParameterError, match="a sparse matrix holds vectors"):
        open_source(tmp_path / "x.npz", sample_shape=(3, 4))

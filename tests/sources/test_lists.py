"""List columns as vectors: every way that Arrow keeps lists gives the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as arrow_feather
import pyarrow.parquet as arrow_parquet
import pytest

from isthmus.errors import DataError, ParameterError
from isthmus.schema import Schema
from isthmus.sources import TableSource, open_source
from isthmus.workflows.open_data import open_data

X = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
KINDS = {
    "list": pa.list_(pa.float32()),
    "large list": pa.large_list(pa.float32()),
    "fixed": pa.list_(pa.float32(), 4),
}


def lists(values: np.ndarray, kind: str = "fixed") -> Any:
    return pa.array(list(values), KINDS[kind])


def written(path: Path, **columns: Any) -> Path:
    table = pa.table(columns)
    if path.suffix == ".parquet":
        arrow_parquet.write_table(table, path, row_group_size=3)
    else:
        arrow_feather.write_feather(table, path, chunksize=3)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.feather"])
def test_every_kind_of_list(tmp_path: Path, kind: str, name: str) -> None:
    source = open_source(written(tmp_path / name, embedding=lists(X, kind)))
    assert source.schema == Schema("vectors", (4,), "float32", lists=(("embedding", 4),))
    assert np.array_equal(source.read(slice(None)), X)
    assert np.array_equal(source.read(np.array([9, 0])), X[[9, 0]])


def test_tensors_are_fixed_lists(tmp_path: Path) -> None:
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(X.reshape(10, 2, 2).copy())
    path = written(tmp_path / "x.parquet", embedding=tensors)
    assert np.array_equal(open_source(path).read(slice(None)), X)
    assert open_source(path, sample_shape=(2, 2)).schema.describe() == "pictures 2 x 2 x 1, float32"


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "uint8", "bool"])
def test_types_are_kept(tmp_path: Path, dtype: str) -> None:
    values = (X * 9).astype(dtype)
    column = pa.array(values.tolist(), pa.list_(pa.from_numpy_dtype(values.dtype)))
    source = open_source(written(tmp_path / "x.parquet", x=column))
    assert source.schema.dtype == dtype
    assert np.array_equal(source.read(slice(None)), values)


def test_gaps_within_a_list_are_nan(tmp_path: Path) -> None:
    source = open_source(written(tmp_path / "x.parquet", x=pa.array([[1, None], [3, 4]])))
    assert np.array_equal(source.read(slice(None)), [[1.0, np.nan], [3.0, 4.0]], equal_nan=True)


def test_several_lists_stand_side_by_side(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.parquet", b=lists(X[:, :1], "list"), price=[1.0] * 10, a=lists(X[:, 1:], "list")
    )
    source = open_source(path)
    assert source.schema.lists == (("b", 1), ("a", 3))
    assert source.schema.columns == ("b[0]", "a[0]", "a[1]", "a[2]")
    assert np.array_equal(source.read(slice(None)), X)
    assert source.notes == (
        "Rows are the lists of 'b' (1 value) and 'a' (3 values), side by side.",
        "Left out, for they stand beside the lists: 'price'.",
    )
    assert np.array_equal(open_source(path, array=["a", "b"]).read(slice(None)), X[:, [1, 2, 3, 0]])
    assert np.array_equal(open_source(path, array="a").read(slice(None)), X[:, 1:])
    assert np.array_equal(open_source(path, types={"b": "ignore"}).read(slice(None)), X[:, 1:])
    table = open_source(path, types={"a": "ignore", "b": "ignore", "price": "continuous"})
    assert isinstance(table, TableSource)
    assert table.schema.columns == ("price",)


def test_labels_and_names_of_rows_come_along(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", id=list(range(10)), x=lists(X), label=list("ab" * 5))
    source = open_source(path)
    assert source.labels is not None
    assert source.labels.tolist() == list("ab" * 5)
    assert source.row_names is not None
    assert source.row_names.tolist() == [str(row) for row in range(10)]
    (tmp_path / "labels.txt").write_text("\n".join("1234567890"), "utf-8")
    given = open_source(path, labels=tmp_path / "labels.txt").labels
    assert given is not None
    assert given.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]


def test_new_data_are_read_by_the_names_that_a_model_knows(tmp_path: Path) -> None:
    fitted = open_source(
        written(tmp_path / "a.parquet", a=lists(X[:, :1], "list"), b=lists(X[:, 1:], "list"))
    ).schema
    other = written(
        tmp_path / "b.parquet", b=lists(X[:, 1:], "list"), more=lists(X), a=lists(X[:, :1], "list")
    )
    assert np.array_equal(open_data(str(other), schema=fitted).read(slice(None)), X)
    lacking = written(tmp_path / "c.parquet", b=lists(X[:, 1:], "list"))
    with pytest.raises(ParameterError, match=r"lists of numbers named 'a', got lists named 'b'"):
        open_data(str(lacking), schema=fitted)


UNEQUAL = [[1.0, 2.0]] * 5 + [[1.0]] + [[1.0, 2.0]] * 4


@pytest.mark.parametrize(
    ("columns", "options", "match"),
    [
        ({"x": UNEQUAL}, {}, r"column 'x': expected lists of one length, got 2 values in row 0 and 1 in row 5"),
        ({"x": [[1.0]] * 4 + [None]}, {}, r"column 'x': expected a list in each row, got none in row 4"),
        ({"x": pa.array([[], []], pa.list_(pa.float32()))}, {}, "expected lists of values, got empty ones"),
        ({"x": pa.array([], pa.list_(pa.float32()))}, {}, "expected rows, got a table without any"),
        ({"x": [[1.0]] * 2}, {"array": "y"}, "numbers named 'y', got lists named 'x'"),
        ({"x": [1.0] * 2}, {"array": "x"}, "numbers named 'x', got a file without any"),
        ({"x": [[1.0]] * 2, "y": [1, 2]}, {"types": {"y": "count"}}, "no column has a type, got one for 'y'"),
        ({"x": [[1.0]] * 2}, {"types": {"z": "ignore"}}, "got 'z', which it has not"),
    ],
)  # fmt: skip
def test_lists_that_are_no_rows(tmp_path: Path, columns: Any, options: Any, match: str) -> None:
    with pytest.raises((DataError, ParameterError), match=match):
        open_source(written(tmp_path / "x.parquet", **columns), **options)

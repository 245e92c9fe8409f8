"""Folders of shards: one source in natural order, and errors that name the shard."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.sources import ArraySource, ShardedSource, Source, TableSource, open_source, shards
from isthmus.sources.shards import natural

X = np.random.default_rng(0).normal(size=(26, 3)).astype(np.float32)
CUTS = [0, 5, 6, 20, 26]


def pieces() -> list[np.ndarray]:
    return [X[first:end] for first, end in itertools.pairwise(CUTS)]


def arrays(folder: Path, *parts: np.ndarray, first: int = 8) -> Path:
    folder.mkdir()
    for at, part in enumerate(parts or pieces(), start=first):
        np.save(folder / f"part-{at}.npy", part)
    return folder


def tables(folder: Path, *parts: dict[str, Any]) -> Path:
    folder.mkdir()
    for at, part in enumerate(parts, start=9):
        arrow_parquet.write_table(pa.table(part), folder / f"{at}.parquet")
    return folder


def test_array_shards_are_one_array_in_natural_order(tmp_path: Path) -> None:
    source = open_source(arrays(tmp_path / "x"))
    assert isinstance(source, ShardedSource)
    assert np.array_equal(source.read(slice(None)), X)
    assert source.schema == ArraySource(X).schema
    assert source.notes == ("4 shards one after the other, from part-8.npy to part-11.npy.",)
    (tmp_path / "labels.txt").write_text("\n".join(map(str, range(26))), "utf-8")
    labels = open_source(tmp_path / "x", labels=tmp_path / "labels.txt").labels
    assert labels is not None
    assert labels.tolist() == list(range(26))


@given(st.lists(st.integers(0, 25), max_size=40), st.integers(0, 26), st.integers(0, 26))
def test_any_rows_in_any_order(rows: list[int], first: int, end: int) -> None:
    source = ShardedSource(
        [lambda piece=piece: ArraySource(piece) for piece in pieces()], "x", in_memory=True
    )
    assert np.array_equal(source.read(np.array(rows, np.int64)), X[rows])
    assert np.array_equal(source.read(slice(first, end)), X[first:end])


def test_few_shards_are_open_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def opener(at: int) -> Source:
        opened.append(at)
        return ArraySource(pieces()[at])

    monkeypatch.setattr(shards, "MOST_BYTES", 12 * 20)  # the third piece fills it with one that is smaller
    source = ShardedSource([lambda at=at: opener(at) for at in range(4)], "x", in_memory=True)
    assert opened == [0, 1, 2, 3]
    assert np.array_equal(source.read(slice(None)), X)
    assert np.array_equal(source.read(slice(19, 26)), X[19:])
    assert opened == [0, 1, 2, 3, 0, 1, 2, 3]


def test_list_shards(tmp_path: Path) -> None:
    folder = tables(
        tmp_path / "x",
        *(
            {"id": [f"{at}-{row}" for row in range(len(part))], "e": list(part), "label": [at] * len(part)}
            for at, part in enumerate(pieces())
        ),
    )
    source = open_source(folder)
    assert source.schema.lists == (("e", 3),)
    assert np.array_equal(source.read(slice(None)), X)
    assert source.labels is not None
    assert source.row_names is not None
    assert (source.labels[4:7].tolist(), source.row_names[[0, 25]].tolist()) == ([0, 1, 2], ["0-0", "3-5"])


def test_tables_stand_below_each_other_in_the_columns_of_the_first(tmp_path: Path) -> None:
    folder = tables(
        tmp_path / "x",
        {"a": [1.5, 2.5], "b": ["u", "v"]},
        {"b": ["u", "u"], "a": [3.5, None]},
        {"a": [4.5], "b": [None]},
    )
    source = open_source(folder, types={"b": "category"})
    assert isinstance(source, TableSource)
    assert source.read(slice(None))[:, 0].tolist()[:3] == [1.5, 2.5, 3.5]
    assert source.column_names == ["a", "b"]
    assert len(source) == 5
    text = tmp_path / "text"
    text.mkdir()
    (text / "2.csv").write_text("a;b\n1,5;u\n2,5;v\n", "utf-8")
    (text / "10.csv").write_text("a,b\n3.5,u\n", "utf-8")
    assert open_source(text).read(slice(None))[:, 0].tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        (
            [X[:3], X[:3, :2]],
            r"got vectors 3, float32 in .*part-8.npy and vectors 2, float32 in .*part-9.npy",
        ),
        ([X[:3], X[:3].astype(np.float64)], r"vectors 3, float64 in .*part-9.npy"),
        ([X[:3], np.zeros((2, 3, 3), np.float32)], r"pictures 3 x 3 x 1, float32 in .*part-9.npy"),
        ([X[:3], X[0]], r"part-9.npy: expected rows of values, got an array of shape \(3,\)"),
        ([X[:3], X[:0]], r"part-9.npy: expected at least one row"),
    ],
)
def test_an_array_that_differs_is_named(tmp_path: Path, parts: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        open_source(arrays(tmp_path / "x", *parts))


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ([{"a": [1.0]}, {"b": [1.0]}], r"10.parquet: expected the columns of 9.parquet, got none named 'a'"),
        (
            [{"a": [1.0]}, {"a": [1.0], "b": [1]}],
            r"10.parquet: expected the columns of 9.parquet, got also 'b'",
        ),
        (
            [{"a": [1.0]}, {"a": ["x"]}],
            r"10.parquet: column 'a': expected the type double, as in 9.parquet, got string",
        ),
        (
            [{"e": [[1.0]]}, {"e": [[1.0, 2.0]]}],
            r"lists 'e' \(1\) in .*9.parquet and .*'e' \(2\) in .*10.parquet",
        ),
        ([{"e": [[1.0]]}, {"e": [1.0]}], r"10.parquet: expected columns of lists .* as in the first shard"),
    ],
)
def test_a_table_that_differs_is_named(tmp_path: Path, parts: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        open_source(tables(tmp_path / "x", *parts))


def test_damaged_and_mixed_shards(tmp_path: Path) -> None:
    folder = arrays(tmp_path / "x")
    (folder / "part-9.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(SourceError, match=r"part-9.npy: expected a whole .npy file"):
        open_source(folder)
    (folder / "more.csv").write_text("a\n1\n", "utf-8")
    with pytest.raises(SourceError, match=r"expected shards of one kind, got 4 .npy and 1 .csv files"):
        open_source(folder)
    with pytest.raises(ParameterError, match="only images can be resized"):
        open_source(folder, resize=(3, 3))


def test_a_folder_is_what_most_of_its_files_are(tmp_path: Path) -> None:
    folder = arrays(tmp_path / "x")
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(folder / "a.png")
    assert open_source(folder).notes[-1] == "Left out: 1 image file in the folder."
    with pytest.raises(SourceError, match=r"files of one kind, got 4 data files beside 1 image file"):
        open_source(folder, strict=True)


def test_natural_order() -> None:
    names = ["b", "a10", "a9", "a/2", "a/11", "A1", "a09"]
    assert sorted(names, key=natural) == ["A1", "a09", "a9", "a10", "a/2", "a/11", "b"]

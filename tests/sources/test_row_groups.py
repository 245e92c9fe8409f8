"""Parquet tables read by row group: the rows of the whole table, and no more held than a few of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
import pytest
import torch

from isthmus.config import Config, Data, Model, Training
from isthmus.config.parts.networks import Dense
from isthmus.errors import DataError, SourceError
from isthmus.inference import Inference
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import TableScaling
from isthmus.sources import TableSource, open_source, row_groups
from isthmus.sources.rest import Rest
from isthmus.sources.row_groups import RowGroups
from isthmus.training.streaming import StreamedRows
from isthmus.workflows.fit import fit
from isthmus.workflows.open_data import open_data

torch.set_num_threads(1)
N, GROUP = 6000, 500
RANDOM = np.random.default_rng(0)


def table() -> Any:
    """What is not like the first rows comes late: a word, a third value, values where there was one alone."""
    late = np.arange(N) >= N - 700
    a = RANDOM.normal(size=N)
    return pa.table(
        {
            "id": np.arange(N),
            "a": pa.array(np.where(RANDOM.random(N) < 0.1, np.nan, a), from_pandas=True),
            "b": (2 * a + 0.1 * RANDOM.normal(size=N)).astype(np.float32),
            "kind": np.where(late, "late", np.array(["red", "blue"])[RANDOM.integers(0, 2, N)]),
            "lazy": pa.array(
                np.where(late, "z", np.array(["x", "y"])[RANDOM.integers(0, 2, N)])
            ).dictionary_encode(),
            "flag": np.where(late, 7, RANDOM.integers(0, 2, N)),
            "same": np.where(late, 2.5, 1.0),
            "always": np.full(N, 3),
            "day": pa.array(np.datetime64("2020-01-01") + RANDOM.integers(0, 999, N), pa.timestamp("s")),
            "ok": RANDOM.random(N) < 0.5,
        }
    )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(row_groups, "MOST_LOOKED_AT", 1200)
    arrow_parquet.write_table(table(), tmp_path / "t.parquet", row_group_size=GROUP)
    return tmp_path / "t.parquet"


def grouped(path: Path) -> RowGroups:
    source = RowGroups(path, 10**6)
    assert source._most_held == 1
    return source


def test_columns_and_rows_are_those_of_the_whole_table(path: Path) -> None:
    source, whole = grouped(path), open_source(path)
    assert isinstance(whole, TableSource)
    assert source.schema == whole.schema
    assert len(source) == N
    assert source.block_ends is not None
    assert source.block_ends.tolist() == [*range(GROUP, len(source), GROUP), len(source)]
    for rows in (slice(None), slice(490, 1010), slice(5, 5), np.array([5999, 0, 700, 700]), slice(3, 900, 7)):
        np.testing.assert_array_equal(source.read(rows), whole.read(rows))
    np.testing.assert_array_equal(
        source.take(np.array([5500, 1])).read(slice(None)), whole.read(np.array([5500, 1]))
    )
    assert source.notes[: len(whole.notes)] == whole.notes
    assert "6,000 rows are read by row group (12 of them)" in source.notes[len(whole.notes)]
    with pytest.raises(DataError, match="row numbers must be below 6000"):
        source.read(np.array([N]))


def test_the_budget_decides(path: Path) -> None:
    assert isinstance(open_source(path, memory="1MB"), TableSource)
    arrow_parquet.write_table(pa.concat_tables([table()] * 2), path, row_group_size=GROUP)
    assert isinstance(open_source(path, memory="1MB"), RowGroups)
    assert isinstance(open_source(path), TableSource)
    assert isinstance(open_data(str(path), Data(memory="1MB")), RowGroups)


def test_no_more_than_the_share_is_held(path: Path) -> None:
    source = RowGroups(path, 2 * 10**6)
    for rows in np.split(RANDOM.permutation(N), 20):
        source.read(rows)
        assert len(source._held) <= 3
    assert source._most_held == 3


read = RowGroups._group


def test_a_row_is_read_once_where_rows_are_read_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, asked = grouped(path), list[int]()
    monkeypatch.setattr(
        RowGroups,
        "_group",
        lambda self, g: (asked.append(g) if g not in self._held else None, read(self, g))[1],
    )
    for start in range(0, N, 128):
        source.read(slice(start, start + 128))
    assert asked == list(range(12))


def test_an_epoch_reads_each_group_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though validation rows are left out, so that blocks of one size would lie across groups."""
    source, asked = grouped(path), list[int]()
    rest = Rest(source, np.array([3, 499, 500, 501, 2000, 5999]), allows_gaps=True)
    assert rest.block_ends is not None
    assert rest.block_ends.tolist() == [498, 996, 1496, 1996, 2495, *range(2995, 5500, 500), 5994]
    rows = StreamedRows(rest, TableScaling.fit(rest), 10**6)
    monkeypatch.setattr(
        RowGroups,
        "_group",
        lambda self, g: (asked.append(g) if g not in self._held else None, read(self, g))[1],
    )
    seen = torch.cat([places for places, _ in rows.in_order(Randomness(0), 12)])
    assert sorted(seen.tolist()) == list(range(5994))
    assert sorted(asked) == list(range(12))


def test_groups_that_are_too_large_are_refused(path: Path) -> None:
    arrow_parquet.write_table(table(), path)
    words = (
        r"t\.parquet: expected row groups of at most 125 kB, .* got one of 6,000 rows, 960 kB; "
        r"write it with row_group_size=781, or raise --memory\."
    )
    with pytest.raises(DataError, match=words):
        RowGroups(path, 10**6)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="expected a whole Parquet file"):
        open_source(path, memory="1MB")


@pytest.mark.parametrize(("told", "n"), [(b"\xe6\x07", 499), (b"\xea\x07", 501)])
def test_groups_of_other_rows_than_their_facts_tell(
    path: Path, monkeypatch: pytest.MonkeyPatch, told: bytes, n: int
) -> None:
    first, *rest = path.read_bytes().split(b"\x16\xe8\x07\x26")  # rows of a group, before where it begins
    assert len(rest) == N // GROUP
    path.write_bytes(first + b"\x16" + told + b"\x26" + b"\x16\xe8\x07\x26".join(rest))
    with pytest.raises(SourceError, match=f"500 values of 'id' in {n} rows"):
        grouped(path)
    if n < GROUP:  # Arrow leaves out what is too many
        return
    monkeypatch.setattr(row_groups, "check_parquet", lambda *args, **options: None)
    with pytest.raises(SourceError, match=r"expected 501 rows in row group 0, .* got 500; take another copy"):
        grouped(path).read(np.array([n - 1, 0]))


def test_new_data_are_read_by_the_columns_of_the_model(path: Path) -> None:
    schema = grouped(path).schema
    other = (
        table()
        .drop_columns(["ok"])
        .append_column("ok", table()["ok"])
        .append_column("more", pa.array([1] * N))
    )
    kinds = np.array(other["kind"].to_pylist(), dtype=object)
    kinds[4000] = "unseen"
    other = other.set_column(other.column_names.index("kind"), "kind", pa.array(kinds))
    arrow_parquet.write_table(other, path, row_group_size=GROUP)
    source = grouped(path).conformed(schema)
    place = [column.name for column in schema.table or ()].index("kind")
    values = source.read(slice(None))
    assert np.flatnonzero(np.isnan(values[:, place])).tolist() == [4000]
    assert any("'more'" in note for note in source.notes)
    assert any("unseen" in note for note in source.notes)
    arrow_parquet.write_table(other.drop_columns(["b"]), path, row_group_size=GROUP)
    with pytest.raises(DataError, match="got none named 'b'"):
        RowGroups(path, 10**6).conformed(schema)


def test_a_fit_reads_by_group(path: Path) -> None:
    config = Config(
        data=Data(memory=10**6),
        model=Model(code_size=3, network=Dense((8,))),
        training=Training(epochs=2, batch_size=64, seed=0, threads=1, device="cpu"),
    )
    model, _ = fit(grouped(path), config)
    again, _ = fit(grouped(path), config)
    assert model.to_bytes() == again.to_bytes()
    assert any("they are read by block" in note for note in model.notes)
    whole = open_source(path)
    np.testing.assert_array_equal(
        Inference(model).encode(grouped(path)),
        Inference(model).encode(open_data(str(path), schema=whole.schema)),
    )
    held, _ = fit(whole, config.with_data(memory="1GB"))
    assert model.metrics["error"]["mse"] == pytest.approx(held.metrics["error"]["mse"], rel=0.3)

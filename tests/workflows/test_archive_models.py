"""Fits for archives: of data of any size they read a sample, and memory is bounded."""

from __future__ import annotations

import tracemalloc
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.codec.columns import Columns
from isthmus.codec.contents import content_of
from isthmus.training.callbacks import Callback
from isthmus.workflows import archive_models
from isthmus.workflows.archive_models import LEARNED_BYTES, Read, coder_for

torch.set_num_threads(1)


def fitted(read: Any, block_rows: int = 100, told: list[str] | None = None) -> Any:
    tell = [].append if told is None else told.append
    return coder_for(
        read, block_rows, None, fits=True, seconds=0.1, told=tell, watch=lambda name: nullcontext(Callback())
    )


def test_a_fit_takes_no_more_memory_for_more_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows of 64 MB, of which 256 KiB are learned; as floats these take four times as much."""
    monkeypatch.setattr(archive_models, "LEARNED_BYTES", 1 << 18)
    monkeypatch.setattr(archive_models, "SMALLEST_WITH_MODEL", 0)
    monkeypatch.setattr(archive_models, "HIDDEN", 8)
    rows = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (1_000_000, 8, 8))
    some = np.random.default_rng(0).integers(0, 256, (10_000, 8, 8), np.uint8)
    for start in range(0, len(rows), len(some)):
        rows[start : start + len(some)] = some
    del rows
    read, told = Read(content_of(tmp_path / "a.npy"), None), list[str]()
    fitted(Read(content_of(some[:100]), None))  # what is imported or made once is not measured
    tracemalloc.start()
    try:
        fitted(read, told=told)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "1 % of the rows" in told[0]
    assert peak < 12e6


class Endless:
    """A content of very many rows, that tells which of them were asked for."""

    name = "endless"

    def __init__(self, kind: str, columns: Columns, n_rows: int) -> None:
        self.kind, self.n_rows, self._columns = kind, n_rows, columns
        self.asked = list[slice]()
        self.row_bytes = float(
            sum(len(row) if isinstance(row, bytes) else row.nbytes for (row,) in columns.values())
        )

    def block(self, rows: slice) -> Columns:
        self.asked.append(rows)
        n = rows.stop - rows.start
        chance = np.random.default_rng(rows.start)
        return {
            name: list(column) * n
            if isinstance(column, list)
            else chance.integers(0, 9, (n, *column.shape[1:])).astype(column.dtype)
            for name, column in self._columns.items()
        }  # fmt: skip

    @property
    def n_asked(self) -> int:
        return sum(rows.stop - rows.start for rows in self.asked)


@pytest.mark.parametrize("n_columns", [2, 300])
def test_a_chain_learns_no_more_symbols_than_memory_may_hold(
    monkeypatch: pytest.MonkeyPatch, n_columns: int
) -> None:
    learned = SimpleNamespace(shape=(0, 0))

    def fit_chain(fields: Any, symbols: Any, **_: Any) -> None:
        learned.shape = symbols.shape

    monkeypatch.setattr("isthmus.codec.coding.chain_fit.fit_chain", fit_chain)
    monkeypatch.setattr("isthmus.codec.coding.chain_fit.weights_of", lambda fields: [1] * len(fields))
    content = Endless("table", {f"{at}": np.zeros(1, np.uint8) for at in range(n_columns)}, 10**10)
    read: Any = Read(content, None)  # pyright: ignore
    fitted(read)
    n_rows, n_fields = learned.shape
    assert n_fields == n_columns
    assert 0.9 * min(400_000, LEARNED_BYTES // (8 * n_fields)) < n_rows <= 400_000
    assert n_rows * n_fields * 8 <= LEARNED_BYTES


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("file", {"bytes": [bytes(1 << 20)]}),
        ("sound", {"values": np.zeros((1, 2), np.int16)}),
        ("folder", {"how": np.zeros(1, np.uint8), "name": [b""], "wav 8000 1 u1": np.zeros((1, 65536, 1), np.uint8)}),
        ("array", {"values": np.zeros((1, 1 << 20), np.uint8)}),
        ("array", {"values": np.zeros((1, 1 << 20), np.float64)}),
    ],
    ids=["file", "sound", "folder", "wide", "floats"],
)  # fmt: skip
def test_what_no_model_may_know_is_hardly_read(kind: str, columns: Columns) -> None:
    content = Endless(kind, columns, 10**7 if kind != "array" else 100)
    read: Any = Read(content, None)  # pyright: ignore
    assert fitted(read) is None
    assert content.n_asked * content.row_bytes <= archive_models.SAMPLE_BYTES

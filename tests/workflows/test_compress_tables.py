"""Tables with a fitted chain: small blocks, of which rows read no more than they need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from isthmus.codec.coding.chain_coder import ChainCoder
from isthmus.workflows.compress import compress, open_archive

N = 40_000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    chance = np.random.default_rng(0)
    place = chance.integers(0, 40, N)
    words = np.array([f"town {number}" for number in range(40)])
    return pa.table(
        {
            "town": words[place],
            "zone": place // 4 + (chance.random(N) < 0.05),
            "height": np.round(100 * np.sin(place) + chance.normal(size=N), 1),
        }
    )


def test_a_fitted_table_comes_back_and_rows_read_their_blocks_alone(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet.write_table(table, tmp_path / "t.parquet")
    monkeypatch.setattr("isthmus.workflows.archive_models.SMALLEST_WITH_MODEL", 1 << 14)
    fitted = compress(tmp_path / "t.parquet", tmp_path / "t.isth", seconds=1)
    plain = compress(tmp_path / "t.parquet", tmp_path / "plain.isth", fits=False)
    assert fitted.codecs == {"chain": -(-N // (ChainCoder.block_rows or N))}
    assert fitted.n_bytes < plain.n_bytes
    with open_archive(tmp_path / "t.isth") as rows:
        assert rows[:].equals(table)
        asked = list[int]()
        read = rows.archive.read
        monkeypatch.setattr(rows.archive, "read", lambda number: asked.append(number) or read(number))
        assert rows[4090:4100].equals(table.slice(4090, 10))
        assert rows[4100].equals(table.slice(4100, 1))
    assert asked == [0, 1]

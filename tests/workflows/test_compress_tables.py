"""Tables with a fitted chain: small blocks, of which rows read no more than they need."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from isthmus.codec.coding.chain_coder import ChainCoder
from isthmus.errors import ParameterError
from isthmus.workflows.compress import compress, open_archive

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import golden_archives

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


def measured(n: int, seed: int) -> pa.Table:
    """Lengths that follow from a town; their lowest differs with the seed."""
    chance = np.random.default_rng(seed)
    place = chance.integers(0, 12, n)
    return pa.table(
        {
            "town": [f"town {number}" for number in place.tolist()],
            "height": 10 * np.sin(place) + chance.normal(size=n) / 4,
            "steps": (100 * np.cos(place) + chance.normal(size=n)).astype(np.int32),
        }
    )


@pytest.fixture(scope="module")
def within_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a model of numbers within an error of 1."""
    folder = tmp_path_factory.mktemp("within")
    parquet.write_table(measured(40_000, 0), folder / "a.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isthmus.workflows.archive_models.SMALLEST_WITH_MODEL", 1 << 14)
        done = compress(folder / "a.parquet", folder / "a.isth", max_error=1.0, seconds=1)
    assert set(done.codecs) == {"chain"}
    return done.path


def test_the_grid_of_a_model_is_taken_where_it_keeps_the_error(tmp_path: Path, within_one: Path) -> None:
    more, model = measured(3000, 1), within_one
    source = tmp_path / "b.parquet"
    parquet.write_table(more, source)
    with open_archive(model) as rows:
        known = rows.bounds
    done = compress(source, tmp_path / "b.isth", max_error=1.2, model=model)
    with open_archive(tmp_path / "b.isth") as rows:
        assert rows.bounds == known
        back = rows[:]
    for name in ("height", "steps"):
        assert np.abs(np.asarray(back[name]) - np.asarray(more[name])).max() <= 1.0
    plain = compress(source, tmp_path / "plain.isth", max_error=1.2, fits=False)
    assert set(done.codecs) == {"chain"}
    assert done.n_bytes - done.n_bytes_of_model < plain.n_bytes

    with pytest.raises(ParameterError, match=r"knows '(height|steps)', got 0.9. Ask for 1, or"):
        compress(source, tmp_path / "c.isth", max_error=0.9, model=model)
    with pytest.raises(ParameterError, match=r"got 0.6%. Ask for .*%, or") as caught:
        compress(source, tmp_path / "c.isth", max_error=0.006, relative=True, model=model)
    share = float(str(caught.value).split("Ask for ")[1].split("%")[0]) / 100
    compress(source, tmp_path / "c.isth", max_error=share, relative=True, model=model)
    with open_archive(tmp_path / "c.isth") as rows:
        assert rows.bounds == known
    with pytest.raises(ParameterError, match="Ask for a larger one"):
        compress(source, tmp_path / "d.isth", max_error=1e-3, relative=True, model=model)


def test_a_model_of_numbers_within_an_error_serves_beside_one_alone(tmp_path: Path, within_one: Path) -> None:
    parquet.write_table(measured(100, 1), tmp_path / "b.parquet")
    with pytest.raises(ParameterError, match="expected --max-error beside"):
        compress(tmp_path / "b.parquet", tmp_path / "b.isth", model=within_one)
    source, exact = tmp_path / "t.csv", golden_archives.PLACE / "chain.isth"
    source.write_text(golden_archives.columns(100), newline="\n")
    with pytest.raises(ParameterError, match="expected no --max-error beside"):
        compress(source, tmp_path / "b.isth", max_error=1.0, model=exact)
    compress(source, tmp_path / "none.isth", max_error=1.0, fits=False)
    with pytest.raises(ParameterError, match="an archive with a model"):
        compress(source, tmp_path / "b.isth", max_error=1.0, model=tmp_path / "none.isth")

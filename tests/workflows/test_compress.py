"""Archives of data with a model that was fitted for them: used where it saves more than it takes, never in the way."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import csv

import isthmus
from isthmus.codec.coding import context_fit
from isthmus.codec.contents import content_of
from isthmus.errors import DataError, ParameterError
from isthmus.workflows import archive_models

torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import golden_archives  # noqa: E402

N = 300


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of any size have a model fitted, a small one."""
    monkeypatch.setattr(context_fit, "FEW_HIDDEN", 12)
    monkeypatch.setattr(archive_models, "SMALLEST_WITH_MODEL", 0)
    monkeypatch.setattr(archive_models, "HIDDEN", 16)
    monkeypatch.setattr(archive_models, "CODE_SIZE", 2)


def compressed(source: np.ndarray | Path, path: Path, seconds: float) -> isthmus.Compressed:
    """An archive that was read back and is right."""
    done = isthmus.compress(source, path, seconds=seconds)
    if isinstance(source, np.ndarray):
        with isthmus.open_archive(path) as rows:
            found = rows[:]
        assert (found.dtype, found.shape) == (source.dtype, source.shape)
        assert found.tobytes() == source.tobytes()
    else:
        back = path.with_name(f"back{source.suffix}")
        isthmus.decompress(path, back)
        assert back.read_bytes() == source.read_bytes()
    return done


def chequers(n: int, side: int = 8) -> np.ndarray:
    """Pictures of zeros and ones: a chequerboard or its opposite, and a few dots of the other kind."""
    chance = np.random.default_rng(0)
    fields = np.indices((side, side)).sum(axis=0) % 2
    return fields ^ chance.integers(0, 2, (n, 1, 1)) ^ (chance.random((n, side, side)) < 0.08)


@pytest.mark.usefixtures("small_models")
def test_bytes_have_a_model_where_it_pays(tmp_path: Path) -> None:
    rows = golden_archives.shades(4000).reshape(4000, -1)
    done = compressed(rows, tmp_path / "a.isth", 3.0)
    assert set(done.codecs) == {"bits-back"}
    assert 0 < done.n_bytes_of_model < 8000
    assert done.n_bytes < isthmus.compress(rows, tmp_path / "b.isth", fits=False).n_bytes


@pytest.mark.usefixtures("small_models")
def test_two_values_have_a_model_whichever_they_are(tmp_path: Path) -> None:
    rows = np.array([3, 7], np.uint8)[chequers(14_000)].reshape(14_000, 64)
    assert set(compressed(rows, tmp_path / "a.isth", 1.8).codecs) == {"bits-back"}


@pytest.mark.usefixtures("small_models")
def test_pictures_have_a_model_that_sees_what_is_around(tmp_path: Path) -> None:
    rows = np.array([3, 70], np.int16)[chequers(1200, 16)]
    done = compressed(rows, tmp_path / "a.isth", 1.0)
    assert set(done.codecs) == {"context"}
    assert done.n_bytes < isthmus.compress(rows, tmp_path / "b.isth", fits=False).n_bytes


@pytest.mark.usefixtures("small_models")
def test_the_model_of_an_archive_serves_again(tmp_path: Path) -> None:
    rows = chequers(1200, 16).astype(np.uint8)
    first = isthmus.compress(rows, tmp_path / "a.isth", seconds=1.0)
    again = isthmus.compress(rows[:900], tmp_path / "b.isth", model=tmp_path / "a.isth")
    assert set(again.codecs) == {"context"}
    assert again.n_bytes_of_model == first.n_bytes_of_model
    with isthmus.open_archive(tmp_path / "b.isth") as found:
        assert (found[:] == rows[:900]).all()
    for other in (rows.astype(np.int32), rows[:, :9], rows + 5):
        with pytest.raises(ParameterError, match="such data"):
            isthmus.compress(other, tmp_path / "c.isth", model=tmp_path / "a.isth")
    isthmus.compress(rows, tmp_path / "d.isth", fits=False)
    with pytest.raises(ParameterError, match="which has none"):
        isthmus.compress(rows, tmp_path / "c.isth", model=tmp_path / "d.isth")


@pytest.mark.parametrize("shape", [(36,), (6, 6), (6, 6, 1), (2, 6, 3), (2, 3, 2, 3)])
@pytest.mark.usefixtures("small_models")
def test_rows_of_any_shape_are_learned(tmp_path: Path, shape: tuple[int, ...]) -> None:
    told: list[str] = []
    isthmus.compress(
        golden_archives.shades(500).reshape(-1, *shape), tmp_path / "a.isth", seconds=0.01, told=told.append
    )
    assert len(told) == 2
    assert "is left out" in told[1]


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((N, 8, 8), np.uint8),
        np.full((N, 8), 7, np.uint8),
        np.zeros((0, 8, 8), np.uint8),
        np.zeros((N, 0), np.uint8),
        np.arange(256, dtype=np.uint8)[:, None].repeat(4, axis=1),
        np.arange(8, dtype=np.uint8).reshape(1, 8),
        np.arange(N).astype(np.uint8),
        np.arange(N).reshape(N // 2, 2) % 2 == 0,
        np.array([["a", "bc"]] * 50),
        np.random.default_rng(0).integers(0, 256, (20, 40, 40), np.uint8),
    ],
    ids=lambda rows: f"{rows.dtype}{rows.shape}",
)
@pytest.mark.usefixtures("small_models")
def test_data_that_nothing_can_be_learned_of_are_kept_without_a_model(
    tmp_path: Path, rows: np.ndarray
) -> None:
    assert compressed(rows, tmp_path / "a.isth", 0.01).n_bytes_of_model == 0


def test_networks_larger_than_the_data_are_not_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows of a million bytes each would have had a network of a billion weights."""
    told: list[str] = []
    rows = np.random.default_rng(0).integers(0, 256, (20, 90_000), np.uint8)
    isthmus.compress(rows, tmp_path / "a.isth", told=told.append)
    assert not told


@pytest.mark.usefixtures("small_models")
def test_a_table_has_a_chain_where_it_pays(tmp_path: Path) -> None:
    table = csv.read_csv(io.BytesIO(golden_archives.columns(24_000).encode()))
    done = isthmus.compress(table, tmp_path / "a.isth", seconds=2.0)
    with isthmus.open_archive(done.path) as rows:
        assert rows[:].equals(table)
    assert set(done.codecs) == {"chain"}


@pytest.mark.usefixtures("small_models")
def test_a_wide_table_takes_no_longer_than_was_asked_for(tmp_path: Path) -> None:
    """Networks grow with the square of the columns: a pass through all of them would have taken minutes."""
    rows, told = np.random.default_rng(0).integers(0, 9, (500, 400)), list[str]()
    lines = [",".join(map(str, row)) for row in rows.tolist()]
    (tmp_path / "t.csv").write_text(",".join(f"c{at}" for at in range(400)) + "\n" + "\n".join(lines))
    isthmus.compress(tmp_path / "t.csv", tmp_path / "a.isth", seconds=0.3, told=told.append)
    assert "about 1 s" in told[0]


@pytest.mark.usefixtures("small_models")
def test_the_same_data_give_the_same_archive(tmp_path: Path) -> None:
    rows = chequers(9000).astype(np.uint8) * 255
    for name in ("a", "b"):
        done = isthmus.compress(rows, tmp_path / f"{name}.isth", seconds=1.0)
        assert done.n_bytes_of_model
    assert (tmp_path / "a.isth").read_bytes() == (tmp_path / "b.isth").read_bytes()


def pictures(folder: Path) -> Path:
    """A folder of many pictures of one kind and some of another, too few for a model, and another file."""
    from PIL import Image

    root = folder / "pictures"
    root.mkdir()
    for number, picture in enumerate(np.array([3, 70], np.uint8)[chequers(700, 16)]):
        Image.fromarray(picture).save(root / f"{number:04}.png")
    for number, picture in enumerate(golden_archives.shades(20, 3)):
        Image.fromarray(picture).save(root / f"{number:04}c.png")
    (root / "about.txt").write_text("pictures")
    return root


@pytest.mark.usefixtures("small_models")
def test_pictures_in_a_folder_have_models_by_kind(tmp_path: Path) -> None:
    source = pictures(tmp_path)
    done = isthmus.compress(source, tmp_path / "a.isth", seconds=1.0)
    assert set(done.codecs) == {"columns"}
    isthmus.decompress(tmp_path / "a.isth", tmp_path / "back")
    assert golden_archives.held(tmp_path / "back") == golden_archives.held(source)


def test_pictures_in_a_folder_are_coded_with_a_model_of_theirs(tmp_path: Path) -> None:
    from PIL import Image

    root, model = tmp_path / "pictures", tmp_path / "m.safetensors"
    root.mkdir()
    rows = golden_archives.shades(300)
    for number, picture in enumerate(rows[..., 0]):
        Image.fromarray(picture).save(root / f"{number:04}.png")
    isthmus.VariationalAutoencoder(
        n_components=2, hidden_sizes=(8,), likelihood="discretised_logistic", max_epochs=2, random_state=0,
        activation="relu",
    ).fit(rows).save(model)  # fmt: skip
    isthmus.compress(root, tmp_path / "a.isth", model=model)
    with isthmus.open_archive(tmp_path / "a.isth") as stored:
        assert stored.archive.header["coder"] == "columns"
        np.testing.assert_array_equal(stored[:], rows)
    for number, picture in enumerate(golden_archives.shades(40, 3)):
        Image.fromarray(picture).save(root / f"{number:04}c.png")
    with pytest.raises(isthmus.IsthmusError, match="has several"):
        isthmus.compress(root, tmp_path / "b.isth", model=model)


def test_a_model_that_codes_nothing_is_told(tmp_path: Path) -> None:
    rows = golden_archives.shades(200)
    isthmus.VariationalAutoencoder(
        n_components=2, hidden_sizes=(8,), likelihood="discretised_logistic", max_epochs=1, random_state=0,
        activation="relu",
    ).fit(rows).save(tmp_path / "m.safetensors")  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 256, rows.shape).astype(np.uint8)
    done = isthmus.compress(noise, tmp_path / "a.isth", model=tmp_path / "m.safetensors")
    assert set(done.codecs) == {"plain"}
    assert done.notes == (
        f"With this model the archive takes {done.n_bytes:,} bytes, and without one about "
        f"{done.n_bytes - done.n_bytes_of_model:,}: leave --model out.",
    )


def test_a_folder_is_written_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    isthmus.compress(tmp_path / "in", tmp_path / "a.isth")
    for force in (False, True):
        with pytest.raises(
            isthmus.IsthmusError, match="in: expected a free name, got a folder with files in it"
        ):
            isthmus.decompress(tmp_path / "a.isth", tmp_path / "in", force=force)
        with pytest.raises(isthmus.IsthmusError, match="expected the name of a folder, got a file"):
            isthmus.decompress(tmp_path / "a.isth", tmp_path / "a.isth", force=force)
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        isthmus.decompress(tmp_path / "a.isth", tmp_path / name)
        assert (tmp_path / name / "a.txt").read_text() == "a"


@pytest.mark.usefixtures("small_models")
def test_arrays_among_others_have_a_model(tmp_path: Path) -> None:
    rows = chequers(1200, 16).astype(np.uint8)
    np.savez(tmp_path / "a.npz", x=rows, y=np.arange(1200) % 7, about=np.array("chequers"))
    done = compressed(tmp_path / "a.npz", tmp_path / "a.isth", 1.0)
    assert set(done.codecs) == {"columns"}


def test_a_table_in_memory_comes_back(tmp_path: Path) -> None:
    table = golden_archives.table()
    done = isthmus.compress(table, tmp_path / "t.isth")
    assert (done.n_rows, done.n_bytes_before) == (len(table), table.nbytes)
    with isthmus.open_archive(tmp_path / "t.isth") as rows:
        assert golden_archives.table_bytes(rows[:]) == golden_archives.table_bytes(table)


@pytest.mark.parametrize(
    ("source", "said"),
    [([1, 2], "got list"), (np.float64(1), "got float64"), (np.ma.masked_less(np.arange(5), 2), "mask")],
    ids=["list", "number", "mask"],
)
def test_what_would_not_come_back_is_refused(tmp_path: Path, source: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        isthmus.compress(source, tmp_path / "a.isth")
    assert not list(tmp_path.iterdir())


def test_a_table_without_rows_has_a_block_without_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n", newline="\n")
    assert content_of(tmp_path / "t.csv").block(slice(0, 0)) == {"text": []}
    compressed(tmp_path / "t.csv", tmp_path / "t.isth", 0.01)

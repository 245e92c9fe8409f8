"""Previews: decoded as the page says, with the error that is stated, any rows without the others."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet
from slow_preview import SlowPreview

from isthmus import Autoencoder, QuantisedCode, compress, decompress, open_archive
from isthmus.codec import columns as plain
from isthmus.codec.coding.preview import Meaning, Part, PreviewCoder, ends_of
from isthmus.codec.coding.preview_fit import within
from isthmus.codec.columns import Columns
from isthmus.codec.container import Archive
from isthmus.codec.contents import content_of
from isthmus.codec.contents.base import Content
from isthmus.codec.store import plain_size, write_rows
from isthmus.errors import ArtifactError, IsthmusError, ParameterError, SourceError
from isthmus.workflows.preview_models import preview_coder_for

torch.set_num_threads(1)


def slopes(n: int, seed: int = 0, shape: tuple[int, ...] = (6, 5)) -> np.ndarray:
    """Pictures of bytes: a slope each."""
    chance = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape[:2]), indexing="ij"))
    values = 128 + 40 * np.tensordot(chance.normal(size=(n, 2)), grid, 1)
    values = values + 4 * chance.normal(size=(n, *shape[:2]))
    values = values[..., None] + np.zeros(shape[2:]) if len(shape) > 2 else values
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def made_table(n: int = 600) -> pa.Table:
    """Numbers, words, truth values, gaps, and names that are all different."""
    chance = np.random.default_rng(0)
    z = chance.normal(size=n)
    gaps = chance.random(n) < 0.1
    return pa.table(
        {
            "height": np.round(170 + 10 * z, 1),
            "age": (40 + 9 * z + chance.normal(size=n)).astype(np.int32),
            "weight": pa.array(70 + 9 * z + chance.normal(size=n), mask=gaps),
            "city": pa.array([("Ulm", "Hof", "Bonn")[int(abs(2 * x)) % 3] for x in z]),
            "tall": pa.array(z > 0),
            "name": pa.array([f"person {number} {int(x * 1e9)}" for number, x in enumerate(z)]),
        }
    )


def coder_of(source: Any, quality: float = 95.0, seconds: float = 0.05) -> tuple[Content, PreviewCoder]:
    content = content_of(source, as_pixels=True)
    coder = preview_coder_for(
        content, None, quality, seconds=seconds, told=lambda text: None, watch=_unwatched
    )
    return content, coder


def _unwatched(name: str) -> Any:
    from contextlib import nullcontext

    from isthmus.training.callbacks import Callback

    return nullcontext(Callback())


def packed_by(coder: PreviewCoder, columns: Columns) -> bytes:
    payload = coder.packed(columns)
    assert payload is not None
    return payload


def quick(source: Any, path: Path, **options: Any) -> Any:
    return compress(source, path, preview=True, **{"seconds": 0.05, **options})


# ---------------------------------------------------------------- what comes back


def check_slowly(coder: PreviewCoder, block: Columns) -> None:
    """What the fast decoder gives is what the page says."""
    payload = packed_by(coder, block)
    n = len(next(iter(block.values())))
    slow, fast = SlowPreview(coder.section())(payload), coder.unpacked(payload, n)
    assert list(fast) == list(block)
    for part in coder.parts:
        column = fast[part.name]
        if isinstance(column, np.ndarray):
            before = block[part.name]
            assert isinstance(before, np.ndarray)
            assert (column.dtype, column.shape) == (before.dtype, before.shape)
            expected = np.array(slow[part.name], column.dtype).reshape(column.shape)
            np.testing.assert_array_equal(column, expected)
        else:
            assert column == slow[part.name]


def test_pictures_are_decoded_as_the_page_says() -> None:
    content, coder = coder_of(slopes(300))
    check_slowly(coder, content.block(slice(0, 20)))


def test_tiles_are_decoded_as_the_page_says() -> None:
    content, coder = coder_of(slopes(8, shape=(70, 61, 3)))
    assert coder.parts[0].grid == (5, 4)
    check_slowly(coder, content.block(slice(0, 2)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i8", "u4"])
def test_every_type_is_decoded_as_the_page_says(dtype: str) -> None:
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(300, 2)) @ chance.normal(size=(2, 5)) * [1, 10, 100, 3, 1000] + 5000
    rows = rows.astype(dtype)
    if dtype != "i2" and rows.dtype.kind == "f":
        rows[3, 1], rows[4, 2], rows[5, 0] = np.nan, np.inf, -np.inf
        if dtype == "f8":  # one that signals
            rows.view(np.uint64)[6, 0] = 0x7FF0000000000001
    content, coder = coder_of(rows)
    block = content.block(slice(0, 10))
    check_slowly(coder, block)
    if rows.dtype.kind == "f":
        found = np.asarray(coder.unpacked(packed_by(coder, block), 10)["values"])
        odd = ~np.isfinite(rows[:10])
        assert found[odd].tobytes() == rows[:10][odd].tobytes()
        assert np.isfinite(found[~odd]).all()


def test_tables_are_decoded_as_the_page_says(tmp_path: Path) -> None:
    parquet.write_table(made_table(), tmp_path / "t.parquet")
    content, coder = coder_of(tmp_path / "t.parquet")
    assert coder.names == ("0", "1", "2", "3", "4")
    block = content.block(slice(0, 30))
    check_slowly(coder, block)
    odd: Columns = {**block, "3": [b"Rom", *block["3"][1:]]}
    check_slowly(coder, odd)
    back = coder.unpacked(packed_by(coder, odd), 30)
    assert back["3"][0] == b"Rom"
    assert back["5"] == block["5"]
    np.testing.assert_array_equal(np.asarray(back["2?"]), np.asarray(block["2?"]))


def test_a_model_of_black_and_white_is_decoded_as_the_page_says(tmp_path: Path) -> None:
    rows = (slopes(300) > 128).astype(np.uint8) * 255
    fitted = Autoencoder(3, code=QuantisedCode(0.1), likelihood="bernoulli", hidden_sizes=(16,), max_epochs=2)
    fitted.fit(rows[..., None]).save(tmp_path / "m.safetensors")
    content = content_of(rows)
    coder = preview_coder_for(
        content, tmp_path / "m.safetensors", None, seconds=1, told=lambda text: None, watch=_unwatched
    )
    assert coder.parts[0].link == "logistic"
    check_slowly(coder, content.block(slice(0, 5)))


@given(
    st.floats(-20, 55),
    st.floats(-(2.0**60), 2.0**60),
    st.sampled_from(["u1", "i4", "i8", "f4", "f8"]),
    st.integers(-(2**20), 2**20),
)
def test_meanings_are_the_line_that_they_stand_for(
    log_scale: float, start: float, dtype: str, output: int
) -> None:
    scale, bits, limit = 2.0**log_scale, 12, 2**21
    low, high = ends_of(dtype)
    if dtype[0] != "f":
        start = min(max(start, low), high)
    meaning = Meaning.of(np.array([scale]), np.array([start]), dtype, bits, limit)
    part = Part("x", dtype, (), (1,), low=low, high=high)
    assert part.fits
    meaning.check(part, limit)
    found = meaning.values(np.array([[output]]), part)[0, 0]
    exact = Fraction(start) + Fraction(scale) * output / 2**bits
    coarse = max(Fraction(scale) / 2**14, abs(Fraction(start)) / 2**48)
    if dtype[0] == "f":
        digits = {"f4": 23, "f8": 52}[dtype]
        assert abs(Fraction(float(found)) - exact) <= coarse + abs(exact) / 2**digits
    else:
        assert abs(int(found) - min(max(exact, low), high)) <= max(1, coarse)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3), st.integers(1, 7), st.integers(1, 9))
def test_tiles_are_joined_to_what_was_cut(
    height: int, width: int, channels: int, down: int, across: int
) -> None:
    part = Part("x", "u2", (height, width, channels), (min(down, height), min(across, width), channels))
    rows = np.arange(2 * height * width * channels, dtype=np.uint16).reshape(2, height, width, channels)
    tiles = part.tiles(rows)
    assert tiles.shape[1:] == part.model_shape
    np.testing.assert_array_equal(part.joined(tiles), rows)


# ---------------------------------------------------------------- what is stated


def test_the_stated_error_is_that_of_what_comes_back(tmp_path: Path) -> None:
    rows = slopes(400)
    done = quick(rows, tmp_path / "a.isth")
    with open_archive(tmp_path / "a.isth") as archive:
        back = archive[:]
        assert archive.archive.footer["preview"] == done.preview
        np.testing.assert_array_equal(archive[37:55], back[37:55])
        np.testing.assert_array_equal(archive[-1], back[-1])
    assert (back.dtype, back.shape) == (rows.dtype, rows.shape)
    apart = back.astype(float) - rows
    assert np.abs(apart).max() > 0
    (column,) = done.preview["columns"]
    assert column["rmse"] == pytest.approx(np.sqrt(np.mean(apart**2)), rel=1e-12)
    assert column["largest"] == np.abs(apart).max()
    assert (column["low"], column["high"], column["n"]) == (rows.min(), rows.max(), rows.size)
    assert decompress(tmp_path / "a.isth", tmp_path / "some.npy", rows=(5, 9)) == 4
    np.testing.assert_array_equal(np.load(tmp_path / "some.npy"), back[5:9])


def test_the_stated_error_is_that_of_all_blocks(tmp_path: Path) -> None:
    rows = slopes(400)
    content, coder = coder_of(rows)
    footer = write_rows(content, tmp_path / "a.isth", coder=coder, block_rows=70)
    with open_archive(tmp_path / "a.isth") as archive:
        assert len(archive.archive.blocks) == 6
        apart = archive[:].astype(float) - rows
        np.testing.assert_array_equal(archive[60:150], (rows + apart)[60:150])
    assert footer is not None
    assert footer["columns"][0]["rmse"] == pytest.approx(np.sqrt(np.mean(apart**2)), rel=1e-12)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_errors_of_a_table_are_those_of_its_cells(tmp_path: Path, ending: str) -> None:
    table = made_table()
    path = tmp_path / f"t.{ending}"
    if ending == "csv":
        pa.csv.write_csv(table, path)  # pyright: ignore
    else:
        parquet.write_table(table, path)
    done = quick(path, tmp_path / "t.isth")
    said = {column["name"]: column for column in done.preview["columns"]}
    with open_archive(tmp_path / "t.isth") as archive:
        back = archive[:]
    names = table.column_names
    assert back.num_rows == table.num_rows
    for name in ("height", "age", "weight"):
        before, after = (np.array(each.column(name).to_pylist(), float) for each in (table, back))
        np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
        apart = (after - before)[~np.isnan(before)]
        if ending == "parquet":  # odd cells of texts come back exactly, and count for nothing
            assert said[name]["n"] == len(apart)
            assert said[name]["rmse"] == pytest.approx(np.sqrt(np.mean(apart**2)))
        assert np.abs(apart).max() <= said[name]["largest"] * (1 + 1e-9)
    assert back.column("name").to_pylist() == table.column("name").to_pylist()
    assert done.preview["exact"] == ["name"]
    city = np.array(table.column("city").to_pylist()) != np.array(back.column("city").to_pylist())
    assert said["city"]["different"] == city.sum()
    assert set(said) == set(names) - {"name"}


def test_better_quality_is_a_smaller_error_and_more_bytes(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(2000, 6)) @ chance.normal(size=(6, 12))
    lost, sizes = [], []
    for quality in (60.0, 90.0, 99.0):
        done = quick(rows, tmp_path / "a.isth", quality=quality, seconds=0.5, force=True)
        with open_archive(tmp_path / "a.isth") as archive:
            lost.append(float(np.square(archive[:] - rows).sum() / np.square(rows - rows.mean(axis=0)).sum()))
        sizes.append(done.n_bytes - done.n_bytes_of_model)
    assert sizes == sorted(sizes)
    for found, wanted in zip(lost, (0.4, 0.1, 0.01), strict=True):
        assert wanted / 2 < found < wanted * 1.5


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        quick(slopes(300), tmp_path / f"{name}.isth")
    assert (tmp_path / "a.isth").read_bytes() == (tmp_path / "b.isth").read_bytes()


def test_blocks_have_no_more_rows_than_a_reader_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.codec.coding.preview.MOST_VALUES", 30 * 70)
    content, coder = coder_of(slopes(300))
    assert coder.most_rows == 70
    write_rows(content, tmp_path / "a.isth", coder=coder, block_rows=1000)
    with Archive(tmp_path / "a.isth") as archive:
        assert [(block.codec, block.n_rows) for block in archive.blocks] == [("preview", 70)] * 4 + [
            ("preview", 20)
        ]


def test_a_preview_that_takes_more_than_all_bits_says_so(tmp_path: Path) -> None:
    place = np.arange(3000)
    chance = np.random.default_rng(0)
    lines = [
        f"{n},{n % 7},{n // 500},{word}"
        for n, word in zip(place, chance.choice(["a", "b"], 3000), strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["number,day,part,word", *lines]) + "\n")
    done = quick(tmp_path / "t.csv", tmp_path / "a.isth")
    (note,) = done.notes
    assert "leave --preview out" in note
    said, about = (int(word.replace(",", "")) for word in re.findall(r"[\d,]*\d", note))
    exact = compress(tmp_path / "t.csv", tmp_path / "b.isth", fits=False)
    assert said == done.n_bytes > exact.n_bytes
    assert about == pytest.approx(exact.n_bytes, rel=0.2)
    assert not quick(slopes(4000), tmp_path / "c.isth").notes


@pytest.mark.parametrize("tried", [1 << 18, 30 * 700])
def test_the_size_of_all_bits_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: int
) -> None:
    monkeypatch.setattr("isthmus.codec.store.TRIED_BYTES", tried)
    content = content_of(slopes(6000))
    compress(slopes(6000), tmp_path / "a.isth", fits=False)
    with Archive(tmp_path / "a.isth") as archive:
        n_bytes = sum(block.n_bytes for block in archive.blocks)
    assert plain_size(content, 1 << 16) == pytest.approx(n_bytes, rel=0.05)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, picture in enumerate(slopes(60)):
        Image.fromarray(picture).save(tmp_path / "in" / f"{number:02}.png")
    Image.fromarray(slopes(1, shape=(9, 9))[0]).save(tmp_path / "in" / "odd.png")
    (tmp_path / "in" / "about.txt").write_text("of slopes")
    done = quick(tmp_path / "in", tmp_path / "a.isth")
    assert done.preview["columns"][0]["name"] == "pictures 6 5 0 8"
    decompress(tmp_path / "a.isth", tmp_path / "out")
    assert (tmp_path / "out" / "about.txt").read_text() == "of slopes"
    before, after = (
        np.stack(
            [np.asarray(Image.open(tmp_path / name / f"{number:02}.png"), float) for number in range(60)]
        )
        for name in ("in", "out")
    )
    assert done.preview["columns"][0]["rmse"] == pytest.approx(np.sqrt(np.mean((after - before) ** 2)))
    odd = [np.asarray(Image.open(tmp_path / name / "odd.png")) for name in ("in", "out")]
    np.testing.assert_array_equal(*odd)


def test_rows_that_the_coder_does_not_know_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{150 + number % 50},{number % 7}\n" for number in range(500)]
    lines[450] = "one,two,three\n"
    path.write_text("height,number\n" + "".join(lines))
    content, coder = coder_of(path)
    footer = write_rows(content, tmp_path / "t.isth", coder=coder, block_rows=100)
    assert footer is not None
    assert footer["exact_rows"] in (0, 100)
    with open_archive(tmp_path / "t.isth") as archive:
        archive.write(tmp_path / "back.csv")
    assert (tmp_path / "back.csv").read_text().splitlines()[451] == "one,two,three"


@pytest.mark.parametrize("dtype", ["u1", "i4", "i8", "f2", "f4", "f8"])
def test_numbers_come_back_between_those_that_the_fit_saw(dtype: str) -> None:
    chance = np.random.default_rng(0)
    rows = (np.exp(chance.normal(size=(400, 1, 1))) * chance.uniform(1, 20, (400, 4, 3))).astype(dtype)
    content, coder = coder_of(rows, quality=70)
    (part,) = coder.parts
    found = np.asarray(coder.unpacked(packed_by(coder, content.block(slice(0, 400))), 400)["values"])
    assert rows.min() <= found.min() < found.max() <= rows.max()
    wide = PreviewCoder(
        [replace(part, low=ends_of(dtype)[0], high=ends_of(dtype)[1])],
        coder.meanings, coder.words, coder.alphabet, coder.decoder, coder._encode,  # pyright: ignore[reportPrivateUsage]
    )  # fmt: skip
    free = np.asarray(wide.unpacked(packed_by(wide, content.block(slice(0, 400))), 400)["values"])
    assert free.min() < rows.min() or dtype == "u1"
    (meaning,) = coder.meanings
    assert meaning is not None
    apart = 2.0 ** -float(meaning.point[0]) if dtype[0] == "f" else 0.0
    np.testing.assert_allclose(found, np.clip(free, rows.min(), rows.max()), rtol=0, atol=apart)
    check_slowly(coder, content.block(slice(0, 30)))


def test_flags_come_back_as_flags(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    z = chance.normal(size=4000)
    gaps = chance.random(4000) < 0.3
    gaps[0] = True  # what stands in a gap before the first value is 0, and seen by nobody
    table = pa.table(
        {
            "flag": (chance.random(4000) < 0.1).astype(np.int16),
            "year": pa.array((1990 + 5 * z).astype(np.int16), mask=gaps),
            "price": np.exp(z),
            "height": 170 + 10 * z,
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    quick(tmp_path / "t.parquet", tmp_path / "t.isth", quality=50, seconds=0.2)
    with open_archive(tmp_path / "t.isth") as archive:
        back = archive[:]
    for name in table.column_names:
        before, after = (pa.compute.min_max(each.column(name)).as_py() for each in (table, back))  # pyright: ignore
        assert before["min"] <= after["min"] < after["max"] <= before["max"]
    assert set(back.column("flag").to_pylist()) <= {0, 1}


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2).map(sorted), st.floats(-60, 60))
def test_ends_of_floats_hold_them_in_places_of_their_own(ends: list[float], log_scale: float) -> None:
    low, high = ends
    scale = np.array([2.0**log_scale])
    meaning = Meaning.of(scale, np.array([low]), "f8", 12, 2**21)
    part = within(Part("x", "f8", (), (1,)), meaning, low, high)
    assert part.fits
    (point,) = meaning.point.tolist()
    first, last = (Fraction(end) / Fraction(2) ** point for end in (part.low, part.high))
    apart = Fraction(1) / Fraction(2) ** point
    if max(abs(low), abs(high)) * 2.0**point < 2**53:  # neither is beyond what floats have
        assert (low <= first <= last <= high) or (last - first == apart and first < low <= high < last)
        assert first - apart < low
        assert last + apart > high


def test_ends_of_integers_are_the_values_themselves() -> None:
    meaning = Meaning.of(np.array([2.0**40]), np.array([0.0]), "i8", 12, 2**21)
    part = within(Part("x", "i8", (), (1,)), meaning, -(2**60) - 1, 2**60 + 1)
    assert meaning.point[0] < 0
    assert (part.low, part.high) == (-(2**60) - 1, 2**60 + 1)
    found = meaning.values(np.array([[-(2**21)], [2**21]]), part)
    assert found[:, 0].tolist() == [-(2**49), 2**49]
    narrow = replace(part, low=-5, high=6)
    assert meaning.values(np.array([[-(2**21)], [2**21]]), narrow)[:, 0].tolist() == [-5, 6]


def test_values_that_no_row_of_the_fit_had_are_coded_as_well_as_can_be() -> None:
    content, coder = coder_of(np.random.default_rng(0).normal(size=(300, 4)))
    far: Columns = {"values": np.full((3, 4), 1e300)}
    found = np.asarray(coder.unpacked(packed_by(coder, far), 3)["values"])
    assert np.isfinite(found).all()
    assert (found > np.asarray(content.block(slice(0, 300))["values"]).mean()).any()


def test_a_writer_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    content, coder = coder_of(slopes(300))
    write_rows(content, tmp_path / "whole.isth", coder=coder, block_rows=50)

    class StoppedError(Exception):
        pass

    def stop(n_rows: int) -> None:
        if n_rows == 150:
            raise StoppedError

    with pytest.raises(StoppedError):
        write_rows(content, tmp_path / "a.isth", coder=coder, block_rows=50, told=stop)
    told: list[int] = []
    write_rows(content, tmp_path / "a.isth", coder=coder, block_rows=50, resume=True, told=told.append)
    assert told == [200, 250, 300]
    assert (tmp_path / "a.isth").read_bytes() == (tmp_path / "whole.isth").read_bytes()


def test_with_a_fitted_model(tmp_path: Path) -> None:
    rows = slopes(400)
    code = QuantisedCode(0.05)
    fitted = Autoencoder(
        4, code=code, likelihood="squared_error", hidden_sizes=(16,), max_epochs=3, random_state=0
    )
    fitted.fit(rows[..., None]).save(tmp_path / "m.safetensors")
    quick(slopes(100, seed=1), tmp_path / "a.isth", model=tmp_path / "m.safetensors")
    with open_archive(tmp_path / "a.isth") as archive:
        back = archive[:]
    expected = fitted.inverse_transform(fitted.transform(slopes(100, seed=1)[..., None])).reshape(100, 6, 5)
    apart = np.abs(back.astype(float) - np.clip(expected, 0, 255))
    assert apart.mean() < 0.5  # a network in whole numbers, of weights of 8 bits


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"quality": 0.0}, "between 0 and 100"),
        ({"quality": 100.0}, "between 0 and 100"),
        ({"quality": float("nan")}, "between 0 and 100"),
        ({"max_error": 0.1}, "--max-error"),
        ({"fits": False}, "--no-model"),
        ({"model": Path("m.safetensors"), "quality": 90.0}, "--model"),
        ({"preview": False, "quality": 90.0}, "--preview"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ParameterError, match=expected) as error:
        compress(slopes(20), tmp_path / "a.isth", **{"preview": True, **options})
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_what_has_no_preview_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"\0\1\2" * 50)
    np.save(tmp_path / "texts.npy", np.array(["a", "b"]))
    np.save(tmp_path / "same.npy", np.zeros((50, 4)))
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).normal(size=(20, 5000)))
    np.save(tmp_path / "none.npy", np.zeros((0, 4)))
    for name in ("notes.txt", "texts.npy", "same.npy", "wide.npy", "none.npy"):
        with pytest.raises(ParameterError, match="Leave --preview out"):
            quick(tmp_path / name, tmp_path / "a.isth")
    with pytest.raises(SourceError):
        quick(tmp_path / "nothing", tmp_path / "a.isth")


def test_models_of_other_codes_and_rows_are_refused(tmp_path: Path) -> None:
    rows = slopes(60)
    options: dict[str, Any] = {"hidden_sizes": (8,), "max_epochs": 1, "random_state": 0}
    Autoencoder(2, **options).fit(rows[..., None]).save(tmp_path / "plain.safetensors")
    quantised = Autoencoder(2, code=QuantisedCode(0.1), likelihood="squared_error", **options)
    quantised.fit(rows[..., None]).save(tmp_path / "q.safetensors")
    with pytest.raises(ParameterError, match="QuantisedCode"):
        quick(rows, tmp_path / "a.isth", model=tmp_path / "plain.safetensors")
    with pytest.raises(ParameterError, match="fitted to"):
        quick(slopes(60, shape=(4, 4)), tmp_path / "a.isth", model=tmp_path / "q.safetensors")
    parquet.write_table(made_table(), tmp_path / "t.parquet")
    with pytest.raises(ParameterError, match="--model"):
        quick(tmp_path / "t.parquet", tmp_path / "a.isth", model=tmp_path / "q.safetensors")


@pytest.fixture(scope="module")
def small() -> PreviewCoder:
    return coder_of(slopes(100))[1]


def test_the_section_makes_a_coder_that_decodes_alone(small: PreviewCoder) -> None:
    again = PreviewCoder.of_section(small.section())
    again.check()
    block: Columns = {"values": slopes(20)}
    payload = packed_by(small, block)
    np.testing.assert_array_equal(
        np.asarray(again.unpacked(payload, 20)["values"]), np.asarray(small.unpacked(payload, 20)["values"])
    )
    assert again.section() == small.section()
    assert again.packed(block) is None


def test_columns_of_another_kind_are_left(small: PreviewCoder) -> None:
    for other in (slopes(5, shape=(5, 6)), slopes(5).astype(np.int16), [b"text"]):
        assert small.packed({"values": other}) is None
    assert small.packed({"others": slopes(5)}) is None


def test_damaged_blocks_are_refused(small: PreviewCoder) -> None:
    payload = packed_by(small, {"values": slopes(20)})
    one: Columns = {"\0": [b"\1\0\0\0"], "values": []}
    spoilt = [
        b"",
        payload[: len(payload) // 2],
        plain.packed({"values": slopes(20)}),
        plain.packed({"\0": [b"\xff\xff\xff\xff"], "values": []}),
        plain.packed({"\0": [b"\x15\0\0\0"], "values": []}),
        plain.packed({"\0": [b"\1\0\0\0\0"], "values": []}),
        plain.packed({**one, "\0oddvalues": np.array([99]), "\0ownvalues": slopes(1)[0, 0, :1]}),
        plain.packed({**one, "\0oddvalues": np.array([1])}),
    ]  # fmt: skip
    for data in spoilt:
        with pytest.raises(ArtifactError) as error:
            small.unpacked(data, 20)
        assert "\n" not in str(error.value)


def test_damaged_sections_are_refused_or_harmless(small: PreviewCoder) -> None:
    section, chance = small.section(), np.random.default_rng(0)
    payload = packed_by(small, {"values": slopes(20)})
    for place in chance.integers(0, len(section), 150).tolist():
        spoilt = bytearray(section)
        spoilt[place] ^= 1 << int(chance.integers(8))
        try:
            PreviewCoder.of_section(bytes(spoilt)).unpacked(payload, 20)
        except IsthmusError:
            continue


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1 << 20, 1 << 20]},
        {"shape": [6, 5, 1 << 40]},
        {"shape": [-6, -5]},
        {"shape": []},
        {"model_shape": [0]},
        {"model_shape": [2, 2, 1]},
        {"n_words": 1},
        {"n_words": 1 << 60},
        {"link": "none of them"},
        {"low": 5, "high": 4},
        {"high": 256},
        {"high": 1.5},
        {"dtype": "O"},
        {"dtype": "b1"},
        {"dtype": "texts"},
        {"name": "\0"},
        {"name": 5},
        {"more": 1},
    ],
)
def test_hostile_parts_are_refused_in_one_line(small: PreviewCoder, change: dict[str, Any]) -> None:
    held = plain.unpacked(small.section())
    (told,) = json.loads(held["parts"][0])
    held["parts"] = [json.dumps([{**told, **change}]).encode()]
    with pytest.raises(ArtifactError, match="decoder of a preview") as error:
        PreviewCoder.of_section(plain.packed(held))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("meaning 0", lambda old: old + np.array([[1 << 60], [0], [0], [0]])),
        ("meaning 0", lambda old: old * [[1], [0], [1], [1]]),
        ("meaning 0", lambda old: old[:3]),
        ("meaning 0", lambda old: np.repeat(old, 7, axis=1)),
        ("counts", lambda old: old * (1 << 40)),
        ("counts", lambda old: old * 0),
        ("firsts", lambda old: old + (1 << 40)),
        ("masses", lambda old: old * 0),
        ("masses", lambda old: old.astype(np.int64) << 30),
        ("masses", lambda old: old[:-1]),
        ("networks", lambda old: old * 2),
        ("parts", lambda old: [b"[]"]),
        ("parts", lambda old: [b"[" * 100_000]),
    ],
)
def test_hostile_sections_are_refused_in_one_line(small: PreviewCoder, name: str, change: Any) -> None:
    held = plain.unpacked(small.section())
    held[name] = change(held[name])
    with pytest.raises(ArtifactError, match="preview") as error:
        PreviewCoder.of_section(plain.packed(held))
    assert "\n" not in str(error.value)


def test_an_archive_of_a_preview_says_so(tmp_path: Path) -> None:
    quick(slopes(100), tmp_path / "a.isth")
    with Archive(tmp_path / "a.isth") as archive:
        assert archive.header["coder"] == "preview"
        assert {block.codec for block in archive.blocks} == {"preview"}

"""Rows in an archive: exact, tried before they count, and read without the others."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.codec.coding.coders import Coder, smallest
from isthmus.codec.columns import Columns
from isthmus.codec.container import ArchiveWriter
from isthmus.codec.contents import content_of
from isthmus.codec.store import StoredRows, write_rows
from isthmus.errors import ArtifactError, ParameterError


class Boastful(Coder):
    """Says few bytes, and gives back something else."""

    id: ClassVar[str] = "boastful"

    def section(self) -> bytes:
        return b"nothing"

    @classmethod
    def of_section(cls, data: bytes) -> Boastful:
        return cls()

    def check(self) -> None:
        pass

    def packed(self, columns: Columns) -> bytes:
        return b""

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        return {"values": np.zeros((n_rows, 3))}


def stored(source: object, path: Path, block_rows: int = 10, **options: object) -> StoredRows:
    write_rows(content_of(source), path, coder=None, block_rows=block_rows, overwrite=True, **options)  # pyright: ignore
    return StoredRows(path, coders={})


@given(
    hnp.arrays(
        st.sampled_from(
            [np.dtype(kind) for kind in ("u1", "<i2", ">i4", "f2", "<f4", ">f8", "?", "c8", "S3")]
        ),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7),
    )
)
@settings(deadline=None, max_examples=60)
def test_arrays_come_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    with stored(array, folder / "a.isth", 3) as rows:
        found = rows[:]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()
        rows.write(folder / "back.npy")
    expected = io.BytesIO()
    np.save(expected, array)
    assert (folder / "back.npy").read_bytes() == expected.getvalue()


def test_odd_floats_keep_their_bits(tmp_path: Path) -> None:
    odd = np.array([0.0, -0.0, np.inf, -np.inf, 5e-324, 1.8e308])
    payloads = np.array([0x7FF8000000000001, 0xFFF0000000000123, 0x7FF0000000000001], np.uint64).view(
        np.float64
    )
    array = np.concatenate([odd, payloads])[:, None]
    with stored(array, tmp_path / "a.isth") as rows:
        assert rows[:].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,x\n2,\n",
        'name;price\r\n"a;b";1,50\r\nc;2\r\n',
        "a,b\n1,2\n1,2,3\n\n4,5",
        "\ufeffid,n\n1,0.10\n2,1e5\n",
        "a\n",
    ],
)
def test_text_comes_back_byte_for_byte(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    with stored(path, tmp_path / "t.isth", 2) as rows:
        rows.write(tmp_path / "back.csv")
    assert (tmp_path / "back.csv").read_bytes() == path.read_bytes()


def test_some_rows_of_text_keep_their_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{number},{number / 8:.3f},{'odd' if number % 2 else 'even'}\n" for number in range(100)]
    path.write_text("id,x,word\n" + "".join(lines))
    with stored(path, tmp_path / "t.isth") as rows:
        rows.write_some(25, 42, tmp_path / "some.csv")
        assert rows[25:42].column("id").to_pylist() == list(range(25, 42))
        assert rows[30].column("word").to_pylist() == ["even"]
    assert (tmp_path / "some.csv").read_text() == "id,x,word\n" + "".join(lines[25:42])


def test_rows_of_blocks_that_are_of_different_types_come_together(tmp_path: Path) -> None:
    """One odd cell makes a column of its block text; one odd row, its block."""
    lines = [f"{number},{number / 8:.3f}\n" for number in range(60)]
    lines[35] = "many,4.375\n"
    (tmp_path / "t.csv").write_text("id,x\n" + "".join(lines))
    with stored(tmp_path / "t.csv", tmp_path / "t.isth") as rows:
        assert rows[10:30].column("id").to_pylist() == list(range(10, 30))
        some = rows[25:45]
        assert some.column("id").to_pylist() == [*map(str, range(25, 35)), "many", *map(str, range(36, 45))]
        assert some.column("x").to_pylist() == [number / 8 for number in range(25, 45)]
    lines[35] = "a,line,of,others\n"
    (tmp_path / "t.csv").write_text("id,x\n" + "".join(lines))
    with stored(tmp_path / "t.csv", tmp_path / "t.isth") as rows:
        assert rows[25:45].to_pylist() == [{"text": line} for line in lines[25:45]]


def test_rows_of_several_arrays_come_by_name(tmp_path: Path) -> None:
    arrays = {"x": np.arange(60.0).reshape(30, 2), "y": np.arange(30)[::-1], "scale": np.float32(3)}
    np.savez(tmp_path / "a.npz", **arrays)
    with stored(tmp_path / "a.npz", tmp_path / "a.isth") as rows:
        for some in (slice(0, 30), slice(5, 25), slice(12, 13), slice(4, 4)):
            assert list(rows[some]) == ["x", "y"]
            assert rows[some]["x"].tolist() == arrays["x"][some].tolist()
            assert rows[some]["y"].tolist() == arrays["y"][some].tolist()
        assert rows[29]["x"].tolist() == [58, 59]
        assert rows[-1]["y"] == 0


def test_pictures_of_several_sizes_come_as_a_list(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    chance, pictures = np.random.default_rng(0), list[np.ndarray]()
    for number in range(40):
        side = 20 if number < 20 else 30
        picture = np.add.outer(np.arange(side), np.arange(side)) + chance.integers(0, 3, (side, side))
        pictures.append(picture.astype(np.uint8))
        Image.fromarray(pictures[-1]).save(tmp_path / "pictures" / f"{number:02}.png")
    with stored(tmp_path / "pictures", tmp_path / "a.isth") as rows:
        assert rows[2:18].shape == (16, 20, 20, 1)
        found = rows[:]
        assert [picture.shape[0] for picture in found] == [20] * 20 + [30] * 20
        assert all((one[:, :, 0] == other).all() for one, other in zip(found, pictures, strict=True))


def test_rows_that_a_file_lacks_at_its_end_are_named(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(100, 8))
    with stored(array, tmp_path / "a.isth") as rows:
        end = rows.archive.blocks[7].offset
    (tmp_path / "a.isth").write_bytes((tmp_path / "a.isth").read_bytes()[: end + 30])
    with StoredRows(tmp_path / "a.isth", coders={}) as rows:
        assert len(rows) == 100
        np.testing.assert_array_equal(rows[:70], array[:70])
        for some in (slice(0, 100), slice(65, 71), slice(90, 95)):
            with pytest.raises(ArtifactError, match="rows 70:100 are lost"):
                rows[some]
        with pytest.raises(ArtifactError, match="rows 70:100 are lost"):
            rows.write(tmp_path / "back.npy")
    assert not (tmp_path / "back.npy").exists()


def test_some_rows_of_an_arrow_table(tmp_path: Path) -> None:
    from pyarrow import parquet

    table = pa.table(
        {"x": [1.5, None, 3.0] * 10, "word": pa.array(["a", "b", None] * 10).dictionary_encode()}
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    with stored(tmp_path / "t.parquet", tmp_path / "t.isth", 7) as rows:
        rows.write_some(5, 23, tmp_path / "some.parquet")
        assert rows[5:23].to_pylist() == table.slice(5, 18).to_pylist()
    assert parquet.read_table(tmp_path / "some.parquet").to_pylist() == table.slice(5, 18).to_pylist()


def test_some_rows_cost_their_blocks_alone(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(10_000, 16))
    with stored(array, tmp_path / "a.isth", 100) as rows:
        before = rows.archive.n_bytes_read
        assert before < 0.02 * rows.archive.n_bytes
        np.testing.assert_array_equal(rows[5000:5100], array[5000:5100])
        block = rows.archive.blocks[50]
        assert rows.archive.n_bytes_read - before == pytest.approx(block.n_bytes, abs=100)
        assert rows[-1].tolist() == array[-1].tolist()
        assert len(rows) == 10_000
        assert rows[3:3].shape == (0, 16)
        with pytest.raises(IndexError):
            rows[10_000]
        with pytest.raises(ParameterError, match="step"):
            rows[::2]
        for odd in ([1, 2], (1, 0), 3.0, "x"):
            with pytest.raises(ParameterError, match="rows that follow each other"):
                rows[odd]  # pyright: ignore


def test_a_coder_that_gives_back_something_else_is_not_taken() -> None:
    block: Columns = {"values": np.random.default_rng(0).normal(size=(5, 3))}
    assert smallest([Boastful()], [block], 5)[0] == "plain"
    zeros: Columns = {"values": np.zeros((5, 3))}
    assert smallest([Boastful()], [zeros], 5)[0] == "boastful"
    assert smallest([Boastful()], [block], 5)[0] == "plain"


def test_a_coder_that_is_read_as_another_writes_nothing(tmp_path: Path) -> None:
    class Forgetful(Boastful):
        def __init__(self, known: bytes = b"") -> None:
            self.known = known

        def section(self) -> bytes:
            return self.known

    with pytest.raises(ArtifactError, match="read as it was written"):
        write_rows(content_of(np.zeros((5, 3))), tmp_path / "a.isth", coder=Forgetful(b"all"), block_rows=5)
    assert not list(tmp_path.iterdir())


def test_a_coder_that_is_not_known_is_named(tmp_path: Path) -> None:
    content = content_of(np.zeros((5, 3)))
    write_rows(content, tmp_path / "a.isth", coder=Boastful(), block_rows=5)
    with StoredRows(tmp_path / "a.isth", coders={"boastful": Boastful}) as rows:
        assert rows.archive.blocks[0].codec == "boastful"
    with pytest.raises(ArtifactError, match="boastful"):
        StoredRows(tmp_path / "a.isth", coders={})


class Broken(Boastful):
    """One whose self-test, or whose blocks, are those of another machine."""

    broken: ClassVar[str] = "unpacked"

    def check(self) -> None:
        if self.broken == "check":
            raise ArtifactError("frozen network: its self-test expected other outputs. Read it elsewhere.")

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        raise ArtifactError("archive: expected a block, got none; take another copy of it.")


def test_errors_of_what_an_archive_holds_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.isth"
    write_rows(content_of(np.zeros((50, 3))), path, coder=Boastful(), block_rows=5)
    known = {"boastful": Broken}
    with StoredRows(path, coders=known) as rows:
        for read in (
            lambda: rows[3:7],
            lambda: rows[3],
            lambda: rows.write(tmp_path / "all.npy"),
            lambda: rows.write_some(3, 7, tmp_path / "some.npy"),
        ):
            with pytest.raises(ArtifactError) as caught:
                read()
            assert str(caught.value) == f"{path}: expected a block, got none; take another copy of it."
        with pytest.raises(ParameterError, match=re.escape(f"{path}: expected")):
            rows[::2]
    monkeypatch.setattr(Broken, "broken", "check")
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: frozen network: its self-test")):
        StoredRows(path, coders=known)
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: is coded with 'boastful'")):
        StoredRows(path, coders={})


def test_facts_of_no_content_name_their_archive(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a.isth", {"content": {"kind": "array", "n_rows": -1}}) as writer:
        writer.close()
    with pytest.raises(ArtifactError, match=re.escape(f"{tmp_path / 'a.isth'}: expected contents")):
        StoredRows(tmp_path / "a.isth", coders={})


@pytest.mark.parametrize(("error", "relative"), [(0.25, False), (0.005, True)])
def test_numbers_within_an_error(tmp_path: Path, error: float, relative: bool) -> None:
    from isthmus.codec.bounded import bounds_of

    chance = np.random.default_rng(0)
    array = chance.normal(size=(500, 4)) * [1, 10, 100, 0]
    array[3, 1], array[4, 2] = np.nan, np.inf
    content = content_of(array)
    with stored(array, tmp_path / "a.isth", 64, bounds=bounds_of(content, error, relative=relative)) as rows:
        found = rows[:]
    finite = np.isfinite(array)
    spread = np.nanmax(np.where(finite, array, np.nan), axis=0) - np.nanmin(
        np.where(finite, array, np.nan), axis=0
    )
    most = np.broadcast_to(error * spread if relative else error, array.shape)
    assert (np.abs(found[finite] - array[finite]) <= most[finite]).all()
    assert found[~finite].tobytes() == array[~finite].tobytes()
    assert (tmp_path / "a.isth").stat().st_size < array.nbytes / 2


def test_a_killed_writer_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 50, (95, 8))
    content = content_of(array)
    write_rows(content, tmp_path / "whole.isth", coder=None, block_rows=10)

    class StoppedError(Exception):
        pass

    def stop(n_rows: int) -> None:
        if n_rows == 50:
            raise StoppedError

    with pytest.raises(StoppedError):
        write_rows(content, tmp_path / "a.isth", coder=None, block_rows=10, told=stop)
    assert not (tmp_path / "a.isth").exists()
    told: list[int] = []
    write_rows(content, tmp_path / "a.isth", coder=None, block_rows=10, resume=True, told=told.append)
    assert told == [60, 70, 80, 90, 95]
    assert (tmp_path / "a.isth").read_bytes() == (tmp_path / "whole.isth").read_bytes()


def test_a_damaged_block_costs_its_rows_alone(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(100, 8))
    with stored(array, tmp_path / "a.isth", 10) as rows:
        at = rows.archive.blocks[4].offset + 100
    data = bytearray((tmp_path / "a.isth").read_bytes())
    data[at] ^= 4
    (tmp_path / "a.isth").write_bytes(data)
    with StoredRows(tmp_path / "a.isth", coders={}) as rows:
        np.testing.assert_array_equal(rows[:40], array[:40])
        np.testing.assert_array_equal(rows[50:], array[50:])
        with pytest.raises(ArtifactError, match="40:50"):
            rows[45]

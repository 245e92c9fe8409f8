"""The whole way, through compress and decompress: data of any kind come back to the last bit, or within the error."""

from __future__ import annotations

import gzip
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import parquet

import isthmus
from isthmus.workflows import archive_models
from isthmus.workflows import compress as compressing

torch.set_num_threads(1)

NUMBERS = (
    "u1",
    "i1",
    "<u2",
    ">u2",
    "<i2",
    ">i4",
    "<u4",
    "<i8",
    ">u8",
    "<f2",
    ">f2",
    "<f4",
    ">f4",
    "<f8",
    ">f8",
)
OTHERS = ("?", "<c8", ">c16", "S3", "S0", "<U2", ">U2", "V5", "<M8[D]", ">M8[ns]", "<m8[s]", "g")
RECORD = np.dtype([("a", "<i2"), ("b", ">f8", (2,)), ("c", "U2")], align=True)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of little data."""
    monkeypatch.setattr(compressing, "BLOCK_ROWS", (3, 50))
    monkeypatch.setattr(compressing, "BLOCK_BYTES", 1000)


def bits(array: np.ndarray) -> bytes:
    """Bytes of an array, those between the fields of records too."""
    return np.ascontiguousarray(array).view(np.dtype((np.void, array.dtype.itemsize))).tobytes()


def numbers(dtype: str) -> st.SearchStrategy[Any]:
    """Values with many that are odd: the ends of the type, -0.0, NaN of any payload, infinity, and few digits."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        width = 8 * kind.itemsize
        odd = st.integers(0, 2**width - 1).map(
            lambda bits: np.array(bits, f"u{kind.itemsize}").view(f"f{kind.itemsize}")[()]
        )
        few = st.integers(-999, 999).map(lambda whole: np.float64(whole / 100).astype(kind))
        return st.one_of(odd, few, st.sampled_from([0.0, -0.0, np.inf, -np.inf, np.nan]))
    ends = np.iinfo(kind)
    return st.one_of(
        st.integers(ends.min, ends.max), st.sampled_from([ends.min, ends.max, 0]), st.integers(0, 3)
    )


@st.composite
def arrays(draw: st.DrawFn, dtypes: tuple[str, ...] = NUMBERS) -> np.ndarray:
    dtype = draw(st.sampled_from(dtypes))
    array = draw(hnp.arrays(np.dtype(dtype), draw(SHAPES), elements=numbers(dtype)))
    return np.asfortranarray(array) if draw(st.booleans()) else array


@st.composite
def other_arrays(draw: st.DrawFn) -> np.ndarray:
    """Of any bytes, or those that a value of the type may have."""
    dtype, shape = draw(st.sampled_from([*map(np.dtype, OTHERS), RECORD])), draw(SHAPES)
    n = int(np.prod(shape))
    chance = np.random.default_rng(draw(st.integers(0, 99)))
    if dtype.kind in "SVMmcg" and dtype.itemsize:
        octets = chance.integers(0, 256, n * dtype.itemsize, np.uint8)
        return np.frombuffer(octets.tobytes(), dtype).reshape(shape)
    array = np.zeros(n, dtype)
    if dtype.kind == "b":
        array[:] = chance.random(n) < 0.5
    elif dtype.kind == "U":
        array[:] = [("", "ü", "a数")[at] for at in chance.integers(0, 3, n)]
    elif dtype.names:
        array["a"], array["c"] = np.arange(n) % 9, "ä"
    return array.reshape(shape)


def check_array(array: np.ndarray, folder: Path, *, fits: bool = False) -> None:
    np.save(folder / "a.npy", array)
    for source in (array, folder / "a.npy"):
        isthmus.compress(source, folder / "a.isth", force=True, fits=fits, seconds=0.001)
        isthmus.decompress(folder / "a.isth", folder / "back.npy", force=True)
        found = np.load(folder / "back.npy")
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert bits(found) == bits(array)
    assert (folder / "back.npy").read_bytes() == (folder / "a.npy").read_bytes()
    with isthmus.open_archive(folder / "a.isth") as rows:
        whole = rows[:]
        assert whole.shape == (array.shape or (1,))
        assert bits(whole) == bits(array)
        for start, stop in ((0, 1), (len(rows) // 3, len(rows)), (len(rows) - 1, len(rows))):
            if 0 <= start < stop <= len(rows):
                assert bits(rows[start:stop]) == bits(whole[start:stop])
                isthmus.decompress(folder / "a.isth", folder / "some.npy", rows=(start, stop), force=True)
                assert bits(np.load(folder / "some.npy")) == bits(whole[start:stop])


@given(st.one_of(arrays(), other_arrays()))
@settings(max_examples=60)
def test_arrays_come_back_to_the_last_bit(folder: Path, array: np.ndarray) -> None:
    check_array(array, folder)


@given(arrays(("u1",)))
@settings(max_examples=10)
def test_arrays_for_which_a_model_is_tried_come_back(folder: Path, array: np.ndarray) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_models, "SMALLEST_WITH_MODEL", 1)
        patch.setattr(archive_models, "HIDDEN", 4)
        patch.setattr(archive_models, "CODE_SIZE", 1)
        patch.setattr(archive_models, "MOST_WEIGHTS", 1e9)
        check_array(np.resize(array, (20, *array.shape[1:])) if array.size else array, folder, fits=True)


def exact(values: np.ndarray) -> list[Fraction]:
    return [Fraction(value) for value in values.ravel().tolist()]


@given(
    arrays(),
    st.one_of(st.sampled_from([5e-324, 1e-3, 0.5, 1, 7.3, 1e10, 1e300]), st.floats(1e-9, 1e9)),
    st.booleans(),
)
@example(np.array([0.0, np.nan, 3.0e38, -3.0e38], np.float32), 1e30, False)
@example(np.array([-(2**63), 2**63 - 1]), 2.0**62, False)
@example(np.array([[0.1, 0.3], [0.2, np.inf]]), 0.05, False)
@settings(max_examples=80)
def test_numbers_come_back_within_the_error(
    folder: Path, array: np.ndarray, error: float, relative: bool
) -> None:
    """Told in fractions, after the rounding to their own type; what is not finite keeps its bits."""
    relative = relative and error < 1
    isthmus.compress(array, folder / "e.isth", force=True, max_error=error, relative=relative, fits=False)
    isthmus.decompress(folder / "e.isth", folder / "e.npy", force=True)
    found = np.load(folder / "e.npy")
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    native, back = (each.astype(each.dtype.newbyteorder("=")) for each in (array, found))
    finite = np.isfinite(native)
    assert bits(native[~finite]) == bits(back[~finite])
    is_wide = native.ndim == 2
    columns = [(..., at) for at in range(native.shape[1])] if is_wide else [...]
    for at in columns:
        before, after = exact(native[at][finite[at]]), exact(back[at][finite[at]])
        if not before:
            continue
        # Of a share of the range the error is a float: it may be off by its last bits.
        most = (
            Fraction(error) * (max(before) - min(before)) * (1 + Fraction(1, 2**50))
            if relative
            else Fraction(error)
        )
        assert max(abs(x - y) for x, y in zip(before, after, strict=True)) <= most


CELLS = st.one_of(
    st.integers(-99, 999).map(str),
    st.integers(-(2**63) - 1, 2**63).map(str),
    st.floats().map(repr),
    st.decimals(-99, 99, places=2, allow_nan=False).map(str),
    st.integers(0, 999).map("{:05}".format),
    st.dates().map(str),
    st.datetimes().map(lambda time: time.isoformat(timespec="milliseconds")),
    st.sampled_from(
        ["", "NA", "nan", "-0.0", "1e400", "+5", "1_0", '"a, ""b"""', '"two\nlines"', "süß", "-", "00:00"]
    ),
)


@given(st.data())
@settings(max_examples=60)
def test_tables_of_text_come_back_byte_for_byte(folder: Path, data: st.DataObject) -> None:
    """With columns of one kind of cell, and among them others, odd rows, and ends of all sorts."""
    n, separator = data.draw(st.integers(0, 40)), data.draw(st.sampled_from(",;\t"))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    kinds = [data.draw(st.sampled_from(range(8))) for _ in range(data.draw(st.integers(1, 4)))]
    odd = data.draw(st.floats(0, 0.3))
    chance = np.random.default_rng(data.draw(st.integers(0, 99)))
    rows = [
        separator.join(
            data.draw(CELLS) if chance.random() < odd else _cell(kind, int(chance.integers(1000)))
            for kind in kinds
        )
        for _ in range(n)
    ]
    rows = [separator.join(f"name{at}" for at in range(len(kinds)))] * data.draw(st.booleans()) + rows
    if rows and data.draw(st.booleans()):
        rows.insert(
            int(chance.integers(len(rows) + 1)),
            data.draw(st.sampled_from(["", "# a remark", '"', "a,b,c,d,e"])),
        )
    text = (end.join(rows) + end * data.draw(st.booleans())).encode()
    is_packed = data.draw(st.booleans())
    path = folder / ("t.csv.gz" if is_packed else "t.csv")
    path.write_bytes(gzip.compress(text) if is_packed else text)
    isthmus.compress(path, folder / "t.isth", force=True, fits=False)
    with isthmus.open_archive(folder / "t.isth") as stored:
        back, n_rows = folder / f"back{stored.form.suffix}", len(stored)
        whole = stored[:]
        if n_rows > 1:
            assert len(stored[1:n_rows]) == n_rows - 1
        assert len(whole) == n_rows
    isthmus.decompress(folder / "t.isth", back, force=True)
    if is_packed and stored.form.kind == "text table":
        assert gzip.decompress(back.read_bytes()) == text
    else:
        assert back.read_bytes() == path.read_bytes()


def _cell(kind: int, value: int) -> str:
    return (
        f"{value - 500}",
        f"{value / 4:.2f}",
        repr(value / 8),
        repr(float(np.sin(value))),
        f"{value:06}",
        ("north", "south", '"east, west"')[value % 3],
        f"2024-{1 + value % 12:02}-{1 + value % 28:02}",
        f"1969-12-31 23:{value % 60:02}:{value % 59:02}",
    )[kind]


VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int64(): st.sampled_from([-(2**63), 2**63 - 1, 0, 1, 2, 3]),
    pa.float64(): st.one_of(st.floats(), st.integers(0, 999).map(lambda whole: whole / 100)),
    pa.float32(): st.floats(width=32),
    pa.string(): st.text(max_size=5),
    pa.large_binary(): st.binary(max_size=5),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.bool_(): st.booleans(),
    pa.timestamp("us", "UTC"): st.integers(-(10**15), 10**15),
    pa.date32(): st.dates(),
    pa.time32("s"): st.integers(0, 86399),
    pa.decimal128(30, 2): st.decimals(-(10**25), 10**25, places=2, allow_nan=False),
    pa.list_(pa.int16()): st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=3),
    pa.list_(pa.string(), 2): st.lists(st.text(max_size=2), min_size=2, max_size=2),
    pa.struct([("a", pa.int8()), ("b", pa.list_(pa.float32()))]): st.fixed_dictionaries(
        {"a": st.integers(0, 5), "b": st.lists(st.floats(width=32), max_size=2)}
    ),
    pa.dictionary(pa.int32(), pa.string()): st.sampled_from(["a", "b", "ç"]),
    pa.null(): st.none(),
}


@given(st.data())
@settings(max_examples=40)
def test_tables_of_arrows_come_back(folder: Path, data: st.DataObject) -> None:
    """With gaps, in several pieces, from memory and from files."""
    n = data.draw(st.integers(0, 20))
    types = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    columns = [
        pa.array([data.draw(st.one_of(VALUES[dtype], st.none())) for _ in range(n)], dtype) for dtype in types
    ]
    table = pa.table(columns, [f"c{at}" for at in range(len(types))])
    table = pa.concat_tables([table.slice(n // 2), table.slice(0, n // 2)])
    source: Any = table
    if data.draw(st.booleans()):
        parquet.write_table(table, folder / "t.parquet", row_group_size=7)
        source, table = folder / "t.parquet", parquet.read_table(folder / "t.parquet")
    isthmus.compress(source, folder / "t.isth", force=True, fits=False)
    with isthmus.open_archive(folder / "t.isth") as rows:
        whole, back = rows[:], folder / f"back{rows.form.suffix}"
        some = rows[n // 3 : n]
    whole.validate(full=True)
    assert whole.schema.equals(table.schema, check_metadata=True)
    assert repr(whole.to_pydict()) == repr(table.to_pydict())
    assert repr(some.to_pydict()) == repr(table.slice(n // 3).to_pydict())
    isthmus.decompress(folder / "t.isth", back, force=True)
    found = parquet.read_table(back) if back.suffix == ".parquet" else pa.ipc.open_file(str(back)).read_all()
    assert repr(found.to_pydict()) == repr(table.to_pydict())


def test_blocks_of_large_rows_have_few(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of sixteen rows of a gigabyte could not be read again."""
    array = np.random.default_rng(0).integers(0, 9, (10, 125))
    for largest, n_blocks in ((1 << 28, 4), (2000, 5), (1, 10)):
        monkeypatch.setattr(compressing, "LARGEST_BLOCK", largest)
        done = isthmus.compress(array, folder / "large.isth", force=True)
        assert done.codecs == {"plain": n_blocks}
        with isthmus.open_archive(folder / "large.isth") as rows:
            assert (rows[:] == array).all()


@given(st.data())
@settings(max_examples=40)
def test_cells_come_back_within_the_error(folder: Path, data: st.DataObject) -> None:
    """Told in fractions of what stands in the file; a cell that is no number stays as it is."""
    n, error = data.draw(st.integers(1, 40)), data.draw(st.sampled_from(["0.01", "0.3", "1", "7.5", "1e6"]))
    kinds = [data.draw(st.sampled_from([0, 1, 2, 3, 4])) for _ in range(2)]
    chance = np.random.default_rng(data.draw(st.integers(0, 99)))
    odd = ["", "NA", "nan", "inf", "x", "-0.0", "1e300", f"{2**63 - 1}", f"{-(2**63)}"]
    rows = [
        [
            odd[chance.integers(len(odd))]
            if chance.random() < 0.2
            else _cell(kind, int(chance.integers(1000)))
            for kind in kinds
        ]
        for _ in range(n)
    ]
    (folder / "n.csv").write_text("a,b\n" + "".join(",".join(row) + "\n" for row in rows), newline="\n")
    isthmus.compress(folder / "n.csv", folder / "n.isth", force=True, max_error=float(error), fits=False)
    isthmus.decompress(folder / "n.isth", folder / "n.back.csv", force=True)
    found = [line.split(",") for line in (folder / "n.back.csv").read_text().split("\n")[1:-1]]
    assert len(found) == n
    for before, after in zip(chain(*rows), chain(*found), strict=True):
        if before != after:
            assert abs(Fraction(before) - Fraction(after)) <= Fraction(error)

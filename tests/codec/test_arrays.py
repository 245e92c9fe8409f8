import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.codec.columns import packed, unpacked
from isthmus.codec.contents import content_from, content_of
from isthmus.errors import ArtifactError, DataError, SourceError

DTYPES = ["?", "u1", "i1", "<u2", ">i2", "<i4", ">u8", "<f2", ">f4", "<f8", ">f8", "<c8", ">c16", "S3", "<U2", ">U2",
          "<M8[us]", ">m8[D]", "V5"]  # fmt: skip


def brought_back(content, path, step=3):
    """Through facts as JSON and blocks as bytes, as an archive holds them."""
    form = content_from(json.loads(json.dumps(content.facts)))
    blocks = [packed(content.block(slice(at, at + step))) for at in range(0, content.n_rows, step)]
    form.write((unpacked(block) for block in blocks), path)
    return [form.rows(unpacked(block)) for block in blocks]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("arrays")


@pytest.mark.parametrize(
    "dtype", [*DTYPES, "g", np.dtype([("a", "<i2"), ("b", ">f8", (2,))], align=True)], ids=str
)
@given(data=st.data())
@settings(deadline=None, max_examples=6)
def test_every_type_comes_back_bit_for_bit(folder, dtype, data):
    dtype = np.dtype(dtype)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    array = np.frombuffer(data.draw(st.binary(min_size=n_bytes, max_size=n_bytes)), dtype).reshape(shape)
    turned = data.draw(st.booleans())
    path, back = folder / "array.npy", folder / "back.npy"
    with path.open("wb") as file:
        np.save(file, np.asfortranarray(array) if turned else array)
    rows = brought_back(content_of(path), back)
    assert back.read_bytes() == path.read_bytes()
    for number, block in enumerate(rows):
        expected = (array if shape else array[None])[3 * number : 3 * number + 3]
        assert block.dtype == array.dtype
        assert block.shape == expected.shape
        for part in dtype.names or [...]:  # what lies between fields is lost wherever NumPy copies
            assert block[part].tobytes() == expected[part].tobytes()
    brought_back(content_of(array), back)
    held = io.BytesIO()
    np.save(held, array)
    assert back.read_bytes() == held.getvalue()


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_an_idx_file_comes_back(tmp_path, ending):
    data = (
        bytes([0, 0, 0x0D, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + np.array([1, 2, 3, 4, np.nan, -0.0], ">f4").tobytes()
    )
    path, back = tmp_path / f"idx{ending}", tmp_path / "back"
    path.write_bytes(gzip.compress(data) if ending else data)
    (rows,) = brought_back(content_of(path), back)
    assert rows.dtype == ">f4"
    assert (gzip.decompress(back.read_bytes()) if ending else back.read_bytes()) == data


def test_an_older_header_stays_as_it_is(tmp_path):
    path, back = tmp_path / "a.npy", tmp_path / "b.npy"
    text = b"{'shape':(2,),'fortran_order':True,'descr':'|u1'}   \n"
    path.write_bytes(b"\x93NUMPY\x02\0" + len(text).to_bytes(4, "little") + text + b"\x05\x02")
    brought_back(content_of(path), back)
    assert back.read_bytes() == path.read_bytes()


def test_truth_values_keep_odd_bytes():
    odd = np.array([0, 1, 2, 255], np.uint8).view(bool)
    content = content_of(odd)
    assert content.form.rows(content.block(slice(None))).tobytes() == odd.tobytes()


@pytest.mark.parametrize(
    "data",
    [b"", b"\x93NUMPY", b"\x93NUMPY\1\0\x05\0{'a':", b"\x93NUMPY\1\0\xff\xff", bytes([0, 0, 8, 1, 0, 0, 0, 9]),
     b"\x1f\x8b\x08", gzip.compress(b"any", mtime=0)[:-9],
     gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]), mtime=0), b"{}"],
)  # fmt: skip  # no hour in the bytes: they name the tests, and every worker has to collect the same names
def test_what_is_damaged_is_kept_as_bytes(tmp_path, data):
    path, back = tmp_path / "a.npy", tmp_path / "b.npy"
    path.write_bytes(data)
    content = content_of(path)
    assert content.kind == "file"
    brought_back(content, back)
    assert back.read_bytes() == data


def test_a_file_of_objects_or_with_more_behind_it_is_kept_as_bytes(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([None]), allow_pickle=True)
    assert content_of(path).kind == "file"
    np.save(path, np.arange(3))
    path.write_bytes(path.read_bytes() + b"more")
    assert content_of(path).kind == "file"


def test_objects_are_refused():
    with pytest.raises(DataError, match="Python objects"):
        content_of(np.array([None]))


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(SourceError, match="nothing there"):
        content_of(tmp_path / "none.npy")


FACTS = content_of(np.zeros((3, 2), np.float32)).facts


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "other"}, {"kind": None}, {"n_rows": 4}, {"n_rows": -1}, {"n_rows": True}, {"file": "hdf5"},
        {"header": "!"}, {"header": ""}, {"header": FACTS["header"] + "AAAA"}, {"header": "A" * 50_000},
        {"file": "idx"}, {"header": 3},
    ],
)  # fmt: skip
def test_facts_of_nobody_are_refused_in_one_line(changed):
    with pytest.raises(ArtifactError) as caught:
        content_from({**FACTS, **changed})
    assert len(str(caught.value).splitlines()) == 1


def test_columns_that_do_not_fit_are_refused(tmp_path):
    form = content_from(FACTS)
    good = np.zeros((2, 2), np.float32)
    for columns in ({}, {"values": good.astype(float)}, {"values": good[:, :1]}, {"values": [b"a"]}):
        with pytest.raises(ArtifactError):
            form.rows(columns)
    for n_blocks in (1, 2):
        with pytest.raises(ArtifactError, match="3 were promised"):
            form.write([{"values": good}] * n_blocks, tmp_path / "x.npy")
        assert list(tmp_path.iterdir()) == []

import gzip
import re
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.errors import SourceError
from isthmus.sources.idx import IDX_TYPES, is_idx, labels_beside, read_idx

FORMATS = {0x08: "B", 0x09: "b", 0x0B: "h", 0x0C: "i", 0x0D: "f", 0x0E: "d"}


def slow_bytes(code, array):
    """An IDX file, value by value."""
    axes = b"".join(struct.pack(">I", side) for side in array.shape)
    values = b"".join(struct.pack(">" + FORMATS[code], value) for value in array.ravel().tolist())
    return bytes([0, 0, code, array.ndim]) + axes + values


@pytest.mark.parametrize("code", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
@given(data=st.data())
def test_reads_what_the_slow_twin_writes(tmp_path_factory, code, packed, data):
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=3))
    array = data.draw(
        hnp.arrays(IDX_TYPES[code], shape, elements={"allow_nan": False} if code >= 0x0D else None)
    )
    path = tmp_path_factory.getbasetemp() / f"idx-{code}-{packed}"
    content = slow_bytes(code, array)
    path.write_bytes(gzip.compress(content) if packed else content)
    got = read_idx(path)
    assert got.shape == array.shape
    assert got.tolist() == array.tolist()
    assert isinstance(got, np.memmap) is not packed


GOOD = slow_bytes(0x08, np.arange(12, dtype=np.uint8).reshape(3, 2, 2))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            GOOD[:-1],
            "promises 12 bytes of values (shape (3, 2, 2)), got a truncated file; download it again.",
        ),
        (GOOD + b"\0", "promises 12 bytes of values (shape (3, 2, 2)), got an over-long file"),
        (GOOD[:9], "the IDX header promises 3 axes, got a file cut short"),
        (b"\0\0\x0a\x01\0\0\0\0", "expected an IDX file"),
        (b"\0\0", "got the bytes 00 00; check that this is the right file"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "got a truncated file"),
    ],
)
def test_sizes_are_held_against_the_file(tmp_path, pack, content, message):
    path = tmp_path / "images"
    path.write_bytes(pack(content))
    with pytest.raises(SourceError, match=re.escape(message)) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_bomb_is_not_unpacked(tmp_path):
    """Zeros pack a thousandfold: what is over the promise is not read."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(1 << 26)))
    with pytest.raises(SourceError, match="over-long"):
        read_idx(path)


@pytest.mark.parametrize("cut", [15, 40])
def test_a_gzip_file_cut_short(tmp_path, cut):
    values = np.random.default_rng(0).integers(0, 255, (9, 9, 9), np.uint8)
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(slow_bytes(0x08, values))[:cut])
    with pytest.raises(SourceError, match="expected a whole gzip file, got a damaged or truncated one"):
        read_idx(path)


def test_a_gzip_file_with_a_wrong_checksum(tmp_path):
    path = tmp_path / "wrong.gz"
    content = bytearray(gzip.compress(GOOD))
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged or truncated"):
        read_idx(path)


def test_is_idx():
    assert is_idx(GOOD)
    assert not is_idx(b"\0\0\x07\x03")
    assert not is_idx(b"\0\0\x08\x00")
    assert not is_idx(b"\0\0\x08")
    assert not is_idx(b"\1\0\x08\x03")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"),
        ("t10k-images.idx3-ubyte.gz", "t10k-labels.idx1-ubyte"),
        ("images.idx3-ubyte", "labels.idx1-ubyte"),
        ("colour-images-idx4-ubyte", "colour-labels-idx1-ubyte"),
    ],
)
def test_labels_beside(tmp_path, images, labels):
    (tmp_path / images).touch()
    assert labels_beside(tmp_path / images) is None
    (tmp_path / labels).touch()
    assert labels_beside(tmp_path / images) == tmp_path / labels


def test_no_labels_beside_another_name(tmp_path):
    (tmp_path / "digits.gz").touch()
    assert labels_beside(tmp_path / "digits.gz") is None

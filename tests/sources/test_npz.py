import io
import re
import zipfile

import numpy as np
import pytest

from isthmus.errors import SourceError
from isthmus.sources import open_source
from isthmus.sources.npz import open_npz


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def promise(shape, content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def refused(path, message):
    with pytest.raises(SourceError, match=re.escape(message)) as caught:
        open_source(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["book.xlsx", "x.npz", "pictures.zip"])
def test_zip_files_of_other_things(tmp_path, name):
    members = {"[Content_Types].xml": b"<x/>", "a.png": b"1", "b.png": b"2", "c.png": b"3"}
    path = zipped(tmp_path / name, members)
    refused(path, "got one with [Content_Types].xml, a.png, b.png and more; unpack it")


def test_an_empty_zip_file(tmp_path):
    refused(zipped(tmp_path / "x.npz", {}), "got one with nothing")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_header_that_promises_more_than_there_is(tmp_path, method):
    path = zipped(tmp_path / "x.npz", {"x.npy": promise((2**40, 20), bytes(64))}, method)
    refused(path, "the header of x promises 175921860444160 bytes of values (shape (1099511627776, 20)), got")


def test_an_array_above_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("isthmus.sources.npz.MAX_BYTES", 100)
    np.savez(tmp_path / "x.npz", x=np.zeros((5, 4)))
    refused(tmp_path / "x.npz", "save it as .npy, which is read in pieces")


def test_a_directory_that_lies_about_sizes(tmp_path):
    path = zipped(tmp_path / "x.npz", {"x.npy": promise((1 << 27, 1), bytes(64))})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = (1 << 30 | 1 << 29).to_bytes(4, "little")  # its uncompressed size
    path.write_bytes(content)
    refused(path, "the header of x promises 1073741824 bytes of values")


def test_an_encrypted_file(tmp_path):
    path = zipped(tmp_path / "x.npz", {"x.npy": promise((2, 2), bytes(32))})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, "got an encrypted zip file; unpack it with its password")


def test_damage_is_one_sentence(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(20, 5)))
    content, told = (tmp_path / "x.npz").read_bytes(), []
    for at in range(0, len(content), 7):
        broken = bytearray(content)
        broken[at] ^= 0xFF
        (tmp_path / "y.npz").write_bytes(broken)
        try:
            open_source(tmp_path / "y.npz")
        except SourceError as error:
            told.append(str(error))
    assert len(told) > 10
    assert all(text.startswith(f"{tmp_path / 'y.npz'}: ") and "\n" not in text for text in told)


def test_only_what_is_asked_for_is_unpacked(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.eye(3), y=np.arange(3))
    with open_npz(tmp_path / "x.npz") as file:
        assert (list(file), "z" in file, file.shape("x")) == (["x", "y"], False, (3, 3))
    objects = np.array([{}, {}], dtype=object)
    np.savez(tmp_path / "x.npz", x=np.eye(3), other=objects)
    assert open_source(tmp_path / "x.npz").read(slice(0, 3)).tolist() == np.eye(3).tolist()


def test_an_array_that_a_damaged_list_hides_is_missed(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, codes=np.ones((3, 2)), labels=np.arange(3))
    whole = bytearray(path.read_bytes())
    first = whole.index(b"PK\x01\x02")
    length = len(whole) - 22 - first - (46 + len("codes.npy"))
    whole[first + 32 : first + 34] = length.to_bytes(
        2, "little"
    )  # the second entry is the first one's comment
    path.write_bytes(whole)
    with pytest.raises(SourceError, match="its list of arrays is damaged"), open_npz(path):
        pass

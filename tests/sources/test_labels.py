import re
from pathlib import Path

import numpy as np
import pytest

from isthmus.errors import DataError, SourceError
from isthmus.sources import open_source
from isthmus.sources.labels import as_labels, read_labels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3\n1\n2\n", [3, 1, 2]),
        ("label\n3\n1\n2", [3, 1, 2]),
        ("\ufeffcat\r\ndog\r\n\r\ncat\r\n", ["cat", "dog", "cat"]),
        ('"a, b"\nc\nd\n', ["a, b", "c", "d"]),
        ("01\n2\n3\n", ["01", "2", "3"]),
    ],
)
def test_one_label_a_line(tmp_path, text, expected):
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert read_labels(path, 3).tolist() == expected


def test_labels_by_file_name_in_any_order(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("filename,label\nb.png,7\n./in\\a.png,5\nunused.png,1\n")
    assert read_labels(path, 2, ["in/a.png", "b.png"]).tolist() == [5, 7]


def test_labels_from_idx_and_npy(tmp_path):
    (tmp_path / "y").write_bytes(b"\0\0\x0b\x01\0\0\0\x02\0\x01\x02\0")
    got = read_labels(tmp_path / "y", 2)
    assert (got.tolist(), got.dtype.isnative) == ([1, 512], True)
    np.save(tmp_path / "y.npy", np.array(["a", "b"]))
    assert read_labels(tmp_path / "y.npy", 2).tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "names", "error", "message"),
    [
        (b"1\n2\n3\n4\n", None, DataError, "expected 2 labels, one a row, got 4"),
        (b"9\n1\n2\n", None, DataError, "expected 2 labels, one a row, got 3"),
        (b"cat\ndog\ncat\n", None, DataError, "expected 2 labels, one a row, got 3"),
        (b"label\n7\ncat\n", None, DataError, "expected 2 labels, one a row, got 3"),
        (b"1\n", None, DataError, "expected 2 labels, one a row, got 1"),
        (b"", None, DataError, "expected 2 labels, one a row, got 0"),
        (b"a,1\nb,2\n", None, DataError, "expected one label a line, got 'a,1'"),
        (b"a,1\nc,2\n", ["a", "b"], DataError, "got none for 'b' (1 in all)"),
        (b"a,1\nb\n", ["a", "b"], DataError, "expected filename,label in every line, got 'b'"),
        (b"\xff\xfe\x00", None, SourceError, "expected text, one label a line or filename,label"),
        (b"\x93NUMPY\x01", None, SourceError, "expected an array of labels"),
        (b"\0\0\x08\x01\0\0\0\x01\x01", None, DataError, "got an array of shape (1,)"),
    ],
)
def test_bad_labels(tmp_path, content, names, error, message):
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(error, match=re.escape(message)) as caught:
        read_labels(path, 2, names)
    assert str(caught.value).startswith(f"{path}: ")


def test_no_labels_file(tmp_path):
    with pytest.raises(SourceError, match="expected a file of labels, got nothing of that name"):
        read_labels(tmp_path / "none", 2)


def test_numbers_stay_what_people_wrote():
    assert as_labels(["10", "-3"]).dtype == np.int64
    assert as_labels(["1_0", "3"]).tolist() == ["1_0", "3"]
    assert as_labels(["9" * 30]).tolist() == ["9" * 30]


def test_a_header_that_promises_too_much_is_told_before_memory_is_taken(tmp_path):
    with (tmp_path / "y.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<i8", "fortran_order": False, "shape": (2**44,)}
        )
    with pytest.raises(SourceError, match="expected an array of labels, got a file NumPy cannot read"):
        read_labels(tmp_path / "y.npy", 2)


def test_labels_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    labels = tmp_path / "labels.txt"
    labels.write_text("1\n2\n")
    opened = Path.open

    def refused(self, *args, **options):
        if self == labels:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(SourceError, match="may be read, got the answer 'Permission denied'") as caught:
        open_source(tmp_path / "x.npy", labels=labels)
    assert str(caught.value).startswith(f"{labels}: ")
    with pytest.raises(SourceError, match="File name too long"):
        read_labels(tmp_path / ("y" * 300), 2)

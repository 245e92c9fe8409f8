import re

import numpy as np
import pytest

from isthmus.errors import DataError, SourceError
from isthmus.sources import open_source

X = np.arange(12.0).reshape(3, 4)
Y = np.array([2, 0, 1])


def test_npy_is_mapped(tmp_path):
    np.save(tmp_path / "x.npy", X)
    source = open_source(tmp_path / "x.npy")
    block = source.read(slice(0, 3))
    assert isinstance(block, np.memmap)
    assert not block.flags.writeable
    assert block.tolist() == X.tolist()
    assert source.labels is None


@pytest.mark.parametrize(
    ("arrays", "labels"),
    [
        ({"x": X, "other": Y[:, None]}, None),
        ({"X": X, "y": Y}, [2, 0, 1]),
        ({"data": X, "labels": Y.astype(str)}, ["2", "0", "1"]),
        ({"images": X, "y": Y[:2]}, None),
        ({"x_train": X, "y_train": Y, "x_test": X + 1, "y_test": Y[:1]}, [2, 0, 1]),
        ({"arr_0": X, "arr_1": X + 1}, None),
        ({"mine": X, "y": Y, "names": np.array(["a"])}, [2, 0, 1]),
    ],
)
def test_npz_names(tmp_path, arrays, labels):
    np.savez(tmp_path / "x.npz", **arrays)
    source = open_source(tmp_path / "x.npz")
    assert source.read(slice(0, 3)).tolist() == X.tolist()
    assert (None if source.labels is None else source.labels.tolist()) == labels


def test_npz_where_the_rows_cannot_be_told(tmp_path):
    np.savez(tmp_path / "x.npz", a=X, b=X, c=Y)
    with pytest.raises(
        SourceError,
        match=re.escape(
            "got a (3, 4), b (3, 4), c (3,); say which one holds the rows with --set data.array=a"
        ),
    ):
        open_source(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", a=Y)
    with pytest.raises(SourceError, match=re.escape("got a (3,);")):
        open_source(tmp_path / "y.npz")


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[{"a": 1}]]), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([[{"a": 1}]]))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(SourceError, match="of numbers, got one that NumPy cannot read"):
            open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("keep", [0, 3, 40, 0.8])
def test_truncated_files(tmp_path, name, keep):
    path = tmp_path / name
    with path.open("wb") as file:
        np.save(file, X) if name == "x.npy" else np.savez(file, x=X)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else keep])
    with pytest.raises(SourceError, match=r"expected a whole \.np") as caught:
        open_source(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_an_array_without_columns(tmp_path):
    np.save(tmp_path / "y.npy", Y)
    with pytest.raises(DataError, match=re.escape("got an array of shape (3,); labels belong to labels=")):
        open_source(tmp_path / "y.npy")

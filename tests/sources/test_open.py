import gzip
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.sources import Source, open_source
from isthmus.workflows.open_data import open_data

PICTURES = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2)
IDX = bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2]) + PICTURES.tobytes()
IDX_LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7])


def test_every_kind_of_file_gives_the_same_rows(tmp_path):
    np.save(tmp_path / "a.npy", PICTURES)
    np.savez(tmp_path / "b.npz", x=PICTURES)
    (tmp_path / "c").write_bytes(IDX)
    (tmp_path / "d.gz").write_bytes(gzip.compress(IDX))
    (tmp_path / "e").mkdir()
    for row, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(tmp_path / "e" / f"{row}.png")
    for path in sorted(tmp_path.iterdir()):
        source = open_source(str(path))
        assert isinstance(source, Source)
        assert source.schema.describe() == "pictures 2 x 2 x 1, uint8"
        assert source.read(np.array([2, 0]))[..., 0].tolist() == PICTURES[[2, 0]].tolist()
    assert open_source(tmp_path / "e" / "1.png").read(slice(None))[..., 0].tolist() == PICTURES[1:2].tolist()


def test_labels_beside_and_given(tmp_path):
    path = tmp_path / "my-images-idx3-ubyte"
    path.write_bytes(IDX)
    assert open_source(path).labels is None
    (tmp_path / "my-labels-idx1-ubyte.gz").write_bytes(gzip.compress(IDX_LABELS))
    assert open_source(path).labels.tolist() == [5, 6, 7]
    (tmp_path / "mine.txt").write_text("a\nb\nc\n")
    assert open_source(path, labels=str(tmp_path / "mine.txt")).labels.tolist() == ["a", "b", "c"]
    (tmp_path / "mine.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match="expected 3 labels, one a row, got 2"):
        open_source(path, labels=tmp_path / "mine.txt")


def test_a_labels_file_is_no_data(tmp_path):
    (tmp_path / "y").write_bytes(IDX_LABELS)
    with pytest.raises(DataError, match=re.escape("got an array of shape (3,); labels belong to labels=")):
        open_source(tmp_path / "y")


@pytest.mark.parametrize(("name", "content"), [("a.md", b"PAR2"), ("b", b""), ("c.rst", b"hello")])
def test_a_file_of_another_kind(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        SourceError,
        match=r"expected a folder of images, sounds or shards, one image .*\.npy, \.npz, IDX .* or a table",
    ) as caught:
        open_source(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_gzip_file_of_something_else(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"hello"))
    with pytest.raises(SourceError, match=r"expected an IDX file .* got the bytes 68 65 6c 6c"):
        open_source(tmp_path / "a.gz")


def test_a_missing_path_has_neighbours(tmp_path):
    for name in ("digits.npy", "faces.npy", "zebra"):
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match=re.escape(f"in {tmp_path}; did you mean digits.npy?")):
        open_source(tmp_path / "digit.npy")
    with pytest.raises(SourceError, match=re.escape("; check the path.")):
        open_source(tmp_path / "quux")
    with pytest.raises(SourceError, match=re.escape(f"{tmp_path / 'no'} is no folder")):
        open_source(tmp_path / "no" / "digits.npy")


def test_bundled_names_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=re.escape("open it with bundled('mnist-train')")):
        open_source("mnist-train")


def test_only_images_are_resized(tmp_path):
    np.save(tmp_path / "a.npy", PICTURES)
    with pytest.raises(ParameterError, match=re.escape("data.resize: only images can be resized, got")):
        open_source(tmp_path / "a.npy", resize=(2, 2))


def test_sources_and_preprocessing_need_no_torch():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "import sys, isthmus.sources, isthmus.preprocessing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


def test_a_name_that_no_file_can_have(tmp_path):
    name = str(tmp_path / ("x" * 300))
    for opened in (open_source, open_data):
        with pytest.raises(SourceError, match=r"\.\.\.: expected .*, got the answer 'File name too long'"):
            opened(name)

"""Every kind of content through an archive: what is deleted comes back."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from isthmus.codec.columns import packed, unpacked
from isthmus.codec.container import Archive, ArchiveWriter
from isthmus.codec.contents import content_from, content_of

RANDOM = np.random.default_rng(0)
TABLE = pa.table({"x": RANDOM.normal(size=90).round(2), "w": ["a", None, "c"] * 30})


def make(path):
    """A file or folder of the kind that its name says."""
    match path.suffix:
        case ".npy":
            np.save(path, RANDOM.normal(size=(90, 3)).astype(">f4"))
        case ".npz":
            np.savez(path, x=RANDOM.normal(size=(90, 3)), y=np.arange(90), other=np.eye(3))
        case ".csv":
            path.write_text(
                "x,w\n"
                + "".join(f"{x},{w or ''}\n" for x, w in zip(*TABLE.to_pydict().values(), strict=True))
            )
        case ".parquet":
            pq.write_table(TABLE, path)
        case ".wav":
            soundfile.write(path, RANDOM.normal(0, 0.1, (90, 2)), 8000)
        case ".bin":
            path.write_bytes(RANDOM.bytes(5000))
        case _:
            path.mkdir()
            for number in range(9):
                Image.fromarray(RANDOM.integers(0, 3, (8, 8), np.uint8)).save(path / f"{number}.png")
            (path / "labels.csv").write_text("a,b\n1,2\n")


def held(path):
    """What can be compared of a file or folder."""
    if path.is_dir():
        pictures = {p.name: np.asarray(Image.open(p)).tobytes() for p in sorted(path.glob("*.png"))}
        return pictures, (path / "labels.csv").read_bytes()
    if path.suffix == ".parquet":
        return pq.read_table(path)
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: (array.dtype, array.tobytes()) for name, array in file.items()}
    return path.read_bytes()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv", "a.parquet", "a.wav", "a.bin", "folder"])
def test_what_was_deleted_comes_back(tmp_path, name):
    path, archive = tmp_path / name, tmp_path / "a.isth"
    make(path)
    before = held(path)
    content = content_of(path)
    with ArchiveWriter(archive, {"facts": content.facts}) as writer:
        for start in range(0, content.n_rows, 40):
            rows = slice(start, min(start + 40, content.n_rows))
            writer.add("columns", rows.stop - rows.start, packed(content.block(rows)))
        writer.close()
    path.rename(tmp_path / "deleted")
    with Archive(archive) as read:
        form = content_from(read.header["facts"])
        form.write((unpacked(read.read(number)) for number in range(len(read.blocks))), path)
        assert form.suffix == path.suffix
    assert held(path) == before

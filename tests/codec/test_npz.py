import io
import json
import zipfile

import numpy as np
import pytest
import scipy.sparse

from isthmus.codec.columns import packed, unpacked
from isthmus.codec.contents import content_from, content_of
from isthmus.errors import ArtifactError

RANDOM = np.random.default_rng(0)


def brought_back(content, path, step=3):
    form = content_from(json.loads(json.dumps(content.facts)))
    blocks = [packed(content.block(slice(at, at + step))) for at in range(0, content.n_rows, step)]
    form.write((unpacked(block) for block in blocks), path)
    return form, [unpacked(block) for block in blocks]


SETS = {
    "labelled": {
        "x": RANDOM.normal(size=(7, 3)),
        "y": np.arange(7),
        "names": np.array(["a", "bc"]),
        "k": np.array(5),
    },
    "alone": {"arr_0": np.asfortranarray(RANDOM.normal(size=(4, 5)))},
    "scalars": {"a": np.array(1.5), "b": np.array(b"x")},
    "empty": {"a": np.empty((0, 3)), "b": np.empty(0)},
    "one empty": {"a": np.empty((0, 3)), "b": np.ones((5, 2), ">f4")},
    "odd names": {"a/b": np.arange(3), "": np.arange(3), "é": np.array([True])},
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save, name):
    path, back = tmp_path / "a.npz", tmp_path / "b.npz"
    save(path, **SETS[name])
    content = content_of(path)
    assert content.kind == "arrays"
    form, blocks = brought_back(content, back)
    with np.load(back) as got, zipfile.ZipFile(back) as one, zipfile.ZipFile(path) as other:
        assert list(got) == list(SETS[name])
        for key, array in SETS[name].items():
            assert (got[key].dtype, got[key].shape) == (array.dtype, array.shape)
            assert got[key].tobytes() == array.tobytes()
        assert [m.compress_type for m in one.infolist()] == [m.compress_type for m in other.infolist()]
    if name == "labelled":
        assert np.array_equal(form.rows(blocks[1])["x"], SETS[name]["x"][3:6])
        assert form.rows(blocks[2])["y"].tolist() == [6]
        assert content.numbers == {"0": 0, "1": 0}


def test_a_sparse_matrix_comes_back(tmp_path):
    matrix = scipy.sparse.random(30, 20, 0.2, "csr", random_state=0)
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    brought_back(content_of(tmp_path / "a.npz"), tmp_path / "b.npz", 50)
    assert (scipy.sparse.load_npz(tmp_path / "b.npz") != matrix).nnz == 0


def test_other_zip_files_are_kept_as_bytes(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("readme", "text")
    assert content_of(path).kind == "file"
    np.savez(path, x=np.array([None]))
    assert content_of(path).kind == "file"
    path.write_bytes(b"PK\3\4 and so on")
    assert content_of(path).kind == "file"


def test_a_damaged_file_is_kept_and_says_why(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(300))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    content = content_of(path)
    assert content.kind == "file"
    assert "for it cannot be read: expected a whole .npz file" in content.notes[0]


def test_facts_and_columns_of_nobody_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **SETS["labelled"])
    content = content_of(tmp_path / "a.npz")
    facts, block = content.facts, content.block(slice(None))
    for changed in (
        {"order": []}, {"order": ["x", "y"]}, {"order": [1, 2, 3, 4]}, {"rest": ["x", "k"]}, {"arrays": [1]},
        {"rest": [[], {}]}, {"packed": None}, {"n_rows": 6}, {"arrays": facts["arrays"][:1] * 2},
    ):  # fmt: skip
        with pytest.raises(ArtifactError) as caught:
            content_from({**facts, **changed})
        assert len(str(caught.value).splitlines()) == 1
    for changed in ({"0": block["0"][:3]}, {"1": [b"x"]}, {"rest": []}, {"rest": block["1"]}):
        with pytest.raises(ArtifactError):
            content.form.write([{**block, **changed}], tmp_path / "b.npz")
        assert not (tmp_path / "b.npz").exists()
    held = io.BytesIO()
    np.save(held, SETS["labelled"]["names"])
    assert block["rest"][0] == held.getvalue()

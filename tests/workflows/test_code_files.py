import re

import numpy as np
import pytest

from isthmus.errors import SourceError
from isthmus.workflows.code_files import CODE_SUFFIXES, read_code_labels, read_codes, write_codes

CODES = np.array([[0.1, -2.5], [1e-30, 3.0], [7.0, 0.25]], np.float32)
LABELS = np.array(["cat", "dog", "cat"])
NAMES = np.array(["a/1.png", 'b "2".png', "c, 3.png"])


@pytest.mark.parametrize("suffix", CODE_SUFFIXES)
def test_codes_come_back(tmp_path, suffix):
    path = tmp_path / f"codes{suffix}"
    extra = {} if suffix == ".npy" else {"labels": LABELS, "scale": CODES + 1, "row_names": NAMES}
    write_codes(path, CODES, **extra)
    np.testing.assert_array_equal(read_codes(path).astype(np.float32), CODES)
    labels = read_code_labels(path)
    assert labels is None if suffix == ".npy" else labels.tolist() == LABELS.tolist()


def test_tables_name_the_rows(tmp_path):
    write_codes(tmp_path / "codes.csv", CODES, labels=LABELS, scale=CODES, row_names=NAMES)
    lines = (tmp_path / "codes.csv").read_text().splitlines()
    assert lines[0] == "row,code_0,code_1,scale_0,scale_1,label"
    assert lines[2].startswith('"b ""2"".png",1e-30,3.0')
    pandas = pytest.importorskip("pandas")
    write_codes(tmp_path / "codes.parquet", CODES, labels=LABELS, row_names=NAMES)
    frame = pandas.read_parquet(tmp_path / "codes.parquet")
    assert list(frame) == ["row", "code_0", "code_1", "label"]
    assert frame["row"].tolist() == NAMES.tolist()
    assert frame["code_0"].dtype == np.float32


def test_a_file_that_is_no_parquet(tmp_path):
    path = tmp_path / "codes.parquet"
    path.write_bytes(b"text")
    with pytest.raises(SourceError, match=re.escape(f"{path}: expected a Parquet file, got")):
        read_codes(path)
    write_codes(path, CODES)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="expected a Parquet file, got"):
        read_codes(path)

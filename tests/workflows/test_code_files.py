import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
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


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_units_come_in_their_order_whatever_that_of_the_columns(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"codes{suffix}"
    table = pa.table({"code_1": [1.0, 3.0], "label": ["a", "b"], "code_0": [0.0, 2.0]})
    if suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    assert read_codes(path).tolist() == [[0.0, 1.0], [2.0, 3.0]]
    labels = read_code_labels(path)
    assert labels is not None
    assert labels.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("code_0,code_2\n1,2\n", "expected columns code_0 to code_1, each once, got code_2"),
        ("code_0,code_1,code_0\n1,2,3\n", "got one of them twice|got"),
        ("code_0,code_1\n1,2\n3\n", "got 1 in line 3: the file is cut short or damaged"),
        ("code_0,code_1\n1,2\n3,x\n", "could not convert"),
        ('code_0,code_1\n1,"2\n', "expected a table of text"),
        ("code_0,\xff\n", "got none of them|utf-8"),
        ("", "got none of them"),
    ],
)
def test_text_that_is_damaged_is_one_line(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "codes.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError, match=match) as caught:
        read_codes(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)

"""Tables as files read back as they were written."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from isthmus.errors import OutputError
from isthmus.sources import TableSource, open_source, table_of
from isthmus.workflows.data_files import check_rows_output, write_rows
from isthmus.workflows.table_files import TABLE_OUTPUTS, write_table

N = 40
RANDOM = np.random.default_rng(0)
TABLE = pa.table(
    {
        "length": pa.array([None, *RANDOM.normal(size=N - 1)]),
        "weight": pa.array(RANDOM.normal(size=N).astype(np.float32)),
        "visits": pa.array([*range(N - 1), None]),
        "sex": pa.array(["male", "female", 'x, "y"\nz', None] * (N // 4)),
        "tabs": pa.array(["a\tb", "ä", "c"] * (N // 4) + ["c"] * 10),
        "smoker": pa.array(["no", "yes"] * (N // 2)),
        "site": pa.array(["Ulm"] * N),
        "since": pa.array([datetime.date(2020, 1, 1 + at % 28) for at in range(N)]),
        "seen": pa.array(
            [datetime.datetime(2020, 1, 1 + at % 28, 12) for at in range(N)], pa.timestamp("ns")
        ),
    }
)


@pytest.mark.parametrize("suffix", TABLE_OUTPUTS)
def test_a_table_written_and_read(tmp_path: Path, suffix: str) -> None:
    source = TableSource(TABLE)
    path = tmp_path / f"table{suffix}"
    rows = source.read(slice(None))
    check_rows_output(path, folder=False, schema=source.schema)
    assert write_rows(path, rows, source.schema, folder=False) == N
    found = open_source(path)
    written = suffix in {".csv", ".tsv"}  # as few digits as tell float32 numbers apart
    np.testing.assert_allclose(found.read(slice(None)), rows, rtol=1e-7 if written else 0.0)
    assert [column.type for column in found.schema.table or ()] == [
        column.type for column in source.schema.table or ()
    ]
    assert found.schema.constants[0].column.categories == ("Ulm",)
    back = table_of(found.read(slice(None)), found.schema)
    if not written:
        assert back.equals(TABLE)
    again = tmp_path / f"again{suffix}"
    write_table(again, back)
    assert again.read_bytes() == path.read_bytes()


def test_text_is_what_people_would_write(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", TABLE.slice(0, 2).drop_columns(["length", "weight", "tabs"]))
    assert (tmp_path / "a.csv").read_text("utf-8") == (
        "visits,sex,smoker,site,since,seen\n"
        "0,male,no,Ulm,2020-01-01,2020-01-01 12:00:00\n"
        "1,female,yes,Ulm,2020-01-02,2020-01-02 12:00:00\n"
    )


def test_gaps_of_a_lone_column_stay(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", pa.table({"a": pa.array([1.5, None, 2.5, None])}))
    assert (tmp_path / "a.csv").read_text("utf-8") == "a\n1.5\n\n2.5\n\n"
    np.testing.assert_array_equal(
        open_source(tmp_path / "a.csv").read(slice(None)), [[1.5], [np.nan], [2.5], [np.nan]]
    )


def test_other_endings_and_places_are_refused(tmp_path: Path) -> None:
    schema = TableSource(TABLE).schema
    with pytest.raises(
        OutputError, match=r"a table goes into .csv, .tsv, .parquet, .* got '.xls'. Try a.csv."
    ):
        write_table(tmp_path / "a.xls", TABLE)
    with pytest.raises(OutputError, match=r"expected a name that ends in .csv or"):
        check_rows_output(tmp_path / "a.xls", folder=False, schema=schema)
    with pytest.raises(OutputError, match=r"a table goes into .*, got a folder"):
        check_rows_output(tmp_path / "a", folder=True, schema=schema)
    (tmp_path / "b.csv").write_text("mine")
    with pytest.raises(OutputError, match="expected a free name"):
        check_rows_output(tmp_path / "b.csv", folder=False, schema=schema)
    with pytest.raises(OutputError, match="cannot be written"):
        write_table(tmp_path / "no" / "a.csv", TABLE)
    assert [path.name for path in tmp_path.iterdir()] == ["b.csv"]

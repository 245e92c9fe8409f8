"""Parquet files that tell damage, and that other programs read as any."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isthmus.errors import SourceError
from isthmus.sources.seal import FORMAT, LENGTH, NAME, check_seal, write_sealed

TABLE = pa.table({"x": np.arange(50.0), "word": [f"w{at}" for at in range(50)]})


def sealed(*tables: pa.Table) -> bytes:
    buffer = io.BytesIO()
    write_sealed(buffer, tables)
    return buffer.getvalue()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_others_read_it_and_the_seal_matches(tmp_path: Path, n: int) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(sealed(*[TABLE] * n))
    assert pq.read_table(path).equals(pa.concat_tables([TABLE] * n))
    assert pq.ParquetFile(path).metadata.num_row_groups == n
    check_seal(path)
    check_seal(path, whole=False)


def test_every_bit_counts_but_those_of_the_name_of_the_seal(tmp_path: Path) -> None:
    whole, path = sealed(TABLE.slice(0, 4)), tmp_path / "a.parquet"
    unseen = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        told = ""
        try:
            check_seal(path)
        except SourceError as error:
            told = str(error)
        unseen += not told
        assert not told or (told.startswith(f"{path}: ") and "\n" not in told)
    # The seal's own name, and length and name of the footer, without which neither it nor the footer is found.
    assert unseen <= len(NAME) + 8


def test_the_footer_alone_is_checked_where_pages_have_checksums(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.parquet", bytearray(sealed(TABLE))
    whole[60] ^= 1
    path.write_bytes(whole)
    check_seal(path, whole=False)
    with pytest.raises(SourceError, match="its pages are not those"):
        check_seal(path)
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        pq.ParquetFile(path, page_checksum_verification=True).read()


def test_files_of_other_programs_have_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(TABLE, path)
    check_seal(path)
    path.write_bytes(sealed(TABLE))
    pq.write_table(pq.read_table(path).slice(0, 10), path)
    check_seal(path)
    assert NAME not in path.read_bytes()
    for data in (b"", b"PAR1", b"PAR1" * 4, b"\xff" * 400 + b"PAR1"):
        path.write_bytes(data)
        check_seal(path)


def test_a_newer_seal_names_both_versions(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.parquet", sealed(TABLE)
    at = whole.rindex(NAME + FORMAT)
    assert len(whole) - at > LENGTH
    path.write_bytes(whole[:at] + NAME + b"2" + whole[at + len(NAME) + 1 :])
    with pytest.raises(
        SourceError, match=r"format '2' of isthmus, and this isthmus, [0-9.]+, reads up to 1\. Install"
    ):
        check_seal(path)

"""Columns of a block, each by a coder of its own: exact, in their order, and nothing that others wrote is believed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.codec import columns as plain
from isthmus.codec.coding.by_column import CODED, ColumnCoder
from isthmus.codec.coding.coders import is_same, smallest
from isthmus.codec.columns import Columns
from isthmus.errors import ArtifactError

torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import golden_archives  # noqa: E402

GREY, COLOURS = "6 6 0 8", "6 6 2 8"


@pytest.fixture(scope="module")
def coder() -> ColumnCoder:
    """The one of the golden archive: of grey and coloured pictures of 6 x 6."""
    found = golden_archives.coder_of(golden_archives.PLACE / "columns.isth")
    assert isinstance(found, ColumnCoder)
    return found


def block(n_grey: int, n_colours: int) -> Columns:
    """As a folder's, with pictures like those that the models know; of none a column is not there."""
    n = n_grey + n_colours + 1
    columns: Columns = {"how": np.full(n, 2, np.uint8), GREY: golden_archives.shades(n_grey, 1, 7)}
    columns["name"] = [b"%d" % number for number in range(n)]
    columns[COLOURS] = golden_archives.shades(n_colours, 3, 8)
    columns["6 7 0 8"] = np.zeros((1, 6, 7, 1), np.uint8)
    return {name: column for name, column in columns.items() if len(column)}


def rows_of(columns: Columns) -> int:
    return len(columns["how"])


@pytest.mark.parametrize("sizes", [(300, 200), (1, 3), (2, 0), (0, 40)])
def test_columns_come_back_in_their_order(coder: ColumnCoder, sizes: tuple[int, int]) -> None:
    rows = block(*sizes)
    payload = coder.packed(rows)
    assert payload is not None
    assert is_same(coder.unpacked(payload, rows_of(rows)), rows)


def test_they_cost_what_their_coders_make_of_them(coder: ColumnCoder) -> None:
    rows = block(300, 200)
    codec, payload = smallest([coder], [rows], rows_of(rows))
    assert codec == "columns"
    own = [coder.coders[name].packed({"values": rows[name]}) or b"" for name in (GREY, COLOURS)]
    others = {name: column for name, column in rows.items() if name not in (GREY, COLOURS)}
    assert len(payload) == pytest.approx(sum(map(len, own)) + len(plain.packed(others)), abs=100)


def test_what_it_does_not_know_is_left(coder: ColumnCoder) -> None:
    assert coder.packed({"how": np.zeros(3, np.uint8), "bytes": [b"a"] * 3}) is None
    assert coder.packed({GREY: np.zeros((3, 6, 6, 1))}) is None
    assert coder.packed({GREY: [b"a"]}) is None
    rows: Columns = {GREY: np.zeros((3, 6, 6, 1)), COLOURS: golden_archives.shades(4, 3)}
    payload = coder.packed(rows)
    assert payload is not None
    assert is_same(coder.unpacked(payload, 4), rows)


def test_the_section_makes_an_equal_coder(coder: ColumnCoder) -> None:
    again = ColumnCoder.of_section(coder.section())
    again.check()
    rows = block(20, 20)
    assert again.section() == coder.section()
    assert again.packed(rows) == coder.packed(rows)


def changed(coder: ColumnCoder, **parts: Any) -> bytes:
    return plain.packed({**plain.unpacked(coder.section()), **parts})


def test_damaged_sections_are_refused(coder: ColumnCoder) -> None:
    two: Any = plain.unpacked(coder.section())["sections"]
    for data in (
        b"",
        plain.packed({"names": [b"a"]}),
        changed(coder, names=[]),
        changed(coder, names=[b"a"]),
        changed(coder, names=[b"a", b"a"]),
        changed(coder, names=[b"a", b"\xff"]),
        changed(coder, names=[b"a", b"\0low"]),
        changed(coder, names=np.zeros(2)),
        changed(coder, codecs=[b"bits-back", b"chain"]),
        changed(coder, codecs=[b"columns", b"columns"], sections=[coder.section()] * 2),
        changed(coder, sections=[two[0], two[1][:-9]]),
    ):
        with pytest.raises(ArtifactError):
            ColumnCoder.of_section(data)


def test_damaged_blocks_are_refused(coder: ColumnCoder) -> None:
    rows = block(5, 5)
    payload = coder.packed(rows)
    assert payload is not None
    held = plain.unpacked(payload)
    coded: Any = held[CODED]
    many = (1 << 31).to_bytes(4, "little")
    for odd in (
        {CODED: coded[:1]},
        {CODED: [*coded, b"more"]},
        {CODED: [many + coded[0][4:], coded[1]]},
        {CODED: [bytes(4) + coded[0][4:], coded[1]]},
        {CODED: [b"", coded[1]]},
        {CODED: [coded[0][:6], coded[1]]},
        {CODED: np.zeros(2)},
        {GREY: np.zeros((5, 6, 6, 1), np.uint8)},
    ):
        with pytest.raises(ArtifactError):
            coder.unpacked(plain.packed({**held, **odd}), rows_of(rows))
    with pytest.raises(ArtifactError):
        coder.unpacked(plain.packed(rows), rows_of(rows))

"""The chain of networks: exact, near the information of a table, and quiet about what it does not know."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from isthmus.codec import columns as plain
from isthmus.codec.coding.chain_coder import ChainCoder
from isthmus.codec.coding.chain_fit import fields_of, fit_chain
from isthmus.codec.coding.coders import as_read, is_same, smallest
from isthmus.codec.coding.fields import MOST_SYMBOLS, Field, symbols_of
from isthmus.codec.columns import Columns
from isthmus.errors import ArtifactError

torch.set_num_threads(1)

N = 8000


def table(seed: int, n: int = N) -> Columns:
    """Each column tells something of the next; the last is wide and rests on the first."""
    chance = np.random.default_rng(seed)
    a = chance.integers(0, 6, n)
    b = (a + (chance.random(n) < 0.1) * chance.integers(0, 6, n)) % 6
    c = np.where(chance.random(n) < 0.9, 100 * (a + b), 7).astype(np.int16)
    d = np.rint(1000 * a + 100 * chance.normal(size=n)).astype(np.int64) - 2000
    return {"a": a.astype(np.uint8), "b": b.astype(np.uint8), "c": c, "name": [b"x"] * n, "d": d}


@pytest.fixture(scope="module")
def coder() -> ChainCoder:
    fields = fields_of(table(0))
    symbols = symbols_of(fields, table(0))
    assert symbols is not None
    return fit_chain(fields, symbols, epochs=40)


def test_a_table_comes_back_and_costs_its_information(coder: ChainCoder) -> None:
    rows = table(1)
    payload = coder.packed(rows)
    assert payload is not None
    found = coder.unpacked(payload, N)
    assert list(found) == list(rows)
    for name, column in rows.items():
        other = found[name]
        if isinstance(column, np.ndarray):
            assert isinstance(other, np.ndarray)
            assert other.dtype == column.dtype
            np.testing.assert_array_equal(other, column)
        else:
            assert other == column
    stay, other = 0.9 + 0.1 / 6, 0.1 / 6
    b_given_a = -stay * math.log2(stay) - 5 * other * math.log2(other)
    c_given_ab = -0.9 * math.log2(0.9) - 0.1 * math.log2(0.1)
    information = (
        N * (math.log2(6) + b_given_a + c_given_ab + math.log2(100 * math.sqrt(2 * math.pi * math.e))) / 8
    )
    assert information < len(payload) < 1.05 * information + 200
    assert len(payload) < 0.93 * len(plain.packed(rows))


def test_a_table_with_text_among_its_columns_is_kept_by_the_chain(coder: ChainCoder) -> None:
    assert smallest([coder], [table(1)], N)[0] == "chain"


def test_values_never_seen_come_back(coder: ChainCoder) -> None:
    rows = table(2, 500)
    for name, value in (("a", 250), ("c", -32768), ("d", 2**62)):
        column = rows[name]
        assert isinstance(column, np.ndarray)
        column[::50] = value
    payload = coder.packed(rows)
    assert payload is not None
    found = coder.unpacked(payload, 500)
    assert all(np.array_equal(np.asarray(found[name]), np.asarray(rows[name])) for name in rows)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_rows_come_back(coder: ChainCoder, n: int) -> None:
    rows = table(3, n)
    payload = coder.packed(rows)
    assert payload is not None
    found = coder.unpacked(payload, n)
    assert all(np.array_equal(np.asarray(found[name]), np.asarray(rows[name])) for name in rows)


def test_tables_of_other_columns_are_left(coder: ChainCoder) -> None:
    rows = table(4, 10)
    assert coder.packed({name: column for name, column in rows.items() if name != "b"}) is None
    assert coder.packed({**rows, "b": np.asarray(rows["b"]).astype(np.int64)}) is None


def test_the_section_makes_an_equal_coder(coder: ChainCoder) -> None:
    again = ChainCoder.of_section(coder.section())
    again.check()
    assert again.packed(table(5)) == coder.packed(table(5))
    with pytest.raises(ArtifactError):
        ChainCoder.of_section(coder.section()[:-40])


def test_wide_columns_are_cut_into_ranges() -> None:
    values = np.array([-(2**40), 0, 2**40, *range(300)])
    field = Field.of("x", values, "i8")
    assert field.n_symbols <= MOST_SYMBOLS
    found = field.symbols(values)
    assert found is not None
    np.testing.assert_array_equal(field.column(*found, np.zeros(0, np.int64)), values)
    beyond = field.symbols(np.array([2**45, -(2**62)]))
    assert beyond is not None
    assert beyond[0].tolist() == [field.n_symbols - 1] * 2


def mixed(seed: int, n: int = N) -> Columns:
    """Words, some of them rare, and decimals that hang on them."""
    chance = np.random.default_rng(seed)
    a = chance.integers(0, 5, n)
    words = [b"north", b"south", "\u00f6st".encode(), b"", b"\x00\xff"]
    texts = [words[place] if chance.random() < 0.99 else b"rare %d" % at for at, place in enumerate(a)]
    price = np.round(10.0 * a + chance.normal(size=n), 2)
    half = (price / 2).round(1).astype(np.float32)
    price[:7] = [np.nan, -np.inf, -0.0, 1e300, np.pi, np.nan, 5e-324]
    return {"where": texts, "price": price, "half": half}


def test_words_and_decimals_come_back_and_tell_of_each_other() -> None:
    rows = mixed(0)
    fields = fields_of(rows)
    assert [field.name for field in fields] == ["where", "price", "half"]
    assert [field.digits for field in fields] == [0, 2, 1]
    symbols = symbols_of(fields, rows)
    assert symbols is not None
    coder = ChainCoder.of_section(fit_chain(fields, symbols, epochs=10).section())
    for seed, n in ((1, N), (2, 20), (3, 7)):
        held = mixed(seed, n)
        payload = coder.packed(held)
        assert payload is not None
        assert is_same(coder.unpacked(payload, n), held)
    payload = coder.packed(mixed(1))
    assert payload is not None
    assert len(payload) < 0.8 * len(plain.packed(mixed(1)))


def test_texts_that_hardly_repeat_are_left_to_general_coders() -> None:
    assert not fields_of(
        {"name": [b"%d" % at for at in range(1000)], "x": np.random.default_rng(0).random(1000)}
    )


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "U8"}, {"dtype": "texts"}, {"texts": ["a", 3]}, {"texts": ["\u0100"] * 3}, {"digits": 2},
        {"digits": -1}, {"words": [0.5]}, {"n_bits": 63}, {"n_mixtures": 1}, {"words": []}, {"unknown": 1},
    ],
)  # fmt: skip
def test_fields_that_are_none_are_refused(coder: ChainCoder, change: dict[str, object]) -> None:
    held = plain.unpacked(coder.section())
    (told,) = held["fields"]
    fields = json.loads(told)
    fields[0] = {**fields[0], **change}
    with pytest.raises(ArtifactError, match="expected a chain of networks"):
        ChainCoder.of_section(plain.packed({**held, "fields": [json.dumps(fields).encode()]}))


def test_damaged_blocks_are_refused(coder: ChainCoder) -> None:
    payload = coder.packed(table(6, 100))
    assert payload is not None
    for spoilt in (b"", payload[: len(payload) // 2], plain.packed({"a": np.arange(100)})):
        with pytest.raises(ArtifactError):
            coder.unpacked(spoilt, 100)


def test_numbers_from_end_to_end_of_their_type_are_read_again() -> None:
    """An archive with such a word was written, and could not be opened."""
    n = 400
    few = np.array([-(2**63), 2**63 - 1, 0])[np.arange(n) % 3]
    wide = np.linspace(-(2.0**63), 2.0**63 - 2048, n).astype(np.int64)
    rows: Columns = {"few": few, "wide": wide, "same": np.arange(n) % 3}
    fields = fields_of(rows)
    symbols = symbols_of(fields, rows)
    assert symbols is not None
    coder = as_read(fit_chain(fields, symbols, epochs=1))
    payload = coder.packed(rows)
    assert payload is not None
    assert is_same(coder.unpacked(payload, n), rows)


def test_blocks_of_rows_without_end_are_refused(coder: ChainCoder) -> None:
    """Symbols may take no bytes at all: memory is asked for by the number of rows alone."""
    payload = coder.packed(table(6, 100))
    assert payload is not None
    with pytest.raises(ArtifactError, match="at most 65,536 rows, got 4,294,967,295"):
        coder.unpacked(payload, 2**32 - 1)
    assert coder.packed(table(6, 65_537)) is None

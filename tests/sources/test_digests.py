"""Digests: equal for equal rows, different for others."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus.errors import DataError
from isthmus.sources import ArraySource
from isthmus.sources.digests import BLOCK, row_digests

RANDOM = np.random.default_rng(0)


def pairs(array: np.ndarray, **options: object) -> list[tuple[int, int]]:
    first, second = row_digests(ArraySource(array), "test", **options)  # type: ignore[arg-type]
    return list(zip(first.tolist(), second.tolist(), strict=True))


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int16", "float16", "float32", "float64", "int64"])
@pytest.mark.parametrize("width", [1, 3, 8, 130])
def test_equal_rows_and_no_others_are_equal(dtype: str, width: int) -> None:
    base = RANDOM.integers(0, 2, (40, width)).astype(dtype)
    found = pairs(np.concatenate([base, base[::-1]]))
    assert found[:40] == found[40:][::-1]
    assert len(set(found)) == len(np.unique(base, axis=0))


def test_close_rows_differ() -> None:
    """One bit anywhere, two values exchanged, signs of two values turned: what sums would confuse."""
    row = RANDOM.normal(size=16)
    rows = [row, row[::-1]]
    for place in range(16):
        for bit in range(64):
            rows.append(
                (row.view(np.uint64) ^ (np.arange(16) == place) * np.uint64(1 << bit)).view(np.float64)
            )
        for other in range(place):
            exchanged, turned = row.copy(), row.copy()
            exchanged[[place, other]] = row[[other, place]]
            turned[[place, other]] *= -1
            rows += [exchanged, turned]
    different = np.array([each for each in rows if np.isfinite(each).all()])
    found = pairs(different)
    assert len(set(found)) == len(different)
    assert len({first for first, _ in found}) == len({second for _, second in found}) == len(different)


def test_bits_are_even() -> None:
    words = np.array(pairs(np.arange(20_000.0)[:, None]), np.uint64)
    bits = (words[..., None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert abs(bits.mean(axis=0) - 0.5).max() < 0.02


def test_zeros_and_gaps_have_one_form() -> None:
    odd = np.array([[0x7FF8000000000123]], np.uint64).view(np.float64)
    assert len(set(pairs(np.array([[0.0], [-0.0]])))) == 1
    assert len(set(pairs(np.array([[np.nan], [-np.nan], odd[0]]), allows_gaps=True))) == 1
    with pytest.raises(
        DataError, match="test: values must be finite, got NaN in 1 of 2 rows, first in row 1"
    ):
        pairs(np.array([[0.0], [np.nan]]))


def test_labels_are_part_of_a_row() -> None:
    array = np.zeros((4, 2))
    assert len(set(pairs(array, labels=np.array(["a", "b", "a", "c"])))) == 3
    assert pairs(array, labels=np.array([1, 2, 1, 2])) == pairs(array, labels=np.array(["1", "2", "1", "2"]))


def test_a_row_s_digest_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not depend on blocks, or on the rows beside it, and is stable for ever."""
    array = RANDOM.integers(0, 255, (BLOCK + 3, 5), np.uint8)
    found = pairs(array)
    assert pairs(array[-2:]) == found[-2:]
    monkeypatch.setattr("isthmus.sources.digests.WORDS", 7)
    assert pairs(array[:50]) == found[:50]
    assert pairs(np.arange(3, dtype=np.uint8)[None]) == [STABLE]


STABLE = (16151191688833531311, 11275999496641376701)

"""Column shapes and pair trends against closed forms and a slow twin."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp, norm

from isthmus.evaluation.fidelity import N_BINS, column_shapes, likeness, pair_trends
from isthmus.schema import Column, Schema

NUMBER = Column("x", "continuous", "double")
LETTER = Column("c", "category", "string", ("a", "b", "c"))
FLAG = Column("f", "boolean", "bool", (False, True))

Rows = NDArray[np.float64]


def table(n: int, seed: int) -> tuple[Rows, list[Column]]:
    """Numbers, categories and booleans that hang together, a tenth of them gaps."""
    random = np.random.default_rng(seed)
    factor = random.normal(size=n)
    first = factor + random.normal(size=n)
    second = np.exp(factor)
    letter = np.digitize(factor + 0.5 * random.normal(size=n), [-0.5, 0.5]).astype(np.float64)
    flag = (first > 0).astype(np.float64)
    rows = np.stack([first, second, letter, flag], axis=1)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows, [NUMBER, Column("y", "continuous", "double"), LETTER, FLAG]


def test_identical_rows_are_alike_in_any_order() -> None:
    rows, columns = table(300, 0)
    mixed = rows[np.random.default_rng(1).permutation(300)]
    np.testing.assert_allclose(column_shapes(rows, mixed, columns), 1.0, atol=1e-12)
    np.testing.assert_allclose(pair_trends(rows, mixed, columns), 1.0, atol=1e-9)
    np.testing.assert_allclose(pair_trends(rows, np.tile(mixed, (3, 1)), columns), 1.0, atol=1e-9)


def test_nothing_in_common() -> None:
    real, made = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[5.0, 2.0], [6.0, 2.0], [7.0, 1.0]])
    np.testing.assert_array_equal(column_shapes(real, made, [NUMBER, LETTER]), [0.0, 0.0])
    np.testing.assert_array_equal(pair_trends(real, made, [NUMBER, LETTER]), [0.0])


def test_a_shift_of_normal_numbers_has_its_closed_form() -> None:
    """``sup_x |Phi(x) - Phi(x - d)| = 2 Phi(d / 2) - 1``, at x = d / 2."""
    n, shift = 20_000, 0.8
    quantiles = norm.ppf((np.arange(n) + 0.5) / n)[:, None]
    found = column_shapes(quantiles, quantiles + shift, [NUMBER])[0]
    assert found == pytest.approx(2 - 2 * norm.cdf(shift / 2), abs=1e-4)


def test_numbers_are_kolmogorov_and_smirnovs() -> None:
    random = np.random.default_rng(2)
    a, b = random.normal(size=150).round(1), random.normal(0.3, 1.5, size=90).round(1)
    found = column_shapes(a[:, None], b[:, None], [NUMBER])[0]
    assert found == pytest.approx(1 - ks_2samp(a, b).statistic, abs=1e-12)


def test_categories_are_total_variation_with_gaps_as_a_category() -> None:
    real = np.array([0.0] * 5 + [1.0] * 3 + [np.nan] * 2)[:, None]
    made = np.array([0.0] * 2 + [2.0] * 2 + [np.nan] * 1)[:, None]
    # Shares .5 .3 0 .2 against .4 0 .4 .2
    assert column_shapes(real, made, [LETTER])[0] == pytest.approx(1 - (0.1 + 0.3 + 0.4 + 0.0) / 2)


@pytest.mark.parametrize("sign", [1, -1])
def test_gaps_of_numbers_count_whichever_side_they_are_put(sign: int) -> None:
    real = sign * np.array([1.0, 2.0, 3.0, 4.0])[:, None]
    gaps = np.array([1.0, 1.0, 0.0, 0.0]) > 0
    low = np.where(gaps[:, None], np.nan, real)
    assert column_shapes(real, low, [NUMBER])[0] == pytest.approx(0.5)
    all_gaps = np.full((3, 1), np.nan)
    assert column_shapes(real, all_gaps, [NUMBER])[0] == 0.0
    assert column_shapes(all_gaps, all_gaps, [NUMBER])[0] == 1.0


def test_correlations_of_opposite_sign_have_nothing_in_common() -> None:
    x = np.arange(10.0)
    up, down, bent = (np.stack([x, y], axis=1) for y in (x, -x, (x - 4.5) ** 2))
    columns = [NUMBER, Column("y", "continuous", "double")]
    assert pair_trends(up, down, columns)[0] == pytest.approx(0.0, abs=1e-12)
    assert pair_trends(up, bent, columns)[0] == pytest.approx(0.5)
    assert pair_trends(1e9 + up, 1e9 + up, columns)[0] == pytest.approx(1.0)


def test_a_number_that_does_not_vary_has_no_correlation() -> None:
    rows = np.stack([np.arange(4.0), np.full(4, 0.1)], axis=1)
    schema = Schema("vectors", (2,), "float64")
    found = likeness(rows, rows, schema)
    assert np.isnan(found.pairs).all()
    assert found.trends is None
    assert found.to_dict()["least_alike_pairs"] == []


def test_pairs_of_a_table_are_those_of_a_slow_twin() -> None:
    (real, columns), (made, _) = table(120, 3), table(75, 4)
    expected = [
        slow_pair(real[:, [i, j]], made[:, [i, j]], [columns[i], columns[j]])
        for i, j in itertools.combinations(range(4), 2)
    ]
    np.testing.assert_allclose(pair_trends(real, made, columns), expected, atol=1e-10)


def slow_pair(real: Rows, made: Rows, columns: list[Column]) -> float:
    if all(column.categories is None for column in columns):
        known = [rows[~np.isnan(rows).any(axis=1)] for rows in (real, made)]
        r, s = (float(np.corrcoef(rows.T)[0, 1]) for rows in known)
        return 1 - abs(r - s) / 2
    counts: list[dict[tuple[str, ...], float]] = [{}, {}]
    for rows, count in zip((real, made), counts, strict=True):
        for row in rows:
            words = []
            for place, column in enumerate(columns):
                low, high = np.nanmin(real[:, place]), np.nanmax(real[:, place])
                if math.isnan(row[place]):
                    words.append("gap")
                elif column.categories is None:
                    bin_ = math.floor((row[place] - low) / (high - low) * N_BINS)
                    words.append(str(min(max(bin_, 0), N_BINS - 1)))
                else:
                    words.append(str(row[place]))
            count[tuple(words)] = count.get(tuple(words), 0.0) + 1 / len(rows)
    keys = set(counts[0]) | set(counts[1])
    return 1 - sum(abs(counts[0].get(key, 0.0) - counts[1].get(key, 0.0)) for key in keys) / 2


def test_the_least_alike_are_named() -> None:
    random = np.random.default_rng(5)
    real = random.normal(size=(400, 3))
    made = np.stack([real[:, 0], real[:, 1] + 2, random.permutation(real[:, 2])], axis=1)
    schema = Schema("vectors", (3,), "float64", columns=("a", "b", "c"))
    found = likeness(real, made, schema).to_dict()
    assert found["least_alike_columns"][0]["name"] == "b"
    assert [each["name"] for each in found["least_alike_pairs"]] == sorted(
        ([*pair] for pair in (("a", "b"), ("a", "c"), ("b", "c"))),
        key=lambda pair: next(e["likeness"] for e in found["least_alike_pairs"] if e["name"] == pair),
    )
    shapes = likeness(real, made, schema).columns
    assert found["column_shapes"] == pytest.approx(shapes.mean())
    assert shapes[[0, 2]].tolist() == [1.0, 1.0]


def test_only_some_columns_of_very_wide_rows_are_paired() -> None:
    rows = np.random.default_rng(6).normal(size=(20, 300))
    found = likeness(rows, rows, Schema("vectors", (300,), "float64"))
    assert len(found.columns) == 300
    assert len(found.pairs) == len(found.pair_names) == 256 * 255 // 2

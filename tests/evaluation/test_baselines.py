"""The mean and PCA: three ways to the same axes, beside scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from isthmus.artifact import Baseline
from isthmus.evaluation import baselines
from isthmus.evaluation.baselines import fit_baseline

WAYS = ("covariance", "gram", "incremental")
EXACT = ("covariance", "gram")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return take(request.param, monkeypatch)


@pytest.fixture(params=EXACT)
def exact(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return take(request.param, monkeypatch)


def take(way: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let ``fit_baseline`` go one way, in blocks of a few rows, and no other."""
    monkeypatch.setattr(baselines, "BLOCK", 16)
    for name in WAYS:
        if name != way:
            monkeypatch.setattr(baselines, f"_{name}" if name == "incremental" else f"_through_{name}", None)
    monkeypatch.setattr(baselines, "_way", lambda *_: way)
    return way


@pytest.mark.parametrize(
    ("n_rows", "n_values", "way"),
    [
        (60_000, 784, "covariance"),
        (60_000, 4_096, "covariance"),
        (4_096, 4_096, "covariance"),
        (512, 4_096, "gram"),
        (512, 100_000, "gram"),
        (4_096, 5_000, "gram"),
        (5_000, 4_097, "incremental"),
        (1, 1, "covariance"),
    ],
)
def test_the_way_is_that_of_the_smaller_matrix(n_rows: int, n_values: int, way: str) -> None:
    assert baselines._way(n_rows, n_values) == way


def fit(x: np.ndarray, size: int, weight: Any = None) -> Baseline:
    return fit_baseline(lambda rows: x[rows], len(x), size, weight)


def data(n: int = 50, d: int = 7, rank: int | None = None, seed: int = 0) -> np.ndarray:
    """Rows of distinct spreads, so that every axis is a definite one."""
    random = np.random.default_rng(seed)
    k = min(n, d) if rank is None else rank
    spread = 2.0 ** -np.arange(k)
    axes = np.linalg.qr(random.normal(size=(d, k)))[0]
    return (random.normal(size=(n, k)) * spread @ axes.T + random.normal(size=d)).astype(np.float32)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Of the projectors onto the row spaces, in the spectral norm."""
    return float(np.linalg.norm(one.T.astype(np.float64) @ one - other.T.astype(np.float64) @ other, 2))


@pytest.mark.parametrize("k", [1, 3, 7])
def test_all_ways_are_scikit_learns(way: str, k: int) -> None:
    x = data()
    found, pca = fit(x, k), PCA(k, svd_solver="full").fit(x.astype(np.float64))
    exact = way != "incremental"
    assert found.components.shape == (k, 7)
    np.testing.assert_allclose(found.mean, pca.mean_, atol=1e-6)
    assert distance(found.components, pca.components_) < (1e-5 if exact else 0.02)
    new = data(20, seed=1)
    expected = new - pca.inverse_transform(pca.transform(new))
    pca_errors, mean_errors = found.squared_errors(new)
    tolerance = {"rtol": 1e-4, "atol": 1e-8} if exact else {"rtol": 0.2, "atol": 1e-3}
    np.testing.assert_allclose(pca_errors, np.square(expected).sum(axis=1), **tolerance)
    np.testing.assert_allclose(mean_errors, np.square(new - pca.mean_).sum(axis=1), rtol=1e-4)


def test_axes_are_orthonormal_in_order_and_of_one_sign(way: str) -> None:
    x = data()
    found = fit(x, 5).components
    np.testing.assert_allclose(found @ found.T, np.eye(5), atol=1e-5)
    variances = ((x - x.mean(axis=0)) @ found.T).var(axis=0)
    assert (np.diff(variances) < 0).all()
    assert (found[np.arange(5), np.abs(found).argmax(axis=1)] > 0).all()
    again = fit(x.copy(), 5)
    assert again.components.tobytes() == found.tobytes()
    flipped = fit(2 * x.mean(axis=0) - x, 5)
    np.testing.assert_allclose(flipped.components, found, atol=1e-4)


def test_rows_are_read_in_blocks(way: str) -> None:
    seen: list[int] = []
    x = data()

    def read(rows: slice) -> np.ndarray:
        seen.append(len(x[rows]))
        return x[rows]

    fit_baseline(read, len(x), 3)
    assert max(seen) <= 16
    assert sum(seen) >= len(x)


def test_a_weight_is_so_many_repetitions(exact: str) -> None:
    x = data()
    weight = np.random.default_rng(2).integers(1, 4, len(x)).astype(np.float32)
    found, expected = (
        fit(x, 4, weight),
        PCA(4).fit(np.repeat(x.astype(np.float64), weight.astype(int), axis=0)),
    )
    np.testing.assert_allclose(found.mean, expected.mean_, atol=1e-6)
    assert distance(found.components, expected.components_) < 1e-5
    assert distance(found.components, fit(x, 4).components) > 1e-3
    scaled = fit(x, 4, 7 * weight)
    np.testing.assert_allclose(scaled.components, found.components, atol=1e-5)


def test_a_row_of_no_weight_does_not_count(exact: str) -> None:
    x = data()
    weight = np.ones(len(x), np.float32)
    weight[3] = 0
    with_outlier = x.copy()
    with_outlier[3] = 1e3
    assert (
        distance(fit(with_outlier, 3, weight).components, fit(np.delete(x, 3, axis=0), 3).components) < 1e-5
    )


@pytest.mark.parametrize("rank", [1, 3])
def test_axes_end_with_the_rank(exact: str, rank: int) -> None:
    """On whole numbers, which are of that rank exactly."""
    random = np.random.default_rng(rank)
    x = (random.integers(-3, 4, (40, rank)) @ random.integers(-3, 4, (rank, 7))).astype(np.float32)
    found = fit(x, 6)
    assert len(found.components) == rank
    np.testing.assert_allclose(found.reconstruct(x), x, atol=1e-4)


def test_size_beyond_values_or_rows(exact: str) -> None:
    assert fit(data(), 100).components.shape == (7, 7)
    few = data(4)
    found = fit(few, 100)
    assert found.components.shape == (3, 7)
    np.testing.assert_allclose(found.reconstruct(few), few, atol=1e-5)
    same = np.tile(data(1), (5, 1))
    assert fit(same, 2).components.shape == (0, 7)
    np.testing.assert_allclose(fit(same, 2).reconstruct(same), same, atol=1e-6)
    assert fit(data(1), 2).components.shape == (0, 7)


def test_large_offsets_cost_nothing(way: str) -> None:
    """Values of whole 16ths about a million are exact in float32, and so are their differences."""
    x = np.round(data() * 64) / 16
    found, moved = fit(x, 3), fit((x + 1e6).astype(np.float32), 3)
    assert distance(found.components, moved.components) < (1e-5 if way != "incremental" else 2e-2)
    np.testing.assert_allclose(moved.mean - np.float32(1e6), found.mean, atol=0.07)


def test_pictures_keep_their_shape() -> None:
    x = np.random.default_rng(0).random((30, 3, 4, 2)).astype(np.float32)
    found = fit(x, 5)
    flat = fit(x.reshape(30, -1), 5)
    assert np.array_equal(found.components, flat.components)
    assert found.reconstruct(x).shape == x.shape
    assert found.reconstruct(x).dtype == np.float32
    np.testing.assert_array_equal(found.squared_errors(x)[0], flat.squared_errors(x.reshape(30, -1))[0])


def test_which_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "LARGEST_EXACT", 20)
    taken: list[str] = []

    def watch(name: str) -> Callable[..., Any]:
        real = getattr(baselines, name)

        def call(*arguments: Any) -> Any:
            taken.append(name)
            return real(*arguments)

        return call

    for name in ("_through_covariance", "_through_gram", "_incremental"):
        monkeypatch.setattr(baselines, name, watch(name))
    for shape in ((50, 20), (50, 21), (20, 21), (20, 20)):
        fit(data(*shape), 2)
    assert taken == ["_through_covariance", "_incremental", "_through_gram", "_through_covariance"]


@pytest.mark.parametrize(("n", "k"), [(33, 20), (40, 5), (17, 3), (100, 30)])
def test_incremental_uses_every_size_of_data(monkeypatch: pytest.MonkeyPatch, n: int, k: int) -> None:
    """Codes wider than a block, and last blocks smaller than the code."""
    take("incremental", monkeypatch)
    x = data(n, 40, rank=3)
    found = fit(x, k)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), atol=1e-5)
    assert found.components.shape == (k, 40)
    assert found.squared_errors(x)[0].mean() < 1e-3 * found.squared_errors(x)[1].mean()

"""Groups in codes: closed forms, scikit-learn's own numbers, known groups found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from isthmus.errors import DataError, ParameterError
from isthmus.exploration.groups import Groups, agreement, examples, find_groups

torch.set_num_threads(1)
RANDOM = np.random.default_rng(0)
TRUTH = np.repeat([0, 1, 2], [200, 120, 80])
CENTRES = np.array([[0.0, 0.0, 0.0], [6.0, 0.0, 2.0], [0.0, 7.0, -3.0]])
MAPS = np.stack([np.eye(3), np.diag([2.0, 0.3, 1.0]), np.array([[1.0, 0, 0], [0.8, 0.5, 0], [0, 0.2, 0.4]])])
CODES = CENTRES[TRUTH] + np.einsum("nij,nj->ni", MAPS[TRUTH], RANDOM.normal(size=(400, 3)))


@pytest.fixture(scope="module")
def found() -> Groups:
    return find_groups(CODES, 3, seed=0)


def test_log_densities_are_those_of_normal_distributions(found: Groups) -> None:
    expected = np.stack(
        [
            np.log(weight) + multivariate_normal(mean, covariance).logpdf(CODES)
            for weight, mean, covariance in zip(found.weights, found.means, found.covariances, strict=True)
        ],
        axis=1,
    )
    np.testing.assert_allclose(found.log_densities(CODES), expected, rtol=1e-9)
    odds = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities(CODES), odds, atol=1e-10)
    np.testing.assert_array_equal(found.members(CODES), odds.argmax(axis=1))


def test_bic_is_scikit_learns() -> None:
    ours = find_groups(CODES, 3, seed=0)
    theirs = GaussianMixture(3, random_state=0)
    theirs.weights_, theirs.means_, theirs.covariances_ = ours.weights, ours.means, ours.covariances
    theirs.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(ours.covariances))
    assert ours.value_of("bic", CODES) == pytest.approx(theirs.bic(CODES), rel=1e-9)
    lost = -2 * np.log(ours.probabilities(CODES).max(axis=1)).sum()
    assert ours.value_of("icl", CODES) == pytest.approx(theirs.bic(CODES) + lost, rel=1e-9)


@pytest.mark.parametrize("criterion", ["bic", "icl"])
def test_the_number_is_found(criterion: str) -> None:
    found = find_groups(CODES, (1, 2, 3, 4, 5, 8), seed=0, criterion=criterion)  # type: ignore[arg-type]
    assert found.n_groups == 3 == min(found.curve, key=lambda n: found.curve[n])
    assert list(found.curve)[:5] == [1, 2, 3, 4, 5]
    same = agreement(found.members(CODES), TRUTH)
    assert (same.nmi, same.ami, same.ari, same.accuracy) == pytest.approx((1, 1, 1, 1), abs=0.05)
    np.testing.assert_allclose(found.means, CENTRES, atol=0.4)
    np.testing.assert_allclose(found.weights, [0.5, 0.3, 0.2], atol=0.01)


def test_icl_takes_one_group_where_bic_takes_the_density() -> None:
    """A square is no normal distribution: several overlapping components describe it, but it is one group."""
    square = RANDOM.uniform(-1, 1, size=(3000, 2))
    assert find_groups(square, [1, 4], seed=0).n_groups == 4
    assert find_groups(square, [1, 4], seed=0, criterion="icl").n_groups == 1


def test_k_means_is_the_nearest_centre() -> None:
    found = find_groups(CODES, 3, seed=0, method="k_means")
    theirs = KMeans(3, n_init=10, random_state=1).fit(CODES)
    nearest = np.square(CODES[:, None] - found.means).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(found.members(CODES), nearest)
    assert agreement(nearest, theirs.labels_).accuracy == 1
    np.testing.assert_allclose(found.probabilities(CODES).sum(axis=1), 1)
    assert found.n_parameters == 10
    assert find_groups(CODES, [1, 2, 3], seed=0, method="k_means").n_groups == 3


def test_groups_are_a_function_of_rows_and_seed(found: Groups) -> None:
    shuffled = RANDOM.permutation(CODES)
    for again in (find_groups(CODES, 3, seed=0), find_groups(shuffled, 3, seed=0)):
        np.testing.assert_array_equal(again.means, found.means)
        np.testing.assert_array_equal(again.covariances, found.covariances)
    before = CODES.copy()
    find_groups(CODES, 2, seed=0)
    np.testing.assert_array_equal(CODES, before)


def test_a_row_does_not_depend_on_its_neighbours(found: Groups) -> None:
    whole = found.probabilities(CODES)
    for start, stop in ((0, 1), (17, 24), (100, 399)):
        np.testing.assert_array_equal(found.probabilities(CODES[start:stop]), whole[start:stop])


def test_more_rows_than_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.exploration.groups.MOST_ROWS", 100)
    found = find_groups(CODES, 3, seed=0)
    assert agreement(found.members(CODES), TRUTH).accuracy > 0.99


def test_codes_that_hardly_vary() -> None:
    flat = np.concatenate([CODES, np.zeros((400, 2))], axis=1)
    for method in ("mixture", "k_means"):
        found = find_groups(flat, 3, seed=0, method=method)  # type: ignore[arg-type]
        assert np.isfinite(found.log_densities(flat)).all()
        assert agreement(found.members(flat), TRUTH).accuracy > 0.95
    same = find_groups(np.ones((5, 2)), seed=0)
    assert same.n_groups == 1
    assert np.isfinite(same.log_densities(np.ones((5, 2)))).all()


def test_examples_at_the_centre_and_at_the_edge(found: Groups) -> None:
    shown = examples(found, CODES, 5)
    odds, members = np.sort(found.log_densities(CODES), axis=1), found.members(CODES)
    for group in range(3):
        rows = np.flatnonzero(members == group)
        distances = np.einsum(
            "ni,ij,nj->n",
            CODES[rows] - found.means[group],
            np.linalg.inv(found.covariances[group]),
            CODES[rows] - found.means[group],
        )
        assert shown.centre[group].tolist() == rows[np.argsort(distances)[:5]].tolist()
        lead = (odds[:, -1] - odds[:, -2])[rows]
        assert shown.edge[group].tolist() == rows[np.argsort(lead)[:5]].tolist()
    alone = find_groups(CODES, 1, seed=0)
    far = examples(alone, CODES, 1)
    assert far.edge[0][0] == alone.distances(CODES)[:, 0].argmax()
    assert [len(rows) for rows in examples(found, CODES[TRUTH == 0], 3).centre] == [3, 0, 0]


def test_agreement_has_known_values() -> None:
    members, labels = np.array([0, 0, 0, 1, 1, 1]), np.array(list("aabbcc"))
    got = agreement(members, labels)
    assert got.accuracy == pytest.approx(4 / 6)
    mutual = 2 * (2 / 6) * np.log((2 / 6) / (1 / 2 * 1 / 3)) + 2 * (1 / 6) * np.log((1 / 6) / (1 / 2 * 1 / 3))
    assert got.nmi == pytest.approx(mutual / ((np.log(2) + np.log(3)) / 2))
    together, pairs = 2, 15
    expected = 6 * 3 / pairs
    assert got.ari == pytest.approx((together - expected) / ((6 + 3) / 2 - expected))
    assert got.n_labels == 3
    at_random = agreement(RANDOM.integers(0, 3, 3000), RANDOM.integers(0, 3, 3000))
    assert abs(at_random.ari) < 0.01
    assert abs(at_random.ami) < 0.01


@pytest.mark.parametrize(
    ("n_groups", "options", "error", "said"),
    [
        (0, {}, ParameterError, "must be at least 1, got 0"),
        ([2, 0], {}, ParameterError, "must be at least 1, got 0"),
        ("many", {}, ParameterError, "several or 'auto', got 'many'"),
        (2.5, {}, ParameterError, "several or 'auto', got 2.5"),
        ([], {}, ParameterError, "several or 'auto', got"),
        (True, {}, ParameterError, "got True"),
        (401, {}, DataError, "401 groups need at least as many rows, got 400"),
        (2, {"method": "dbscan"}, ParameterError, "method must be 'mixture' or 'k_means', got 'dbscan'"),
        (2, {"criterion": "aic"}, ParameterError, "criterion must be 'bic' or 'icl', got 'aic'"),
        (2, {"least_variance": 0.0}, ParameterError, "least_variance must be above 0, got 0.0"),
        (2, {"n_starts": 0}, ParameterError, "number of starts must be at least 1, got 0"),
    ],
)
def test_mistakes_are_one_sentence(n_groups: object, options: dict, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        find_groups(CODES, n_groups, seed=0, **options)  # type: ignore[arg-type]


def test_rows_that_cannot_be_grouped_are_refused(found: Groups) -> None:
    with pytest.raises(DataError, match=r"at least 2 rows to group, got 1 \(1 sample\)"):
        find_groups(CODES[:1], seed=0)
    with pytest.raises(
        DataError, match="3 groups need at least as many different codes, got 2 among 40 rows"
    ):
        find_groups(np.repeat(CODES[:2], 20, axis=0), 3, seed=0)
    with pytest.raises(DataError, match="expected codes of 3 units"):
        found.members(CODES[:, :2])
    with pytest.raises(DataError, match="400 rows and 3 labels"):
        agreement(found.members(CODES), TRUTH[:3])
    with pytest.raises(ParameterError, match="examples must be at least 1, got 0"):
        examples(found, CODES, 0)

"""Rows as a weighted set: no order, no copies, no zeros."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from isthmus.config import Config, Model, Training
from isthmus.config.parts.networks import Dense
from isthmus.errors import DataError
from isthmus.sources import ArraySource
from isthmus.workflows.fit import fit
from isthmus.workflows.row_order import Part, all_rows, split_rows, weighted_set

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(20, 3))
CONFIG = Config(
    model=Model(code_size=2, network=Dense((8,))),
    training=Training(epochs=3, batch_size=8, seed=5, threads=1, device="cpu", validation_share=0.2),
)


def source(rows: np.ndarray, **params: object) -> ArraySource:
    return ArraySource(rows, **params)  # pyright: ignore[reportArgumentType]


def fitted(rows: np.ndarray, weights: np.ndarray | None = None) -> bytes:
    torch.set_num_threads(1)
    model = fit(source(rows), CONFIG, sample_weight=weights)[0]
    del model.metrics["rows"]  # how many were given is all that a file tells of copies
    return model.to_bytes()


def read(part: Part) -> list[list[float]]:
    return part.source.read(slice(0, len(part.source))).tolist()


# The model is a function of the weighted set


def test_a_permutation_of_rows_gives_the_same_model() -> None:
    order = RANDOM.permutation(20)
    assert fitted(X[order]) == fitted(X)
    weights = RANDOM.uniform(1, 3, 20)
    assert fitted(X[order], weights[order]) == fitted(X, weights)


def test_copies_are_weights() -> None:
    counts = RANDOM.integers(1, 4, 20)
    assert fitted(np.repeat(X, counts, axis=0)) == fitted(X, counts.astype(float))
    assert fitted(np.repeat(X, counts, axis=0)) != fitted(X)


def test_a_common_factor_of_the_weights_says_nothing() -> None:
    assert fitted(X, np.full(20, 3.0)) == fitted(X)
    weights = RANDOM.integers(1, 5, 20).astype(float)
    assert fitted(X, 4 * weights) == fitted(X, weights)


def test_weight_zero_is_no_row() -> None:
    kept = RANDOM.uniform(size=20) < 0.7
    assert fitted(X, kept.astype(float)) == fitted(X[kept])


def test_minus_zero_is_zero() -> None:
    zeros, minus = X.copy(), X.copy()
    zeros[::2, 1], minus[::2, 1] = 0.0, -0.0
    assert np.signbit(minus).sum() > np.signbit(zeros).sum()
    assert fitted(minus) == fitted(zeros)
    rows, weights, _ = weighted_set(source(np.array([[0.0, 1.0], [-0.0, 1.0]])), None)
    assert (rows.tolist(), weights.tolist()) == ([0], [2.0])


# The set itself


@given(
    rows=hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.just(2)), elements=st.integers(0, 3)),
    data=st.data(),
)
@settings(max_examples=50)
def test_the_set_is_that_of_a_dictionary(rows: np.ndarray, data: st.DataObject) -> None:
    """A dictionary from row to weight is the slow twin."""
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))), float)
    known: dict[tuple[int, ...], float] = {}
    for row, weight in zip(rows.tolist(), weights, strict=True):
        known[tuple(row)] = known.get(tuple(row), 0.0) + weight
    known = {row: weight for row, weight in known.items() if weight > 0}
    found, total, counts = weighted_set(source(rows), weights)
    assert {tuple(rows[i].tolist()): w for i, w in zip(found, total, strict=True)} == known
    assert len(found) == len(known)
    given = [tuple(row) for row, weight in zip(rows.tolist(), weights, strict=True) if weight > 0]
    assert counts.tolist() == [given.count(tuple(rows[i].tolist())) for i in found]


def test_rows_beyond_a_block_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, total, _ = weighted_set(source(np.tile(X, (3, 1))), None)
    monkeypatch.setattr("isthmus.sources.digests.BLOCK", 7)
    again, same, _ = weighted_set(source(np.tile(X, (3, 1))), None)
    assert again.tolist() == rows.tolist()
    assert total.tolist() == same.tolist() == [3.0] * 20


def test_types_and_pictures_are_rows_too() -> None:
    pictures = RANDOM.integers(0, 256, (6, 4, 4, 3), np.uint8)
    rows, total, _ = weighted_set(source(np.concatenate([pictures, pictures[:2]])), None)
    assert sorted(rows.tolist()) == list(range(6))
    assert sorted(total.tolist()) == [1, 1, 1, 1, 2, 2]


# The split


def test_the_split_is_a_function_of_rows_and_seed() -> None:
    training, validation = split_rows(source(X), None, 0.3, 1)
    assert validation is not None
    assert (len(training.source), len(validation.source)) == (14, 6)
    assert sorted(read(training) + read(validation)) == sorted(X.tolist())
    other, _ = split_rows(source(X[::-1]), None, 0.3, 1)
    assert read(other) == read(training)
    assert read(split_rows(source(X), None, 0.3, 2)[0]) != read(training)


def test_no_copy_of_a_training_row_is_held_out() -> None:
    training, validation = split_rows(source(np.tile(X, (4, 1))), None, 0.5, 0)
    assert validation is not None
    assert not {tuple(row) for row in read(training)} & {tuple(row) for row in read(validation)}


def test_a_share_of_nothing_holds_out_nothing() -> None:
    assert split_rows(source(X), None, 0.0, 0)[1] is None
    assert split_rows(source(X[:3]), None, 0.3, 0)[1] is None


def test_weights_have_mean_one_in_each_part() -> None:
    training, validation = split_rows(source(X), RANDOM.uniform(1, 9, 20), 0.3, 1)
    assert validation is not None
    for part in (training, validation):
        assert part.weights is not None
        assert part.weights.dtype == np.float32
        assert part.weights.mean() == pytest.approx(1, rel=1e-6)
    assert all_rows(source(X), np.full(20, 0.25)).weights is None


@pytest.mark.parametrize(
    ("rows", "weights"),
    [
        (X[:1], None),
        (np.repeat(X[:1], 9, axis=0), None),
        (X, np.eye(20)[4]),
    ],
    ids=["one row", "copies of one", "one of positive weight"],
)
def test_one_different_row_is_refused(rows: np.ndarray, weights: np.ndarray | None) -> None:
    message = rf"fit: expected at least 2 different rows, got 1 \(n_samples = {len(rows)}\)\. 1 sample"
    with pytest.raises(DataError, match=message):
        fit(source(rows), CONFIG, sample_weight=weights)


def test_weights_of_zero_leave_nothing() -> None:
    with pytest.raises(DataError, match="expected at least 2 different rows, got 0"):
        split_rows(source(X), np.zeros(20), 0.1, 0)

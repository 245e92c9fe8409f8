"""Quantiles that are rows, and what a file may say is usual."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.artifact.anomaly import Usual, quantile, quantiles
from isthmus.errors import ParameterError


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.floats(0.001, 1.0))
def test_a_quantile_has_its_share_at_or_below(values: list[int], share: float) -> None:
    found = quantile(np.array(values), share)
    assert found in values
    assert np.mean(np.array(values) <= found) >= share - 1e-8
    assert np.mean(np.array(values) < found) <= share + 1e-8


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1).filter(
        lambda x: any(w for _, w in x)
    )
)
def test_a_weight_is_so_many_values(pairs: list[tuple[int, int]]) -> None:
    values, weights = np.array(pairs).T
    np.testing.assert_array_equal(quantiles(values, weights), quantiles(np.repeat(values, weights)))


def usual(**changes: Any) -> Usual:
    rows = np.arange(1000.0)
    found = {
        "measure": "relative_error", "errors": np.ones(3, np.float32), "training": quantiles(rows),
        "held_out": quantiles(rows + 1000), "threshold": 5.0, "rule": "so",
    }  # fmt: skip
    return Usual(**{**found, **changes})


def test_thresholds_are_read_off() -> None:
    assert usual().above_share_of_training(0.1) == 899.0
    assert usual().at_quantile(0.5) == 1499.0
    assert usual(held_out=None).at_quantile(1.0) == 999.0
    for share in (0.0, 0.6, float("nan")):
        with pytest.raises(ParameterError, match="contamination"):
            usual().above_share_of_training(share)
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ParameterError, match="quantile"):
            usual().at_quantile(share)


def test_a_state_gives_the_same() -> None:
    for one in (
        usual(),
        usual(held_out=None, contamination=0.1),
        usual(products=np.eye(3, dtype=np.float32)),
    ):
        again = Usual.from_state(*one.to_state(), 3)
        assert (again.products is None) == (one.products is None)
        assert again.to_state()[0] == one.to_state()[0]
        assert (again.held_out is None) == (one.held_out is None)


@pytest.mark.parametrize(
    ("words", "arrays"),
    [
        ({"threshold": float("nan")}, {}),
        ({"threshold": "5"}, {}),
        ({"rule": 3}, {}),
        ({"measure": "other"}, {}),
        ({"contamination": 2.0}, {}),
        ({}, {"errors": np.ones(4, np.float32)}),
        ({}, {"errors": -np.ones(3, np.float32)}),
        ({}, {"training": np.arange(1001.0)[::-1]}),
        ({}, {"held_out": np.full(1001, np.nan)}),
        ({}, {"training": np.arange(5.0)}),
        ({}, {"products": np.eye(4, dtype=np.float32)}),
        ({}, {"products": np.arange(9, dtype=np.float32).reshape(3, 3)}),
        ({}, {"products": np.full((3, 3), np.inf, np.float32)}),
    ],
)
def test_what_no_isthmus_wrote_is_refused(words: dict[str, Any], arrays: dict[str, Any]) -> None:
    own_words, own_arrays = usual().to_state()
    with pytest.raises((ValueError, TypeError, KeyError)):
        Usual.from_state({**own_words, **words}, {**own_arrays, **arrays}, 3)

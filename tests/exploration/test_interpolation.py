"""Paths: their ends, their norms, their angles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isthmus.errors import ParameterError
from isthmus.exploration.interpolation import path_between

codes = arrays(np.float32, 4, elements=st.floats(-8, 8, width=32))


@given(a=codes, b=codes, n_steps=st.integers(2, 9))
def test_a_straight_line_has_equal_steps_and_its_ends_exactly(
    a: np.ndarray, b: np.ndarray, n_steps: int
) -> None:
    path = path_between(a, b, n_steps)
    np.testing.assert_array_equal(path[[0, -1]].astype(np.float32), [a, b])
    steps = np.diff(path, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-6)


@given(a=codes, b=codes, n_steps=st.integers(3, 9))
def test_a_spherical_path_turns_evenly_and_its_norm_changes_linearly(
    a: np.ndarray, b: np.ndarray, n_steps: int
) -> None:
    lengths = np.linalg.norm(a.astype(np.float64)), np.linalg.norm(b.astype(np.float64))
    if min(lengths) < 1e-3 or np.linalg.norm(a / lengths[0] + b / lengths[1]) < 1e-3:
        return
    path = path_between(a, b, n_steps, "spherical")
    np.testing.assert_array_equal(path[[0, -1]].astype(np.float32), [a, b])
    norms = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(norms, np.linspace(*lengths, n_steps), rtol=1e-5)
    unit = path / norms[:, None]
    turns = 2 * np.arcsin(np.clip(np.linalg.norm(np.diff(unit, axis=0), axis=1) / 2, 0, 1))
    np.testing.assert_allclose(turns, turns.mean(), atol=1e-4)


def test_codes_of_one_norm_keep_it() -> None:
    a, b = np.array([3.0, 4.0, 0.0]), np.array([0.0, 0.0, -5.0])
    np.testing.assert_allclose(np.linalg.norm(path_between(a, b, 7, "spherical"), axis=1), 5.0)
    assert np.linalg.norm(path_between(a, b, 7), axis=1)[3] == pytest.approx(5 / np.sqrt(2))


def test_one_direction_is_a_straight_line() -> None:
    a = np.array([1.0, 2.0])
    np.testing.assert_allclose(path_between(a, 3 * a, 4, "spherical"), path_between(a, 3 * a, 4))


@pytest.mark.parametrize(
    ("a", "b", "n_steps", "path", "said"),
    [
        ([1.0], [2.0], 1, "linear", "steps must be at least 2"),
        ([1.0], [2.0], 3, "curved", "must be 'linear' or 'spherical', got 'curved'"),
        ([1.0, 1.0], [-2.0, -2.0], 3, "spherical", "opposite codes"),
        ([0.0, 0.0], [1.0, 0.0], 3, "spherical", "a code of zeros has no direction"),
    ],
)
def test_what_is_no_path_is_refused(
    a: list[float], b: list[float], n_steps: int, path: str, said: str
) -> None:
    with pytest.raises(ParameterError, match=said):
        path_between(np.array(a), np.array(b), n_steps, path)  # type: ignore[arg-type]

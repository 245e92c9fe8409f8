"""New rows, rows between two, and one unit at a time, in data units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from isthmus import Autoencoder, Gaussian
from isthmus.errors import DataError, ParameterError
from isthmus.exploration.priors import StandardNormal

torch.set_num_threads(1)
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 3)) @ RANDOM.normal(size=(3, 6)) * 5 + 20
PICTURES = RANDOM.integers(0, 256, (60, 6, 5), dtype=np.uint8)


@pytest.fixture(scope="module")
def plain() -> Autoencoder:
    return Autoencoder(2, hidden_sizes=(), max_epochs=3, random_state=0).fit(X)


@pytest.fixture(scope="module")
def variational() -> Autoencoder:
    return Autoencoder(
        2, hidden_sizes=(8,), code="gaussian", likelihood=Gaussian("learned"), max_epochs=3, random_state=0
    ).fit(X)


def test_the_ends_are_the_reconstructions_bit_for_bit(plain: Autoencoder, variational: Autoencoder) -> None:
    for model in (plain, variational):
        for path in ("linear", "spherical"):
            between = model.interpolate(X[3], X[77], n_steps=6, path=path)  # type: ignore[arg-type]
            rebuilt = model.reconstruct(X)
            np.testing.assert_array_equal(between[[0, -1]], rebuilt[[3, 77]])
            assert between.shape == (6, 6)


def test_a_linear_model_draws_a_straight_line(plain: Autoencoder) -> None:
    between = plain.interpolate(X[3], X[77], n_steps=6)
    np.testing.assert_allclose(between, np.linspace(between[0], between[-1], 6), rtol=1e-5)


def test_pictures_and_frames() -> None:
    model = Autoencoder(2, hidden_sizes=(8,), max_epochs=1, random_state=0).fit(PICTURES)
    between = model.interpolate(PICTURES[0], PICTURES[1], n_steps=3)
    assert (between.shape, between.dtype) == ((3, 30), np.uint8)
    np.testing.assert_array_equal(between[0], model.reconstruct(PICTURES[:1])[0])
    frame = pd.DataFrame(X, columns=list("abcdef"))
    named = Autoencoder(2, hidden_sizes=(), max_epochs=1, random_state=0).fit(frame)
    np.testing.assert_array_equal(
        named.interpolate(frame.iloc[0], frame.iloc[1], n_steps=2), named.reconstruct(frame.iloc[:2])
    )


def test_samples_are_a_function_of_the_seed(plain: Autoencoder, variational: Autoencoder) -> None:
    one = variational.sample(7, random_state=0)
    assert one.shape == (7, 6)
    np.testing.assert_array_equal(one, variational.sample(7, random_state=0))
    assert (one != variational.sample(7)).any()
    assert (one != variational.sample(7, random_state=0, noise=True)).any()
    codes = variational.transform(variational.sample(5, random_state=0, prior=StandardNormal(2)))
    assert codes.shape == (5, 2)
    fitted = plain.sample(500, random_state=0, X=X, prior=1)
    np.testing.assert_allclose(fitted.mean(axis=0), plain.reconstruct(X).mean(axis=0), atol=2.0)


def test_traversals_change_one_unit(plain: Autoencoder, variational: Autoencoder) -> None:
    rows = variational.traverse(X[0], units=[1], n_steps=3)
    codes = np.tile(variational.transform(X[:1]), (3, 1))
    codes[:, 1] = [-1.959964, 0, 1.959964]
    np.testing.assert_allclose(rows[0], variational.inverse_transform(codes), rtol=1e-5)
    assert variational.traverse().shape == (2, 7, 6)
    assert plain.traverse(X=X, n_steps=4).shape == (2, 4, 6)


def test_mistakes_are_one_sentence(plain: Autoencoder) -> None:
    with pytest.raises(ParameterError, match="fitted to the codes of rows, got none"):
        plain.sample(3)
    with pytest.raises(DataError, match="expected one row of 6 features, got 12 values"):
        plain.interpolate(X[:2], X[0])
    with pytest.raises(NotFittedError):
        Autoencoder().sample(3)

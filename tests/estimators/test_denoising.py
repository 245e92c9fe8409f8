"""Slopes and chains through the estimator: features in order, units as said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, Gaussian, GaussianNoise
from isthmus.errors import ParameterError

torch.set_num_threads(1)
COMMON = {"hidden_sizes": (8,), "max_epochs": 2, "random_state": 0, "threads": 1}


def test_the_slope_is_in_model_units_and_in_the_order_of_the_features() -> None:
    """A picture of one bright value: only its own place, channels last, may pull it down."""
    X = np.random.default_rng(0).integers(0, 256, (40, 4, 5, 3), dtype=np.uint8)
    model = Autoencoder(2, corruption=GaussianNoise(0.5), likelihood="squared_error", **COMMON).fit(X)
    slope = model.log_density_gradient(X)
    expected = (model.reconstruct(X).astype(float) - X.reshape(40, -1)) / 255 / 0.25
    assert slope.shape == (40, 60)
    np.testing.assert_allclose(slope, expected, atol=0.6 / 255 / 0.25)


def test_the_slope_of_columns_is_per_standard_deviation() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3)) * [1, 10, 100] + 5
    model = Autoencoder(2, corruption=GaussianNoise(0.5), scaling="standardise", **COMMON).fit(X)
    scale = model._model.scaling.scale
    expected = (model.reconstruct(X) - X) / scale / 0.25
    np.testing.assert_allclose(model.log_density_gradient(X), expected, rtol=1e-3, atol=1e-4)


def test_a_chain_gives_rows_in_data_units() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3)) * [1, 10, 100] + [0, 50, 1000]
    model = Autoencoder(2, corruption="gaussian_noise", likelihood=Gaussian("learned"), **COMMON).fit(X)
    samples = model.sample_chain(X[:7], n_steps=5, random_state=0)
    assert samples.shape == (5, 7, 3)
    assert np.array_equal(samples, model.sample_chain(X[:7], n_steps=5, random_state=0))
    assert not np.array_equal(samples, model.sample_chain(X[:7], n_steps=5, random_state=1))
    assert 500 < samples[..., 2].mean() < 1500
    assert abs(samples[..., 0].mean()) < 5


def test_estimators_that_know_no_density_say_so() -> None:
    X = np.random.default_rng(0).normal(size=(30, 3))
    model = Autoencoder(2, corruption="masking", likelihood="squared_error", **COMMON).fit(X)
    with pytest.raises(ParameterError, match="expected a model trained with Gaussian noise, got Masking"):
        model.log_density_gradient(X)
    with pytest.raises(ParameterError, match="expected a likelihood to draw from, got SquaredError"):
        model.sample_chain(X)

"""New examples of a linear model have the covariance that it states, noise and all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.likelihoods import Bernoulli, Gaussian
from isthmus.config.parts.networks import Dense
from isthmus.errors import ParameterError
from isthmus.exploration.priors import StandardNormal
from isthmus.exploration.sampling import sample
from isthmus.inference import Inference
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource

torch.set_num_threads(1)
SCALE = 0.4


def inference(likelihood: object) -> Inference:
    rows = Randomness(0).uniform((20, 4)).numpy()
    model = Model(code_size=2, network=Dense(()), code=GaussianCode(), likelihood=likelihood)
    scaling = Scaling.fit(ArraySource(rows), np.arange(len(rows)), method="none")
    return Inference(FittedModel(Config(model=model), scaling, build(model, (4,), seed=0).eval()))


def test_a_linear_model_with_and_without_noise() -> None:
    """``W W' + scale^2 I`` with the decoder's noise, ``W W'`` alone without it."""
    model = inference(Gaussian(SCALE))
    decoder = next(m for m in model.module.decoder.modules() if isinstance(m, torch.nn.Linear))
    loadings = decoder.weight.detach().double().numpy()
    for noise in (False, True):
        draws = sample(model, 30_000, StandardNormal(2), seed=0, noise=noise).astype(np.float64)
        expected = loadings @ loadings.T + noise * SCALE**2 * np.eye(4)
        np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.02)
        np.testing.assert_allclose(draws.mean(axis=0), decoder.bias.detach(), atol=0.02)


def test_noise_of_zeros_and_ones() -> None:
    model = inference(Bernoulli())
    draws = sample(model, 5000, StandardNormal(2), seed=0, noise=True)
    means = sample(model, 5000, StandardNormal(2), seed=0)
    assert set(np.unique(draws)) == {0.0, 1.0}
    np.testing.assert_allclose(draws.mean(axis=0), means.mean(axis=0), atol=0.03)
    assert np.corrcoef(draws.ravel(), means.ravel())[0, 1] > 0.1


def test_it_is_a_function_of_the_seed_and_grows_by_rows() -> None:
    model = inference(Gaussian(SCALE))
    one = sample(model, 300, StandardNormal(2), seed=0, noise=True)
    np.testing.assert_array_equal(one, sample(model, 300, StandardNormal(2), seed=0, noise=True))
    assert (one != sample(model, 300, StandardNormal(2), seed=1, noise=True)).any()


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ParameterError, match="SquaredError: noise can be drawn from a density alone"):
        sample(inference("squared_error"), 3, StandardNormal(2), seed=0, noise=True)
    with pytest.raises(ParameterError, match="must be at least 1, got 0"):
        sample(inference(Bernoulli()), 0, StandardNormal(2), seed=0)

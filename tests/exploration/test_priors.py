"""Priors of codes: their moments, their quantiles, which one a model has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from isthmus.artifact import FittedModel
from isthmus.codes.gaussian import Gaussian
from isthmus.config import Config, Model
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.networks import Dense
from isthmus.errors import DataError, ParameterError
from isthmus.exploration.priors import Mixture, StandardNormal, choose_prior, drawn_codes, fit_mixture
from isthmus.inference import Inference
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource

torch.set_num_threads(1)
ROWS = Randomness(0).normal((300, 5)).numpy()


def inference(code: object, size: int = 2) -> Inference:
    model = Model(code_size=size, network=Dense(()), code=code, likelihood="squared_error")
    scaling = Scaling.fit(ArraySource(ROWS), np.arange(len(ROWS)), method="none")
    return Inference(FittedModel(Config(model=model), scaling, build(model, (5,), seed=0).eval()))


def two_spots() -> Mixture:
    covariances = np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.25, 0.0], [0.0, 4.0]]])
    return Mixture(np.array([0.25, 0.75]), np.array([[-3.0, 0.0], [3.0, 1.0]]), covariances)


def test_draws_of_a_mixture_have_its_moments() -> None:
    mixture = two_spots()
    draws = mixture.sample(40_000, Randomness(0)).astype(np.float64)
    expected = np.einsum("c,cij->ij", mixture.weights, mixture.covariances)
    centred = mixture.means - mixture.mean()
    expected += np.einsum("c,ci,cj->ij", mixture.weights, centred, centred)
    np.testing.assert_allclose(draws.mean(axis=0), mixture.mean(), atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.15)
    assert np.mean(draws[:, 0] < 0) == pytest.approx(0.25, abs=0.01)


def test_draws_are_a_function_of_the_randomness() -> None:
    for prior in (two_spots(), StandardNormal(2)):
        one, again, other = (prior.sample(5, Randomness(seed)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one, again)
        assert (one != other).any()
        assert one.dtype == np.float32


def test_draws_keep_to_the_range_that_codes_have() -> None:
    spots = two_spots()
    kept = Mixture(spots.weights, spots.means, spots.covariances, np.zeros(2), np.full(2, 2.0))
    draws = kept.sample(500, Randomness(0))
    assert draws.min() == 0
    assert draws.max() == 2


def test_the_best_mixture_finds_the_spots() -> None:
    codes = two_spots().sample(2000, Randomness(3))
    found = fit_mixture(codes, seed=0)
    assert found.words == "mixture of 2 normal components"
    order = np.argsort(found.weights)
    np.testing.assert_allclose(found.weights[order], [0.25, 0.75], atol=0.03)
    np.testing.assert_allclose(found.means[order], two_spots().means, atol=0.25)
    assert fit_mixture(codes, 3, seed=0).words == "mixture of 3 normal components"
    one = fit_mixture(codes, 1, seed=0)
    np.testing.assert_allclose(one.means[0], codes.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(one.covariances[0], np.cov(codes.T, bias=True), atol=1e-4)


def test_dead_units_do_not_hinder_a_mixture() -> None:
    codes = np.concatenate([ROWS[:, :2], np.zeros((300, 1), np.float32)], axis=1)
    draws = fit_mixture(codes, seed=0).sample(50, Randomness(0))
    assert np.isfinite(draws).all()
    assert np.abs(draws[:, 2]).max() < 0.01
    assert np.isfinite(fit_mixture(np.zeros((10, 2)), 1, seed=0).sample(3, Randomness(0))).all()


def test_quantiles() -> None:
    shares = [0.025, 0.5, 0.9]
    np.testing.assert_allclose(StandardNormal(2).quantiles(shares)[:, 1], norm.ppf(shares))
    one = Mixture(np.ones(1), np.array([[2.0]]), np.array([[[9.0]]]))
    np.testing.assert_allclose(one.quantiles(shares)[:, 0], norm.ppf(shares, 2, 3), atol=0.15)


def test_which_prior_a_model_has() -> None:
    source, gaussian = ArraySource(ROWS), inference(GaussianCode())
    assert choose_prior(gaussian, seed=0).words == "standard normal"
    assert choose_prior(gaussian, "auto", source, seed=0).words.startswith("mixture")
    assert choose_prior(gaussian, "normal", source, seed=0).words == "standard normal"
    assert choose_prior(gaussian, 2, source, seed=0).words == "mixture of 2 normal components"
    own = StandardNormal(2)
    assert choose_prior(gaussian, own, seed=0) is own
    plain = inference(DeterministicCode("relu"))
    found = choose_prior(plain, "auto", source, seed=0)
    assert found.sample(200, Randomness(0)).min() == 0


@pytest.mark.parametrize(
    ("code", "kind", "rows", "said"),
    [
        (DeterministicCode(), "auto", False, "a mixture is fitted to the codes of rows, got none"),
        (DeterministicCode(), "normal", True, "'normal' is the prior of a Gaussian code"),
        (GaussianCode(), "flow", True, "expected 'auto', 'normal', 'learned', 'mixture' or a number"),
        (GaussianCode(), 0, True, "must be at least 1, got 0"),
        (GaussianCode(), StandardNormal(3), False, "expected codes of 2 units, got a prior of 3"),
    ],
)
def test_what_is_no_prior_is_refused(code: object, kind: object, rows: bool, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        choose_prior(inference(code), kind, ArraySource(ROWS) if rows else None, seed=0)  # type: ignore[arg-type]


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match="a mixture of 8 needs at least 8 rows, got 5"):
        fit_mixture(ROWS[:5], 8, seed=0)


def test_drawn_codes_have_mean_and_scale_of_each_row() -> None:
    model = inference(GaussianCode())
    source = ArraySource(ROWS)
    mean, scale = model.code_distribution(source)
    assert scale is not None
    draws = np.stack([drawn_codes(model, source, seed=seed) for seed in range(200)])  # type: ignore[arg-type]
    z = (draws.mean(axis=0) - mean) / scale * np.sqrt(200)
    assert np.abs(z).max() < 5
    assert draws.std(axis=0).mean() == pytest.approx(scale.mean(), rel=0.02)
    again = drawn_codes(model, source, seed=0)
    np.testing.assert_array_equal(draws[0], again)
    assert drawn_codes(inference(DeterministicCode()), source, seed=0) is None
    assert isinstance(model.module.code, Gaussian)

"""What a model reaches: the documented keys, and figures with closed forms."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.parts.codes import GaussianCode, QuantisedCode
from isthmus.config.parts.likelihoods import Bernoulli, DiscretisedLogistic, Gaussian, SquaredError
from isthmus.config.parts.networks import Dense
from isthmus.evaluation.baselines import fit_baseline
from isthmus.evaluation.metrics import Measured, dead_units, measure, squared_errors
from isthmus.inference import Inference
from isthmus.model.build import build
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource

torch.set_num_threads(1)

N, D = 300, 5
ROWS = np.random.default_rng(0).normal(size=(N, D)) @ np.random.default_rng(1).normal(size=(D, D)) + 3.0
SOURCE = ArraySource(ROWS)


def linear(
    rows: np.ndarray = ROWS, *, seed: int = 0, method: Any = "standardise", **chosen: Any
) -> Inference:
    """A linear model of random weights, with the baselines of its rows."""
    model = Model(**{"code_size": 2, "network": Dense(()), "likelihood": SquaredError(), **chosen})
    source = ArraySource(rows)
    scaling = Scaling.fit(source, np.arange(len(rows)), method=method)
    module = build(model, scaling.model_shape, seed=seed)
    baseline = fit_baseline(lambda part: scaling.to_model(source.read(part)), len(rows), module.code.size)
    return Inference(FittedModel(Config(model=model), scaling, module, baseline))


def set_layers(model: Inference, encoder: Any, encoder_bias: Any, decoder: Any, decoder_bias: Any) -> None:
    state = {"encoder": (encoder, encoder_bias), "decoder": (decoder, decoder_bias)}
    with torch.no_grad():
        for half, values in state.items():
            layer: Any = getattr(model.module, half).layers[0]
            for parameter, value in zip((layer.weight, layer.bias), values, strict=True):
                parameter.copy_(torch.as_tensor(np.asarray(value, np.float32)))


def test_keys_are_the_documented_ones() -> None:
    plain = measure(linear(), SOURCE).to_dict()
    assert set(plain) == {"rows", "error", "baselines", "code", "loss"}
    assert set(plain["error"]) == {"sse", "mse"}
    assert plain["baselines"].keys() == {"pca", "mean"}
    assert plain["baselines"]["pca"].keys() == plain["baselines"]["mean"].keys() == {"sse", "mse"}
    assert set(plain["code"]) == {"size", "active", "dead"}
    drawn = measure(linear(code=GaussianCode(), likelihood=Gaussian()), SOURCE).to_dict()
    assert set(drawn) == {*plain, "rate_nats", "elbo_nats"}
    no_density = measure(linear(code=GaussianCode()), SOURCE).to_dict()
    assert set(no_density) == {*plain, "rate_nats"}
    levels = np.random.default_rng(0).integers(0, 256, (40, D)).astype(np.uint8)
    levels[0, :2] = 0, 255
    source = ArraySource(levels)
    exactly: dict[str, Any] = {"method": "range", "likelihood": DiscretisedLogistic()}
    exact = measure(linear(levels, code=GaussianCode(), **exactly), source).to_dict()
    assert set(exact) == {*plain, "rate_nats", "elbo_nats", "bits_per_value"}
    assert exact["bits_per_value"] == pytest.approx(-exact["elbo_nats"] / (D * math.log(2)))
    stored = measure(linear(levels, code=QuantisedCode(), **exactly), source)
    assert stored.rates is not None
    total = stored.losses.mean() + stored.rates.sum(axis=1).mean()
    assert stored.elbo == pytest.approx(-total, rel=1e-6), "one rounded code a row, and no chance"
    exactly["likelihood"] = DiscretisedLogistic(77)
    between = measure(linear(levels, code=GaussianCode(), **exactly), source)
    assert between.bits_per_value is None, "bytes are not the levels of 77"
    bare = linear()
    bare.model.baseline = None
    assert measure(bare, SOURCE).to_dict()["baselines"] == {}
    for found in (plain, drawn, no_density):
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert (found["rows"], found["code"]["size"]) == (N, 2)
        assert found["code"]["active"] + found["code"]["dead"] == 2
        for one in (found["error"], *found["baselines"].values()):
            assert one["mse"] == pytest.approx(one["sse"] / D)


def test_the_identity_has_no_error() -> None:
    model = linear(code_size=D)
    set_layers(model, np.eye(D), np.zeros(D), np.eye(D), np.zeros(D))
    found = measure(model, SOURCE)
    assert (found.errors == 0).all()
    assert (found.losses == 0).all()
    assert np.array_equal(found.codes, model.model.scaling.to_model(ROWS))
    assert found.to_dict()["error"] == {"sse": 0.0, "mse": 0.0}


@pytest.mark.parametrize("method", ["standardise", "none"])
@pytest.mark.parametrize("k", [1, 2, 4, 5])
def test_baselines_are_variances_and_discarded_eigenvalues(k: int, method: str) -> None:
    model = linear(code_size=k, method=method)
    x = model.model.scaling.to_model(ROWS).astype(np.float64)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, ddof=0))[::-1]
    found = measure(model, SOURCE).to_dict()["baselines"]
    assert found["mean"]["sse"] == pytest.approx(x.var(axis=0).sum(), rel=1e-5)
    assert found["pca"]["sse"] == pytest.approx(eigenvalues[k:].sum(), rel=1e-4, abs=1e-5)
    if method == "standardise":
        assert found["mean"]["mse"] == pytest.approx(1.0, rel=1e-5)


def test_a_model_that_is_pca_has_its_error() -> None:
    model = linear()
    baseline = model.model.baseline
    assert baseline is not None
    axes = baseline.components
    set_layers(model, axes, -axes @ baseline.mean, axes.T, baseline.mean)
    found = measure(model, SOURCE)
    assert found.pca_errors is not None
    np.testing.assert_allclose(found.errors, found.pca_errors, rtol=1e-4, atol=1e-5)


def test_errors_are_in_model_units_and_losses_the_likelihoods() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (40, 4)).astype(np.uint8)
    model = linear(bits, likelihood=Bernoulli(), method="range")
    found = measure(model, ArraySource(bits))
    x = torch.from_numpy(bits.astype(np.float32))
    with torch.no_grad():
        logits = model.module.decoder(model.module.encode(x)).double()
    p = torch.sigmoid(logits)
    np.testing.assert_allclose(found.errors, (x - p).square().sum(dim=1), rtol=1e-5)
    loss = -(x * p.log() + (1 - x) * (1 - p).log()).sum(dim=1)
    np.testing.assert_allclose(found.losses, loss, rtol=1e-5)


def test_the_bound_of_a_linear_gaussian_model() -> None:
    """KL and expected distortion have closed forms; one draw a row is within five standard errors."""
    random = np.random.default_rng(3)
    scale, spread = 0.7, np.array([0.5, 1.5])
    model = linear(code=GaussianCode(), likelihood=Gaussian(scale))
    a, b, decoder = random.normal(size=(2, D)), random.normal(size=2), random.normal(size=(D, 2))
    set_layers(model, [*a, *np.zeros((2, D))], [*b, *2 * np.log(spread)], decoder, np.ones(D))
    rows = np.tile(ROWS, (20, 1))
    found = measure(model, ArraySource(rows))
    x = model.model.scaling.to_model(rows).astype(np.float64)
    mean = x @ a.T + b
    rates = (mean**2 + spread**2 - 1 - 2 * np.log(spread)) / 2
    assert found.rates is not None
    np.testing.assert_allclose(found.rates, rates, rtol=1e-4, atol=1e-5)
    squares = np.square(x - mean @ decoder.T - 1)
    constant = D * (math.log(scale) + math.log(2 * math.pi) / 2)
    np.testing.assert_allclose(found.losses, squares.sum(axis=1) / (2 * scale**2) + constant, rtol=1e-4)
    expected = (squares.sum(axis=1) + (spread**2 * np.square(decoder)).sum()) / (2 * scale**2) + constant
    bound = -(expected + rates.sum(axis=1)).mean()
    # Of a draw: x - g = r - B s e, whose square varies by 4 |r B s|^2 + 2 |(B s)' (B s)|^2.
    spanned = decoder * spread
    varies = (
        4 * np.square((x - mean @ decoder.T - 1) @ spanned).sum(axis=1)
        + 2 * np.square(spanned.T @ spanned).sum()
    )
    error = math.sqrt(varies.sum()) / len(rows) / (2 * scale**2)
    assert found.elbo is not None
    assert found.elbo == pytest.approx(bound, abs=5 * error)
    assert error < 0.02 * abs(bound)
    without_draw = -(found.losses.mean() + rates.sum(axis=1).mean())
    assert abs(found.elbo - without_draw) > 10 * error
    values = found.to_dict()
    assert values["rate_nats"] == pytest.approx(rates.sum(axis=1).mean(), rel=1e-5)
    assert values["elbo_nats"] == found.elbo


def test_measuring_again_gives_the_same_bits() -> None:
    before = torch.get_rng_state()
    one, again = (measure(linear(code=GaussianCode(), likelihood=Gaussian()), SOURCE) for _ in range(2))
    other = measure(linear(code=GaussianCode(), likelihood=Gaussian(), seed=1), SOURCE)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.to_dict() == again.to_dict()
    assert one.to_dict() != other.to_dict()
    for name in ("errors", "pca_errors", "mean_errors", "codes", "dead", "losses", "rates"):
        assert getattr(one, name).tobytes() == getattr(again, name).tobytes()


def test_every_draw_has_its_own_noise() -> None:
    """Two blocks of equal rows get different draws, or the bound would rest on a few of them."""
    model = linear(code=GaussianCode(), likelihood=Gaussian())
    source = ArraySource(ROWS[[0] * 128]), ArraySource(ROWS[[0] * 256])
    one, two = (measure(model, part).elbo for part in source)
    assert one is not None
    assert two is not None
    assert one != pytest.approx(two, rel=1e-9)


def test_large_sources_are_measured_in_parts() -> None:
    model = linear()
    many = measure(model, ArraySource(np.tile(ROWS, (8, 1))))
    once = measure(model, SOURCE)
    for name in ("errors", "pca_errors", "mean_errors", "losses"):
        np.testing.assert_allclose(getattr(many, name), np.tile(getattr(once, name), 8), rtol=1e-5)


def codes(*scales: float) -> np.ndarray:
    alternating = np.where(np.arange(100) % 2, 1.0, -1.0)
    return (alternating[:, None] * np.array(scales) + 7).astype(np.float32)


@pytest.mark.parametrize(
    ("scales", "dead", "dead_gaussian"),
    [
        ((1.0, 1.0), (False, False), (False, False)),
        ((1.0, 0.0), (False, True), (False, True)),
        ((1.0, 0.05), (False, False), (False, True)),
        ((1.0, 0.2), (False, False), (False, False)),
        ((100.0, 0.5), (False, True), (False, False)),
        ((1e-3,), (False,), (True,)),
        ((0.0, 0.0), (True, True), (True, True)),
    ],
)
def test_dead_units(
    scales: tuple[float, ...], dead: tuple[bool, ...], dead_gaussian: tuple[bool, ...]
) -> None:
    """Against the other units' variance, or of a Gaussian code against 0.01."""
    assert tuple(dead_units(codes(*scales), has_distribution=False)) == dead
    assert tuple(dead_units(codes(*scales), has_distribution=True)) == dead_gaussian


def test_dead_units_are_counted() -> None:
    model = linear(code_size=3)
    set_layers(model, [[1] * D, [0] * D, [1, *[0] * (D - 1)]], [0, 1, 0], np.zeros((D, 3)), np.zeros(D))
    found = measure(model, SOURCE)
    assert found.dead.tolist() == [False, True, False]
    assert found.to_dict()["code"] == {"size": 3, "active": 2, "dead": 1}
    assert isinstance(found, Measured)


def test_a_weight_is_as_many_copies_in_every_figure() -> None:
    counts = np.random.default_rng(2).integers(1, 4, N)
    for model in (linear(), linear(code=GaussianCode(), likelihood=Gaussian())):
        many = measure(model, ArraySource(np.repeat(ROWS, counts, axis=0))).to_dict()
        found = measure(model, SOURCE, counts.astype(np.float32), n_given=int(counts.sum())).to_dict()
        for drawn in ("elbo_nats",):
            assert found.pop(drawn, 0.0) == pytest.approx(many.pop(drawn, 0.0), rel=0.05)
        assert found.keys() == many.keys()
        assert (found["rows"], found["code"]) == (many["rows"], many["code"])
        assert found["error"] == pytest.approx(many["error"], rel=1e-6)
        assert found["loss"] == pytest.approx(many["loss"], rel=1e-6)
        assert found.get("rate_nats", 0.0) == pytest.approx(many.get("rate_nats", 0.0), rel=1e-6)
        for name in ("pca", "mean"):
            assert found["baselines"][name] == pytest.approx(many["baselines"][name], rel=1e-6)


def test_a_unit_that_varies_in_rows_of_no_weight_is_dead() -> None:
    codes = np.zeros((4, 2), np.float32)
    codes[:, 0] = [0.0, 1.0, 2.0, 3.0]
    codes[3, 1] = 1.0
    weights = np.array([1.0, 1.0, 1.0, 0.0], np.float32)
    assert dead_units(codes, weights, has_distribution=False).tolist() == [False, True]
    assert dead_units(codes, has_distribution=False).tolist() == [False, False]


def test_squared_errors_are_those_of_all_metrics() -> None:
    for model in (linear(), linear(code=GaussianCode(), likelihood=Gaussian())):
        np.testing.assert_array_equal(squared_errors(model, SOURCE), measure(model, SOURCE).errors)

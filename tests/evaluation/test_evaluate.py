"""From real, tiny models to everything that a report shows, and to the page."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.artifact import FittedModel
from isthmus.config import Config
from isthmus.config.recipes import RECIPES
from isthmus.evaluation.evaluate import _Display, report_data
from isthmus.evaluation.metrics import measure
from isthmus.evaluation.report import render_report
from isthmus.evaluation.report_data import ReportData
from isthmus.inference import Inference
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.workflows.fit import fit

torch.set_num_threads(1)

KINDS = ("grey", "colour", "vectors")
COLUMNS = ["length", "width <b>", "größe", "depth", "n"]


def source(kind: str, n: int = 40, labels: Any = None, seed: int = 0) -> ArraySource:
    random = np.random.default_rng(seed)
    if kind == "vectors":
        return ArraySource(random.normal(size=(n, 5)) * [1, 10, 0.1, 3, 7] + 50, labels, COLUMNS)
    channels = {"grey": 1, "colour": 3}[kind]
    return ArraySource(random.integers(0, 256, (n, 6, 7, channels), dtype=np.uint8), labels)


def fitted(recipe: str, rows: ArraySource, code_size: int = 2, **model: Any) -> FittedModel:
    small = {"convolutional": {"channels": [3]}, "transformer": {"width": 4}}
    network = small.get(recipe, {"hidden_sizes": [4]})
    values = {"kind": recipe, "code_size": code_size, "network": network, **model}
    training = {"epochs": 2, "seed": 0, "threads": 1, "validation_share": 0.0}
    return fit(rows, Config.from_dict({"model": values, "training": training}))[0]


def check(data: ReportData, model: FittedModel, rows: ArraySource) -> str:
    """What holds of every report; its page."""
    n, shape, size = len(rows), rows.schema.sample_shape, model.module.code.size
    assert (data.facts.n_rows, data.facts.code_size, data.facts.kind) == (n, size, model.config.model.kind)
    assert data.facts.n_parameters == sum(parameter.numel() for parameter in model.module.parameters())
    assert data.facts.schema == rows.schema.describe()
    assert data.sample_shape == shape
    measured = measure(Inference(model), rows)
    found = measured.to_dict()
    assert data.model.sse == found["error"]["sse"]
    assert data.model.mse == found["error"]["mse"]
    for name, errors in (("pca", data.pca), ("mean", data.mean)):
        assert errors is not None
        assert errors.sse == found["baselines"][name]["sse"]
    assert np.array_equal(data.model.per_example, measured.errors)

    codes = data.codes
    assert codes.values.shape == (n, size)
    assert codes.mean.shape == codes.variance.shape == codes.dead.shape == (size,)
    np.testing.assert_allclose(codes.variance, codes.values.var(axis=0))

    examples = data.examples
    m = len(examples.rows)
    assert len(examples.roles) == len(examples.errors) == m <= n
    assert len(set(examples.rows)) == m
    assert np.array_equal(examples.errors, measured.errors[examples.rows])
    by_role = {
        role: [e for r, e in zip(examples.roles, examples.errors, strict=True) if r == role]
        for role in examples.roles
    }
    assert list(by_role) == {1: ["best"], 2: ["best", "worst"]}.get(n, ["best", "typical", "worst"])
    assert min(by_role["best"]) == measured.errors.min()
    if n >= 2:
        assert max(by_role["worst"]) == measured.errors.max()
    if n >= 3:
        assert max(by_role["worst"]) == measured.errors.max()
        assert (
            max(by_role["best"])
            <= min(by_role["typical"])
            <= max(by_role["typical"])
            <= min(by_role["worst"])
        )
    for shown in (examples.originals, examples.reconstructions, examples.pca_reconstructions):
        assert shown is not None
        assert shown.shape == (m, *shape)
        assert np.isfinite(shown).all()
    original = rows.read(np.asarray(examples.rows)).astype(np.float64)
    if data.is_pictures:
        np.testing.assert_allclose(examples.originals, original / 255, atol=1e-6)
        assert examples.reconstructions.min() >= 0
        assert examples.reconstructions.max() <= 1
        assert data.columns is None
    else:
        np.testing.assert_allclose(examples.originals, original, rtol=1e-5)
        assert list(data.columns or ()) == COLUMNS
        training = rows.read(slice(0, n))
        assert (data.column_scales is not None) == (model.scaling.method == "standardise")
        if data.column_scales is not None and n > 2:
            np.testing.assert_allclose(data.column_scales, training.std(axis=0), rtol=1e-6)
    assert data.filters is not None
    assert data.filters.weights.shape[0] <= 64
    assert Config.from_toml(data.config) == model.config
    assert data.history == model.epochs
    assert data.best_epoch == model.best_epoch
    page = render_report(data)
    assert page.startswith("<!DOCTYPE html>")
    assert "width <b>" not in page
    assert "NaN" not in page
    return page


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [pair for pair in itertools.product(RECIPES, KINDS) if pair != ("convolutional", "vectors")],
)
def test_every_recipe_on_every_kind_of_rows(recipe: str, kind: str) -> None:
    rows = source(kind)
    model = fitted(recipe, rows)
    data = report_data(model, rows, title="A & B", rows_are="training")
    page = check(data, model, rows)
    assert "A &amp; B" in page
    assert (data.codes.rates is None) == (recipe not in ("variational", "quantised"))
    if recipe not in ("variational", "quantised", "convolutional", "transformer"):
        return
    reopened = FittedModel.from_bytes(model.to_bytes())
    assert render_report(report_data(reopened, rows, title="A & B", rows_are="training")) == page


@pytest.mark.parametrize("kind", ["grey", "vectors"])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_rows(kind: str, n: int) -> None:
    model = fitted("basic", source(kind))
    rows = source(kind, n, seed=1)
    data = report_data(model, rows, title="few")
    assert data.examples.roles == ["best", "worst" if n == 2 else "typical", "worst"][: min(n, 3)]
    assert np.array_equal(data.model.per_example, measure(Inference(model), rows).errors)
    assert render_report(data)


@pytest.mark.parametrize("recipe", ["basic", "variational"])
@pytest.mark.parametrize("kind", ["grey", "vectors"])
def test_a_fit_of_two_rows(kind: str, recipe: str) -> None:
    rows = source(kind, 2)
    model = fitted(recipe, rows)
    check(report_data(model, rows, title="two"), model, rows)


@pytest.mark.parametrize("recipe", ["sparse", "variational"])
@pytest.mark.parametrize("code_size", [1, 70])
def test_codes_of_one_unit_and_of_more_than_the_values(recipe: str, code_size: int) -> None:
    rows = source("vectors")
    model = fitted(recipe, rows, code_size)
    data = report_data(model, rows, title="sizes")
    check(data, model, rows)
    if code_size > 5:
        assert data.pca is not None
        assert data.pca.sse < 1e-6


@pytest.mark.parametrize(
    "labels", [["cat", "dog <i>", "Größe", "数"] * 10, list(range(40)), [0, 1] * 20, ["one"] * 40], ids=str
)
def test_labels_colour_the_map(labels: list[Any]) -> None:
    rows = source("vectors", labels=labels)
    model = fitted("basic", rows)
    data = report_data(model, rows, title="labels")
    assert np.array_equal(data.codes.labels, labels)  # type: ignore[arg-type]
    page = check(data, model, rows)
    assert "<i>" not in page


def test_an_active_share_is_for_codes_that_can_be_zero() -> None:
    rows = source("vectors")
    sparse = report_data(fitted("sparse", rows, 6), rows, title="")
    values = sparse.codes.values
    if (values == 0).any():
        assert sparse.codes.active_shares is not None
        assert np.array_equal(sparse.codes.active_shares, (values != 0).mean(axis=0))
    assert report_data(fitted("basic", rows), rows, title="").codes.active_shares is None


def test_filters_are_the_strongest_and_say_so() -> None:
    rows = source("grey")
    model = fitted("basic", rows, network={"type": "dense", "hidden_sizes": [70]})
    filters = report_data(model, rows, title="").filters
    assert filters is not None
    assert filters.title == "First-layer weights of the encoder, the 64 strongest of 70"
    assert filters.weights.shape == (64, 6, 7, 1)
    weights = model.module.network.encoder.layers[0].weight.detach().numpy()  # type: ignore[union-attr, index]
    strength = np.square(weights).sum(axis=1)
    kept = np.square(filters.weights).reshape(64, -1).sum(axis=1)
    np.testing.assert_allclose(np.sort(kept), np.sort(strength)[-64:], rtol=1e-5)
    kernels = report_data(fitted("convolutional", source("colour")), source("colour"), title="").filters
    assert kernels is not None
    assert kernels.weights.shape == (3, 4, 4, 3)


def test_the_baseline_may_be_missing() -> None:
    rows = source("vectors")
    model = fitted("basic", rows)
    model.baseline = None
    data = report_data(model, rows, title="")
    assert (data.pca, data.mean, data.examples.pca_reconstructions, data.examples.pca_errors) == (None,) * 4
    assert render_report(data)


@pytest.mark.parametrize("scaling", ["range", "raw"])
def test_scales_of_columns_are_known_where_they_were_standardised(scaling: str) -> None:
    rows = source("vectors")
    config = Config.from_dict({"data": {"scaling": scaling}, "training": {"epochs": 1, "seed": 0}})
    data = report_data(fit(rows, config)[0], rows, title="")
    assert data.column_scales is None
    assert "standard deviations of the column" not in render_report(data)
    assert "times the spread of the rows shown" in render_report(data)


def test_numbers_of_a_density() -> None:
    rows = source("vectors")
    model = fitted("variational", rows, likelihood={"type": "gaussian", "scale": "learned"})
    found = measure(Inference(model), rows).to_dict()
    data = report_data(model, rows, title="")
    values = [value for value, _ in data.numbers.values()]
    assert found["elbo_nats"] in values
    assert found["rate_nats"] in values
    assert any(name.startswith("Evidence lower bound of x in model units") for name in data.numbers)


@pytest.mark.parametrize(("code", "rate"), [("gaussian", "KL(q(h"), ("quantised", "-ln P(h): nats to store")])
def test_exact_levels_have_bits_a_value_and_a_bound(code: str, rate: str) -> None:
    """Of both codes that have a rate; new pictures come from the code's own prior."""
    rows = source("grey")
    model = fitted("basic", rows, code=code, likelihood="discretised_logistic")
    data = report_data(model, rows, title="")
    check(data, model, rows)
    assert any(name.startswith(f"Rate of the code, {rate}") for name in data.numbers)
    bound = data.numbers["Evidence lower bound of x in model units, one draw of the code"][0]
    bits, unit = data.numbers["Bits a value to store x exactly, by that bound"]
    assert (bits, unit) == (pytest.approx(-bound / (42 * np.log(2))), "bits")
    assert data.facts.likelihood == "discretised logistic (probabilities of levels)"
    assert data.generated is not None
    assert data.generated.prior == {"gaussian": "standard normal"}.get(
        code, "learned distribution of each unit"
    )
    likely = [name for name in data.numbers if name.startswith("Log-likelihood of x")]
    assert len(likely) == (code == "gaussian")


def test_values_between_zero_and_one_are_no_draws() -> None:
    rows = source("grey")
    data = report_data(fitted("variational", rows, likelihood="bernoulli"), rows, title="")
    assert "Minus loss minus rate, one draw of the code" in data.numbers
    assert not [name for name in data.numbers if "vidence" in name]


def test_pictures_as_they_are_are_shown_between_their_ends() -> None:
    model = fitted("basic", source("grey"))
    values = np.linspace(-4.0, 12.0, 2 * 42).reshape(2, 6, 7)
    model.scaling = Scaling.fit(ArraySource(values), np.arange(2), method="none")
    x = model.scaling.to_model(ArraySource(values).read(slice(0, 2)))
    shown = _Display(model, x)(x)
    assert (shown.min(), shown.max()) == (0.0, 1.0)
    np.testing.assert_allclose(shown.ravel(), (values.ravel() + 4.0) / 16.0, atol=1e-6)

"""Tables with gaps from end to end: fit, save, open, encode, rebuild, fill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.config import Config
from isthmus.config.model import Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.corruptions import Masking
from isthmus.config.parts.likelihoods import Mixed
from isthmus.config.parts.networks import Dense
from isthmus.errors import DataError, ParameterError
from isthmus.evaluation.evaluate import report_data
from isthmus.evaluation.evidence import evidence
from isthmus.evaluation.metrics import measure
from isthmus.evaluation.report import render_report
from isthmus.inference import Inference
from isthmus.schema import Column, Schema
from isthmus.sources.arrays import ArraySource
from isthmus.sources.base import Source
from isthmus.workflows.fit import fit, train_further
from isthmus.workflows.impute import impute

torch.set_num_threads(1)

TABLE = (
    Column("length", "continuous", "double"),
    Column("kind", "category", "string", ("small", "middle", "large")),
    Column("legs", "count", "int64"),
    Column("wild", "boolean", "bool", (False, True)),
    Column("born", "date", "timestamp[s]"),
)


class Rows(Source):
    """A table in memory."""

    labels = None

    def __init__(self, values: NDArray[np.float64], table: tuple[Column, ...] = TABLE) -> None:
        self.values = values
        names = tuple(column.name for column in table)
        self.schema = Schema("tables", (len(table),), "float64", columns=names, table=table)

    def __len__(self) -> int:
        return len(self.values)

    def read(self, rows):
        return self.values[rows]


def animals(n: int = 240, gaps: float = 0.1, seed: int = 0) -> NDArray[np.float64]:
    """Everything hangs on one hidden number, so that each column tells of the others."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    values = np.stack(
        [
            np.exp(size + 0.1 * rng.normal(size=n)),
            np.digitize(size + 0.1 * rng.normal(size=n), [-0.5, 0.5]),
            np.rint(6 + 2 * size).clip(0),
            size + 0.2 * rng.normal(size=n) > 0,
            1e9 + np.rint(1e7 * (size + 0.1 * rng.normal(size=n))),
        ],
        axis=1,
    )
    values[rng.random(values.shape) < gaps] = np.nan
    return values


def config(epochs: int = 40, **model) -> Config:
    chosen = {"network": Dense((32,)), "code_size": 2, **model}
    return replace(Config(), model=Model(**chosen)).with_training(seed=0, epochs=epochs)


@pytest.fixture(scope="module")
def fitted() -> FittedModel:
    return fit(Rows(animals()), config(corruption=Masking(0.3, emphasis=0.5)))[0]


@pytest.fixture(scope="module")
def variational() -> FittedModel:
    return fit(Rows(animals()), config(code=GaussianCode()))[0]


def test_what_is_automatic_is_settled(fitted: FittedModel, variational: FittedModel) -> None:
    assert fitted.config.model.likelihood == Mixed("squared_error")
    assert variational.config.model.likelihood == Mixed("gaussian")
    assert fitted.config.data.missing == "mask"
    assert fitted.config.data.scaling == "quantile"
    assert "Likelihood: a table: each column by its type." in fitted.notes


@pytest.mark.parametrize("which", ["fitted", "variational"])
def test_a_file_holds_everything(which: str, request: pytest.FixtureRequest) -> None:
    model: FittedModel = request.getfixturevalue(which)
    data = model.to_bytes()
    opened = FittedModel.from_bytes(data)
    assert opened.to_bytes() == data
    source = Rows(animals(30, seed=1))
    for one, other in (
        (Inference(opened).encode(source), Inference(model).encode(source)),
        (Inference(opened).reconstruct(source), Inference(model).reconstruct(source)),
    ):
        assert np.array_equal(one, other)


def test_a_fit_is_a_function_of_the_rows_as_a_set() -> None:
    values = animals(60)
    one = fit(Rows(values), config(2))[0].to_bytes()
    assert fit(Rows(values[::-1].copy()), config(2))[0].to_bytes() == one
    payload = values.copy()
    payload[np.isnan(values)] = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", np.float64)[0]
    assert fit(Rows(payload), config(2))[0].to_bytes() == one


def test_reconstructions_are_rows_of_the_table(fitted: FittedModel) -> None:
    values = animals(100, seed=2)
    rebuilt = Inference(fitted).reconstruct(Rows(values))
    assert rebuilt.shape == values.shape
    assert np.isfinite(rebuilt).all()
    assert set(rebuilt[:, 1]) <= {0.0, 1.0, 2.0}
    assert set(rebuilt[:, 3]) <= {0.0, 1.0}
    assert np.array_equal(rebuilt[:, [2, 4]], np.rint(rebuilt[:, [2, 4]]))


def test_a_row_knows_nothing_of_its_neighbours(fitted: FittedModel) -> None:
    values = animals(140, seed=3)
    inference = Inference(fitted)
    every = inference.encode(Rows(values)), inference.reconstruct(Rows(values)), impute(fitted, Rows(values))
    for chosen in (slice(3, 4), slice(100, 140), slice(139, None, -1)):
        some = Rows(values[chosen].copy())
        found = inference.encode(some), inference.reconstruct(some), impute(fitted, some)
        for whole, part in zip(every, found, strict=True):
            assert np.array_equal(whole[chosen], part)


def test_gaps_are_filled_and_nothing_else(fitted: FittedModel) -> None:
    values = animals(100, seed=4)
    filled = impute(fitted, Rows(values))
    gap = np.isnan(values)
    assert np.array_equal(filled[~gap].view(np.int64), values[~gap].view(np.int64))
    assert np.array_equal(filled[gap], Inference(fitted).reconstruct(Rows(values))[gap])


def test_filling_beats_every_constant(fitted: FittedModel) -> None:
    whole = animals(300, gaps=0.0, seed=5)
    hidden = np.random.default_rng(6).random(whole.shape) < 0.2
    filled = impute(fitted, Rows(np.where(hidden, np.nan, whole)))
    typical = fitted.scaling.typical  # type: ignore[attr-defined]
    for place, column in enumerate(TABLE):
        true, said = whole[hidden[:, place], place], filled[hidden[:, place], place]
        off, at_best = (
            (np.abs(true - said).mean(), np.abs(true - typical[place]).mean())
            if column.categories is None
            else ((true != said).mean(), (true != typical[place]).mean())
        )
        assert off < 0.6 * at_best, column.name


def test_fillings_are_drawn(variational: FittedModel) -> None:
    values = animals(40, seed=7)
    draws = impute(variational, Rows(values), n_draws=3, seed=1)
    assert draws.shape == (3, 40, 5)
    gap = np.isnan(values)
    assert np.array_equal(draws[:, ~gap], np.broadcast_to(values[~gap], (3, int((~gap).sum()))))
    assert not np.array_equal(draws[0], draws[1])
    assert np.array_equal(impute(variational, Rows(values), n_draws=3, seed=1), draws)
    assert not np.array_equal(impute(variational, Rows(values), n_draws=3, seed=2), draws)
    assert set(draws[:, :, 1].ravel()) <= {0.0, 1.0, 2.0}


def test_what_is_measured(fitted: FittedModel) -> None:
    values = animals(80, seed=8)
    found = measure(Inference(fitted), Rows(values)).to_dict()
    assert [column["name"] for column in found["columns"]] == [column.name for column in TABLE]
    for place, column in enumerate(found["columns"]):
        assert column["rows"] == int((~np.isnan(values[:, place])).sum())
        assert 0 <= column["error"] < column["constant"]
        assert 0 <= column["hidden"] < column["hidden_constant"]
    assert found["error"]["sse"] < found["baselines"]["mean"]["sse"]
    n_seen = (~np.isnan(fitted.scaling.to_model(values))).sum() / len(values)
    assert found["error"]["mse"] == pytest.approx(found["error"]["sse"] / n_seen)


def test_a_column_without_a_value_has_no_error(fitted: FittedModel) -> None:
    values = animals(20)
    values[:, 2] = np.nan
    found = measure(Inference(fitted), Rows(values)).to_dict()["columns"][2]
    assert found["rows"] == 0
    assert found["error"] is None


def test_a_report_and_evidence_go_with_gaps(fitted: FittedModel, variational: FittedModel) -> None:
    source = Rows(animals(40, seed=9))
    for model in (fitted, variational):
        found = report_data(model, source, title="animals")
        assert np.isfinite([number for number, _ in found.numbers.values()]).all()
        page = render_report(found)
        assert "kind: middle" in page  # a row of the weights
        assert ">middle</td>" in page  # a cell of an example
        assert ">2001-0" in page
        if found.denoising is not None:
            assert np.isfinite(found.denoising.damaged_errors).all()
            assert np.isfinite(found.denoising.rebuilt_errors).all()
    assert evidence(Inference(fitted), source) is None
    known = evidence(Inference(variational), source, n_samples=20)
    assert known is not None
    assert np.isfinite(known.log_likelihood).all()


def test_training_goes_on(fitted: FittedModel) -> None:
    opened = FittedModel.from_bytes(fitted.to_bytes())
    train_further(opened, Rows(animals(seed=10)), training=opened.config.training.replace(epochs=2))
    assert len(opened.epochs) == len(fitted.epochs) + 2


def test_vectors_with_gaps_go_the_same_way() -> None:
    t = np.random.default_rng(0).normal(size=(200, 1))
    values = (t * np.array([1.0, -2.0, 3.0]) + 5).astype(np.float32)
    values[np.random.default_rng(1).random(values.shape) < 0.1] = np.nan
    with pytest.raises(DataError, match="values must be finite, got NaN"):
        fit(ArraySource(values), config(2))
    plan = config(30, code_size=1, corruption=Masking(0.3)).with_data(missing="mask")
    model, _ = fit(ArraySource(values), plan)
    filled = impute(model, ArraySource(values))
    assert filled.dtype == np.float32
    gap = np.isnan(values)
    truth = t * np.array([1.0, -2.0, 3.0]) + 5
    assert np.abs(filled - truth)[gap].mean() < 0.5 * np.abs(5 - truth)[gap].mean()
    assert np.array_equal(filled[~gap], values[~gap])
    assert FittedModel.from_bytes(model.to_bytes()).to_bytes() == model.to_bytes()


def test_quantiles_are_for_vectors_without_gaps_too() -> None:
    values = np.random.default_rng(0).lognormal(sigma=2, size=(100, 4))
    model, _ = fit(ArraySource(values), config(2).with_data(scaling="quantile"))
    assert model.scaling.method == "quantile"
    with pytest.raises(ParameterError, match=r"impute: expected a model that knows gaps"):
        impute(model, ArraySource(values))


def test_what_cannot_be_is_refused(fitted: FittedModel) -> None:
    values = animals(60)
    for name, value in (("start", "pca"), ("scheme", "layer_by_layer"), ("dead_units", "revived")):
        with pytest.raises(ParameterError, match=f"{name} = .* cannot go with missing = 'mask'"):
            fit(Rows(values), config(2).with_training(**{name: value}))
    with pytest.raises(DataError, match="values must be finite, got NaN"):
        fit(Rows(values), config(2).with_data(missing="refuse"))
    with pytest.raises(ParameterError, match="expected a table or vectors, got pictures"):
        fit(ArraySource(np.random.default_rng(0).random((9, 4, 4))), config(2).with_data(missing="mask"))
    with pytest.raises(ParameterError, match="n_draws must be at least 1, got 0"):
        impute(fitted, Rows(values), n_draws=0)
    with pytest.raises(ParameterError, match="drawn from a density alone"):
        impute(fitted, Rows(values), n_draws=1)
    infinite = values.copy()
    infinite[4, 0] = np.inf
    with pytest.raises(DataError, match="got infinity in row 4"):
        impute(fitted, Rows(infinite))
    other = (TABLE[0], replace(TABLE[1], categories=("large", "middle", "small")), *TABLE[2:])
    with pytest.raises(
        DataError, match=r"expected column 1 to be 'kind' \(category: small, middle, large\), got"
    ):
        impute(fitted, Rows(values, other))

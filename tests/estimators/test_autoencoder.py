"""The estimator: scikit-learn's habits, rows that do not depend on each other, and what is kept."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import isthmus
from isthmus import L1, L2, Autoencoder, Contractive, Conv2d, Dense, GaussianCode, IsthmusError, Masking
from isthmus.artifact import Baseline
from isthmus.codes.base import Code, CodeOutput
from isthmus.corruptions.base import Corruption
from isthmus.errors import ArtifactError, DataError, OutputError, ParameterError, TrainingError
from isthmus.inference import Inference
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import Penalty, View
from isthmus.training.callbacks import Callback, Epoch

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 5)) @ RANDOM.normal(size=(5, 5))
PICTURES = RANDOM.integers(0, 256, (30, 6, 5, 2), np.uint8)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def small(**params: Any) -> Autoencoder:
    return Autoencoder(**{"n_components": 2, "max_epochs": 3, "random_state": 0, **params})


def bits(model: Autoencoder) -> bytes:
    return model._model.to_bytes()


# Parameters


def test_init_checks_nothing() -> None:
    bad = Autoencoder(n_components="no", code=7, penalties=object(), max_epochs=-1, random_state="x")
    assert bad.get_params(deep=False)["code"] == 7


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_components": 0}, r"n_components must be in \[1, inf\), got 0"),
        ({"n_components": "many"}, "n_components must be .* got 'many'"),
        ({"max_epochs": 0}, r"max_epochs must be in \[1, inf\), got 0"),
        ({"max_epochs": 1.5}, "max_epochs must be .* got 1.5"),
        ({"batch_size": 0}, "batch_size must be in"),
        ({"learning_rate": -1.0}, "learning_rate must be in"),
        ({"learning_rate": np.nan}, "learning_rate must be in"),
        ({"schedule": "sine"}, "schedule must be .* got 'sine'"),
        ({"warm_up_share": 1.0}, "warm_up_share must be in"),
        ({"weight_decay": -0.1}, "weight_decay must be in"),
        ({"gradient_clip": 0.0}, "gradient_clip must be in"),
        ({"validation_share": 1.0}, "validation_share must be in"),
        ({"patience": 0.0}, "patience must be in"),
        ({"start": "middle"}, "start must be"),
        ({"scaling": "log"}, "scaling must be"),
        ({"threads": 0}, "threads must be in"),
        ({"precision": "half"}, "precision must be .* got 'half'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"random_state": "x"}, "random_state must be .* got 'x'"),
        ({"random_state": 1.5}, "random_state must be"),
        ({"random_state": -1}, r"random_state must be in \[0, 4294967295\], got -1"),
        ({"network": "dence"}, "unknown network 'dence'; did you mean 'dense'"),
        ({"network": L1()}, "network must be one of"),
        ({"network": (nn.Linear(5, 2),)}, "network of your own must be a pair"),
        ({"network": "conv2d"}, "pictures"),
        ({"hidden_sizes": (0,)}, "hidden_sizes must be"),
        ({"hidden_sizes": 8}, "hidden_sizes must be"),
        ({"network": Conv2d(), "hidden_sizes": (8,)}, "hidden_sizes does not apply to Conv2d"),
        ({"activation": "rely"}, "activation"),
        ({"code": "gausian"}, "did you mean 'gaussian'"),
        ({"likelihood": 3}, "likelihood must be a name"),
        ({"corruption": "noise"}, "unknown corruption"),
        ({"penalties": "l3"}, "unknown penalty"),
        ({"penalties": [L1(), Masking()]}, "penalty must be one of"),
        ({"sample_shape": (2, 2)}, "sample_shape 2 x 2 does not fit"),
        ({"sample_shape": 5}, "sample_shape must be"),
    ],
    ids=str,
)
def test_a_bad_parameter_is_one_sentence_at_fit(params: dict[str, Any], words: str) -> None:
    with pytest.raises(IsthmusError, match=words) as caught:
        small(**params).fit(X)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_clone_keeps_parameters_and_drops_the_fit() -> None:
    modules = nn.Linear(5, 4), nn.Linear(2, 5)
    model = small(network=modules, penalties=[L1(0.1), L1(0.2)], code=GaussianCode(2.0)).fit(X)
    copy = clone(model)
    assert not hasattr(copy, "_model")
    assert copy.code == GaussianCode(2.0)
    assert copy.code is not model.code
    assert copy.penalties == [L1(0.1), L1(0.2)]
    assert copy.penalties[0] is not model.penalties[0]
    assert bits(copy.fit(X)) == bits(model)


def test_parameters_of_parts_are_within_reach() -> None:
    model = Autoencoder(penalties=L1(0.1), network=Dense((4,)), corruption=Masking(0.5))
    model.set_params(penalties__weight=0.2, network__hidden_sizes=(7,), corruption__hidden_share=0.1)
    assert (model.penalties, model.corruption) == (L1(0.2), Masking(0.1))
    assert model.network.hidden_sizes == (7,)
    params = model.get_params()
    assert params["penalties__weight"] == 0.2
    assert params["network__activation"] == "silu"


def test_parameters_of_several_penalties_go_by_name() -> None:
    model = Autoencoder(penalties=[L1(0.1), L2(0.2), L1(0.3), L1(0.4), Contractive(0.5)])
    named = {key: value for key, value in model.get_params().items() if key.startswith("penalties__")}
    warm_ups = {key for key in named if key.endswith("__warm_up_share")}
    assert len(warm_ups) == 5
    assert {key: value for key, value in named.items() if key not in warm_ups} == {
        "penalties__l1__weight": 0.1, "penalties__l2__weight": 0.2, "penalties__l1_2__weight": 0.3,
        "penalties__l1_3__weight": 0.4, "penalties__contractive__weight": 0.5,
        "penalties__contractive__method": "auto",
    }  # fmt: skip
    model.set_params(penalties__l1_2__weight=3.0, penalties__contractive__method="exact")
    assert model.penalties == [L1(0.1), L2(0.2), L1(3.0), L1(0.4), Contractive(0.5, "exact")]
    model.set_params(penalties=[L2()], penalties__l2__weight=9.0)
    assert model.penalties == [L2(9.0)]
    with pytest.raises(ParameterError, match=r"penalties__l1__weight .* Set penalties first"):
        model.set_params(penalties__l1__weight=1.0)
    with pytest.raises(ParameterError, match=r"corruption is None\. Set corruption first"):
        Autoencoder().set_params(corruption__hidden_share=0.5)
    fitted = small(penalties=[L1(0.1), L2(0.2), L1(0.3)]).fit(X)
    assert {"l1", "l2", "l1_2"} <= fitted.history_[0]["training"].keys()


def test_parameters_of_a_part_given_by_name_are_within_reach() -> None:
    model = Autoencoder(code="gaussian").set_params(code__beta=3.0, network__hidden_sizes=(4,))
    assert model.code == GaussianCode(3.0)
    assert model.network == Dense((4,))
    assert Autoencoder().set_params(network="conv2d", network__stride=1).network == Conv2d(stride=1)
    with pytest.raises(ParameterError, match="beta must be in"):
        model.set_params(code__beta=-1.0)


def test_a_search_reaches_parts_in_a_pipeline() -> None:
    chain = make_pipeline(StandardScaler(), small(penalties=[L1(), L2()], network=Dense((8,)), max_epochs=5))
    grid = {
        "autoencoder__penalties__l1__weight": np.array([0.0, 1e4]),
        "autoencoder__network__hidden_sizes": [(8,), ()],
    }
    search = GridSearchCV(chain, grid, cv=2, error_score="raise").fit(X)
    assert search.best_params_["autoencoder__penalties__l1__weight"] == 0.0
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 4
    assert (scores < 0).all()
    assert search.transform(X).shape == (40, 2)
    parts = GridSearchCV(
        small(), {"code": ["deterministic", GaussianCode(0.1)], "n_components": [1, 3]}, cv=2
    )
    assert parts.fit(X).best_params_["n_components"] == 3


def test_layers_can_be_set_on_the_estimator() -> None:
    model = small(hidden_sizes=(9, 4), activation="tanh").fit(X)
    assert model.config_.model.network == Dense((9, 4), "tanh")


# Chance


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_a_generator_gives_one_integer_a_fit(kind: Any) -> None:
    seeds = [small(random_state=kind(4)).fit(X).seed_ for _ in range(2)]
    assert seeds[0] == seeds[1]
    model = small(random_state=kind(4)).fit(X)
    assert (model.seed_, model.fit(X).seed_ == seeds[0]) == (seeds[0], False)
    assert bits(small(random_state=seeds[0]).fit(X)) == bits(small(random_state=kind(4)).fit(X))


def test_none_draws_a_seed_and_keeps_it() -> None:
    a, b = small(random_state=None).fit(X), small(random_state=None).fit(X)
    assert a.seed_ != b.seed_
    assert bits(small(random_state=a.seed_).fit(X)) == bits(a)
    assert small(random_state=np.int64(7)).fit(X).seed_ == 7


def test_a_fit_touches_no_global_generator() -> None:
    np.random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()
    small(code="gaussian", corruption="masking", penalties="contractive").fit(X).transform(X)
    assert np.random.get_state()[1].tolist() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


# Rows do not depend on each other


DENSE = small(code="gaussian", hidden_sizes=(16,)).fit(X)
CONV = small(network=Conv2d(channels=(4,)), max_epochs=1).fit(PICTURES)
MANY = {"dense": RANDOM.normal(size=(700, 5)), "conv": RANDOM.integers(0, 256, (300, 6, 5, 2), np.uint8)}
WHOLE = {
    name: (model.transform(MANY[name]), model.reconstruct(MANY[name]))
    for name, model in (("dense", DENSE), ("conv", CONV))
}


@pytest.mark.parametrize("name", ["dense", "conv"])
@given(data=st.data())
@settings(max_examples=8)
def test_a_row_is_the_same_among_any_others(name: str, data: st.DataObject) -> None:
    model, rows = (DENSE, MANY["dense"]) if name == "dense" else (CONV, MANY["conv"])
    size = data.draw(st.sampled_from([1, 2, 17, 255, 256, 257]))
    start = data.draw(st.integers(0, 2**31))
    chosen = np.random.default_rng(start).permutation(len(rows))[:size]
    codes, rebuilt = WHOLE[name]
    np.testing.assert_array_equal(model.transform(rows[chosen]), codes[chosen])
    np.testing.assert_array_equal(model.reconstruct(rows[chosen]), rebuilt[chosen])
    np.testing.assert_array_equal(model.inverse_transform(codes[chosen]), rebuilt[chosen])


def test_the_order_of_rows_says_nothing_to_a_fit() -> None:
    assert bits(small().fit(X[::-1])) == bits(small().fit(X))
    assert bits(small().fit(X, np.arange(40))) == bits(small().fit(X))


# Data


@pytest.mark.parametrize(
    ("kind", "code", "back"),
    [
        (np.float64, np.float64, np.float64),
        (np.float32, np.float32, np.float32),
        (np.uint8, np.float32, np.uint8),
        (np.int64, np.float32, np.float64),
        (np.bool_, np.float32, np.float64),
    ],
    ids=lambda kind: kind.__name__,
)
def test_types_that_come_out(kind: Any, code: Any, back: Any) -> None:
    rows = RANDOM.integers(0, 2, (30, 4)).astype(kind)
    model = small().fit(rows)
    codes = model.transform(rows)
    assert codes.dtype == code
    assert model.reconstruct(rows).dtype == model.inverse_transform(codes).dtype == back
    assert model.reconstruct(rows).shape == (30, 4)


def test_bytes_are_within_reach_of_what_they_were() -> None:
    flat = PICTURES[..., 0].reshape(30, -1)
    model = small(n_components=28, hidden_sizes=(), max_epochs=1, sample_shape=(6, 5)).fit(flat)
    assert np.abs(model.reconstruct(flat).astype(int) - flat).mean() < 20


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 2)])
def test_pictures_equal_flat_rows_with_a_sample_shape(shape: tuple[int, ...]) -> None:
    pictures = PICTURES[..., 0] if len(shape) == 2 else PICTURES
    flat = pictures.reshape(30, -1)
    network = Conv2d(channels=(4,))
    a = small(network=network, max_epochs=1).fit(pictures)
    b = small(network=network, max_epochs=1, sample_shape=shape).fit(flat)
    np.testing.assert_array_equal(a.transform(pictures), b.transform(flat))
    np.testing.assert_array_equal(a.transform(flat), b.transform(pictures))
    assert a.reconstruct(pictures).shape == flat.shape
    assert a.n_features_in_ == b.n_features_in_ == flat.shape[1]
    assert bits(a).count(b"pictures") == bits(b).count(b"pictures") > 0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.where(X[3, 1] == X, np.nan, X), "NaN"),
        (np.where(X[3, 1] == X, np.inf, X), "infinity"),
        (X[:1], "1 sample"),
        (np.ones((9, 3)), "at least 2 different rows, got 1"),
        (X[:0], "0 sample"),
        (X[:, 0], "1D array"),
        (np.array([["a", "b"]] * 4), "numeric|could not convert"),
        (np.where(PICTURES[0, 0, 0, 0] == PICTURES, np.nan, PICTURES.astype(float)), "NaN"),
    ],
    ids=["nan", "infinity", "one row", "constant", "none", "1-D", "text", "nan in pictures"],
)
def test_rows_that_cannot_be_used(rows: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small().fit(rows)


def test_a_single_constant_column_is_fine() -> None:
    rows = X.copy()
    rows[:, 2] = 7.0
    model = small().fit(rows)
    np.testing.assert_allclose(model.reconstruct(rows)[:, 2], 7.0, atol=1.0)
    assert any("constant" in note for note in model._model.notes)


def test_rows_of_another_width_are_refused() -> None:
    model = small().fit(X)
    for method in (model.transform, model.reconstruct, model.score, model.partial_fit):
        with pytest.raises(ValueError, match=r"4 features, but Autoencoder is expecting 5"):
            method(X[:, :4])
    with pytest.raises(DataError, match=r"codes of shape \(rows, 2\), got \(3, 5\)"):
        model.inverse_transform(X[:3])
    with pytest.raises(DataError, match="expected pictures 6 x 5 x 2"):
        Autoencoder.fit(clone(CONV).set_params(warm_start=True).fit(PICTURES), PICTURES.reshape(30, 60))


def test_score_is_minus_the_squared_error_a_value_in_model_units() -> None:
    model = small(scaling="standardise").fit(X)
    scaled = (X - model._model.scaling.shift) / model._model.scaling.scale
    rebuilt = (model.reconstruct(X) - model._model.scaling.shift) / model._model.scaling.scale
    errors = np.square(scaled - rebuilt).mean(axis=1)
    assert model.score(X) == pytest.approx(-errors.mean(), rel=1e-4)
    weights = RANDOM.uniform(size=40)
    assert model.score(X, sample_weight=weights) == pytest.approx(
        -np.average(errors, weights=weights), rel=1e-4
    )
    assert model.score(X) > small(n_components=1).fit(X).score(X)


def test_a_weight_is_as_many_copies() -> None:
    counts = RANDOM.integers(0, 3, 40)
    repeated = small().fit(np.repeat(X, counts, axis=0))
    weighted, plain = small().fit(X, sample_weight=counts), small().fit(X)
    for model in (repeated, weighted, plain):
        del model.metrics_["rows"]  # how many were given is all that a file tells of copies
    assert bits(weighted) == bits(repeated) != bits(plain)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        small().fit(X, sample_weight=-np.ones(40))


def test_names_of_features_and_frames() -> None:
    frame = pd.DataFrame(X, columns=list("abcde"), index=range(100, 140))
    model = small().fit(frame)
    assert model.feature_names_in_.tolist() == list("abcde")
    assert model.get_feature_names_out().tolist() == ["autoencoder0", "autoencoder1"]
    codes = model.set_output(transform="pandas").transform(frame)
    assert codes.columns.tolist() == ["autoencoder0", "autoencoder1"]
    assert codes.index.tolist() == list(range(100, 140))
    assert type(model.set_output(transform="polars").transform(frame)).__module__.startswith("polars")
    plain = model.set_output(transform="default").transform(frame)
    np.testing.assert_array_equal(plain, codes.to_numpy())
    np.testing.assert_array_equal(model.transform(frame[list("edcba")]), plain)
    opened = pickle.loads(pickle.dumps(model))
    assert opened.feature_names_in_.tolist() == list("abcde")


# Fitting in parts


def test_the_first_part_freezes_the_preprocessing_and_config() -> None:
    model = small().partial_fit(X)
    shift, config = model._model.scaling.shift.copy(), model.config_
    np.testing.assert_allclose(shift, X.mean(axis=0))
    model.partial_fit(X[:7] + 100)
    np.testing.assert_array_equal(model._model.scaling.shift, shift)
    assert model.config_ == config
    assert [record["epoch"] for record in model.history_] == [1, 2]
    assert all(record["validation"] is None for record in model.history_)
    assert config.training.validation_share == 0.0


def test_a_part_is_one_pass_at_the_highest_rate() -> None:
    """Nothing held out, no warm-up, no cosine: the same as an epoch of a constant schedule, order apart."""
    settings = {"batch_size": 1000, "learning_rate": 0.01, "gradient_clip": None, "threads": 1}
    part = small(**settings).partial_fit(X)
    whole = small(**settings, max_epochs=1, validation_share=0.0, warm_up_share=0.0, schedule="constant").fit(
        X
    )
    for name, value in part.module_.state_dict().items():
        torch.testing.assert_close(value, whole.module_.state_dict()[name], rtol=1e-4, atol=1e-5)
    record = part.history_[0]
    assert record["learning_rate"] == 0.01
    assert record["training"]["loss"] == pytest.approx(whole.history_[0]["training"]["loss"], rel=1e-5)


def test_parts_keep_the_optimiser_between_calls() -> None:
    """A second pass over the same rows is the second epoch of AdamW, moments and all."""
    settings = {"batch_size": 1000, "learning_rate": 0.01, "gradient_clip": None, "threads": 1}
    parts = small(**settings).partial_fit(X).partial_fit(X)
    whole = small(**settings, max_epochs=2, validation_share=0.0, warm_up_share=0.0, schedule="constant").fit(
        X
    )
    for name, value in parts.module_.state_dict().items():
        torch.testing.assert_close(value, whole.module_.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_a_part_after_a_fit_goes_on_and_one_row_is_enough() -> None:
    model = small().fit(X)
    before = bits(model)
    model.partial_fit(X[:1])
    assert bits(model) != before
    assert len(model.history_) == 4
    with pytest.raises(DataError, match="1 sample"):
        small().partial_fit(X[:1])


def test_warm_start_goes_on_where_it_stood() -> None:
    model = small(warm_start=True, learning_rate=1e-7).fit(X)
    codes, shift = model.transform(X), model._model.scaling.shift.copy()
    model.fit(X + 1.0)
    assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(model._model.scaling.shift, shift)
    np.testing.assert_allclose(model.transform(X), codes, atol=1e-3)
    cold = small(learning_rate=1e-7).fit(X).fit(X + 1.0)
    assert len(cold.history_) == 3
    np.testing.assert_allclose(cold._model.scaling.shift, shift + 1.0, atol=0.5)


# The user's own modules


def own_pair() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)), nn.Linear(2, 5)


class Spread(Penalty):
    """Minus the squared code: a penalty of one's own."""

    scope = "example"

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__(weight)
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, view: View) -> torch.Tensor:
        return self.factor.square() * view.h.square().sum(dim=1)


def test_own_modules_are_not_trained_in_place() -> None:
    pair = own_pair()
    before = [p.clone() for module in pair for p in module.parameters()]
    model = small(network=pair).fit(X)
    for p, old in zip([p for module in pair for p in module.parameters()], before, strict=True):
        assert torch.equal(p, old)
    assert model.network is pair
    assert not torch.equal(model.module_.network.encoder.module[0].weight, pair[0][0].weight)
    again = small(network=pair).fit(X)
    assert bits(again) == bits(model)


def test_own_parts_are_saved_opened_and_pickled(tmp_path: Path) -> None:
    model = small(network=own_pair(), penalties=[L1(0.1), Spread()]).fit(X)
    assert "penalty_2" in str(model.config_.model.penalties)
    model.save(tmp_path / "own.safetensors")
    with pytest.raises(ArtifactError, match=r"part of its author's own, '\w+'.*Hand it in"):
        Autoencoder.open(tmp_path / "own.safetensors")
    parts = {"network": own_pair, "penalty_2": Spread}
    opened = Autoencoder.open(tmp_path / "own.safetensors", parts=parts)
    assert bits(opened) == bits(model)
    for one in (opened, model):
        copied = pickle.loads(pickle.dumps(one))
        assert bits(copied) == bits(model)
        np.testing.assert_array_equal(copied.transform(X), model.transform(X))
    assert opened.fit(X).transform(X).shape == (40, 2)
    assert isinstance(isthmus.open(tmp_path / "own.safetensors", parts=parts), nn.Module)


class Halved(Code):
    """h = pre_code / 2."""

    @staticmethod
    def n_inputs(size: int) -> int:
        return size

    def forward(self, pre_code: torch.Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        return CodeOutput(self.mean(pre_code), None)

    def mean(self, pre_code: torch.Tensor) -> torch.Tensor:
        return pre_code / 2

    def slope(self, pre_code: torch.Tensor) -> torch.Tensor:
        return torch.full_like(pre_code, 0.5)


class ShiftedError(SquaredError):
    """A likelihood with a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(
        self, outputs: torch.Tensor, x: torch.Tensor, value_weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        return super().forward(outputs + self.shift, x, value_weight)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs + self.shift


class Dimmed(Corruption):
    """Values at nine tenths."""

    def forward(self, x: torch.Tensor, randomness: Randomness, progress: float = 1.0) -> torch.Tensor:
        return 0.9 * x


OWN: dict[str, Any] = {
    "network": own_pair,
    "code": lambda: Halved(2),
    "likelihood": ShiftedError,
    "corruption": Dimmed,
    "penalties": Spread,
}


@pytest.mark.parametrize("families", [*([family] for family in OWN), list(OWN)], ids="-".join)
def test_a_part_of_ones_own_of_each_family(families: list[str], tmp_path: Path) -> None:
    model = small(**{family: OWN[family]() for family in families}).fit(X)
    model.save(tmp_path / "own.safetensors")
    parts = {"penalty_1" if family == "penalties" else family: OWN[family] for family in families}
    for missing in parts:
        with pytest.raises(ArtifactError, match=r"part of its author's own.*Hand it in"):
            Autoencoder.open(
                tmp_path / "own.safetensors", {name: parts[name] for name in parts if name != missing}
            )
    opened = Autoencoder.open(tmp_path / "own.safetensors", parts)
    for one in (opened, pickle.loads(pickle.dumps(model)), pickle.loads(pickle.dumps(opened))):
        assert bits(one) == bits(model)
        np.testing.assert_array_equal(one.reconstruct(X), model.reconstruct(X))
    assert opened.fit(X).transform(X).shape == (40, 2)
    assert opened.partial_fit(X).transform(X).shape == (40, 2)


def test_own_parts_take_part() -> None:
    plain = small().fit(X)
    for family, make in OWN.items():
        assert not np.array_equal(small(**{family: make()}).fit(X).reconstruct(X), plain.reconstruct(X)), (
            family
        )


def test_an_own_code_of_another_size_is_refused() -> None:
    with pytest.raises(
        ParameterError, match=r"^code: expected .* size, 3, got 2\. Set .*n_components.* to 2\."
    ):
        small(n_components=3, code=Halved(2)).fit(X)


def test_a_pickle_opens_whatever_was_set_after_the_fit() -> None:
    model = small(network=own_pair()).fit(X)
    codes = model.transform(X)
    model.set_params(network="dense", n_components=0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(X), codes)


def test_own_modules_of_the_wrong_ends_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"your encoder must give \(rows, 2\), got \(\d+, 3\)"):
        small(network=(nn.Linear(5, 3), nn.Linear(2, 5))).fit(X)


# Keeping


@pytest.mark.parametrize("way", ["pickle", "joblib"])
@pytest.mark.parametrize("model", [DENSE, CONV], ids=["dense", "conv"])
def test_a_pickle_is_the_same_to_the_bit(way: str, model: Autoencoder) -> None:
    if way == "pickle":
        copied = pickle.loads(pickle.dumps(model))
    else:
        buffer = io.BytesIO()
        joblib.dump(model, buffer)
        buffer.seek(0)
        copied = joblib.load(buffer)
    assert bits(copied) == bits(model)
    rows = X if model is DENSE else PICTURES
    np.testing.assert_array_equal(copied.transform(rows), model.transform(rows))
    assert copied.module_ is copied._model.module
    assert copied.get_params(deep=False).keys() == model.get_params(deep=False).keys()


def test_the_model_in_a_pickle_is_the_bytes_of_its_file() -> None:
    state = DENSE.__getstate__()
    assert state["_model"] == bits(DENSE)
    assert not any(isinstance(value, nn.Module) for value in state.values())
    assert pickle.loads(pickle.dumps(Autoencoder(3))).n_components == 3


def test_save_open_and_force(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    DENSE.save(path)
    first = path.read_bytes()
    with pytest.raises(OutputError, match=r"is there already.*force=True"):
        CONV.save(path)
    assert path.read_bytes() == first == bits(DENSE)
    opened = Autoencoder.open(path)
    np.testing.assert_array_equal(opened.transform(X), DENSE.transform(X))
    assert (opened.n_features_in_, opened.n_components_, opened.seed_) == (5, 2, 0)
    assert opened.history_ == DENSE.history_
    assert opened.metrics_ == DENSE.metrics_
    assert bits(clone(opened).fit(X)) == bits(DENSE)
    CONV.save(path, force=True)
    assert path.read_bytes() == bits(CONV)
    with pytest.raises(OutputError, match="cannot be written"):
        DENSE.save(tmp_path / "absent" / "model.safetensors")


def test_columns_are_named_after_opening(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    small().fit(frame).save(tmp_path / "m.safetensors")
    assert Autoencoder.open(tmp_path / "m.safetensors").feature_names_in_.tolist() == list("abcde")


# Watching and stopping


class Stop(Callback):
    def __init__(self, at: int) -> None:
        self.at = at

    def epoch(self, epoch: Epoch) -> None:
        if epoch.epoch == self.at:
            raise KeyboardInterrupt


def test_an_interrupted_fit_leaves_a_usable_estimator(tmp_path: Path) -> None:
    model = small(max_epochs=9, callbacks=[Stop(2)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert len(model.history_) == 2
    assert model.metrics_["error"]["sse"] > 0
    assert model.transform(X).shape == (40, 2)
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(
        Autoencoder.open(tmp_path / "m.safetensors").transform(X), model.transform(X)
    )


def test_attributes_after_a_fit() -> None:
    model = small(n_components="auto", random_state=5).fit(X)
    assert model.n_components_ == 2
    assert model.config_.model.code_size == 2
    assert model.n_components == "auto"
    assert model.seed_ == 5
    assert [record["epoch"] for record in model.history_] == [1, 2, 3]
    assert model.metrics_["rows_are"] == "validation"
    assert not model.module_.training
    mean, scale = DENSE.code_distribution(X)
    np.testing.assert_array_equal(mean.astype(float), DENSE.transform(X))
    assert scale is not None
    assert (scale > 0).all()
    assert model.code_distribution(X)[1] is None


def test_warm_start_takes_new_training_parameters_and_refuses_other_parts() -> None:
    model = small(warm_start=True, max_epochs=2, patience=None).fit(X)
    model.set_params(max_epochs=5).fit(X)
    assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(ParameterError, match="warm_start goes on with the model of the last fit"):
        model.set_params(n_components=3).fit(X)


@pytest.mark.parametrize("again", ["fit", "partial_fit"])
def test_a_training_that_fails_leaves_the_model_as_it_was(
    again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small(warm_start=True, max_epochs=2).fit(X)
    codes = model.transform(X)
    monkeypatch.setattr(
        SquaredError, "forward", lambda self, outputs, x, weight=None: outputs.sum(1) * np.nan
    )
    with pytest.raises(TrainingError, match="finite"):
        getattr(model, again)(X)
    np.testing.assert_array_equal(model.transform(X), codes)


def test_units_of_pictures_are_told_by_types_and_not_by_values() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (30, 6, 5)).astype(np.uint8)
    model = small(max_epochs=1).fit(pictures)
    np.testing.assert_array_equal(model.transform(pictures.astype(float)), model.transform(pictures))
    blank = np.zeros((1, 6, 5))
    np.testing.assert_array_equal(
        model.transform(blank), model.transform(np.concatenate([blank, pictures]))[:1]
    )
    with pytest.raises(DataError, match="expected pictures in uint8 from 0 to 255, got uint16"):
        model.transform(pictures.astype(np.uint16) * 257)
    with pytest.raises(DataError, match="expected pictures in float64 from 0 to 1, got uint8"):
        small(max_epochs=1).fit(pictures / 255).transform(pictures)


def test_rows_with_axes_must_have_those_of_the_fit() -> None:
    pictures = RANDOM.integers(0, 256, (30, 6, 5), np.uint8)
    model = small(max_epochs=1).fit(pictures)
    codes = model.transform(pictures)
    np.testing.assert_array_equal(model.transform(pictures[..., None]), codes)
    np.testing.assert_array_equal(model.transform(pictures.reshape(30, 30)), codes)
    with pytest.raises(DataError, match=r"expected rows of shape 6 x 5.*, got 5 x 6"):
        model.transform(pictures.transpose(0, 2, 1))
    with pytest.raises(DataError, match="got 2 x 6 x 5"):
        small(max_epochs=1).fit(PICTURES).transform(PICTURES.transpose(0, 3, 1, 2))


def test_the_score_on_the_training_rows_is_the_error_of_the_metrics() -> None:
    weights = RANDOM.uniform(0.0, 4.0, 80)
    rows = np.concatenate([X, X])
    for weight in (None, weights):
        model = small(validation_share=0.0).fit(rows, sample_weight=weight)
        assert -model.score(rows, sample_weight=weight) == pytest.approx(
            model.metrics_["error"]["mse"], rel=1e-6
        )


def test_a_score_pays_for_errors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    known = DENSE.score(X)

    def refused(*_: Any) -> None:
        raise LookupError("not asked for")

    for owner, name in ((Baseline, "squared_errors"), (Inference, "rate_per_unit"), (Inference, "encode")):
        monkeypatch.setattr(owner, name, refused)
    assert DENSE.score(X) == known


def test_a_first_fit_that_fails_leaves_no_trace() -> None:
    for again in ("fit", "partial_fit"):
        model = small(likelihood="bernoulli", scaling="raw")
        with pytest.raises(DataError, match="Bernoulli: expected"):
            getattr(model, again)(X)
        with pytest.raises(NotFittedError):
            model.transform(X)
        model.set_params(likelihood="auto")
        assert getattr(model, again)(X[:, :4]).transform(X[:, :4]).shape == (40, 2)


def test_a_fit_on_other_rows_that_fails_leaves_the_last_one_usable() -> None:
    model = small().fit(X)
    codes = model.transform(X)
    with pytest.raises(DataError, match="1 sample"):
        model.fit(X[:1, :3])
    np.testing.assert_array_equal(model.transform(X), codes)


def test_a_bad_part_poisons_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, twin = (small().partial_fit(X) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(SquaredError, "forward", lambda self, outputs, x, weight=None: outputs.sum(1) * np.nan)
        with pytest.raises(TrainingError, match="finite"):
            model.partial_fit(X)
    assert bits(model.partial_fit(X)) == bits(twin.partial_fit(X))


# After opening


def test_an_opened_model_refuses_to_go_on_with_other_parts(tmp_path: Path) -> None:
    small().fit(X).save(tmp_path / "m.safetensors")
    opened = Autoencoder.open(tmp_path / "m.safetensors").set_params(warm_start=True)
    with pytest.raises(ParameterError, match="warm_start goes on with the model of the last fit"):
        opened.set_params(n_components=3).fit(X)
    assert len(opened.set_params(n_components=2, patience=None).fit(X).history_) == 6


def test_the_device_of_a_fit_binds_nobody_who_opens_it(tmp_path: Path) -> None:
    model = small().fit(X)
    model._model.config = model._model.config.with_training(device="abacus")
    model.save(tmp_path / "m.safetensors")
    opened = Autoencoder.open(tmp_path / "m.safetensors")
    assert opened.device == "auto"
    opened.partial_fit(X).set_params(warm_start=True).fit(X)
    assert opened.config_.training.device != "abacus"
    asked = Autoencoder.open(tmp_path / "m.safetensors").set_params(device="abacus")
    before = bits(asked)
    with pytest.raises(ParameterError, match=r"device 'abacus' cannot be used here.*Try 'cpu'"):
        asked.partial_fit(X)
    assert bits(asked) == before

"""Estimators told a label: what they learn, keep and refuse."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score

from isthmus import Autoencoder, AutoencoderClassifier, Gaussian, GaussianCode, VariationalAutoencoder
from isthmus.artifact.file import from_bytes, to_bytes
from isthmus.artifact.fitted import FittedModel
from isthmus.config import Config, Model, Training
from isthmus.config.parts.networks import Dense
from isthmus.errors import ArtifactError, DataError, ParameterError
from isthmus.evaluation.evaluate import report_data
from isthmus.evaluation.evidence import evidence
from isthmus.inference import Inference
from isthmus.sources import ArraySource
from isthmus.workflows.fit import fit
from isthmus.workflows.row_order import split_rows, weighted_set

torch.set_num_threads(1)

RANDOM = np.random.default_rng(0)
MEANS = {"cat": np.array([2.0, 0.0, -1.0, 1.0]), "dog": np.array([-2.0, 1.0, 1.0, 0.0])}
Y = np.array(["cat", "dog"])[np.arange(1200) % 2]
X = (
    np.stack([MEANS[name] for name in Y])
    + 1.5 * RANDOM.normal(size=(1200, 1)) * np.array([0.5, 0.5, 0.5, 0.5])
    + 0.4 * RANDOM.normal(size=(1200, 4))
)


def made(**params: object) -> Autoencoder:
    chosen = {"n_components": 1, "condition": "label", "max_epochs": 2, "random_state": 0, **params}
    return Autoencoder(**chosen)  # type: ignore[arg-type]


def kept(estimator: Autoencoder) -> FittedModel:
    return estimator._model  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(scope="module")
def linear() -> Autoencoder:
    """Conditional, linear and Gaussian: class-centred probabilistic PCA is its optimum."""
    model = made(
        hidden_sizes=(),
        code=GaussianCode(),
        likelihood=Gaussian("learned"),
        scaling="raw",
        max_epochs=60,
        learning_rate=2e-2,
        validation_share=0.0,
    )
    return model.fit(X, Y)


def most_likely(x: np.ndarray, y: np.ndarray) -> float:
    """Mean log-likelihood of class-centred probabilistic PCA with one axis (Tipping and Bishop 1999)."""
    centred = x - np.stack([x[y == name].mean(axis=0) for name in y])
    lam = np.linalg.eigvalsh(np.cov(centred.T, bias=True))[::-1]
    s = lam[1:].mean()
    return -0.5 * (4 * np.log(2 * np.pi) + np.log(lam[0]) + 3 * np.log(s) + 4)


def test_training_finds_probabilistic_pca_of_class_centred_rows(linear: Autoencoder) -> None:
    found = evidence(Inference(kept(linear)), ArraySource(X, Y), n_samples=50)
    assert found is not None
    truth = most_likely(X, Y)
    assert found.log_likelihood.mean() == pytest.approx(truth, abs=0.02)
    assert truth > most_likely(X, np.full(len(Y), "one")) + 0.5  # without labels one axis is not enough


def test_samples_of_a_label_have_its_mean(linear: Autoencoder) -> None:
    for name in ("cat", "dog"):
        drawn = linear.sample(4000, random_state=1, label=name, noise=True)
        np.testing.assert_allclose(drawn.mean(axis=0), X[name == Y].mean(axis=0), atol=0.08)
        np.testing.assert_allclose(np.cov(drawn.T), np.cov(X[name == Y].T), atol=0.12)
    several = linear.sample(2, random_state=1, label=["cat", "dog"])
    np.testing.assert_array_equal(several[0], linear.sample(2, random_state=1, label="cat")[0])
    np.testing.assert_array_equal(several[1], linear.sample(2, random_state=1, label="dog")[1])


def test_the_code_need_not_say_the_label(linear: Autoencoder) -> None:
    codes = linear.transform(X, labels=Y)[:, 0]
    assert abs(codes[Y == "cat"].mean() - codes[Y == "dog"].mean()) < 0.1


def test_a_file_keeps_the_labels(linear: Autoencoder, tmp_path: Path) -> None:
    linear.save(tmp_path / "model.safetensors")
    opened = Autoencoder.open(tmp_path / "model.safetensors")
    assert opened.condition == "label"
    assert opened.classes_.tolist() == ["cat", "dog"]  # type: ignore[attr-defined]
    for same in (opened, pickle.loads(pickle.dumps(linear))):
        np.testing.assert_array_equal(same.reconstruct(X, labels=Y), linear.reconstruct(X, labels=Y))
    assert kept(opened).to_bytes() == kept(linear).to_bytes()
    assert clone(opened).condition == "label"


def test_files_without_the_key_open_as_before() -> None:
    fitted = kept(made(condition="none").fit(X))
    document, tensors = from_bytes(fitted.to_bytes(), "model")
    assert "classes" not in document
    del document["config"]["model"]["condition"]
    opened = FittedModel.from_bytes(to_bytes(document, tensors))
    assert opened.classes is None
    assert opened.to_bytes() == fitted.to_bytes()


@pytest.mark.parametrize(
    "wrong",
    [{"classes": ["cat"]}, {"classes": ["cat", "cat"]}, {"classes_type": "<f4"}, {"classes": [["a"]]}],
)
def test_files_with_other_labels_are_refused(linear: Autoencoder, wrong: dict[str, object]) -> None:
    document, tensors = from_bytes(kept(linear).to_bytes(), "model")
    with pytest.raises(ArtifactError):
        FittedModel.from_bytes(to_bytes({**document, **wrong}, tensors))
    del document["classes"]
    with pytest.raises(ArtifactError):
        FittedModel.from_bytes(to_bytes(document, tensors))


def test_no_label_is_guessed(linear: Autoencoder) -> None:
    codes = linear.transform(X, labels=Y)
    for use in (
        lambda: linear.transform(X),
        lambda: linear.reconstruct(X),
        lambda: linear.score(X),
        lambda: linear.code_distribution(X),
        lambda: linear.inverse_transform(codes),
        lambda: linear.sample(2),
        lambda: linear.interpolate(X[0], X[1]),
        lambda: linear.traverse(X[0]),
        lambda: made().fit(X),
        lambda: made().partial_fit(X),
    ):
        with pytest.raises(DataError, match="expected a label a"):
            use()
    with pytest.raises(DataError, match=r"\(2 classes: cat, dog\), got 'cow'"):
        linear.transform(X[:1], labels=["cow"])
    with pytest.raises(DataError, match="one label a row, 1200 in all"):
        linear.transform(X, labels=Y[:3])
    with pytest.raises(ParameterError, match="labels are for a model that is conditional"):
        made(condition="none").fit(X, Y).transform(X, labels=Y)


@pytest.mark.parametrize("wrong", [{"start": "pca"}, {"scheme": "layer_by_layer"}, {"dead_units": "revived"}])
def test_what_knows_nothing_of_labels_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ParameterError, match=f"{next(iter(wrong))} = .* condition = 'label'"):
        made(**wrong).fit(X, Y)


def test_labels_go_through_everything_that_reads_rows(linear: Autoencoder) -> None:
    codes = linear.transform(X[:5], labels=Y[:5])
    np.testing.assert_array_equal(
        linear.inverse_transform(codes, labels=Y[:5]), linear.reconstruct(X[:5], labels=Y[:5])
    )
    path = linear.interpolate(X[0], X[2], 3, label="cat")
    np.testing.assert_array_equal(path[0], linear.reconstruct(X[:1], labels=["cat"])[0])
    assert linear.traverse(X[0], label="cat").shape == (1, 7, 4)
    assert linear.sample(3, 0, "mixture", X=X, labels=Y, label="dog").shape == (3, 4)
    missed = np.square(X - linear.reconstruct(X, labels=Y)).mean()
    assert linear.score(X, Y) == pytest.approx(-missed, rel=1e-5)
    assert np.isfinite(cross_val_score(made(), X, Y, cv=2)).all()
    assert made().fit_transform(X, Y).shape == (1200, 1)


def test_a_denoiser_is_told_labels_too() -> None:
    model = made(corruption="gaussian_noise", likelihood=Gaussian("learned")).fit(X, Y)
    assert set(model.metrics_["denoising"]) >= {"restored", "pca"}
    assert model.log_density_gradient(X, labels=Y).shape == X.shape
    assert model.sample_chain(X[:2], 2, 0, labels="cat").shape == (2, 2, 4)
    with pytest.raises(DataError, match="expected a label"):
        model.sample_chain(X[:2], 2, 0)


def test_training_goes_on_with_the_same_labels() -> None:
    model = made(warm_start=True).fit(X, Y).fit(X, Y)
    assert len(model.history_) == 4
    with pytest.raises(DataError, match="got 'cow'"):
        model.fit(X, np.where(Y == "cat", "cow", Y))
    parts = made().partial_fit(X, Y).partial_fit(X[:10], Y[:10])
    with pytest.raises(DataError, match="got 'cow'"):
        parts.partial_fit(X[:2], ["cow", "cat"])


def test_a_recipe_takes_labels() -> None:
    model = VariationalAutoencoder(1, condition="label", max_epochs=2, random_state=0)
    assert model.fit(X, Y).sample(3, label="dog").shape == (3, 4)


def test_a_classifier_wants_an_autoencoder_without_labels(linear: Autoencoder) -> None:
    with pytest.raises(ParameterError, match="needs no label"):
        AutoencoderClassifier(autoencoder=linear, random_state=0).fit(X, Y)


def test_order_of_rows_does_not_matter() -> None:
    order = RANDOM.permutation(len(X))
    assert kept(made().fit(X, Y)).to_bytes() == kept(made().fit(X[order], Y[order])).to_bytes()


def test_equal_rows_of_two_labels_are_two() -> None:
    rows = np.repeat(np.arange(3.0)[:, None], 2, axis=0)
    source = ArraySource(rows, [0, 1, 0, 0, 1, 1])
    assert len(weighted_set(source, None)[0]) == 3
    assert sorted(weighted_set(source, None, labelled=True)[1]) == [1, 1, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_every_label_keeps_a_row_to_train_on(seed: int) -> None:
    labels = np.array([0] * 17 + [1, 2, 3])
    source = ArraySource(RANDOM.normal(size=(20, 2)), labels)
    training, validation = split_rows(source, None, 0.5, seed, labelled=True)
    assert validation is not None
    assert len(validation.source) == 10
    assert set(training.source.labels) == {0, 1, 2, 3}  # type: ignore[arg-type]


def test_validation_rows_have_labels_of_the_training() -> None:
    config = Config(
        model=Model(condition="label", code_size=1, network=Dense(())), training=Training(epochs=1, seed=0)
    )
    rows = ArraySource(X, Y)
    assert fit(rows, config, validation=ArraySource(X[:9] + 1, Y[:9]))[0].metrics["rows"] == 9
    with pytest.raises(DataError, match="validation: expected a label a row"):
        fit(rows, config, validation=ArraySource(X[:9]))
    with pytest.raises(DataError, match="validation: expected labels that the model was fitted on"):
        fit(rows, config, validation=ArraySource(X[:9], np.full(9, "cow")))


def test_a_report_shows_what_each_label_looks_like() -> None:
    pictures = (RANDOM.random((60, 8, 8)) < np.repeat([0.1, 0.9], 30)[:, None, None]).astype(np.uint8) * 255
    labels = np.repeat([3, 7], 30)
    model = made(code="gaussian", hidden_sizes=(), max_epochs=150, learning_rate=1e-2).fit(pictures, labels)
    data = report_data(kept(model), ArraySource(pictures, labels), title="t")
    assert data.generated is not None
    shown = data.generated.samples.reshape(24, -1).mean(axis=1)
    assert shown[:12].mean() < 0.5 < shown[12:].mean()
    for first, last in data.generated.ends:
        assert labels[first] == labels[last]
    with pytest.raises(DataError, match="expected a label a row"):
        report_data(kept(model), ArraySource(pictures), title="t")


def test_iris_is_rebuilt_better_with_labels() -> None:
    rows, labels = load_iris(return_X_y=True)
    params = {"max_epochs": 40, "learning_rate": 1e-2, "start": "random", "hidden_sizes": ()}
    assert made(**params).fit(rows, labels).score(rows, labels) > made(condition="none", **params).fit(
        rows
    ).score(rows)

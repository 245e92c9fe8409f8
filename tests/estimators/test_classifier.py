"""Classes on top of codes: fitted, kept, opened, and what few labels and many rows are worth."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import estimator_checks_generator

import isthmus
from isthmus import Autoencoder, AutoencoderClassifier
from isthmus.artifact.classifier import FittedClassifier
from isthmus.errors import ArtifactError, DataError, OutputError, ParameterError
from isthmus.training.callbacks import Callback, Epoch
from isthmus.workflows.classify import split_labelled

IRIS, SPECIES = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def quick(**params: Any) -> AutoencoderClassifier:
    """Few epochs; enough for the checks to tell the classes apart."""
    autoencoder = params.pop("autoencoder", None) or Autoencoder(max_epochs=3, threads=1, device="cpu")
    chosen = {
        "max_epochs": 12, "batch_size": 16, "encoder_learning_rate": 5e-3, "head_learning_rate": 0.05,
        "random_state": 0, "device": "cpu",
    }  # fmt: skip
    return AutoencoderClassifier(autoencoder, **{**chosen, **params})


CHECKS = [
    pytest.param(estimator, check, id=f"{number}-{getattr(check, 'func', check).__name__}")
    for number, (estimator, check) in enumerate(estimator_checks_generator(quick()))
    if getattr(check, "func", check).__name__ != "check_array_api_input"
]
"""Every one, but that which needs a process of its own (see test_sklearn_checks). With defaults too they pass."""


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator: AutoencoderClassifier, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def fitted() -> AutoencoderClassifier:
    torch.set_num_threads(1)
    return quick(max_epochs=40).fit(IRIS, SPECIES)


def test_it_learns_classes(fitted: AutoencoderClassifier) -> None:
    assert fitted.score(IRIS, SPECIES) > 0.93
    np.testing.assert_allclose(fitted.predict_proba(IRIS).sum(axis=1), 1)
    assert fitted.history_[-1]["training"]["cross_entropy"] < fitted.history_[0]["training"]["cross_entropy"]


def test_the_torch_module_is_what_predicts(fitted: AutoencoderClassifier) -> None:
    x = torch.from_numpy(fitted.autoencoder_._model.scaling.to_model(IRIS[:7]))
    with torch.no_grad():
        expected = torch.softmax(fitted.module_(x).double(), dim=1).numpy()
    np.testing.assert_allclose(fitted.predict_proba(IRIS[:7]), expected, atol=1e-5)


def test_labels_train_the_encoder_and_leave_the_autoencoder(fitted: AutoencoderClassifier) -> None:
    inner = fitted.autoencoder_.module_.encoder.layers[0].weight
    assert not torch.equal(fitted.module_.encoder.encoder.layers[0].weight, inner)
    alone = Autoencoder(max_epochs=3, threads=1, device="cpu", random_state=0).fit(IRIS)
    assert torch.equal(inner, alone.module_.encoder.layers[0].weight)
    frozen = quick(frozen=True).fit(IRIS, SPECIES)
    own, before = frozen.module_.encoder.encoder, frozen.autoencoder_.module_.encoder
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in own.state_dict().items())


@pytest.mark.parametrize("labels", [SPECIES, np.array(["a", "b", "c"])[SPECIES], SPECIES.astype(float) - 1])
def test_a_file_holds_all_of_it(labels: Any, tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    model = quick(max_epochs=3).fit(pd.DataFrame(IRIS, columns=list("abcd")), labels)
    frame = pd.DataFrame(IRIS, columns=list("abcd"))
    model.save(path)
    with pytest.raises(OutputError, match="is there already"):
        model.save(path)
    model.save(path, force=True)
    opened = AutoencoderClassifier.open(path)
    for other in (opened, pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.predict_proba(frame), model.predict_proba(frame))
        assert np.array_equal(other.predict(frame), model.predict(frame))
        assert other.classes_.dtype == model.classes_.dtype
        assert np.array_equal(other.autoencoder_.transform(frame), model.autoencoder_.transform(frame))
        assert other.history_ == model.history_
    assert opened._classifier.to_bytes() == model._classifier.to_bytes()
    assert opened.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert np.array_equal(opened.predict(frame[list("bacd")]), model.predict(frame))
    with pytest.raises(DataError, match="got none named 'a'"):
        opened.predict(frame[list("bcd")])


def test_each_file_says_what_it_is(fitted: AutoencoderClassifier, tmp_path: Path) -> None:
    classifier, autoencoder = tmp_path / "c.safetensors", tmp_path / "a.safetensors"
    fitted.save(classifier)
    fitted.autoencoder_.save(autoencoder)
    with pytest.raises(ArtifactError, match="got a classifier"):
        isthmus.open(classifier)
    with pytest.raises(ArtifactError, match="got an autoencoder"):
        AutoencoderClassifier.open(autoencoder)
    data = fitted._classifier
    wrong = FittedClassifier(data.model, data.module, data.classes[:2])
    with pytest.raises(ArtifactError, match="do not fit each other"):
        FittedClassifier.from_bytes(wrong.to_bytes())


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second, other = (quick(random_state=seed, max_epochs=2).fit(IRIS, SPECIES) for seed in (1, 1, 2))
    assert first._classifier.to_bytes() == second._classifier.to_bytes()
    assert first._classifier.to_bytes() != other._classifier.to_bytes()
    assert first.seed_ == 1
    assert first.autoencoder_.seed_ == 1


def test_a_fitted_autoencoder_is_used_as_it_is() -> None:
    autoencoder = Autoencoder(2, max_epochs=2, random_state=5).fit(IRIS)
    before = autoencoder._model.to_bytes()
    model = quick(autoencoder=autoencoder).fit(IRIS, SPECIES)
    assert model.autoencoder_ is autoencoder
    assert autoencoder._model.to_bytes() == before
    kept = clone(quick(autoencoder=FrozenEstimator(autoencoder))).fit(IRIS, SPECIES)
    assert np.array_equal(kept.predict_proba(IRIS), model.predict_proba(IRIS))
    with pytest.raises(ParameterError, match="got a fitted one"):
        quick(autoencoder=autoencoder).fit(IRIS, SPECIES, unlabelled=IRIS)


def test_unlabelled_rows_teach_the_autoencoder_alone() -> None:
    model = quick().fit(IRIS[::3], SPECIES[::3], unlabelled=IRIS)
    both = np.concatenate([IRIS[::3], IRIS])
    alone = Autoencoder(max_epochs=3, threads=1, device="cpu", random_state=0).fit(both)
    assert np.array_equal(model.autoencoder_.transform(IRIS), alone.transform(IRIS))
    assert model.classes_.tolist() == [0, 1, 2]


def test_pictures_keep_their_axes() -> None:
    digits = load_digits()
    autoencoder = Autoencoder(8, max_epochs=1, network="conv2d", threads=1, device="cpu")
    model = quick(autoencoder=autoencoder, max_epochs=1).fit(
        digits.images[:200], digits.target[:200], unlabelled=digits.images[200:240]
    )
    assert model.autoencoder_.module_.sample_shape == (1, 8, 8)
    assert np.array_equal(model.predict(digits.images[:5]), model.predict(digits.data[:5]))


def test_a_search_reaches_both() -> None:
    search = GridSearchCV(quick(max_epochs=2), {"autoencoder__n_components": [1, 2], "frozen": [True]}, cv=2)
    assert search.fit(IRIS, SPECIES).best_estimator_.autoencoder_.n_components_ in (1, 2)


def test_of_each_class_the_same_share_is_held_out() -> None:
    labels = np.repeat([0, 1, 2], [40, 10, 3])
    kept, held_out = split_labelled(labels, 0.2, 0)
    assert np.bincount(labels[held_out], minlength=3).tolist() == [8, 2, 0]
    assert np.array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(53))
    assert not np.array_equal(held_out, split_labelled(labels, 0.2, 1)[1])


def test_an_interrupted_training_keeps_its_best() -> None:
    class Stop(Callback):
        def epoch(self, epoch: Epoch) -> None:
            if epoch.epoch == 3:
                raise KeyboardInterrupt

    model = quick(callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(IRIS, SPECIES)
    assert len(model.history_) == 3
    assert model.predict(IRIS).shape == (150,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"autoencoder": "deep"}, "autoencoder must be an Autoencoder or None, got 'deep'"),
        ({"encoder_learning_rate": 0.0}, "encoder_learning_rate must be above 0, got 0.0"),
        ({"head_learning_rate": -1.0}, "AutoencoderClassifier: head_learning_rate must be in"),
        ({"max_epochs": 0}, "AutoencoderClassifier: max_epochs must be in"),
        ({"validation_share": 1.0}, "AutoencoderClassifier: validation_share must be in"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        quick(**params).fit(IRIS, SPECIES)


def test_labels_that_no_file_holds_are_refused() -> None:
    with pytest.raises((DataError, ValueError), match="label"):
        quick().fit(IRIS, np.array([(1,), (2,), (3,)] * 50 + [None], dtype=object)[:150])

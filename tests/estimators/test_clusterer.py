"""Groups without labels: found, kept, opened, and what an estimator of scikit-learn must do."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import estimator_checks_generator

from isthmus import Autoencoder, AutoencoderClassifier, AutoencoderClusterer, VariationalAutoencoder
from isthmus.artifact.file import from_bytes, read, to_bytes
from isthmus.errors import ArtifactError, DataError, OutputError, ParameterError

IRIS, SPECIES = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def quick(n_clusters: Any = "auto", **params: Any) -> AutoencoderClusterer:
    return AutoencoderClusterer(
        n_clusters, Autoencoder(2, max_epochs=2, threads=1, device="cpu"), random_state=0, **params
    )


APART = {"check_array_api_input", "check_estimator_sparse_array", "check_estimator_sparse_matrix"}
"""Needs a process of its own (see test_sklearn_checks); the others take whatever has ``predict_proba`` for a
classifier, and ask it for a classifier's tags (scikit-learn 1.9; see test_sparse for what they would check)."""
CHECKS = [
    pytest.param(estimator, check, id=f"{number}-{getattr(check, 'func', check).__name__}")
    for number, (estimator, check) in enumerate(
        estimator_checks_generator(quick((1, 2, 3), n_starts=1).set_params(autoencoder__n_components="auto"))
    )
    if getattr(check, "func", check).__name__ not in APART
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator: AutoencoderClusterer, check: Any) -> None:
    check(estimator)


def test_the_defaults_are_plain_parameters() -> None:
    assert clone(AutoencoderClusterer()).get_params() == AutoencoderClusterer().get_params()
    assert len(CHECKS) > 40


@pytest.fixture(scope="module")
def fitted() -> AutoencoderClusterer:
    torch.set_num_threads(1)
    return AutoencoderClusterer(3, Autoencoder(2, max_epochs=30, threads=1), random_state=0).fit(IRIS)


def test_groups_are_those_of_the_species(fitted: AutoencoderClusterer) -> None:
    assert adjusted_rand_score(SPECIES, fitted.labels_) > 0.6
    np.testing.assert_array_equal(fitted.predict(IRIS), fitted.labels_)
    odds = fitted.predict_proba(IRIS)
    np.testing.assert_array_equal(odds.argmax(axis=1), fitted.labels_)
    np.testing.assert_allclose(odds.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.transform(IRIS), fitted.autoencoder_.transform(IRIS))
    decoded = fitted.autoencoder_.inverse_transform(fitted.groups_.means)
    np.testing.assert_array_equal(fitted.cluster_centers_, decoded)
    means = np.stack([IRIS[fitted.labels_ == group].mean(axis=0) for group in range(3)])
    np.testing.assert_allclose(fitted.cluster_centers_, means, atol=0.6)
    again = clone(fitted).fit_predict(IRIS)
    np.testing.assert_array_equal(again, fitted.labels_)
    assert fitted.get_feature_names_out().tolist() == ["autoencoderclusterer0", "autoencoderclusterer1"]


def test_the_order_of_rows_changes_nothing() -> None:
    order = np.random.default_rng(0).permutation(len(IRIS))
    one, other = quick(2).fit(IRIS), quick(2).fit(IRIS[order])
    np.testing.assert_array_equal(other.labels_, one.labels_[order])


def test_a_number_is_chosen() -> None:
    model = quick(criterion="icl").fit(IRIS)
    assert list(model.criterion_)[:4] == [1, 2, 3, 4]
    assert model.n_clusters_ == min(model.criterion_, key=lambda n: model.criterion_[n])
    assert len(model.cluster_centers_) == model.n_clusters_ == len(model.groups_.weights)
    assert set(quick((2, 5)).fit(IRIS).criterion_) == {2, 5}


def test_a_fitted_autoencoder_is_used_as_it_is() -> None:
    autoencoder = VariationalAutoencoder(2, max_epochs=1, random_state=0, threads=1).fit(IRIS)
    before = autoencoder.transform(IRIS)
    model = AutoencoderClusterer(2, autoencoder, method="k_means", random_state=0).fit(IRIS)
    assert model.autoencoder_ is autoencoder
    np.testing.assert_array_equal(autoencoder.transform(IRIS), before)
    frozen = clone(AutoencoderClusterer(2, FrozenEstimator(autoencoder), method="k_means", random_state=0))
    np.testing.assert_array_equal(frozen.fit_predict(IRIS), model.labels_)
    new = clone(model).set_params(autoencoder__n_components=3).fit(IRIS)
    assert new.autoencoder_ is not autoencoder
    assert new.transform(IRIS).shape == (150, 3)


def test_pictures_and_frames() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (60, 6, 5), dtype=np.uint8)
    model = quick(2).fit(pictures)
    assert (model.cluster_centers_.shape, model.cluster_centers_.dtype) == ((2, 30), np.uint8)
    np.testing.assert_array_equal(model.predict(pictures.reshape(60, 30)), model.labels_)
    frame = pd.DataFrame(IRIS, columns=list("abcd"))
    named = quick(2).fit(frame)
    assert named.feature_names_in_.tolist() == list("abcd")
    assert not hasattr(named.fit(IRIS), "feature_names_in_")


def test_a_file_holds_all_of_it(fitted: AutoencoderClusterer, tmp_path: Path) -> None:
    path = tmp_path / "groups.safetensors"
    fitted.save(path)
    opened = AutoencoderClusterer.open(path)
    for name in ("labels_", "cluster_centers_"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(fitted, name))
    assert (opened.criterion_, opened.n_clusters_) == (fitted.criterion_, 3)
    np.testing.assert_array_equal(opened.predict_proba(IRIS), fitted.predict_proba(IRIS))
    opened.save(tmp_path / "again.safetensors")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    with pytest.raises(OutputError, match="force=True"):
        fitted.save(path)
    thawed = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(thawed.predict_proba(IRIS), fitted.predict_proba(IRIS))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("groups.weights", np.array([0.5, 0.5, 0.5]), "no shares"),
        ("groups.means", np.zeros((3, 4)), "shapes"),
        ("groups.means", np.full((3, 2), np.nan), "not finite"),
        ("groups.covariances", np.tile(-np.eye(2), (3, 1, 1)), "not positive definite"),
        ("members", np.full(150, 3), "groups that there are not"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    fitted: AutoencoderClusterer, tmp_path: Path, name: str, value: Any, said: str
) -> None:
    path = tmp_path / "groups.safetensors"
    fitted.save(path)
    document, tensors = from_bytes(read(path), "file")
    path.write_bytes(to_bytes(document, {**tensors, name: value}))
    with pytest.raises(ArtifactError, match=said):
        AutoencoderClusterer.open(path)


def test_other_files_are_refused(fitted: AutoencoderClusterer, tmp_path: Path) -> None:
    fitted.autoencoder_.save(tmp_path / "plain.safetensors")
    fitted.save(tmp_path / "groups.safetensors")
    with pytest.raises(ArtifactError, match="expected a model with groups"):
        AutoencoderClusterer.open(tmp_path / "plain.safetensors")
    with pytest.raises(ArtifactError, match=r"with groups. Open it with AutoencoderClusterer.open"):
        Autoencoder.open(tmp_path / "groups.safetensors")
    with pytest.raises(ArtifactError, match="expected a classifier"):
        AutoencoderClassifier.open(tmp_path / "groups.safetensors")


def test_mistakes_are_one_sentence() -> None:
    with pytest.raises(ParameterError, match="must be an Autoencoder or None, got 3"):
        AutoencoderClusterer(2, 3).fit(IRIS)
    with pytest.raises(ParameterError, match="got one of condition='label'"):
        AutoencoderClusterer(2, Autoencoder(condition="label")).fit(IRIS)
    with pytest.raises(DataError, match="151 groups need at least as many rows, got 150"):
        quick(151).fit(IRIS)
    with pytest.raises(ParameterError, match="method must be"):
        quick(2, method="ward").fit(IRIS)
    with pytest.raises(NotFittedError):
        AutoencoderClusterer().predict(IRIS)

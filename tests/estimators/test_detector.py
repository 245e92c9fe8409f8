"""The detector: scikit-learn's signs, a threshold as it says, causes that are named, a file that holds it all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import is_outlier_detector
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import estimator_checks_generator

from isthmus import AnomalyDetector, Autoencoder, IsthmusError
from isthmus.errors import ParameterError

torch.set_num_threads(1)

IRIS = load_iris().data


def quick(**params: Any) -> AnomalyDetector:
    return AnomalyDetector(**{"max_epochs": 3, "random_state": 0, "threads": 1, "device": "cpu", **params})


def factors(n: int, seed: int = 0) -> np.ndarray:
    """Eight columns that three numbers decide, up to a little noise."""
    random, loadings = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(3, 8))
    return random.normal(size=(n, 3)) @ loadings + 0.3 * random.normal(size=(n, 8))


@pytest.fixture(scope="module")
def fitted() -> AnomalyDetector:
    torch.set_num_threads(1)
    return quick(n_components=3, max_epochs=60).fit(factors(500))


CHECKS = [
    pytest.param(estimator, check, id=f"{number}-{getattr(check, 'func', check).__name__}")
    for number, (estimator, check) in enumerate(estimator_checks_generator(quick(max_epochs=2)))
    if getattr(check, "func", check).__name__ != "check_array_api_input"
]
"""Every one, but that which needs a process of its own (see test_sklearn_checks)."""


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check(estimator: AnomalyDetector, check: Any) -> None:
    check(estimator)


def test_signs_are_those_of_scikit_learn(fitted: AnomalyDetector) -> None:
    assert is_outlier_detector(fitted)
    rows = np.concatenate([factors(50, 1), 5 * np.random.default_rng(2).normal(size=(50, 8))])
    anomaly = fitted.anomaly_score(rows)
    assert anomaly[50:].min() > np.median(anomaly[:50])
    np.testing.assert_array_equal(fitted.score_samples(rows), -anomaly)
    np.testing.assert_array_equal(fitted.decision_function(rows), fitted.threshold_ - anomaly)
    assert fitted.offset_ == -fitted.threshold_
    np.testing.assert_array_equal(fitted.predict(rows), np.where(anomaly > fitted.threshold_, -1, 1))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5])
def test_contamination_is_the_share_of_the_rows_of_the_fit(share: float) -> None:
    rows = factors(200)
    detector = quick(contamination=share).fit(rows)
    assert (detector.predict(rows) == -1).sum() == round(share * 200)
    twice = quick(contamination=share).fit(rows, sample_weight=np.full(200, 2.0))
    assert twice.threshold_ == detector.threshold_


def test_without_it_few_usual_rows_are_anomalies(fitted: AnomalyDetector) -> None:
    found = (fitted.predict(factors(4000, 3)) == -1).mean()
    assert 0 < found < 0.06  # a quantile of 50 rows: their largest
    assert fitted._model.usual is not None
    assert fitted._model.usual.rule == "the 0.99-quantile of held-out rows"
    assert quick(validation_share=0.0).fit(IRIS)._model.usual.rule == "the 0.99-quantile of training rows"


def test_a_linear_one_is_the_residual_of_pca() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    benign = np.random.RandomState(0).permutation(np.flatnonzero(y == 1))
    train, rest = benign[: len(benign) // 2], np.setdiff1d(np.arange(len(y)), benign[: len(benign) // 2])
    detector = quick(
        n_components=1, hidden_sizes=(), corruption=None, max_epochs=1500, batch_size=256, learning_rate=1e-2,
        measure="squared_error", validation_share=0.0,
    ).fit(X[train])  # fmt: skip
    mean, scale = X[train].mean(axis=0), X[train].std(axis=0)
    x = (X - mean) / scale
    pca = PCA(1).fit(x[train])
    residual = np.square(pca.inverse_transform(pca.transform(x)) - x).mean(axis=1)
    found = roc_auc_score(y[rest] == 0, detector.anomaly_score(X[rest]))
    assert found == pytest.approx(roc_auc_score(y[rest] == 0, residual[rest]), abs=1e-3)
    np.testing.assert_allclose(detector.anomaly_score(X), residual, rtol=5e-3)


def test_what_is_wrong_is_named(fitted: AnomalyDetector) -> None:
    """A column moved by four standard deviations, and one that holds the value of another row."""
    rows, random = factors(200, 4), np.random.default_rng(5)
    column, every = random.integers(0, 8, 200), np.arange(200)
    spread = factors(500).std(axis=0)
    moved = rows.copy()
    moved[every, column] += 4 * spread[column] * random.choice([-1, 1], 200)
    assert (fitted.explain(moved).argmax(axis=1) == column).mean() > 0.9
    swapped = rows.copy()
    swapped[every, column] = rows[::-1][every, column]
    wrong = np.abs(swapped - rows)[every, column] > spread[column]
    assert wrong.sum() > 60
    assert (fitted.explain(swapped[wrong]).argmax(axis=1) == column[wrong]).mean() > 0.8
    named = [names[0] for names in fitted.causes(moved[:20], n_causes=2)]
    assert np.mean([name == f"column {at}" for name, at in zip(named, column[:20], strict=True)]) > 0.9


def test_frames_have_their_names_in_the_causes() -> None:
    frame = pd.DataFrame(IRIS, columns=list("abcd"))
    detector = quick(max_epochs=20).fit(frame)
    assert detector.causes(frame[:1].assign(c=9.0), n_causes=1) == [["c"]]
    assert detector.explain(frame).shape == (150, 4)


def test_pictures_keep_their_shape() -> None:
    random = np.random.default_rng(0)
    pictures = random.random((60, 1, 1)) * np.ones((60, 8, 8)) + 0.01 * random.random((60, 8, 8))
    detector = quick(max_epochs=20).fit(pictures)
    odd = pictures[:5].copy()
    odd[:, 2:4, 4:6] = 1.5
    found = detector.explain(odd)
    assert found.shape == (5, 8, 8)
    assert [names[0] for names in detector.causes(odd)] == ["rows 2-3, columns 4-5"] * 5
    assert detector.explain(odd.reshape(5, 64)).shape == (5, 64)


@pytest.mark.parametrize("params", [{}, {"contamination": 0.05}, {"measure": "squared_error"}], ids=str)
def test_a_file_holds_all_of_it(params: dict[str, Any], tmp_path: Path) -> None:
    detector = quick(**params).fit(pd.DataFrame(IRIS, columns=list("abcd")))
    detector.save(tmp_path / "d.safetensors")
    for other in (AnomalyDetector.open(tmp_path / "d.safetensors"), pickle.loads(pickle.dumps(detector))):
        frame = pd.DataFrame(IRIS, columns=list("abcd"))
        np.testing.assert_array_equal(other.decision_function(frame), detector.decision_function(frame))
        assert (other.measure, other.contamination) == (detector.measure, detector.contamination)
        assert other._model.to_bytes() == detector._model.to_bytes()
    assert Autoencoder.open(tmp_path / "d.safetensors").transform(frame).shape[0] == 150


def test_any_model_can_be_opened_as_one(tmp_path: Path) -> None:
    Autoencoder(2, max_epochs=2, random_state=0).fit(IRIS).save(tmp_path / "a.safetensors")
    detector = AnomalyDetector.open(tmp_path / "a.safetensors")
    assert set(detector.predict(IRIS)) <= {-1, 1}
    assert detector.corruption is None
    first = Autoencoder(2, max_epochs=2, random_state=0).partial_fit(IRIS)
    first.save(tmp_path / "old.safetensors")
    with pytest.raises(ParameterError, match="--reference SOURCE"):
        AnomalyDetector.open(tmp_path / "old.safetensors").anomaly_score(IRIS)


def test_the_evidence_of_a_gaussian_code() -> None:
    detector = quick(code="gaussian", likelihood="gaussian", corruption=None, measure="evidence").fit(IRIS)
    module = detector.module_
    x = torch.from_numpy(detector._model.scaling.to_model(IRIS[:4]))
    with torch.no_grad():
        mean, scale = module.code_distribution(x)
        assert scale is not None
        rate = 0.5 * (mean**2 + scale**2 - 1 - 2 * scale.log()).sum(dim=1)
        expected = module.likelihood(module.decoder(mean), x) + rate
    np.testing.assert_allclose(detector.anomaly_score(IRIS[:4]), expected.numpy(), rtol=1e-4)
    with pytest.raises(ParameterError, match="asks for a Gaussian code"):
        quick(measure="evidence").fit(IRIS)


def test_partial_fit_measures_what_it_saw() -> None:
    detector = quick().partial_fit(IRIS)
    before = detector.threshold_
    detector.partial_fit(IRIS[:100])
    assert detector.threshold_ != before
    assert np.isfinite(detector.anomaly_score(IRIS)).all()


def test_a_label_is_told() -> None:
    y = load_iris().target
    detector = quick(condition="label", contamination=0.1).fit(IRIS, y)
    assert (detector.predict(IRIS, labels=y) == -1).sum() == 15
    assert not np.array_equal(detector.anomaly_score(IRIS, y), detector.anomaly_score(IRIS, np.roll(y, 50)))


def test_every_parameter_is_reached_by_a_search() -> None:
    search = GridSearchCV(quick(), {"n_components": [1, 2], "corruption": [None]}, cv=2)
    assert search.fit(IRIS).best_params_["n_components"] in (1, 2)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"contamination": 0.0}, r"contamination: must be in \(0, 0.5\], got 0.0"),
        ({"contamination": 0.7}, "got 0.7"),
        ({"contamination": "few"}, "must be 'auto' or a share"),
        ({"measure": "relative"}, "did you mean 'relative_error'"),
    ],
)
def test_mistakes_are_said_before_the_first_step(params: dict[str, Any], said: str) -> None:
    with pytest.raises(IsthmusError, match=said):
        quick(max_epochs=10**6, **params).fit(IRIS)

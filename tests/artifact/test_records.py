"""Figures and epochs of a crafted file are refused where the file is opened."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.artifact import FittedModel
from isthmus.artifact.records import check_epochs, check_metrics
from isthmus.errors import ArtifactError

METRICS: dict[str, Any] = {
    "rows": 4,
    "rows_are": "validation",
    "error": {"sse": 1.0, "mse": 0.5},
    "baselines": {"pca": {"sse": 2.0, "mse": float("nan")}},
    "code": {"size": 2, "active": 1, "dead": 1},
    "loss": 1,
    "rate_nats": 0.5,
}
EPOCH: dict[str, Any] = {"epoch": 1, "learning_rate": 0.1, "training": {"loss": 1.0}, "validation": None}


def test_what_a_fit_writes_is_taken() -> None:
    check_metrics(METRICS)
    check_metrics({})
    check_epochs([EPOCH, {**EPOCH, "validation": {"loss": 1.0, "rate": 2.0}}])


@pytest.mark.parametrize(
    "changed",
    [{"rows": "4"}, {"rows": True}, {"rows_are": 1}, {"error": 3}, {"error": {"sse": 1.0}}, {"loss": "1"},
     {"baselines": []}, {"baselines": {"pca": {}}}, {"code": {}}, {"rate_nats": None}, {"elbo_nats": [1]}],
    ids=str,
)  # fmt: skip
def test_other_metrics_are_refused(make: Any, changed: dict[str, Any]) -> None:
    model = make()
    model.metrics = {**METRICS, **changed}
    with pytest.raises(ArtifactError, match="do not fit each other"):
        FittedModel.from_bytes(model.to_bytes())


@pytest.mark.parametrize(
    "epoch",
    [{}, 1, {**EPOCH, "epoch": -1}, {**EPOCH, "learning_rate": None}, {**EPOCH, "training": {}},
     {**EPOCH, "training": {"loss": "x"}}, {**EPOCH, "validation": 0}],
    ids=str,
)  # fmt: skip
def test_other_epochs_are_refused(make: Any, epoch: Any) -> None:
    model = make()
    model.epochs = [EPOCH, epoch]
    with pytest.raises(ArtifactError, match="do not fit each other"):
        FittedModel.from_bytes(model.to_bytes())


def test_metrics_of_another_kind_are_refused(make: Any) -> None:
    model = make()
    model.metrics = {"a": 1}
    with pytest.raises(ArtifactError):
        FittedModel.from_bytes(model.to_bytes())

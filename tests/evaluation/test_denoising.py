"""What a denoiser is measured by: the least of any linear map in closed form, the page, the keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from isthmus.artifact import FittedModel
from isthmus.config import Config
from isthmus.corruptions.base import Corruption
from isthmus.corruptions.block import Block
from isthmus.corruptions.gaussian_noise import GaussianNoise
from isthmus.corruptions.masking import Masking
from isthmus.corruptions.salt_and_pepper import SaltAndPepper
from isthmus.evaluation.denoising import linear_optimum
from isthmus.evaluation.evaluate import report_data
from isthmus.evaluation.metrics import measure
from isthmus.evaluation.report import render_report
from isthmus.inference import Inference
from isthmus.numerics.randomness import Randomness
from isthmus.sources import ArraySource
from isthmus.workflows.fit import fit

torch.set_num_threads(1)

N, SHAPE = 60_000, (2, 2, 2)


@pytest.mark.parametrize(
    "corruption",
    [
        GaussianNoise(0.1, 0.7),
        Masking(0.6, 0.3),
        Masking(0.3, whole_pixels=True),
        SaltAndPepper(0.3, low=-1.0, high=2.0),
        SaltAndPepper(0.4, low=-3.0, high=1.0, whole_pixels=True),
    ],
)
def test_the_linear_optimum_is_what_least_squares_finds(corruption: Corruption) -> None:
    mixing = Randomness(1).normal((8, 8)).double() / 2
    x = (Randomness(0).normal((N, 8)).double() @ mixing + torch.linspace(-1, 2, 8)).reshape(N, *SHAPE)
    shown = corruption(x, Randomness(2)).flatten(1).numpy()
    clean = x.flatten(1).numpy()
    design = np.column_stack([shown, np.ones(N)])
    solution = np.linalg.lstsq(design, clean, rcond=None)[0]
    errors = np.square(clean - design @ solution).sum(axis=1)
    known = linear_optimum(corruption, clean.mean(axis=0), np.cov(clean.T, bias=True), channels=2)
    assert known is not None
    assert abs(errors.mean() - known) < 4 * errors.std() / np.sqrt(N)
    assert errors.std() / np.sqrt(N) < 0.01 * known


def test_columns_that_do_not_vary_cost_nothing() -> None:
    covariance = np.diag([2.0, 0.0])
    known = linear_optimum(Masking(0.5), np.zeros(2), covariance)
    assert known == pytest.approx(1.0)
    assert linear_optimum(GaussianNoise(0.0), np.zeros(2), covariance) == pytest.approx(0.0, abs=1e-8)
    assert linear_optimum(Block(0.5), np.zeros(2), covariance) is None


def fitted(rows: ArraySource, corruption: Any, **training: Any) -> FittedModel:
    values = {
        "kind": "denoising",
        "code_size": 2,
        "network": {"hidden_sizes": []},
        "likelihood": "squared_error",
        "corruption": corruption,
    }
    plan = {"epochs": 2, "seed": 0, "threads": 1, "validation_share": 0.0, "start": "pca", **training}
    return fit(rows, Config.from_dict({"model": values, "training": plan}))[0]


def pictures(n: int = 40) -> ArraySource:
    return ArraySource(np.random.default_rng(0).integers(0, 256, (n, 6, 7, 1), dtype=np.uint8))


def test_pca_of_corrupted_rows_stands_beside_the_model() -> None:
    """A linear model that has not moved from PCA restores exactly what PCA does."""
    rows = ArraySource(np.random.default_rng(0).normal(size=(300, 5)))
    model = fitted(rows, {"type": "gaussian_noise", "scale": 0.5}, learning_rate=1e-12, epochs=1)
    found = measure(Inference(model), rows)
    assert found.denoised is not None
    np.testing.assert_allclose(found.denoised.restored, found.denoised.pca, rtol=1e-4)
    expected = 5 * 0.25
    error = found.denoised.corrupted.std() / np.sqrt(300)
    assert abs(found.denoised.corrupted.mean() - expected) < 4 * error
    values = found.to_dict()["denoising"]
    assert list(values) == ["corrupted", "restored", "pca", "linear"]
    assert values["restored"]["mse"] == values["restored"]["sse"] / 5
    assert values["linear"]["sse"] < values["pca"]["sse"]
    assert measure(Inference(model), rows, clean=False).to_dict().get("denoising") is None
    again = measure(Inference(FittedModel.from_bytes(model.to_bytes())), rows)
    assert again.to_dict() == found.to_dict()


def test_weights_count_as_rows() -> None:
    rows = ArraySource(np.random.default_rng(0).normal(size=(30, 5)))
    model = fitted(rows, {"type": "masking", "hidden_share": 0.3})
    weights = np.zeros(30, np.float32)
    weights[3] = 1.0
    found = measure(Inference(model), rows, weights)
    assert found.denoised is not None
    assert found.to_dict()["denoising"]["restored"]["sse"] == pytest.approx(float(found.denoised.restored[3]))
    assert found.denoised.linear == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "corruption", ["none", {"type": "masking", "hidden_share": 0.5, "final_hidden_share": 0}]
)
def test_nothing_is_said_where_nothing_is_corrupted(corruption: Any) -> None:
    model = fitted(pictures(), corruption)
    assert "denoising" not in measure(Inference(model), pictures()).to_dict()
    assert "Corrupted and restored" not in render_report(report_data(model, pictures(), title="A"))


@pytest.mark.parametrize("kind", ["salt_and_pepper", "block", "masking", "gaussian_noise"])
def test_the_report_shows_clean_corrupted_and_restored(kind: str) -> None:
    rows = pictures()
    model = fitted(rows, {"type": kind})
    data = report_data(model, rows, title="A")
    assert data.denoising is not None
    shown = data.denoising
    m = len(shown.rows)
    assert m == 6
    assert shown.clean.shape == shown.damaged.shape == shown.rebuilt.shape == (m, 6, 7, 1)
    np.testing.assert_allclose(shown.clean * 255, rows.read(slice(0, 40))[shown.rows], atol=1e-4)
    hidden = shown.clean != shown.damaged
    assert 0 < hidden.mean() <= 1
    if kind == "block":
        np.testing.assert_allclose(
            shown.damaged_errors, np.square(shown.clean * hidden).sum(axis=(1, 2, 3)), rtol=1e-5
        )
    page = render_report(data)
    for words in ("Corrupted and restored", kind.replace("_", " "), "Restored by PCA"):
        assert words in page
    assert ("Best linear map" in page) == (kind != "block")
    assert page.count(', restored"') == m


def test_vectors_have_the_table_alone() -> None:
    rows = ArraySource(np.random.default_rng(0).normal(size=(30, 5)))
    page = render_report(report_data(fitted(rows, {"type": "masking"}), rows, title="A"))
    assert "Corrupted and restored" in page
    assert "From well to badly restored" not in page

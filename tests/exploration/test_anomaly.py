"""How odd rows are: by hand, against a slow twin, and independent of the rows beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus import Autoencoder
from isthmus.artifact import FittedModel
from isthmus.artifact.anomaly import Measure
from isthmus.config import Config, Data, Model
from isthmus.config.parts.networks import Dense
from isthmus.exploration.anomaly import FLOOR_SHARE, N_FILLS, RIDGE, AnomalyScore, fit_usual
from isthmus.exploration.regions import regions_of
from isthmus.inference import Inference
from isthmus.preprocessing import Scaling
from isthmus.schema import Audio
from isthmus.sources import ArraySource
from isthmus.workflows.fit import fit
from isthmus.workflows.open_data import open_data

torch.set_num_threads(1)

ROWS = np.random.default_rng(0).normal(size=(200, 3)) @ np.random.default_rng(1).normal(size=(3, 7))
ROWS = ROWS + 0.2 * np.random.default_rng(2).normal(size=ROWS.shape)


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return Autoencoder(2, max_epochs=10, random_state=0, threads=1).fit(ROWS)._model


def residuals_of(model: FittedModel, x: np.ndarray) -> np.ndarray:
    """What the reconstruction of rows in model units leaves, in float64, through the torch module alone."""
    with torch.no_grad():
        rebuilt = model.module.reconstruct(torch.from_numpy(x.astype(np.float32)))
    return (x.astype(np.float32) - rebuilt.numpy()).astype(np.float64)


def errors_of(model: FittedModel, x: np.ndarray) -> np.ndarray:
    """Their squares."""
    return np.square(residuals_of(model, x))


def test_the_anomaly_is_what_its_equation_says(model: FittedModel) -> None:
    x = model.scaling.to_model(ROWS)
    usual = fit_usual(Inference(model), ArraySource(ROWS))
    errors = errors_of(model, x)
    np.testing.assert_allclose(usual.errors, errors.mean(axis=0), rtol=1e-4)
    expected = np.log1p(errors / usual.errors).mean(axis=1)
    found = AnomalyScore(Inference(model), usual).score(ArraySource(ROWS))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert usual.threshold == np.sort(found)[197]
    squared = fit_usual(Inference(model), ArraySource(ROWS), measure="squared_error")
    found = AnomalyScore(Inference(model), squared).score(ArraySource(ROWS))
    np.testing.assert_allclose(found, errors.mean(axis=1), rtol=1e-4)


def test_a_category_counts_as_much_as_a_number(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    words = chance.choice(["oak", "elm", "ash", "fir"], 60)
    lines = [f"{number:.4f},{word}" for number, word in zip(chance.normal(size=60), words, strict=True)]
    (tmp_path / "trees.csv").write_text("\n".join(["height,kind", *lines]))
    source = open_data(str(tmp_path / "trees.csv"), Data())
    model, _ = fit(source, Config.from_dict({"training": {"epochs": 2, "seed": 0, "threads": 1}}))
    errors = errors_of(model, model.scaling.to_model(source.read(slice(0, 60))))
    by_column = np.stack([errors[:, 0], errors[:, 1:].sum(axis=1)], axis=1)
    assert errors.shape == (60, 5)
    usual = fit_usual(Inference(model), source)
    found = AnomalyScore(Inference(model), usual).score(source)
    np.testing.assert_allclose(found, np.log1p(by_column / by_column.mean(axis=0)).mean(axis=1), rtol=1e-4)


def test_a_weight_is_so_many_rows(model: FittedModel) -> None:
    weights = np.random.default_rng(0).integers(0, 3, 200)
    weighted = fit_usual(Inference(model), ArraySource(ROWS), weights.astype(np.float64))
    repeated = fit_usual(Inference(model), ArraySource(np.repeat(ROWS, weights, axis=0)))
    np.testing.assert_allclose(weighted.errors, repeated.errors, rtol=1e-6)
    np.testing.assert_allclose(weighted.training, repeated.training, rtol=1e-5)


@pytest.mark.parametrize("measure", ["relative_error", "squared_error"])
def test_the_causes_are_those_of_a_slow_twin(model: FittedModel, measure: Measure) -> None:
    rows = ROWS[:5].copy()
    rows[np.arange(5), [0, 2, 4, 6, 1]] += 5.0
    usual = fit_usual(Inference(model), ArraySource(ROWS), measure=measure)
    scale = np.sqrt(np.maximum(usual.errors, FLOOR_SHARE * usual.errors.mean()).astype(np.float64))
    every = residuals_of(model, model.scaling.to_model(ROWS)) / scale
    inner = np.linalg.inv(every.T @ every / 200 + RIDGE * np.eye(7))
    if measure == "squared_error":
        scale, inner = np.full(7, np.sqrt(np.mean(scale**2))), np.eye(7)

    def size(rows: np.ndarray) -> float:
        z = residuals_of(model, rows)[0] / scale
        return float(z @ inner @ z) / 7

    parts, regions = AnomalyScore(Inference(model), usual).causes(ArraySource(rows))
    x = model.scaling.to_model(rows)
    for row in range(5):
        before = size(x[row : row + 1])
        for column in range(7):
            filled = x[row : row + 1].copy()
            for _ in range(N_FILLS):
                with torch.no_grad():
                    filled[0, column] = model.module.reconstruct(torch.from_numpy(filled)).numpy()[0, column]
            after = size(filled)
            assert parts[row, column] == pytest.approx(max(before - after, 0.0), rel=1e-3, abs=1e-3)
    assert regions.names == tuple(f"column {number}" for number in range(7))
    contributions = AnomalyScore(Inference(model), usual).contributions(ArraySource(rows))
    np.testing.assert_allclose(contributions, parts, rtol=1e-5)


def test_residuals_that_go_together_are_no_cause() -> None:
    """Six pairs of nearly equal columns and a code of three: what is odd is a pair that disagrees."""
    chance = np.random.default_rng(0)
    rows = np.repeat(chance.normal(size=(600, 6)) @ chance.normal(size=(6, 6)), 2, axis=1)
    rows += 0.1 * chance.normal(size=rows.shape)
    model = Autoencoder(3, max_epochs=20, random_state=0, threads=1).fit(rows[:500])._model
    odd, changed = rows[500:].copy(), chance.integers(0, 12, 100)
    odd[np.arange(100), changed] += rows.std(axis=0)[changed]
    assert model.usual is not None
    shares = []
    for usual in (model.usual, replace(model.usual, products=None)):
        parts, _ = AnomalyScore(Inference(model), usual).causes(ArraySource(odd))
        shares.append(np.mean(parts.argmax(axis=1) // 2 == changed // 2))
    assert shares[0] > 0.95
    assert shares[1] < shares[0] - 0.1


def test_categories_take_no_part_in_what_goes_together(tmp_path: Path) -> None:
    """Nor does a gap: the residuals of a table with both, by hand."""
    chance = np.random.default_rng(0)
    a = chance.normal(size=80)
    lines = [
        f"{one:.4f},{'' if number % 7 == 0 else f'{one + 0.1 * number:.4f}'},{'xyz'[number % 3]}"
        for number, one in enumerate(a)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind", *lines]))
    source = open_data(str(tmp_path / "t.csv"), Data())
    model, _ = fit(source, Config.from_dict({"training": {"epochs": 2, "seed": 0, "threads": 1}}))
    usual = fit_usual(Inference(model), source)
    x = model.scaling.to_model(source.read(slice(None)))
    z = np.nan_to_num(residuals_of(model, x))
    assert usual.products is not None
    np.testing.assert_allclose(usual.products, z.T @ z / 80, rtol=1e-4, atol=1e-6)
    t = usual.errors.astype(np.float64)
    C = (z.T @ z / 80 / np.sqrt(np.outer(t, t)))[:2, :2] + RIDGE * np.eye(2)
    numbers = z[:, :2] / np.sqrt(t[:2])
    expected = (
        np.sum(numbers @ np.linalg.inv(C) * numbers, axis=1) + np.square(z[:, 2:]).sum(axis=1) / t[2:].sum()
    )
    score = AnomalyScore(Inference(model), usual)
    found = score._size(torch.from_numpy(x), torch.from_numpy(x - residuals_of(model, x).astype(np.float32)))
    np.testing.assert_allclose(found.numpy(), expected / 5, rtol=1e-3)


def test_a_row_does_not_depend_on_its_neighbours(model: FittedModel) -> None:
    score = AnomalyScore(Inference(model))
    together, parts = score.score(ArraySource(ROWS)), score.causes(ArraySource(ROWS))[0]
    for row in (0, 130, 199):
        assert score.score(ArraySource(ROWS[row : row + 1]))[0] == together[row]
        np.testing.assert_array_equal(score.causes(ArraySource(ROWS[row : row + 1]))[0][0], parts[row])


def test_a_column_that_was_always_the_same_counts_but_does_not_outweigh() -> None:
    rows = np.column_stack([ROWS, np.full(200, 3.0)])
    model = Autoencoder(2, max_epochs=10, random_state=0, threads=1).fit(rows)._model
    odd = rows[:2].copy()
    odd[0, 7] = 4.0
    odd[1, 7] += 1e-6
    score = AnomalyScore(Inference(model))
    usual, found = score.score(ArraySource(rows[:2])), score.score(ArraySource(odd))
    assert found[0] > usual[0] + 0.3
    assert found[1] == pytest.approx(usual[1], abs=0.01)
    assert score.names_of_causes(ArraySource(odd[:1]), 1) == [["column 7"]]


@pytest.mark.parametrize(
    ("shape", "kind", "n_regions", "first", "last"),
    [
        ((28, 28, 1), "pictures", 25, "rows 0-5, columns 0-5", "rows 24-27, columns 24-27"),
        ((9, 5, 3), "pictures", 15, "rows 0-1, columns 0-1", "rows 8, columns 4"),
        ((100, 2), "sequences", 25, "steps 0-3", "steps 96-99"),
        ((10, 1), "sequences", 10, "step 0", "step 9"),
        ((6,), "vectors", 6, "column 0", "column 5"),
    ],
)
def test_regions_are_places(shape: tuple[int, ...], kind: str, n_regions: int, first: str, last: str) -> None:
    rows = np.random.default_rng(0).random((4, *shape))
    scaling = Scaling.fit(ArraySource(rows, row_kind=kind), np.arange(4))  # type: ignore[arg-type]
    regions = regions_of(scaling)
    assert (regions.n_regions, regions.names[0], regions.names[-1]) == (n_regions, first, last)
    by_place = np.moveaxis(regions.of_value.reshape(scaling.model_shape), 0, -1).reshape(shape)
    assert (by_place == by_place[..., :1]).all() or kind == "vectors"
    assert set(regions.of_value) == set(range(n_regions))


@pytest.mark.parametrize(
    ("audio", "first", "last"),
    [
        # 5 frames of 4 samples, each centred at its own: steps 0 to 4 of 16 samples
        (Audio(4, 16, 16, 1, "spectrogram", 8, 4, -80.0), "0.000-0.500 s", "3.500-4.000 s"),
        (Audio(2, 5, 5, 1, "waveform"), "0.000-0.500 s", "2.000-2.500 s"),
    ],
)
def test_regions_of_sounds_are_moments(audio: Audio, first: str, last: str) -> None:
    rows = np.random.default_rng(0).random((4, 5, 1))
    source = ArraySource(rows, row_kind="sequences")
    source.schema = replace(source.schema, audio=audio)
    names = regions_of(Scaling.fit(source, np.arange(4))).names
    assert (len(names), names[0], names[-1]) == (5, first, last)


def test_pictures_share_a_part_among_the_pixels_of_a_patch() -> None:
    random = np.random.default_rng(0)
    pictures = (random.random((40, 1, 1, 1)) * np.ones((40, 10, 10, 2))).astype(np.float32)
    config = Config(model=Model(code_size=2, network=Dense(()), likelihood="squared_error"))
    source = ArraySource(pictures)
    from isthmus.workflows.fit import fit

    model, _ = fit(source, config.with_training(epochs=20, seed=0, threads=1))
    odd = pictures[:3].copy()
    odd[:, 4:6, 8:10] = 2.0
    score = AnomalyScore(Inference(model))
    parts, regions = score.causes(ArraySource(odd))
    assert [regions.names[number] for number in parts.argmax(axis=1)] == ["rows 4-5, columns 8-9"] * 3
    shared = score.contributions(ArraySource(odd))
    assert shared.shape == odd.shape
    np.testing.assert_allclose(shared.sum(axis=(1, 2, 3)), parts.sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(shared[:, 4:6, 8:10].sum(axis=(1, 2, 3)), parts.max(axis=1), rtol=1e-4)

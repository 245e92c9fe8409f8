"""Bits-back coding: exact, and near the evidence of the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus import VariationalAutoencoder
from isthmus.artifact import FittedModel
from isthmus.codec.coding import bits_back
from isthmus.codec.coding.bits_back import STEPS
from isthmus.codec.coding.latent import LatentCoder
from isthmus.codec.coding.latent_fit import latent_coder
from isthmus.codec.columns import Columns
from isthmus.config.parts.likelihoods import DiscretisedLogistic
from isthmus.errors import ArtifactError, IsthmusError, ParameterError
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)

ROWS = 2000


def strokes(seed: int) -> np.ndarray:
    """Pictures of 8 x 8 zeros and ones: a bar each."""
    chance = np.random.default_rng(seed)
    place, is_flat = chance.integers(0, 7, (ROWS, 1, 1)), chance.random((ROWS, 1, 1)) < 0.5
    at = np.where(is_flat, np.arange(8)[:, None], np.arange(8)[None])
    share = np.where((at == place) | (at == place + 1), 0.95, 0.05)
    return (chance.random((ROWS, 8, 8)) < share).astype(np.uint8)


def shades(seed: int) -> np.ndarray:
    """Pictures of 6 x 6 bytes: a slope each."""
    chance = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-1, 1, 6)))
    slopes = chance.normal(size=(ROWS, 2))
    values = 128 + 30 * np.tensordot(slopes, grid, 1) + 6 * chance.normal(size=(ROWS, 6, 6))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def fitted(rows: np.ndarray, likelihood: object) -> FittedModel:
    model = VariationalAutoencoder(
        n_components=4,
        hidden_sizes=(48,),
        activation="relu",
        likelihood=likelihood,
        max_epochs=25,
        random_state=0,
    ).fit(
        rows[..., None]
        if isinstance(likelihood, DiscretisedLogistic)
        else rows.reshape(ROWS, -1).astype(float)
    )
    return model._model  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(scope="module")
def binary() -> LatentCoder:
    return latent_coder(fitted(strokes(0), "bernoulli"), strokes(0).reshape(ROWS, -1).astype(float))


@pytest.fixture(scope="module", params=[1, 2])
def levels(request: pytest.FixtureRequest) -> tuple[LatentCoder, FittedModel]:
    model = fitted(shades(0), DiscretisedLogistic(n_mixtures=request.param))
    return latent_coder(model, shades(0)), model


def minus_elbo_bits(model: FittedModel, rows: np.ndarray) -> float:
    """Of all rows, on average over draws."""
    module, x = model.module, torch.from_numpy(model.scaling.to_model(rows))
    with torch.no_grad():
        pre_code, _ = module.encoder(x)
        total = 0.0
        for draw in range(20):
            code = module.code(pre_code, Randomness(draw))
            assert code.rates is not None
            nats = module.distortion(module.decoder(code.value), x) + code.rates.sum(dim=1)
            total += float(nats.double().sum())
    return total / 20 / np.log(2)


def test_binary_rows_come_back_and_cost_the_evidence(binary: LatentCoder) -> None:
    rows = strokes(1).reshape(ROWS, -1).astype(float)
    payload = binary.packed({"values": rows})
    assert payload is not None
    found = binary.unpacked(payload, ROWS)["values"]
    assert isinstance(found, np.ndarray)
    assert found.dtype == rows.dtype
    np.testing.assert_array_equal(found, rows)
    assert 8 * len(payload) < 0.75 * rows.size


def test_levels_come_back_and_cost_the_evidence(levels: tuple[LatentCoder, FittedModel]) -> None:
    coder, model = levels
    rows = shades(1)
    payload = coder.packed({"values": rows})
    assert payload is not None
    found = coder.unpacked(payload, ROWS)["values"]
    np.testing.assert_array_equal(np.asarray(found), rows)
    assert 8 * len(payload) == pytest.approx(minus_elbo_bits(model, rows[..., None]), rel=0.01)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 300])
def test_any_number_of_rows_comes_back(binary: LatentCoder, n: int) -> None:
    rows = strokes(2)[:n].reshape(n, 64).astype(float)
    payload = binary.packed({"values": rows})
    assert payload is not None
    np.testing.assert_array_equal(np.asarray(binary.unpacked(payload, n)["values"]), rows)


def test_rows_like_no_other_come_back(levels: tuple[LatentCoder, FittedModel]) -> None:
    coder, _ = levels
    rows = np.random.default_rng(0).integers(0, 256, (50, 6, 6)).astype(np.uint8)
    rows[0], rows[1] = 0, 255
    payload = coder.packed({"values": rows})
    assert payload is not None
    np.testing.assert_array_equal(np.asarray(coder.unpacked(payload, 50)["values"]), rows)


def test_steps_grow(binary: LatentCoder) -> None:
    payload = binary.packed({"values": strokes(3).reshape(ROWS, -1).astype(float)})
    assert payload is not None
    n_steps = int.from_bytes(payload[:4], "little")
    steps = [STEPS[step] for step in payload[4 : 4 + n_steps]]
    assert steps[0] < 5
    assert max(steps) >= 96
    assert n_steps < 40


def test_the_section_makes_an_equal_coder(levels: tuple[LatentCoder, FittedModel]) -> None:
    coder, _ = levels
    again = LatentCoder.of_section(coder.section())
    again.check()
    rows: Columns = {"values": shades(4)}
    assert again.packed(rows) == coder.packed(rows)
    assert again.section() == coder.section()


def test_what_it_does_not_know_it_leaves(binary: LatentCoder) -> None:
    rows = strokes(0)[:5].reshape(5, -1).astype(float)
    for other in (rows + 2, rows.astype(np.float32), rows[:, :10]):
        assert binary.packed({"values": other}) is None
    assert binary.packed({"values": rows, "more": rows}) is None
    odd = rows.copy()
    odd[0, 0] = np.nan
    assert binary.packed({"values": odd}) is None


def test_models_without_probabilities_are_refused() -> None:
    rows = shades(0)
    model = VariationalAutoencoder(n_components=2, max_epochs=1, random_state=0).fit(rows[..., None])._model  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ParameterError, match="DiscretisedLogistic"):
        latent_coder(model, rows)


def test_rows_of_another_shape_are_refused(levels: tuple[LatentCoder, FittedModel]) -> None:
    with pytest.raises(ParameterError, match="fitted to"):
        latent_coder(levels[1], np.zeros((5, 4, 4), np.uint8))


def test_damaged_sections_and_payloads_are_named(binary: LatentCoder) -> None:
    section, chance = binary.section(), np.random.default_rng(0)
    for place in chance.integers(0, len(section), 60).tolist():
        spoilt = bytearray(section)
        spoilt[place] ^= 1 << int(chance.integers(8))
        try:
            LatentCoder.of_section(bytes(spoilt)).check()
        except IsthmusError:
            continue
    with pytest.raises(ArtifactError):
        LatentCoder.of_section(section[: len(section) // 2])
    payload = binary.packed({"values": strokes(0)[:50].reshape(50, -1).astype(float)})
    assert payload is not None
    for spoilt in (b"", payload[:3], payload[:-1], b"\xff" * len(payload)):
        with pytest.raises(ArtifactError):
            binary.unpacked(spoilt, 50)
    with pytest.raises(ArtifactError):
        binary.unpacked(payload, 400)


def test_steps_of_large_rows_are_short(binary: LatentCoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a block takes no more memory than a step of it; a reader refuses longer ones."""
    rows = strokes(3)[:500].reshape(500, -1).astype(float)
    whole = binary.packed({"values": rows})
    monkeypatch.setattr(bits_back, "MOST_OUTPUTS", 20 * 64 + 7)
    payload = binary.packed({"values": rows})
    assert payload is not None
    n_steps = int.from_bytes(payload[:4], "little")
    assert max(STEPS[step] for step in payload[4 : 4 + n_steps]) == 20
    np.testing.assert_array_equal(np.asarray(binary.unpacked(payload, 500)["values"]), rows)
    assert whole is not None
    with pytest.raises(ArtifactError, match="memory"):
        binary.unpacked(whole, 500)

"""Advice where units or the whole code carry nothing, and none where they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine

from isthmus.artifact import FittedModel
from isthmus.config import Config
from isthmus.evaluation.advice import advice, is_advice
from isthmus.evaluation.metrics import measure
from isthmus.inference import Inference
from isthmus.journal import read_journal
from isthmus.sources import ArraySource
from isthmus.workflows.fit import fit, train_further
from isthmus.workflows.run import run_fit

torch.set_num_threads(1)

_FLAT = np.random.default_rng(0).normal(size=(200, 2)) @ np.random.default_rng(1).normal(size=(2, 6))
PLANE = (_FLAT + 0.01 * np.random.default_rng(2).normal(size=_FLAT.shape)).astype(np.float32)


def fitted(model: dict[str, Any], x: np.ndarray = PLANE, **training: Any) -> tuple[list[str], Config]:
    plan = {"epochs": 4, "seed": 0, "threads": 1, **training}
    model_, history = fit(
        ArraySource(x), Config.from_dict({"model": {"code_size": 3, **model}, "training": plan})
    )
    assert [note for note in model_.notes if is_advice(note)] == history.notes
    return history.notes, model_.config


def last_layer(model: FittedModel) -> Any:
    """What gives the code, of a dense network."""
    layers: Any = model.module.encoder.get_submodule("layers")
    return layers[-1]


def test_a_gaussian_code_that_the_prior_has_taken() -> None:
    (note,), _ = fitted({"code": {"type": "gaussian", "beta": 1000.0}}, epochs=30)
    assert note.startswith("Posterior collapse: 3 of 3 code units carry nothing")
    for words in ("no better than the mean", "lower beta (1000 now)", "warm_up_share=0.25", "free_bits=0.05"):
        assert words in note


def test_what_is_set_already_is_not_what_to_try() -> None:
    code = {"type": "gaussian", "beta": 1000.0, "warm_up_share": 0.1, "free_bits": 1e-6}
    (note,), _ = fitted({"code": code}, epochs=30)
    assert "warm_up_share" not in note
    assert "more free bits (free_bits=1e-06 now)" in note
    (note,), _ = fitted({"code": {"type": "gaussian", "beta": 100.0, "capacity": 0.0}}, epochs=30)
    assert "raise capacity (0 nats now)" in note


def test_a_gaussian_unit_that_rests_at_the_prior() -> None:
    """By the statistic of Burda et al. (2016): one unit of four says N(0, 1) of every row."""
    model, _ = fit(
        ArraySource(PLANE),
        Config.from_dict(
            {
                "model": {"code_size": 4, "code": {"type": "gaussian", "beta": 0.05}},
                "training": {"epochs": 4, "seed": 0, "threads": 1},
            }
        ),
    )
    layer = last_layer(model)
    with torch.no_grad():
        layer.weight[[1, 5]], layer.bias[[1, 5]] = 0.0, 0.0
    measured = measure(Inference(model), ArraySource(PLANE))
    (note,) = advice(Inference(model), measured)
    assert note.startswith("Inactive units: 1 of 4 code units carries nothing")
    assert "code_size=3 would be enough" in note
    assert "lower beta (0.05 now)" in note


def test_a_penalty_that_leaves_nothing() -> None:
    """So heavy a Laplace prior holds every unit at 0, and the decoder gives the mean."""
    code = {"type": "deterministic", "activation": "relu"}
    notes, config = fitted({"code": code, "penalties": [{"type": "l1", "weight": 1000.0}]}, epochs=60)
    better, dead = notes
    assert better.startswith("No better than the mean: the reconstructions have 1.0")
    assert "where PCA has 0.0" in better
    assert f"learning_rate ({config.training.learning_rate:g} now)" in better
    assert dead.startswith("Dead units: 3 of 3 code units carry nothing")
    for note in notes:
        assert "lower the weight of L1 (1000 now)" in note
    assert "dead_units='revived'" in dead
    again, _ = fitted(
        {"code": code, "penalties": [{"type": "l1", "weight": 1000.0}]}, epochs=60, dead_units="revived"
    )
    assert not any("dead_units" in note for note in again)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            {"type": "top_k", "n_active": 1},
            ("raise n_active (1 now)", "first_n_active=4", "dead_units='revived'"),
        ),
        ({"type": "batch_top_k", "n_active": 1}, ("raise n_active (1 now)", "lower learning_rate")),
    ],
)
def test_units_that_are_never_among_the_largest(code: dict[str, Any], words: tuple[str, ...]) -> None:
    (note,), _ = fitted({"code_size": 40, "code": code}, epochs=20)
    n_dead = int(note.removeprefix("Dead units: ").split()[0])
    assert 0 < n_dead < 40
    assert f"code_size={40 - n_dead} would be enough" in note
    for said in words:
        assert said in note


def test_a_unit_that_only_training_rows_use_is_not_dead() -> None:
    """The twin: without a look at them, or where they do not use it either, it is called so."""
    model, _ = fit(
        ArraySource(PLANE),
        Config.from_dict(
            {
                "model": {"code_size": 2, "code": {"type": "deterministic", "activation": "relu"}},
                "training": {"epochs": 1, "seed": 0, "threads": 1},
            }
        ),
    )
    layer = last_layer(model)
    with torch.no_grad():
        layer.weight[0], layer.bias[0] = 0.0, -1.0
    inference, usual = Inference(model), ArraySource(PLANE)
    measured = measure(inference, usual)
    assert measured.dead.tolist() == [True, False]
    said = "Dead units: 1 of 2 code units carries nothing"
    assert any(note.startswith(said) for note in advice(inference, measured))
    assert any(note.startswith(said) for note in advice(inference, measured, usual))
    with torch.no_grad():  # as if other rows reached it
        layer.weight[0], layer.bias[0] = layer.weight[1], layer.bias[1]
    assert not any(note.startswith("Dead") for note in advice(inference, measured, usual))


def test_rows_that_have_nothing_in_common() -> None:
    """No code of one unit can carry two hundred independent columns; PCA tells as much."""
    x = np.random.default_rng(0).normal(size=(4000, 200)).astype(np.float32)
    (note,), _ = fitted({"code_size": 1, "network": {"hidden_sizes": [2]}}, x, epochs=1)
    assert note.startswith("No better than the mean: the reconstructions have 0.99 of the error")
    assert "where PCA has 0.99 too" in note
    assert note.endswith("these rows may have nothing in common that a code of this size could carry.")


KINDS = (
    "basic",
    "sparse",
    "denoising",
    "imputing",
    "contractive",
    "transformer",
    "convolutional",
    "variational",
)


@pytest.mark.parametrize("kind", KINDS)
def test_sound_models_get_none(kind: str) -> None:
    pictures = np.asarray(load_digits(return_X_y=True)[0], np.float32).reshape(-1, 8, 8, 1) / 16
    model: dict[str, Any] = {"kind": kind, "code_size": "auto"}
    if kind == "variational":  # under squared error a beta of 1 is much
        model |= {"code_size": 4, "code": {"type": "gaussian", "beta": 0.1}}
    assert fitted(model, pictures, epochs=8)[0] == []
    if kind != "convolutional":
        assert fitted(model, np.asarray(load_wine(return_X_y=True)[0], np.float32), epochs=20)[0] == []


def test_what_is_trained_further_is_judged_anew() -> None:
    config = Config.from_dict(
        {
            "model": {"code_size": 2, "code": {"type": "gaussian", "beta": 1000.0}},
            "training": {"epochs": 30, "seed": 0, "threads": 1, "validation_share": 0.0},
        }
    )
    model, _ = fit(ArraySource(PLANE), config)
    assert sum(map(is_advice, model.notes)) == 1
    train_further(model, ArraySource(PLANE))
    assert sum(map(is_advice, model.notes)) == 1
    model.module.code.rate_weight = 0.0
    train_further(model, ArraySource(PLANE))
    assert sum(map(is_advice, model.notes)) == 0


def test_a_run_tells_it_in_its_journal_and_its_report_once(tmp_path: Path) -> None:
    config = Config.from_dict(
        {
            "model": {"code_size": 2, "code": {"type": "gaussian", "beta": 1000.0}},
            "training": {"epochs": 30, "seed": 0, "threads": 1},
        }
    )
    run = run_fit(ArraySource(PLANE), config, name="x", folder=tmp_path / "run")
    (note,) = run.history.notes
    events = read_journal(tmp_path / "run" / "journal.jsonl")
    assert [event["text"] for event in events if event["event"] == "note"] == [note]
    assert (tmp_path / "run" / "report.html").read_text("utf-8").count("Posterior collapse") == 1

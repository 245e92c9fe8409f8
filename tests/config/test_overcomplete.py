"""A code with room for everything, and nothing against copying: said once, and never without reason."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from isthmus import Autoencoder
from isthmus.artifact import FittedModel
from isthmus.config import Config, Model, Training
from isthmus.config.catalogue import Custom
from isthmus.config.overcomplete import overcomplete_note
from isthmus.config.parts.codes import (
    BatchTopKCode,
    DeterministicCode,
    GaussianCode,
    TopKCode,
    WinnerTakeAllCode,
)
from isthmus.config.parts.corruptions import GaussianNoise, Masking
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import L1, LaplacePrior
from isthmus.errors import OvercompleteWarning
from isthmus.sources import ArraySource
from isthmus.workflows.fit import prepare

torch.set_num_threads(1)
ROWS = np.random.default_rng(0).normal(size=(40, 5))


def note(*, n_values: int = 5, training: Any = None, **params: Any) -> str | None:
    chosen = {"code_size": 6, "network": Dense((8,)), "likelihood": "squared_error", **params}
    return overcomplete_note(Config(model=Model(**chosen), training=training or Training()), n_values)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"code_size": 5},
        {"code": DeterministicCode("sigmoid")},
        {"network": Dense(())},
        {"network": Conv2d((4,))},
        {"penalties": L1(0.0)},
        {"network": Dense((8,), tied=True)},
    ],
    ids=repr,
)
def test_said(params: dict[str, Any]) -> None:
    said = note(**params)
    assert said is not None
    size = params.get("code_size", 6)
    assert said.startswith(f"The code has {size} units for 5 values and nothing regularises it")


@pytest.mark.parametrize(
    "params",
    [
        {"code_size": 4},
        {"corruption": Masking(0.3)},
        {"penalties": L1(0.1)},
        {"penalties": LaplacePrior(2.0)},
        {"training": Training(weight_decay=0.1)},
        {"code": GaussianCode()},
        {"code": TopKCode(2)},
        {"code": BatchTopKCode(2)},
        {"code": WinnerTakeAllCode()},
        {"code": DeterministicCode(noise=0.1)},
        {"code": DeterministicCode(final_noise=0.1)},
        {"code": Custom("mine")},
        {"network": Custom("mine")},
        {"network": Dense((8, 4))},
        {"n_values": 1, "code_size": 1},
    ],
    ids=repr,
)
def test_no_false_alarm(params: dict[str, Any]) -> None:
    assert note(**params) is None


def test_the_model_keeps_it() -> None:
    model = Model(code_size=6, network=Dense((8,)))
    made = prepare(ArraySource(ROWS), Config(model=model, training=Training(seed=0))).model
    assert note() in made.notes
    assert note() in FittedModel.from_bytes(made.to_bytes()).notes


def test_the_estimator_warns() -> None:
    with pytest.warns(OvercompleteWarning, match="identity: take a smaller code") as caught:
        Autoencoder(6, max_epochs=1, random_state=0).fit(ROWS)
    assert caught[0].filename == __file__
    with pytest.warns(OvercompleteWarning, match="nothing regularises it"):
        first = Autoencoder(6, max_epochs=1, random_state=0).partial_fit(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.partial_fit(ROWS)
        Autoencoder(6, penalties=L1(0.1), max_epochs=1, random_state=0).fit(ROWS)
        Autoencoder(max_epochs=1, random_state=0).fit(ROWS)


def test_unregularised_it_is_the_identity_and_corrupted_it_is_not() -> None:
    """Five independent columns: the copy rebuilds them; under noise of their own size the filter is one half."""
    rows = np.random.default_rng(1).normal(size=(600, 5))
    chosen: dict[str, Any] = {"hidden_sizes": (), "max_epochs": 60, "random_state": 0}
    with pytest.warns(OvercompleteWarning):
        free = Autoencoder(6, start="random", **chosen).fit(rows)
    held = Autoencoder(6, corruption=GaussianNoise(1.0), start="random", **chosen).fit(rows)
    assert -free.score(rows) < 0.01
    assert -held.score(rows) == pytest.approx(0.25, rel=0.2)

"""Fitted models without a fit: random rows, random weights, and everything else that a file holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.artifact import FittedModel
from isthmus.config import Config, Model
from isthmus.config.parts.networks import Dense
from isthmus.evaluation.baselines import fit_baseline
from isthmus.model.build import Factory, build
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource

torch.set_num_threads(1)

Make = Callable[..., FittedModel]


def make(
    shape: tuple[int, ...] = (3,),
    parts: Mapping[str, Factory] | None = None,
    *,
    seed: int = 0,
    columns: tuple[str, ...] | None = None,
    **chosen: Any,
) -> FittedModel:
    rows = np.random.default_rng(seed).random((6, *shape)).astype(np.float32)
    source = ArraySource(rows, columns=columns)
    chosen = {"code_size": 2, "network": Dense(()), "likelihood": "squared_error", **chosen}
    model = Model(**chosen)
    config = Config(model=model).with_training(seed=seed)
    scaling = Scaling.fit(source, np.arange(6), method="range" if len(shape) == 3 else "standardise")
    module = build(model, scaling.model_shape, seed=seed, parts=parts)
    return FittedModel(
        config=config,
        scaling=scaling,
        module=module.eval(),
        baseline=fit_baseline(lambda part: scaling.to_model(source.read(part)), 6, module.code.size),
        metrics={
            "rows": 6,
            "error": {"sse": 0.1 + 0.2, "mse": 0.1},
            "baselines": {},
            "code": {"size": 2, "active": 2, "dead": 0},
            "loss": 0.1 + 0.2,
        },
        epochs=[{"epoch": 1, "learning_rate": 1e-3, "training": {"loss": 1 / 3}, "validation": None}],
        best_epoch=1,
        notes=("Größe: 数据.",),
    )


@pytest.fixture(scope="session", name="make")
def make_fixture() -> Make:
    """Make a model; see :func:`make`."""
    return make

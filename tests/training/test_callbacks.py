"""What a callback is told, and in which order."""

from __future__ import annotations

import json
from typing import Any

import torch

from isthmus.config import Model, Training
from isthmus.config.parts.networks import Dense
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows


class Notes(Callback):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def begin(self, n_epochs: int, n_rows: int) -> None:
        self.calls.append(("begin", n_epochs, n_rows))

    def step(self, n_rows: int) -> None:
        self.calls.append(("step", n_rows))

    def epoch(self, epoch: Epoch) -> None:
        self.calls.append(("epoch", epoch.epoch))

    def end(self, reason: str) -> None:
        self.calls.append(("end", reason))


def test_a_callback_is_told_everything_in_order() -> None:
    torch.set_num_threads(1)
    module = build(Model(code_size=2, network=Dense(()), likelihood="squared_error"), (4,), seed=0)
    plan = Training(
        epochs=2,
        batch_size=4,
        learning_rate=0.01,
        gradient_clip=None,
        patience=None,
        seed=0,
        device="cpu",
        threads=1,
    )
    notes = Notes()
    Trainer(module, plan).fit(TensorRows(Randomness(0).normal((10, 4))), callbacks=[Callback(), notes])
    steps = [("step", 4), ("step", 3), ("step", 3)]
    assert notes.calls == [
        ("begin", 2, 10), *steps, ("epoch", 1), *steps, ("epoch", 2), ("end", "all epochs"),
    ]  # fmt: skip


def test_an_epoch_is_plain_values() -> None:
    epoch = Epoch(3, 0.01, {"loss": 2.0}, None)
    assert json.loads(json.dumps(epoch.to_dict())) == {
        "epoch": 3, "learning_rate": 0.01, "training": {"loss": 2.0}, "validation": None,
    }  # fmt: skip

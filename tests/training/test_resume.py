"""A training that goes on from a kept state ends as one that was never interrupted: weights, records, notes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isthmus.config import Model, Training
from isthmus.config.parts.codes import BatchTopKCode, GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise
from isthmus.config.parts.networks import Dense
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import History, Trainer
from isthmus.training.rows import Rows, TensorRows
from isthmus.training.stacked import fit_layer_by_layer
from isthmus.training.state import Keeper, State
from isthmus.training.streaming import Mixing, StreamedRows

D, N = 5, 46
X = Randomness(0).normal((N, D))
HELD_OUT = Randomness(1).normal((9, D))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def plan(**params: Any) -> Training:
    chosen = {
        "epochs": 5, "batch_size": 9, "learning_rate": 0.02, "patience": None, "seed": 7, "device": "cpu", "threads": 1,
    }  # fmt: skip
    return Training(**{**chosen, **params})


def made(**params: Any) -> AutoencoderModule:
    chosen = {"code_size": 2, "network": Dense((6,)), "likelihood": "squared_error", **params}
    return build(Model(**chosen), (D,), seed=3)


def streamed() -> StreamedRows:
    source = ArraySource(X.numpy())
    rows = StreamedRows(source, Scaling.fit(source, None, None, method="none"), 10**9)
    rows.mixing = Mixing(N, 4, 3)
    return rows


class Recorder(Callback):
    def __init__(self) -> None:
        self.epochs, self.rows, self.notes = list[Epoch](), 0, list[str]()

    def goes_on(self, epochs: Any, n_rows: int) -> None:
        self.epochs, self.rows = list(epochs), n_rows

    def step(self, n_rows: int) -> None:
        self.rows += n_rows

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)


Fit = Callable[..., History]


def end_to_end(module: AutoencoderModule, settings: Training, rows: Rows[Tensor], **params: Any) -> History:
    return Trainer(module, settings).fit(rows, TensorRows(HELD_OUT), **params)


def in_levels(module: AutoencoderModule, settings: Training, rows: Rows[Tensor], **params: Any) -> History:
    return fit_layer_by_layer(module, settings, rows, TensorRows(HELD_OUT), **params)


def outcome(module: AutoencoderModule, history: History, recorder: Recorder) -> tuple[Any, ...]:
    weights = {name: value.numpy().tobytes() for name, value in module.state_dict().items()}
    return weights, asdict(history), [asdict(epoch) for epoch in recorder.epochs], recorder.rows


class Spoilt(Rows[Tensor]):
    """Rows of which one cannot be learned from."""

    def __init__(self, *rows: int) -> None:
        self.x = X.clone()
        self.x[list(rows), 1] = math.inf

    def __len__(self) -> int:
        return N

    def gather(self, indices: Tensor) -> Tensor:
        return self.x[indices]


CASES: dict[str, tuple[Fit, Callable[[], AutoencoderModule], Callable[[], Rows[Tensor]], Training]] = {
    "plain": (end_to_end, made, lambda: TensorRows(X), plan()),
    "clipped, patient": (end_to_end, made, lambda: TensorRows(X), plan(gradient_clip=0.5, patience=0.2, epochs=9)),
    "bfloat16": (end_to_end, made, lambda: TensorRows(X), plan(precision="bfloat16")),
    "noise": (
        end_to_end,
        lambda: made(code=GaussianCode(), corruption=GaussianNoise(0.2)),
        lambda: TensorRows(X),
        plan(warm_up_share=0.5),
    ),
    "buffers": (
        end_to_end,
        lambda: made(code=BatchTopKCode(1), code_size=4),
        lambda: TensorRows(X),
        plan(),
    ),
    "revived": (end_to_end, lambda: made(code_size=8), lambda: TensorRows(X), plan(dead_units="revived")),
    "layer by layer": (
        in_levels,
        lambda: made(network=Dense((6, 4)), code_size=2),
        lambda: TensorRows(X),
        plan(scheme="layer_by_layer", epochs=8),
    ),
    "layer by layer, streamed": (
        in_levels,
        lambda: made(network=Dense((6,)), code_size=2),
        streamed,
        plan(scheme="layer_by_layer", epochs=5),
    ),
    "streamed": (end_to_end, made, streamed, plan()),
    "a bad row": (end_to_end, made, lambda: Spoilt(3), plan()),
    "many bad rows": (end_to_end, made, lambda: Spoilt(*range(0, 46, 8)), plan(epochs=2, batch_size=6)),
}  # fmt: skip


def run(case: str, state: State | None = None, keeper: Keeper | None = None) -> tuple[Any, ...]:
    fit, make, rows, settings = CASES[case]
    module, recorder = make(), Recorder()
    try:
        history = fit(module, settings, rows(), callbacks=[recorder], state=state, keeper=keeper)
    except Exception as error:
        return (str(error), {name: value.numpy().tobytes() for name, value in module.state_dict().items()})
    return outcome(module, history, recorder)


@pytest.mark.parametrize("case", CASES)
def test_stopped_after_any_step_and_resumed_it_ends_the_same(case: str, stopping: Any) -> None:
    expected = run(case)
    total = stopping(10**9)
    run(case, keeper=total)
    n_steps = 10**9 - total.left
    assert n_steps >= 8
    for after in range(1, n_steps + 1):
        keeper = stopping(after)
        run(case, keeper=keeper)
        assert keeper.state is not None
        assert run(case, keeper.state) == expected, after


@pytest.mark.parametrize("case", ["noise", "layer by layer", "a bad row"])
def test_stopped_after_every_other_step_it_ends_the_same(case: str, stopping: Any) -> None:
    expected, state = run(case), None
    for _ in range(200):
        keeper = stopping(2)
        found = run(case, state, keeper)
        if keeper.state is None:
            assert found == expected
            return
        state = keeper.state
    pytest.fail("never ended")


def test_a_state_with_a_wrong_place_ends_differently(stopping: Any) -> None:
    """The test above can fail: one batch too few, or moments that were forgotten, show."""
    expected = run("plain")
    for spoil in ({"n_batches_done": 3}, {"n_steps_done": 8}, {"rate_share": 0.5}):
        keeper = stopping(10)
        run("plain", keeper=keeper)
        assert keeper.state is not None
        keeper.state.values.update(spoil)
        assert run("plain", keeper.state) != expected, spoil
    keeper = stopping(10)
    run("plain", keeper=keeper)
    assert keeper.state is not None
    keeper.state.groups["moments"] = {}
    assert run("plain", keeper.state) != expected


def test_the_first_batches_are_left_out() -> None:
    for rows in (TensorRows(X), streamed()):
        whole = list(rows.in_order(Randomness(4), 7))
        for n_done in range(8):
            rest = list(rows.in_order(Randomness(4), 7, n_done))
            assert [i.tolist() for i, _ in rest] == [i.tolist() for i, _ in whole[n_done:]]
            assert all(torch.equal(x, y) for (_, x), (_, y) in zip(rest, whole[n_done:], strict=True))


def test_blocks_of_batches_that_are_left_out_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    rows, read = streamed(), ArraySource.read
    monkeypatch.setattr(ArraySource, "read", lambda self, which: (asked.append(which), read(self, which))[1])
    list(rows.in_order(Randomness(4), 23, 13))  # 26 of 46 rows, mixtures of 12
    assert len(asked) == 12 - 6
    assert np.all([isinstance(which, slice) for which in asked])

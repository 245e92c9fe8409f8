"""The loop, beside a plain one written by hand, and the laws of its order, its chance and its end."""

from __future__ import annotations

import gc
import itertools
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from isthmus.config import Model, Training
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise
from isthmus.config.parts.networks import Dense
from isthmus.config.parts.penalties import L1, WeightDecay
from isthmus.errors import TrainingError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads
from isthmus.training.best import Best as _Best
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import VALIDATION_BATCH, Trainer
from isthmus.training.rows import Rows, TensorRows

D, K, N = 5, 2, 21
X = Randomness(0).normal((N, D))
HELD_OUT = Randomness(1).normal((8, D))

State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def made(**params: Any) -> AutoencoderModule:
    chosen = {"code_size": K, "network": Dense((6,)), "likelihood": "squared_error", **params}
    return build(Model(**chosen), (D,), seed=3)


def plan(**params: Any) -> Training:
    chosen = {
        "epochs": 4, "batch_size": 6, "learning_rate": 0.01, "gradient_clip": None, "patience": None, "seed": 7,
        "device": "cpu", "threads": 1,
    }  # fmt: skip
    return Training(**{**chosen, **params})


def state(module: AutoencoderModule) -> State:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(a: State, b: State) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def assert_near(a: State, b: State) -> None:
    """But for rounding: a plain dense module's steps are made without a graph, see test_dense_step.py."""
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6)


def differ(a: State, b: State) -> bool:
    return any(not torch.equal(a[name], b[name]) for name in a)


class Watched(Rows):
    """Rows that remember which were gathered."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.batches = x, list[list[int]]()

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, indices: Tensor) -> Tensor:
        self.batches.append(indices.tolist())
        return self.x[indices]


class Noting(Callback):
    """Remembers what a user is told, and how many rows were learned from."""

    def __init__(self) -> None:
        self.notes, self.n_rows = list[str](), 0

    def step(self, n_rows: int) -> None:
        self.n_rows += n_rows

    def note(self, text: str) -> None:
        self.notes.append(text)


# Order of rows


def order_of(n: int = N, **params: Any) -> list[list[int]]:
    rows = Watched(Randomness(0).normal((n, D)))
    Trainer(made(), plan(**params)).fit(rows)
    return rows.batches


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    first = order_of(epochs=2)
    torch.manual_seed(99)
    np.random.seed(99)
    assert order_of(epochs=2) == first
    assert order_of(epochs=4)[:8] == first
    assert order_of(epochs=2, learning_rate=0.5, warm_up_share=0.0) == first
    assert first[:4] != first[4:]
    assert order_of(epochs=2, seed=8) != first


@given(n=st.integers(2, 40), batch=st.integers(1, 50))
def test_each_row_once_an_epoch_in_batches_of_nearly_one_size(n: int, batch: int) -> None:
    n_batches = Trainer(made(), plan(batch_size=batch))._n_batches(n)
    in_order = TensorRows(torch.zeros(n, 1)).in_order(Randomness(7, "order", 1), n_batches)
    batches = [indices.tolist() for indices, _ in in_order]
    sizes = [len(part) for part in batches]
    assert sorted(itertools.chain(*batches)) == list(range(n))
    assert len(batches) == math.ceil(n / batch)
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1


def test_a_fit_leaves_global_generators_alone() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    module = made(code=GaussianCode(), corruption=GaussianNoise(0.1))
    Trainer(module, plan()).fit(TensorRows(X), TensorRows(HELD_OUT))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


# Steps


def by_hand(
    module: AutoencoderModule,
    rates: Callable[[int], float],
    *,
    n_epochs: int = 4,
    decay: float = 0.0,
    clip: float | None = None,
) -> State:
    """The plain loop: nothing of the trainer but the order of rows."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=1.0, weight_decay=decay, fused=True)
    module.train()
    step = 0
    for epoch in range(1, n_epochs + 1):
        order = Randomness(7, "order", epoch).permutation(N)
        for indices in np.array_split(order.numpy(), 4):
            optimiser.param_groups[0]["lr"] = rates(step)
            optimiser.zero_grad()
            module.objective(X[torch.from_numpy(indices)], step).loss.backward()
            if clip is not None:
                gradients = [p.grad for p in module.parameters() if p.grad is not None]
                norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
                for gradient in gradients:
                    gradient.mul_((clip / (norm + 1e-6)).clamp(max=1.0))
            optimiser.step()
            step += 1
    return state(module)


def cosine(step: int) -> float:
    """4 steps of warm-up, then half a cosine over the 12 that are left, at most 0.01."""
    return 0.01 * ((step + 1) / 4 if step < 4 else (1 + math.cos(math.pi * (step - 4) / 12)) / 2)


PARTS: list[dict[str, Any]] = [
    {},
    {"code": GaussianCode(), "corruption": GaussianNoise(0.2)},
    {"penalties": (L1(0.1), WeightDecay(0.01))},
]


@pytest.mark.parametrize("parts", PARTS, ids=["plain", "chance", "penalties"])
def test_training_equals_a_loop_written_by_hand(parts: dict[str, Any]) -> None:
    module = made(**parts)
    Trainer(module, plan(warm_up_share=0.25)).fit(TensorRows(X))
    assert_near(state(module), by_hand(made(**parts), cosine))


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_decay_and_clipping_are_those_of_the_loop_by_hand(decay: float, clip: float | None) -> None:
    module = made()
    settings = plan(warm_up_share=0.0, schedule="constant", weight_decay=decay, gradient_clip=clip)
    Trainer(module, settings).fit(TensorRows(X))
    assert_near(state(module), by_hand(made(), lambda _: 0.01, decay=decay, clip=clip))


def test_decay_and_clipping_each_change_the_weights() -> None:
    found = []
    for params in ({}, {"weight_decay": 0.3}, {"gradient_clip": 0.5}):
        module = made()
        Trainer(module, plan(**params)).fit(TensorRows(X))
        found.append(state(module))
    assert differ(found[0], found[1])
    assert differ(found[0], found[2])


def test_weight_decay_alone_shrinks_by_a_known_factor() -> None:
    """A constant weight 0 in the loss leaves AdamW's decay: ``(1 - rate decay)`` a step."""
    module = made()
    before = state(module)
    rows, weight = TensorRows(X), torch.zeros(N)
    Trainer(module, plan(epochs=1, batch_size=N, warm_up_share=0.0, weight_decay=0.5)).fit(
        rows, sample_weight=weight
    )
    for name, value in state(module).items():
        torch.testing.assert_close(value, before[name] * (1 - 0.01 * 0.5), rtol=1e-6, atol=0)


def test_two_runs_give_the_same_bits() -> None:
    found = []
    for _ in range(2):
        module = made(code=GaussianCode(), corruption=GaussianNoise(0.1))
        history = Trainer(module, plan()).fit(TensorRows(X), TensorRows(HELD_OUT))
        found.append((state(module), [epoch.to_dict() for epoch in history.epochs]))
    assert_same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_a_weight_is_as_many_copies_of_the_row() -> None:
    """One step on all rows, so that the gradient alone counts."""
    counts = torch.arange(N) % 3 + 1
    weighted, repeated = made(), made()
    weights = counts / counts.float().mean()
    settings = {"epochs": 1, "warm_up_share": 0.0}
    found, expected = Gradients(weighted), Gradients(repeated)
    Trainer(weighted, plan(batch_size=N, **settings)).fit(
        TensorRows(X), sample_weight=weights, callbacks=[found]
    )
    Trainer(repeated, plan(batch_size=1000, **settings)).fit(
        TensorRows(X.repeat_interleave(counts, 0)), callbacks=[expected]
    )
    torch.testing.assert_close(found.last, expected.last, rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is None for parameter in weighted.parameters())  # nobody's any more


class Gradients(Callback):
    """Those of an epoch's last step."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module, self.last = module, dict[str, torch.Tensor]()

    def epoch(self, record: Epoch) -> None:
        for name, parameter in self._module.named_parameters():
            assert parameter.grad is not None
            self.last[name] = parameter.grad.clone()


@pytest.mark.parametrize("code", ["deterministic", "gaussian"], ids=["without a graph", "by autograd"])
def test_moments_and_snapshots_do_not_wait_for_the_garbage_collector(code: str) -> None:
    """They take several times as much memory as the weights, and a training holds itself nowhere."""
    trainer = Trainer(made(code=code), plan())
    trainer.fit(TensorRows(X), TensorRows(HELD_OUT))
    held = weakref.ref(trainer)
    gc.disable()
    try:
        del trainer
        assert held() is None
    finally:
        gc.enable()


def test_history_holds_the_means_of_an_epoch() -> None:
    """With a rate of nearly nothing the weights stay, and means are those of all rows."""
    module = made(penalties=L1(0.5))
    with torch.no_grad():
        known = module.objective(X, 0)
    history = Trainer(module, plan(epochs=1, learning_rate=1e-12)).fit(TensorRows(X), TensorRows(X))
    (record,) = history.epochs
    for found in (record.training, record.validation or {}):
        assert found["loss"] == pytest.approx(known.loss.item(), rel=1e-5)
        assert found["l1"] == pytest.approx(known.terms["l1"].item(), rel=1e-5)
        assert found["loss"] == pytest.approx(found["distortion"] + 0.5 * found["l1"], rel=1e-5)


def test_one_pass_is_the_loop_at_the_highest_rate() -> None:
    module = made()
    trainer = Trainer(module, plan())
    trainer.one_pass(TensorRows(X))
    assert not module.training
    twin = made()
    optimiser = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.0, fused=True)
    for step, indices in enumerate(Randomness(7, "order", 0).permutation(N).tensor_split(4)):
        optimiser.zero_grad()
        twin.objective(X[indices], step).loss.backward()
        optimiser.step()
    assert_same(state(module), state(twin))
    trainer.one_pass(TensorRows(X))
    assert trainer.n_steps_done == 8


# Validation


def test_validation_noise_is_a_function_of_seed_and_row() -> None:
    module = made(code=GaussianCode(), corruption=GaussianNoise(0.5))
    n = VALIDATION_BATCH + 20
    rows = TensorRows(Randomness(5).normal((n, D)))
    means, losses = Trainer(module, plan()).validate(rows)
    again, same = Trainer(module, plan(epochs=9, batch_size=2)).validate(rows)
    assert means == again
    assert torch.equal(losses, same)
    assert losses.shape == (n,)
    other = Trainer(module, plan(seed=8)).validate(rows)[1]
    assert not torch.equal(losses, other)
    fewer = Trainer(module, plan()).validate(TensorRows(rows.gather(torch.arange(VALIDATION_BATCH))))[1]
    torch.testing.assert_close(fewer, losses[:VALIDATION_BATCH])
    alike = Trainer(module, plan()).validate(TensorRows(X[:1].repeat(2 * VALIDATION_BATCH, 1)))[1]
    assert len(alike.unique()) > 1.9 * VALIDATION_BATCH


def test_validation_repeats_across_epochs_and_trains_nothing() -> None:
    """Weights that stay give the same validation in every epoch."""
    module = made(code=GaussianCode())
    history = Trainer(module, plan(learning_rate=1e-30)).fit(TensorRows(X), TensorRows(HELD_OUT))
    found = [epoch.validation for epoch in history.epochs]
    assert found[0] is not None
    assert all(one == found[0] for one in found)
    alone, beside = made(), made()
    Trainer(alone, plan()).fit(TensorRows(X))
    Trainer(beside, plan()).fit(TensorRows(X), TensorRows(X))
    assert_same(state(alone), state(beside))


def test_validation_counts_weights() -> None:
    weights = torch.tensor([2.0, 1, 1, 0, 0, 0, 2, 2])
    twice = HELD_OUT[[0, 0, 1, 2, 6, 6, 7, 7]]
    means, _ = Trainer(made(), plan()).validate(TensorRows(HELD_OUT), weights)
    known, _ = Trainer(made(), plan()).validate(TensorRows(twice))
    assert means["loss"] == pytest.approx(known["loss"], rel=1e-5)


# Which weights are returned


def offered(*epochs: list[float]) -> tuple[_Best, AutoencoderModule, list[State]]:
    """Offer epochs with the losses of their rows; each has weights of its own."""
    best, module, states = _Best(), made(), list[State]()
    for epoch, losses in enumerate(epochs, 1):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(1.0)
        states.append(state(module))
        best.offer(epoch, torch.tensor(losses), module)
    return best, module, states


def test_the_lowest_epoch_returns_when_the_last_is_worse_beyond_chance() -> None:
    best, module, states = offered([2.0, 2.1, 1.9], [1.0, 1.1, 0.9], [3.0, 3.2, 2.9])
    assert best.restore(module) == 2
    assert_same(state(module), states[1])


def test_the_last_epoch_stays_when_the_difference_may_be_chance() -> None:
    """Better on average by 0.1, but one row in two is worse: far under two standard errors."""
    best, module, states = offered([1.0, 1.0, 1.0, 1.0], [2.0, 0.2, 2.0, 0.2])
    assert best.restore(module) == 2
    assert_same(state(module), states[1])


def test_the_difference_counts_in_pairs() -> None:
    """Rows differ a lot, the difference of each between epochs is sure."""
    best, module, states = offered([1.0, 100.0, 1000.0], [1.5, 100.6, 1000.55])
    assert best.restore(module) == 1
    assert_same(state(module), states[0])


@pytest.mark.parametrize(("excess", "epoch"), [(1.9, 2), (2.1, 1)])
def test_two_standard_errors_are_the_border(excess: float, epoch: int) -> None:
    spread = torch.tensor([-1.0, 1.0] * 50)
    error = spread.std().item() / 10
    best, module, _ = offered([0.0] * 100, (spread + excess * error).tolist())
    assert best.restore(module) == epoch


def test_a_single_validation_row_decides_by_itself() -> None:
    best, module, _ = offered([1.0], [1.001])
    assert best.restore(module) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_worse(value: float) -> None:
    best, module, states = offered([2.0, 2.0], [1.0, 1.0], [1.0, value], [value, value])
    assert best.n_worse == 2
    assert best.restore(module) == 2
    assert_same(state(module), states[1])
    best, _, _ = offered([value, 1.0], [1.0, 1.0])
    assert best.n_worse == 0


def test_only_epochs_in_a_row_count_for_patience() -> None:
    best, _, _ = offered([1.0, 1.0], [2.0, 2.0], [2.0, 2.0])
    assert best.n_worse == 2
    best, _, _ = offered([1.0, 1.0], [2.0, 2.0], [2.0, 2.0], [0.5, 0.5])
    assert best.n_worse == 0


class Scripted(Trainer):
    """Validation losses from a list; training is real."""

    script: list[float]

    def validate(self, rows: Rows, sample_weight: Tensor | None = None) -> tuple[dict[str, float], Tensor]:
        loss = self.script.pop(0)
        return {"loss": loss}, torch.full((4,), loss)


class Recorder(Callback):
    def __init__(self, module: AutoencoderModule) -> None:
        self.module, self.states, self.reason = module, list[State](), ""

    def epoch(self, epoch: Epoch) -> None:
        self.states.append(state(self.module))

    def end(self, reason: str) -> None:
        self.reason = reason


def scripted(script: list[float], **params: Any):
    module = made()
    trainer, recorder = Scripted(module, plan(epochs=10, **params)), Recorder(module)
    trainer.script = script
    history = trainer.fit(TensorRows(X), TensorRows(HELD_OUT), callbacks=[recorder])
    return history, recorder, state(module)


def test_patience_is_a_share_of_all_epochs_and_returns_the_best() -> None:
    history, recorder, last = scripted([5.0, 4.0, 4.5, 4.6, 4.7, 9.9], patience=0.3)
    assert (history.reason, history.best_epoch, len(history.epochs)) == ("patience", 2, 5)
    assert recorder.reason == "patience"
    assert_same(last, recorder.states[1])


def test_without_patience_all_epochs_run_and_the_best_returns() -> None:
    history, recorder, last = scripted([5.0, 4.0, *[4.5] * 8])
    assert (history.reason, history.best_epoch, len(history.epochs)) == ("all epochs", 2, 10)
    assert_same(last, recorder.states[1])


def test_patience_under_an_epoch_still_is_an_epoch() -> None:
    history, _, _ = scripted([5.0, 4.0, 4.5, 9.9], patience=0.01)
    assert (history.best_epoch, len(history.epochs)) == (2, 3)


def test_patience_that_ends_with_the_last_epoch_is_no_stop() -> None:
    history, _, _ = scripted([1.0, *[2.0] * 9], patience=0.9)
    assert (history.reason, history.best_epoch) == ("all epochs", 1)


def test_without_validation_the_last_weights_stay() -> None:
    module = made()
    recorder = Recorder(module)
    history = Trainer(module, plan(patience=0.1)).fit(TensorRows(X), callbacks=[recorder])
    assert (history.reason, history.best_epoch) == ("all epochs", 4)
    assert all(epoch.validation is None for epoch in history.epochs)
    assert_same(state(module), recorder.states[-1])
    assert not module.training


# Ends


class Interrupting(Recorder):
    """Ctrl-C at a step or after an epoch."""

    def __init__(self, module: AutoencoderModule, *, at_step: int = 0, at_epoch: int = 0) -> None:
        super().__init__(module)
        self.at_step, self.at_epoch, self.n_steps = at_step, at_epoch, 0

    def step(self, n_rows: int) -> None:
        self.n_steps += 1
        if self.n_steps == self.at_step:
            raise KeyboardInterrupt

    def epoch(self, epoch: Epoch) -> None:
        super().epoch(epoch)
        if epoch.epoch == self.at_epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("when", [{"at_step": 11}, {"at_epoch": 2}], ids=str)
def test_interruption_leaves_the_best_measured_weights(when: dict[str, int]) -> None:
    module = made()
    interrupting = Interrupting(module, **when)
    history = Trainer(module, plan()).fit(TensorRows(X), TensorRows(X), callbacks=[interrupting])
    assert history.reason == interrupting.reason == "interrupted"
    assert len(history.epochs) == 2
    assert history.best_epoch == 2
    assert_same(state(module), interrupting.states[1])
    assert not module.training


def test_interruption_before_any_epoch_leaves_what_there_is() -> None:
    module = made()
    start = state(module)
    history = Trainer(module, plan()).fit(
        TensorRows(X), TensorRows(X), callbacks=[Interrupting(module, at_step=2)]
    )
    assert (history.reason, history.best_epoch, history.epochs) == ("interrupted", 0, [])
    assert differ(state(module), start)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_batch_that_is_not_finite_is_left_out(value: float) -> None:
    """As by hand: that step changes nothing, and chance goes on as if it had."""
    x = X.clone()
    x[3, 1] = value
    module, twin, recorder = made(), made(), Noting()
    history = Trainer(module, plan(schedule="constant", warm_up_share=0.0)).fit(
        TensorRows(x), callbacks=[recorder]
    )
    optimiser = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.0, fused=True)
    twin.train()
    for step in range(16):
        indices = Randomness(7, "order", step // 4 + 1).permutation(N).tensor_split(4)[step % 4]
        if 3 not in indices.tolist():
            optimiser.zero_grad()
            twin.objective(X[indices], step).loss.backward()
            optimiser.step()
    assert_near(state(module), state(twin))
    assert all(math.isfinite(epoch.training["loss"]) for epoch in history.epochs)
    assert len(recorder.notes) == 4
    assert history.notes == [recorder.notes[0], "4 batches were left out in all, for such a reason each."]
    assert recorder.n_rows == 4 * N  # what was taken back was told


def test_more_bad_batches_halve_the_rate_once_and_then_end_the_training() -> None:
    x, recorder, module = X.clone(), Noting(), made()
    x[:] = math.nan
    start = state(module)
    with pytest.raises(TrainingError, match="not finite"):
        Trainer(module, plan(batch_size=4)).fit(TensorRows(x), callbacks=[recorder])
    assert [note for note in recorder.notes if "half the learning rate" in note] == [recorder.notes[3]]
    assert len(recorder.notes) == 3 + 1 + 3
    assert_same(state(module), start)


def test_half_the_rate_is_that_of_the_rest() -> None:
    class Diverging(TensorRows):
        """Rows that cannot be learned from for the first passes over them."""

        n = 0

        def gather(self, indices: Tensor) -> Tensor:
            self.n += 1
            return super().gather(indices) * (math.inf if self.n <= 6 + 4 else 1.0)

    history = Trainer(made(), plan(batch_size=4, schedule="constant", warm_up_share=0.0)).fit(Diverging(X))
    assert [epoch.learning_rate for epoch in history.epochs] == [0.005] * 4
    assert math.isfinite(history.epochs[-1].training["loss"])


def test_a_pass_that_is_not_finite_ends() -> None:
    with pytest.raises(TrainingError, match="no longer finite in this pass"):
        Trainer(made(), plan()).one_pass(TensorRows(X * math.nan))


def test_a_training_that_diverges_leaves_the_best_measured_weights() -> None:
    class Poison(Recorder):
        def epoch(self, epoch: Epoch) -> None:
            super().epoch(epoch)
            if epoch.epoch == 2:
                with torch.no_grad():
                    next(self.module.parameters()).fill_(math.nan)

    module = made()
    poison = Poison(module)
    with pytest.raises(TrainingError, match="not finite"):
        Trainer(module, plan()).fit(TensorRows(X), TensorRows(X), callbacks=[poison])
    assert_same(state(module), poison.states[1])
    assert not module.training


def test_memory_that_runs_out_beside_the_steps_is_told() -> None:
    class Hungry(TensorRows):
        def gather(self, indices: Tensor) -> Tensor:
            raise MemoryError

    with pytest.raises(TrainingError, match="memory ran out beside the steps' own in epoch 1"):
        Trainer(made(), plan()).fit(TensorRows(X), Hungry(HELD_OUT))
    with pytest.raises(RuntimeError, match="else"):
        Trainer(made(), plan()).fit(TensorRows(X), callbacks=[Failing()])


class Failing(Callback):
    def step(self, n_rows: int) -> None:
        raise RuntimeError("something else")


# Trained before


def test_chance_goes_on_after_the_epochs_done_and_the_schedule_begins_anew() -> None:
    rows = Watched(X)
    first = Trainer(made(), plan(epochs=2))
    first.fit(rows)
    further = Watched(X)
    trainer = Trainer(made(), plan(epochs=2), n_epochs_done=2)
    history = trainer.fit(further)
    assert [*rows.batches, *further.batches] == order_of(epochs=4)
    assert (first.n_steps_done, trainer.n_steps_done) == (8, 16)
    rates = [epoch.learning_rate for epoch in Trainer(made(), plan(epochs=2)).fit(TensorRows(X)).epochs]
    assert [epoch.learning_rate for epoch in history.epochs] == rates
    passes = Trainer(made(), plan(), n_epochs_done=3)
    passes.one_pass(TensorRows(X))
    assert passes.n_steps_done == 16


def test_auto_must_have_been_replaced() -> None:
    with pytest.raises(TrainingError, match="'auto' was not replaced"):
        Trainer(made(), Training(device="cpu"))


def test_threads_are_those_of_the_plan_and_given_back() -> None:
    seen: list[int] = []

    class Threads(Callback):
        def step(self, n_rows: int) -> None:
            seen.append(torch.get_num_threads())

    trainer = Trainer(made(), plan(epochs=1, threads=2))
    trainer.fit(TensorRows(X), callbacks=[Threads()])
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1
    with pytest.raises(TrainingError):
        trainer.fit(TensorRows(X * math.nan))
    assert torch.get_num_threads() == 1


def test_parameters_that_need_no_gradient_stay() -> None:
    module = made()
    frozen = module.encoder.layers[0].weight.requires_grad_(False)
    before = frozen.clone()
    Trainer(module, plan(weight_decay=0.5)).fit(TensorRows(X))
    assert torch.equal(frozen, before)

"""On a CUDA device a training is the CPU's but for rounding; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.config import Model, Training
from isthmus.config.parts.codes import BatchTopKCode, DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import Masking
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import Contractive
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing import Scaling
from isthmus.sources import ArraySource
from isthmus.training import dense_step, transfer
from isthmus.training.dense_step import MOST_SIZES, DenseStep
from isthmus.training.loop import History, Trainer
from isthmus.training.rows import LabelledRows, Rows, SourceRows
from isthmus.training.streaming import StreamedRows
from isthmus.training.transfer import SentRows, near

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="steps on a CUDA device need one")

DEVICE = torch.device("cuda")
N = 500
BYTES = ArraySource(np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8))
LABELS = torch.arange(N) % 3
BENT = DeterministicCode("sigmoid")
MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "log loss": {"likelihood": "bernoulli"},
    "contractive": {"network": Dense(()), "code": BENT, "penalties": (Contractive(0.1, warm_up_share=0.5),)},
    "variational": {"code": GaussianCode(), "corruption": Masking(0.2)},
    "batch top k": {"code": BatchTopKCode(2)},
    "pictures": {"network": Conv2d((8, 16))},
}


def made(name: str = "plain") -> AutoencoderModule:
    chosen = {"code_size": 6, "network": Dense((32,)), "likelihood": "squared_error", **MODELS[name]}
    return build(Model(**chosen), (1, 8, 8), seed=3)


def plan(device: str, **params: Any) -> Training:
    chosen = {
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 0.003,
        "patience": None,
        "seed": 7,
        "threads": 1,
    }
    return Training(device=device, **{**chosen, **params})


def held() -> SourceRows:
    return SourceRows(BYTES, Scaling.fit(BYTES))


def streamed() -> StreamedRows:
    return StreamedRows(BYTES, Scaling.fit(BYTES), 16_000)


def losses(history: History) -> list[float]:
    return [epoch.training["loss"] for epoch in history.epochs]


def weights_of(module: AutoencoderModule) -> torch.Tensor:
    return torch.cat([value.detach().cpu().flatten() for value in module.parameters()])


@pytest.mark.parametrize("name", MODELS)
def test_losses_are_those_of_the_cpu(name: str) -> None:
    found = dict[str, list[float]]()
    for device in ("cpu", "cuda"):
        module = made(name)
        found[device] = losses(Trainer(module, plan(device)).fit(held(), held()))
        assert {parameter.device.type for parameter in module.parameters()} == {device}
    assert found["cuda"] == pytest.approx(found["cpu"], rel=1e-3)


@pytest.mark.parametrize("name", ["plain", "log loss", "contractive", "variational"])
def test_steps_that_are_captured_are_those_that_are_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    captured, calls = made(name), list[int]()
    real = dense_step.captured
    monkeypatch.setattr(dense_step, "captured", lambda *args: calls.append(1) or real(*args))
    found = losses(Trainer(captured, plan("cuda")).fit(held()))
    assert calls
    monkeypatch.setattr(dense_step, "captured", lambda calls, device: calls)
    beside = made(name)
    assert losses(Trainer(beside, plan("cuda")).fit(held())) == pytest.approx(found, rel=1e-5)
    torch.testing.assert_close(weights_of(captured), weights_of(beside), rtol=1e-4, atol=1e-5)


def test_every_size_of_a_batch_has_a_graph_of_its_own() -> None:
    module, twin = made().to(DEVICE), made().to(DEVICE)
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.01, fused=True)
    assert DenseStep.fits(module, optimiser)
    steps, x = DenseStep(module, optimiser), held().gather(torch.arange(64)).to(DEVICE)
    for n in (*range(20, 22 + MOST_SIZES), 20, 64, 20):
        twin.load_state_dict(module.state_dict())
        twin.zero_grad()
        expected = twin.objective(x[:n], 0)
        expected.loss.backward()
        torch.testing.assert_close(steps.differentiate(x[:n]).loss, expected.loss.detach())
        for one, other in zip(module.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)
        steps.update()
    steps.release()


ROWS: dict[str, Callable[[], Rows[Any]]] = {
    "held": held,
    "streamed": streamed,
    "labelled": lambda: LabelledRows(held(), LABELS),
}


@pytest.mark.parametrize("share", [0.5, 0.0])
@pytest.mark.parametrize("name", ROWS)
def test_batches_are_those_of_the_cpu(name: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SHARE_HELD", share)
    rows = near(ROWS[name](), DEVICE)
    assert isinstance(rows, SentRows) == (share == 0.0 or name == "streamed")
    busy = torch.rand(2048, 2048, device=DEVICE)
    expected = ROWS[name]().in_order(Randomness(1), 9)
    for (indices, batch), (others, beside) in zip(rows.in_order(Randomness(1), 9), expected, strict=True):
        busy = busy @ busy / 1024  # so that the device is behind
        assert torch.equal(indices, others)
        members = batch if isinstance(batch, tuple) else (batch,)
        for member, twin in zip(members, beside if isinstance(beside, tuple) else (beside,), strict=True):
            assert member.device.type == "cuda"
            torch.testing.assert_close(member.cpu(), twin, rtol=1e-6, atol=1e-6)


def test_rows_that_are_sent_train_as_rows_that_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list[list[float]]()
    for share in (0.5, 0.0):
        monkeypatch.setattr(transfer, "SHARE_HELD", share)
        found.append(losses(Trainer(made("pictures"), plan("cuda")).fit(held())))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.skipif(
    not torch.cuda.is_available() or not torch.cuda.is_bf16_supported(including_emulation=False),
    reason="the device has no units for it",
)
@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_is_near_float32(name: str) -> None:
    found = [
        losses(Trainer(made(name), plan("cuda", precision=precision)).fit(held()))
        for precision in ("float32", "bfloat16")
    ]
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.05)


@pytest.mark.parametrize("name", ["plain", "variational"])
def test_a_training_goes_on_from_a_kept_state(name: str, stopping: Any) -> None:
    whole = made(name)
    expected = losses(Trainer(whole, plan("cuda")).fit(held(), held()))
    keeper = stopping(11)
    Trainer(made(name), plan("cuda")).fit(held(), held(), keeper=keeper)
    assert keeper.state is not None
    module = made(name)
    found = losses(Trainer(module, plan("cuda")).fit(held(), held(), state=keeper.state))
    assert found == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(weights_of(module), weights_of(whole), rtol=1e-4, atol=1e-5)

"""Layer by layer: the levels are the deep model, and of linear ones each reaches PCA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from isthmus import Autoencoder
from isthmus.config import Model, Training
from isthmus.config.parts.activations import Activation
from isthmus.config.parts.codes import DeterministicCode
from isthmus.config.parts.corruptions import Masking
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import L1, Contractive, WeightDecay
from isthmus.corruptions.base import Corruption
from isthmus.errors import DataError, ParameterError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads
from isthmus.training import rows as rows_module
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.rows import ActivationRows, TensorRows
from isthmus.training.stacked import (
    Watched,
    check_can_stack,
    fit_layer_by_layer,
    levels_of,
    pretrain,
    split_epochs,
)

D, N = 8, 96
X = Randomness(0).normal((N, D)) @ Randomness(1).normal((D, D)) / 2 + 1
HELD_OUT = Randomness(2).normal((20, D)) @ Randomness(1).normal((D, D)) / 2 + 1


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def made(network: Dense | None = None, **params: Any) -> AutoencoderModule:
    chosen = {"code_size": 3, "network": network or Dense((6, 5)), "likelihood": "squared_error", **params}
    return build(Model(**chosen), (D,), seed=3)


def plan(**params: Any) -> Training:
    chosen = {
        "epochs": 12, "batch_size": 32, "learning_rate": 0.01, "patience": None, "seed": 7,
        "device": "cpu", "threads": 1, "scheme": "layer_by_layer",
    }  # fmt: skip
    return Training(**{**chosen, **params})


def state(module: AutoencoderModule) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


class Log(Callback):
    def __init__(self, stop_at: int | None = None) -> None:
        self.events: list[Any] = []
        self.stop_at = stop_at

    def begin(self, n_epochs: int, n_rows: int) -> None:
        self.events.append(("begin", n_epochs, n_rows))

    def step(self, n_rows: int) -> None:
        self.events.append(("step", n_rows))

    def epoch(self, epoch: Epoch) -> None:
        self.events.append(("epoch", epoch.epoch, epoch.level))
        if epoch.epoch == self.stop_at:
            raise KeyboardInterrupt

    def end(self, reason: str) -> None:
        self.events.append(("end", reason))


@pytest.mark.parametrize("network", [Dense(()), Dense((5,), "identity", tied=True)], ids=str)
def test_linear_levels_alone_reach_pca(network: Dense) -> None:
    """PCA of what PCA keeps is PCA. Tied levels keep it in orthonormal coordinates, others in any."""
    module = made(network)
    module.start_at(X.mean(dim=0))
    pretrain(module, plan(epochs=500, batch_size=N, learning_rate=0.03), TensorRows(X))
    values = torch.linalg.eigvalsh(torch.cov(X.T, correction=0)).flip(0)
    error = (module.reconstruct(X) - X).square().sum(dim=1).mean().item()
    assert error == pytest.approx(values[3:].sum().item(), rel=2e-3)
    assert values[3:].sum() > 0.1


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("activation", ["silu", "sigmoid", "tanh"])
def test_the_levels_are_the_deep_model(activation: Activation, tied: bool) -> None:
    """Their parameters are its own, and one inside the other they are its encoder and its decoder."""
    module = made(Dense((6, 5), activation, tied), code=DeterministicCode("tanh"))
    levels = [level.module for level in levels_of(module)]
    assert [level.code.size for level in levels] == [6, 5, 3]
    own = {id(parameter) for parameter in module.parameters()}
    assert {id(parameter) for level in levels for parameter in level.parameters()} == own
    codes = [X]
    for level in levels:
        codes.append(level.encode(codes[-1]))
    torch.testing.assert_close(codes[-1], module.encode(X))
    outputs = codes[-1]
    for level in reversed(levels):
        outputs = level.decode(outputs)
    torch.testing.assert_close(outputs, module.reconstruct(X))


def test_each_level_has_the_models_corruption_and_penalties() -> None:
    module = made(
        Dense((6,), "sigmoid"), likelihood="gaussian", corruption=Masking(0.3), penalties=(L1(0.1), Contractive(0.2))
    )  # fmt: skip
    first, last = (level.module for level in levels_of(module))
    assert first.likelihood is module.likelihood
    assert type(last.likelihood).__name__ == "Bernoulli"
    assert first.corruption is last.corruption is module.corruption
    assert last.penalties["l1"] is module.penalties["l1"]
    terms = first.objective(X, 0).terms
    assert list(terms) == ["distortion", "l1", "contractive"]
    shown = module.corruption(X, Randomness(first.seed, "training", 0).at("corruption"))
    expected = first.encode(shown).abs().sum(dim=1).mean()
    torch.testing.assert_close(terms["l1"], expected)
    assert len({module.seed, first.seed, last.seed}) == 3


def test_a_code_with_a_distribution_is_no_level() -> None:
    module = made(Dense((6, 5)), code="gaussian")
    assert [level.width for level in levels_of(module)] == [6, 5]
    before = state(module)
    pretrain(module, plan(epochs=2), TensorRows(X))
    changed = [name for name, value in state(module).items() if not torch.equal(value, before[name])]
    layers = ["encoder.layers.0", "encoder.layers.1", "decoder.layers.1", "decoder.layers.2"]
    assert changed == [f"network.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def test_it_is_a_function_of_the_seed() -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        module = made(corruption=Masking(0.3))
        fit_layer_by_layer(module, plan(seed=seed), TensorRows(X), TensorRows(HELD_OUT))
        return state(module)

    first, again, other = trained(7), trained(7), trained(8)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_every_stage_learns_and_is_recorded(tied: bool) -> None:
    module, log = made(Dense((6, 5), tied=tied), penalties=WeightDecay(1e-4)), Log()
    settings = plan(epochs=40)
    history = fit_layer_by_layer(module, settings, TensorRows(X), TensorRows(HELD_OUT), callbacks=(log,))
    assert split_epochs(settings, 3) == (7, 19)
    assert [epoch.epoch for epoch in history.epochs] == list(range(1, 41))
    levels = [epoch.level for epoch in history.epochs]
    assert levels == [1] * 7 + [2] * 7 + [3] * 7 + [None] * 19
    for level in (1, 2, 3, None):
        losses = [epoch.training["loss"] for epoch in history.epochs if epoch.level == level]
        assert losses[-1] < losses[0]
        assert all(epoch.validation for epoch in history.epochs)
    assert [event for event in log.events if event[0] in ("begin", "end")] == [
        ("begin", 40, N), ("end", "all epochs"),
    ]  # fmt: skip
    assert [event[1:] for event in log.events if event[0] == "epoch"] == list(enumerate(levels, 1))
    assert sum(event[1] for event in log.events if event[0] == "step") == 40 * N
    assert 21 < history.best_epoch <= 40
    assert not module.training
    assert "level" in history.epochs[0].to_dict()
    assert "level" not in history.epochs[-1].to_dict()


@pytest.mark.parametrize("stop_at", [3, 8])
def test_an_interruption_ends_all_stages(stop_at: int) -> None:
    module, log = made(), Log(stop_at)
    history = fit_layer_by_layer(module, plan(), TensorRows(X), TensorRows(HELD_OUT), callbacks=(log,))
    assert history.reason == "interrupted"
    assert len(history.epochs) == stop_at
    assert history.best_epoch <= stop_at
    assert log.events[-1] == ("end", "interrupted")


def test_activations_too_large_to_hold_are_made_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    level = levels_of(made())[0]
    monkeypatch.setattr(rows_module, "BLOCK", 40)
    held = ActivationRows(TensorRows(X), level.activations, level.width, torch.device("cpu"))
    rows = TensorRows(X)
    rows.room = 10
    made_anew = ActivationRows(rows, level.activations, level.width, torch.device("cpu"))
    indices = torch.tensor([95, 0, 41])
    assert made_anew._held is None
    assert len(held) == len(made_anew) == N
    torch.testing.assert_close(held.gather(indices), made_anew.gather(indices))
    torch.testing.assert_close(held.gather(indices), level.module.encode(X[indices]))
    assert not held.gather(indices).requires_grad
    order = Randomness(1)
    pairs = zip(held.in_order(order, 7), made_anew.in_order(order, 7), strict=True)
    for (indices, found), (same, again) in pairs:
        assert torch.equal(indices, same)
        torch.testing.assert_close(found, again)


def test_the_watch_hands_steps_on() -> None:
    log = Log()
    Watched((log,)).step(5)
    assert log.events == [("step", 5)]


# Refused before the first step


class Patch(Corruption):
    """Wants pictures."""

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        if x.ndim != 4:
            raise DataError("Patch: expected pictures, got rows of one axis.")
        return x


def test_networks_without_a_mirror_are_refused() -> None:
    module = build(Model(code_size=2, likelihood="squared_error", network=Conv2d((2,))), (1, 6, 6), seed=0)
    with pytest.raises(ParameterError, match="needs a dense network, whose layers mirror each other"):
        check_can_stack(module, plan())


def test_a_model_without_a_level_is_refused() -> None:
    with pytest.raises(ParameterError, match="needs a layer under the code"):
        check_can_stack(made(Dense(()), code="gaussian"), plan())


def test_corruptions_of_pictures_alone_are_refused() -> None:
    model = Model(code_size=2, likelihood="squared_error", network=Dense((4,)))
    module = build(model, (1, 6, 6), seed=0)
    module.corruption = Patch()
    with pytest.raises(ParameterError, match="layer 2, 2 units, cannot have them: Patch: expected pictures"):
        check_can_stack(module, plan())


@pytest.mark.parametrize(("epochs", "share"), [(3, 0.5), (9, 0.99)])
def test_too_few_epochs_are_refused(epochs: int, share: float) -> None:
    with pytest.raises(ParameterError, match="an epoch for each of 3 layers and one end to end"):
        check_can_stack(made(), plan(epochs=epochs, pretraining_share=share))


def test_checking_leaves_the_model_as_it_is() -> None:
    module = made()
    before = state(module)
    check_can_stack(module, plan())
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in state(module).items())


# As an estimator


def estimator(**params: Any) -> Autoencoder:
    chosen = {
        "n_components": 2, "hidden_sizes": (6,), "scheme": "layer_by_layer", "max_epochs": 6,
        "random_state": 0, "threads": 1, "device": "cpu",
    }  # fmt: skip
    return Autoencoder(**{**chosen, **params})


def test_an_estimator_keeps_the_scheme_and_the_levels(tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    model = estimator().fit(X.numpy())
    assert model.config_.training.start == "random"
    assert [epoch.get("level") for epoch in model.history_] == [1, 1, 2, 2, None, None]
    model.save(path)
    opened = Autoencoder.open(path)
    assert opened.scheme == "layer_by_layer"
    assert opened.history_ == model.history_
    assert estimator().fit(X.numpy())._model.to_bytes() == model._model.to_bytes()


def test_a_fitted_model_goes_on_end_to_end() -> None:
    model = estimator(warm_start=True).fit(X.numpy())
    model.fit(X.numpy())
    assert [epoch.get("level") for epoch in model.history_[6:]] == [None] * 6
    model.partial_fit(X.numpy())


def test_pca_as_a_start_is_refused() -> None:
    with pytest.raises(ParameterError, match="trains the layers one by one from random weights"):
        estimator(start="pca").fit(X.numpy())


def test_one_pass_is_refused() -> None:
    with pytest.raises(ParameterError, match="partial_fit makes one pass over all layers"):
        estimator().partial_fit(X.numpy())

"""A training in bfloat16 learns what one in float32 learns, and leaves no trace but its weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from isthmus import Autoencoder
from isthmus.config import Config, Model, Training
from isthmus.config.parts.corruptions import Masking
from isthmus.config.parts.networks import Dense
from isthmus.errors import ParameterError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.sources import bundled
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import Trainer
from isthmus.training.precision import check_precision
from isthmus.training.rows import TensorRows
from isthmus.training.stacked import fit_layer_by_layer

torch.set_num_threads(1)

X = torch.rand(300, 12, generator=torch.Generator().manual_seed(0))
X = torch.tanh(X @ torch.randn(12, 12, generator=torch.Generator().manual_seed(1)))


def made(**params: Any) -> AutoencoderModule:
    chosen = {"code_size": 4, "network": Dense((24,)), "likelihood": "squared_error", **params}
    return build(Model(**chosen), (12,), seed=3)


def plan(**params: Any) -> Training:
    chosen = {
        "epochs": 30, "batch_size": 30, "learning_rate": 0.01, "patience": None, "seed": 7, "device": "cpu",
        "threads": 1, "precision": "bfloat16",
    }  # fmt: skip
    return Training(**{**chosen, **params})


class Asking(Callback):
    """Asks during a training what the module's precision is, and what it rebuilds."""

    def __init__(self, module: AutoencoderModule) -> None:
        self.module, self.precisions, self.alike = module, set[str](), set[bool]()

    def epoch(self, epoch: Epoch) -> None:
        self.precisions.add(self.module.precision)
        rebuilt = self.module.eval().reconstruct(X)
        self.alike.add(torch.equal(rebuilt, self.module.decode(self.module.encode(X))))


def test_it_learns_as_well() -> None:
    errors = dict[str, float]()
    for precision in ("float32", "bfloat16"):
        module = made()
        history = Trainer(module, plan(precision=precision)).fit(TensorRows(X[:240]), TensorRows(X[240:]))
        held_out = history.epochs[-1].validation
        assert held_out is not None
        errors[precision] = held_out["loss"]
    assert errors["bfloat16"] != errors["float32"]
    assert errors["bfloat16"] == pytest.approx(errors["float32"], rel=0.1)


def test_it_is_the_modules_for_as_long_as_the_training_lasts() -> None:
    module = made()
    asking = Asking(module)
    Trainer(module, plan(epochs=2)).fit(TensorRows(X), callbacks=[asking])
    assert asking.precisions == {"bfloat16"}
    assert asking.alike == {True}
    assert module.precision == "float32"
    Trainer(module, plan()).one_pass(TensorRows(X))
    assert module.precision == "float32"


class Stopping(Callback):
    def epoch(self, epoch: Epoch) -> None:
        raise ValueError("enough")


def test_it_is_given_back_whatever_ends_the_training() -> None:
    module = made()
    with pytest.raises(ValueError, match="enough"):
        Trainer(module, plan()).fit(TensorRows(X), callbacks=[Stopping()])
    assert module.precision == "float32"


def test_parts_of_a_batch_are_the_batch_but_for_rounding() -> None:
    weights = list[torch.Tensor]()
    for most in ("auto", 7):
        module = made(corruption=Masking(0.3))
        Trainer(module, plan(epochs=1, micro_batch=most)).fit(TensorRows(X))
        weights.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
    torch.testing.assert_close(*weights, rtol=0.05, atol=0.02)


def test_layers_are_trained_one_by_one_in_it_too() -> None:
    found = list[torch.Tensor]()
    for precision in ("float32", "bfloat16"):
        module = made()
        fit_layer_by_layer(
            module, plan(epochs=4, scheme="layer_by_layer", precision=precision), TensorRows(X)
        )
        assert module.precision == "float32"
        found.append(module.reconstruct(X).detach())
    assert not torch.equal(*found)
    torch.testing.assert_close(*found, rtol=0.2, atol=0.2)


@pytest.mark.parametrize(("device", "supported"), [("mps", True), ("cuda", False)])
def test_a_device_without_it_is_refused(
    device: str, supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    with pytest.raises(ParameterError, match=f"precision = 'bfloat16' needs a device .* got '{device}'. Set"):
        check_precision("bfloat16", torch.device(device))
    check_precision("float32", torch.device(device))


def test_a_device_with_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    check_precision("bfloat16", torch.device("cuda"))
    check_precision("bfloat16", torch.device("cpu"))


def test_a_config_without_it_is_one_of_float32() -> None:
    values = Config().to_dict()
    del values["training"]["precision"]
    assert Config.from_dict(values).training.precision == "float32"
    values["training"]["precision"] = "bfloat16"
    assert Config.from_dict(values).training.precision == "bfloat16"


def test_an_estimator_trains_in_it_and_says_so() -> None:
    digits = bundled("mnist-train")
    rows = digits.read(slice(0, 200))
    settings = {"max_epochs": 2, "random_state": 0, "threads": 1, "device": "cpu"}
    one, other = (
        Autoencoder(4, precision=precision, **settings).fit(rows) for precision in ("float32", "bfloat16")
    )
    assert other.config_.training.precision == "bfloat16"
    assert one.score(rows) != other.score(rows)
    assert other.score(rows) == pytest.approx(one.score(rows), rel=0.1)
    assert other.module_.precision == "float32"

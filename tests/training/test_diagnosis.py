"""The diagnosis names what was injected: a value, a gradient, a weight, a rate; and leaves everything as it was."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from isthmus.config import Model, Training
from isthmus.config.parts.codes import BatchTopKCode, DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise, Masking
from isthmus.config.parts.likelihoods import Mixed
from isthmus.config.parts.networks import Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import L1, Contractive, KLSparsity
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.classifier import ClassifierModule
from isthmus.model.halves import EncoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Block as Column
from isthmus.training.diagnosis import Diagnosis, diagnose
from isthmus.training.loop import Trainer
from isthmus.training.rows import Labelled, TensorRows

torch.set_num_threads(1)

N, D = 10, 6
X = Randomness(0).uniform((N, D))
NUMBERS = torch.arange(100, 100 + 3 * N, 3)
"""Of the rows among the training rows: row n of the batch is 100 + 3 n."""
FIRST = "network.encoder.layers.0"


def made(
    shape: tuple[int, ...] = (D,), *, extra: dict[str, Any] | None = None, **params: Any
) -> AutoencoderModule:
    chosen = {"code_size": 3, "network": Dense((5,), "tanh"), "likelihood": "squared_error", **params}
    return build(Model(**chosen), shape, seed=3, **(extra or {}))


def spoilt(x: Tensor, value: float, *place: int) -> Tensor:
    found = x.clone()
    found[place] = value
    return found


MODULES: dict[str, Any] = {
    "plain": made,
    "noise": lambda: made(corruption=GaussianNoise(0.1), code=GaussianCode(), penalties=(L1(0.1),)),
    "draws": lambda: made(code=GaussianCode(n_draws=3)),
    "contractive": lambda: made(penalties=(Contractive(0.1),)),
    "batch": lambda: made(code=DeterministicCode("sigmoid"), penalties=(KLSparsity(0.1),)),
    "batch top k": lambda: made(code=BatchTopKCode(2)),
}


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("case", MODULES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value(case: str, value: float, micro_batch: int | None) -> None:
    if micro_batch is not None and MODULES[case]().whole_batch_terms():
        return
    found = diagnose(MODULES[case](), spoilt(X, value, 4, 2), NUMBERS, 7, micro_batch=micro_batch)
    assert found.found
    assert found.extreme
    assert (found.step, found.term, found.parameter, found.weights) == (7, "distortion", None, ())
    assert found.layer in (FIRST, "corruption")
    assert [(v.row, v.place) for v in found.values] == [(112, (2,))]
    assert found.rows in ((112,), ())  # in a batch-scope term all rows are one
    said = found.sentence()
    assert said.startswith("training: in step 8 the distortion was not finite, first in the output of ")
    assert said.endswith(
        f"row 112 holds {value} in column 2, in model units. Mend these rows, or leave them out."
    )


def test_an_extreme_value() -> None:
    found = diagnose(made(), spoilt(X, -3e25, 4, 2), NUMBERS, 0)
    assert (found.term, found.layer, found.rows, found.extreme) == ("distortion", "likelihood", (112,), True)
    assert found.sentence() == (
        "training: in step 1 the distortion was not finite, first in the output of likelihood: row 112 holds -3e+25 in "
        "column 2, in model units. Look at these rows, leave them out, or try scaling='quantile'; else lower "
        "learning_rate."
    )


def test_a_picture_and_a_classifier() -> None:
    pictures = spoilt(Randomness(1).uniform((N, 2, 8, 8)), math.nan, 9, 1, 3, 4)
    for network in (Conv2d((2,)), Transformer(4, width=8, n_heads=2)):
        found = diagnose(made((2, 8, 8), network=network), pictures, NUMBERS, 0)
        assert found.rows == (127,)
        assert "row 127 holds nan in place (1, 3, 4), in model units" in found.sentence()
    module = ClassifierModule(EncoderModule(made()), 3)
    found = diagnose(module, Labelled(spoilt(X, math.nan, 1, 0), torch.arange(N) % 3), NUMBERS, 0)
    assert (found.term, found.layer, found.rows) == ("cross_entropy", "encoder.encoder.layers.0", (103,))


def test_gaps_are_no_trouble() -> None:
    table = torch.cat([X[:, :2], torch.eye(3)[torch.arange(N) % 3], X[:, 5:].round()], dim=1)
    layout = (Column("number", 1), Column("number", 1), Column("category", 3), Column("boolean", 1))
    module = made(
        likelihood=Mixed("gaussian"), corruption=Masking(0.3), extra={"layout": layout, "gaps": True}
    )
    gappy = spoilt(spoilt(table, math.nan, 3, 1), math.nan, 4, slice(2, 5))
    assert not diagnose(module, gappy, NUMBERS, 0).found
    found = diagnose(module, spoilt(gappy, math.inf, 6, 0), NUMBERS, 0)
    assert [(v.row, v.place, v.value) for v in found.values] == [(118, (0,), math.inf)]
    assert found.rows == (118,)


@pytest.mark.parametrize("name", ["network.encoder.layers.0.weight", "network.decoder.layers.1.bias"])
def test_a_gradient(name: str) -> None:
    module = made(code=GaussianCode())
    handle = module.get_parameter(name).register_hook(lambda gradient: gradient * math.nan)
    found = diagnose(module, X, NUMBERS, 2)
    assert (found.term, found.layer, found.parameter, found.rows) == (None, None, name, ())
    assert f"in step 3 the loss was finite, and the gradient of {name} was not; the larg" in found.sentence()
    handle.remove()
    assert not diagnose(module, X, NUMBERS, 2).found


def test_a_gradient_of_one_row() -> None:
    """``sqrt(0)`` is finite and its slope is not: of the rows that are all zeros."""
    module = made(network=Dense((), "identity"))

    def root(_: Any, __: Any, output: Tensor) -> Tensor:
        return output.square().sum(dim=1, keepdim=True).sqrt().expand_as(output)

    with torch.no_grad():
        for layer in module.network.encoder.layers:  # type: ignore[union-attr]
            layer.bias.zero_()
            layer.register_forward_hook(root)
    x = X.clone()
    x[[2, 7]] = 0.0
    for micro_batch in (None, 3):
        found = diagnose(module, x, NUMBERS, 0, micro_batch=micro_batch)
        assert (found.term, found.parameter, found.rows) == (None, FIRST + ".weight", (106, 121))
        assert (
            "gradient of network.encoder.layers.0.weight was not, for rows 106, 121; the largest value is not"
            in (found.sentence())
        )


@pytest.mark.parametrize(("value", "said"), [(math.nan, "not finite"), (3e20, "up to 3e+20")])
def test_a_weight(value: float, said: str) -> None:
    module = made()
    with torch.no_grad():
        module.get_parameter("network.decoder.layers.0.weight")[1, 1] = value
    found = diagnose(module, X, NUMBERS, 0)
    assert found.weights == ("network.decoder.layers.0.weight",)
    assert not found.rows
    assert (
        f": the weights network.decoder.layers.0.weight were {said} already. Lower learning_rate"
        in found.sentence()
    )


def test_a_rate_beyond_bounds() -> None:
    module = made()
    settings = Training(
        epochs=1,
        batch_size=N,
        learning_rate=1e30,
        warm_up_share=0.0,
        patience=None,
        seed=0,
        device="cpu",
        threads=1,
    )
    trainer = Trainer(module, settings)
    trainer._step(X, None, 1e30, 0.0)
    found = diagnose(module, X, NUMBERS, 1)
    assert found.found
    assert found.largest_weight == pytest.approx(1e30, rel=0.01)
    said = found.sentence()
    assert said.startswith("training: in step 2 the distortion was not finite, first in the output of ")
    assert said.endswith("were up to 1e+30 already. Lower learning_rate, or set gradient_clip.")
    assert trainer.n_steps_done == 1


def test_a_row_weight() -> None:
    weight = spoilt(torch.ones(N), math.nan, 5)
    found = diagnose(made(), X, NUMBERS, 0, sample_weight=weight)
    assert (found.sample_weights, found.rows) == ((115,), (115,))
    assert found.sentence().endswith(": the weight of row 115 is not finite. Give every row a finite weight.")


def test_nothing_found() -> None:
    found = diagnose(made(), X, NUMBERS, 4, sample_weight=torch.ones(N), progress=0.5)
    assert found == Diagnosis(4, largest_weight=found.largest_weight, values=found.values)
    assert "step 5 was not finite, and is when it is done again" in found.sentence()


def test_the_module_stays_as_it_was() -> None:
    module = made(code=BatchTopKCode(2)).eval()
    module.network.decoder.train()
    module.objective(X, 0).loss.backward()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    copies = {name: value.clone() for name, value in gradients.items() if value is not None}
    modes = [layer.training for layer in module.modules()]
    for x in (X, spoilt(X, math.nan, 0, 0)):
        diagnose(module, x, NUMBERS, 0)
    assert [layer.training for layer in module.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    for name, parameter in module.named_parameters():
        assert parameter.grad is gradients[name]
        assert parameter.grad is None or torch.equal(parameter.grad, copies[name])
    assert not any(layer._forward_hooks for layer in module.modules())
    Trainer(
        module, Training(epochs=1, batch_size=5, learning_rate=0.1, patience=None, device="cpu", threads=1)
    ).fit(TensorRows(X))

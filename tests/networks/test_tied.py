"""Tied weights: one parameter in two layers, its gradient the sum of both."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import isthmus
from isthmus import Autoencoder
from isthmus.config import Model
from isthmus.config.parts.activations import Activation
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.networks import Dense as DenseDescription
from isthmus.config.parts.penalties import WeightDecay
from isthmus.errors import ParameterError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.model.halves import DecoderModule, EncoderModule
from isthmus.networks.base import Ends
from isthmus.networks.dense import Dense, TiedLinear
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_network

torch.set_num_threads(1)

X = Randomness(0).normal((7, 6)).double()


def made(hidden: tuple[int, ...] = (5, 4), *, tied: bool = True, **params: object) -> AutoencoderModule:
    chosen = {"code_size": 3, "likelihood": "squared_error", **params}
    return build(Model(network=DenseDescription(hidden, "tanh", tied), **chosen), (6,), seed=0).double()


def untied_twin(module: AutoencoderModule, **params: object) -> AutoencoderModule:
    """The same numbers in a model whose decoder has weights of its own."""
    twin = made(tied=False, **params)
    state = module.state_dict()
    for number, layer in enumerate(module.decoder.layers):
        state[f"network.decoder.layers.{number}.weight"] = layer.weight.detach().clone()
    twin.load_state_dict(state)
    return twin


def largest_error(module: AutoencoderModule) -> float:
    """Of every parameter's gradient against central differences, one value after the other."""
    module.zero_grad()
    module.objective(X, 0).loss.backward()
    worst, step = 0.0, 1e-6
    for parameter in module.parameters():
        for place in range(parameter.numel()):
            flat = parameter.detach().view(-1)
            before = flat[place].item()
            losses = []
            for shift in (step, -step):
                flat[place] = before + shift
                losses.append(module.objective(X, 0).loss.item())
            flat[place] = before
            slope = (losses[0] - losses[1]) / (2 * step)
            worst = max(worst, abs(parameter.grad.view(-1)[place].item() - slope))
    return worst


@pytest.mark.parametrize("code", [DeterministicCode("sigmoid"), GaussianCode()], ids=str)
def test_the_gradient_is_the_encoders_and_the_decoders_transposed(code) -> None:
    """Oracle 21: ``dL/dW = dL/dW_encoder + (dL/dW_decoder)^T``."""
    module = made(code=code)
    twin = untied_twin(module, code=code)
    for one in (module, twin):
        one.objective(X, 3).loss.backward()
    torch.testing.assert_close(module.objective(X, 3).loss, twin.objective(X, 3).loss)
    mirrors = list(reversed(twin.decoder.layers))
    for layer, down, up in zip(module.encoder.layers, twin.encoder.layers, mirrors, strict=True):
        expected = down.weight.grad.clone()
        expected[: up.in_features] += up.weight.grad.T
        torch.testing.assert_close(layer.weight.grad, expected)


@pytest.mark.parametrize("code", [DeterministicCode("sigmoid"), GaussianCode()], ids=str)
def test_the_gradient_is_the_slope_of_every_weight(code) -> None:
    assert largest_error(made(code=code)) < 1e-6


@settings(max_examples=15)
@given(
    shape=st.sampled_from([(1,), (5,), (2, 3, 4)]),
    hidden=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    size=st.integers(1, 5),
    inputs=st.integers(1, 2),
    activation=st.sampled_from(get_args(Activation)),
)
def test_laws(shape, hidden, size, inputs, activation) -> None:
    ends = Ends(shape, inputs * size, size, shape)
    network = Dense(ends, hidden, activation, tied=True)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(Randomness(0, name).normal(parameter.shape))
    check_network(network, ends, Randomness(0).normal((4, *shape)))


def test_weights_are_counted_and_named_once() -> None:
    module = made(penalties=WeightDecay())
    assert [tuple(weight.shape) for weight in module.weights()] == [(5, 6), (4, 5), (3, 4)]
    decay = module.objective(X, 0).terms["weight_decay"]
    torch.testing.assert_close(decay, sum(layer.weight.square().sum() for layer in module.encoder.layers))
    names = [name for name in module.state_dict() if name.startswith("network.decoder")]
    assert names == [f"network.decoder.layers.{number}.bias" for number in range(3)]


def test_a_gaussian_code_ties_to_the_rows_of_the_mean() -> None:
    module = made(code=GaussianCode())
    assert module.encoder.layers[-1].weight.shape == (6, 4)
    assert torch.equal(module.decoder.layers[0].weight, module.encoder.layers[-1].weight[:3].T)


def test_a_copy_is_tied_to_its_own_encoder() -> None:
    module = made()
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.encoder.layers[0].weight.zero_()
    assert not other.decoder.layers[-1].weight.any()
    assert module.decoder.layers[-1].weight.any()


def test_other_weights_stay_as_they_were_drawn() -> None:
    tied, untied = made().state_dict(), made(tied=False).state_dict()
    assert all(torch.equal(value, untied[name]) for name, value in tied.items())


def test_outputs_must_be_as_many_as_inputs() -> None:
    with pytest.raises(ParameterError, match="tied weights need as many outputs as inputs, got 10 outputs"):
        Dense(Ends((5,), 2, 2, (5, 2)), (), "relu", tied=True)
    with pytest.raises(ParameterError, match="each of the 4 code units, got 2"):
        Dense(Ends((5,), 2, 4, (5,)), (), "relu", tied=True)


@pytest.mark.parametrize("code", ["deterministic", "gaussian"])
def test_a_file_holds_them_once_and_opens_whole_or_half(code: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    rows = X.repeat(8, 1).numpy() + Randomness(1).normal((56, 6)).double().numpy()
    network = DenseDescription((5,), tied=True)
    fitted = Autoencoder(3, network=network, code=code, max_epochs=2, random_state=0).fit(rows)
    fitted.save(path)
    whole = isthmus.open(path)
    assert all(torch.equal(v, fitted.module_.state_dict()[k]) for k, v in whole.state_dict().items())
    assert Autoencoder.open(path).network == network
    x = torch.from_numpy(rows[:5]).float()
    encoder, decoder = (isthmus.open(path, half=half) for half in ("encoder", "decoder"))
    assert torch.equal(encoder(x), whole.encode(x))
    torch.testing.assert_close(decoder(encoder(x)), whole.reconstruct(x))
    parameters = dict(decoder.named_parameters())
    shapes = {name: tuple(value.shape) for name, value in parameters.items() if name.endswith("weight")}
    assert shapes == {"decoder.layers.0.weight": (5, 3), "decoder.layers.1.weight": (6, 5)}
    assert not any(isinstance(layer, TiedLinear) for layer in decoder.modules())


def test_a_half_is_trained_without_the_other() -> None:
    module = made()
    half = DecoderModule(module)
    h = Randomness(2).normal((4, 3)).double()
    before = module.encode(X)
    torch.testing.assert_close(half(h), module.decode(h))
    with torch.no_grad():
        for parameter in half.parameters():
            parameter.zero_()
    assert torch.equal(module.encode(X), before)
    assert torch.equal(EncoderModule(module)(X), before)
    assert all(isinstance(layer, nn.Linear) for layer in half.decoder.layers)
    assert DecoderModule(made(tied=False)).decoder.alone() is not None

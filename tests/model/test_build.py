"""From a description to a module: which parts, from which seed, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from isthmus.config import Model
from isthmus.config.catalogue import CATALOGUE, Custom
from isthmus.config.parts.codes import DeterministicCode, GaussianCode
from isthmus.config.parts.corruptions import GaussianNoise, SaltAndPepper
from isthmus.config.parts.likelihoods import Mixed
from isthmus.config.parts.networks import Conv1d, Conv2d, Dense, Transformer
from isthmus.config.parts.penalties import L1
from isthmus.errors import ArtifactError, ParameterError
from isthmus.model.build import _initialise, build
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import Penalty, View
from isthmus.testing import check_module

torch.set_num_threads(1)


def linear(**params: Any) -> Model:
    return Model(**{"code_size": 2, "network": Dense(()), "likelihood": "squared_error", **params})


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family, entries in CATALOGUE.items() for name in entries]
)
def test_every_name_is_built(family: str, name: str) -> None:
    chosen = {"network": Dense((4,)), family if family != "penalty" else "penalties": name}
    if family == "network":
        small = {"conv1d": Conv1d((2,)), "conv2d": Conv2d((2,)), "transformer": Transformer(2, 4, 1, 2)}
        chosen["network"] = small.get(name, Dense((4,)))
    if name == "salt_and_pepper":
        chosen["corruption"] = SaltAndPepper(low=0, high=1)
    if name == "mixed":
        chosen["likelihood"] = Mixed("squared_error")
    if name == "kl_sparsity":
        chosen["code"] = DeterministicCode("sigmoid")
    module = build(linear(**chosen), (1, 6) if name == "conv1d" else (1, 6, 5), seed=0)
    part = {**dict(module.named_penalties()), **dict(module.named_children())}[
        name if family == "penalty" else family
    ]  # type: ignore[arg-type]
    assert f"{type(part).__module__}:{type(part).__name__}" == CATALOGUE[family][name].target


def test_auto_must_be_resolved_first() -> None:
    for model in (linear(code_size="auto"), linear(likelihood="auto")):
        with pytest.raises(ParameterError, match="code_size and likelihood must be chosen first, got 'auto'"):
            build(model, (5,), seed=0)


def test_convolutions_want_pictures() -> None:
    with pytest.raises(ParameterError, match=r"Conv2d: expected pictures .*got rows of shape 5\."):
        build(linear(network=Conv2d((4,))), (5,), seed=0)


def test_initialisation_is_a_function_of_the_seed() -> None:
    model = linear(network=Dense((4, 3)))
    before = torch.get_rng_state()
    one, again, other = (build(model, (5,), seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in one.items():
        assert torch.equal(tensor, again[name])
        assert not torch.equal(tensor, other[name])
        assert tensor.isfinite().all()


@pytest.mark.parametrize("network", [Dense((40, 30)), Conv2d((8, 16))], ids=repr)
def test_initial_weights_are_uniform_within_the_root_of_the_fan_in(network) -> None:
    module = build(linear(network=network), (2, 12, 12), seed=0)
    for layer in module.network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in (layer.weight, layer.bias):
                assert parameter.abs().max() <= bound
            if layer.weight.numel() > 50:
                assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
                assert abs(layer.weight.mean()) < 4 * bound / (3 * layer.weight.numel()) ** 0.5


def test_a_layer_keeps_its_weights_when_another_changes() -> None:
    small = build(linear(network=Dense((4,))), (5,), seed=0).state_dict()
    large = build(linear(network=Dense((4,)), code_size=3), (5,), seed=0).state_dict()
    assert torch.equal(small["network.encoder.layers.0.weight"], large["network.encoder.layers.0.weight"])


def test_penalties_of_one_name_are_counted() -> None:
    module = build(linear(penalties=(L1(1.0), L1(2.0), "l2")), (5,), seed=0)
    assert [(name, penalty.weight) for name, penalty in module.named_penalties()] == [
        ("l1", 1.0),
        ("l1_2", 2.0),
        ("l2", 1e-3),
    ]


class Mine(Penalty):
    scope = "example"

    def forward(self, view: View) -> torch.Tensor:
        return view.h.square().sum(dim=1) * view.randomness.uniform((len(view.h),), like=view.h)


def test_parts_of_ones_own() -> None:
    model = linear(network=Custom("net"), penalties=Custom("code"), corruption=GaussianNoise(0.1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pair = nn.Linear(5, 2), nn.Linear(2, 5)
    module = build(model, (5,), seed=0, parts={"net": lambda: pair, "code": lambda: Mine(0.5)})
    check_module(module, Randomness(0).normal((4, 5)))
    with pytest.raises(ArtifactError, match=r"a part of its author's own, 'net'.*Hand it in: isthmus\.open"):
        build(model, (5,), seed=0)


class Shift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.empty(3))


def test_no_parameter_begins_as_the_memory_was() -> None:
    with pytest.raises(
        ParameterError, match=r"^Shift: expected a weight .* how shift should begin, got none"
    ):
        _initialise(nn.Sequential(nn.Linear(2, 3), Shift()), 0)
    layers = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 2, bias=False), nn.SiLU())
    _initialise(layers, 0)
    assert (layers[1].weight == 1).all()
    assert (layers[1].bias == 0).all()


def test_several_draws_and_switches_are_refused_together() -> None:
    network = Conv2d((2,), down="max_pool", up="unpool", kernel_size=3, switches=True)
    for n_draws in (1, 3):
        model = linear(network=network, code=GaussianCode(n_draws=n_draws))
        if n_draws == 1:
            build(model, (1, 8, 8), seed=0)
            continue
        with pytest.raises(ParameterError, match=r"GaussianCode\(n_draws=3\) .* Conv2d\(switches=True\)"):
            build(model, (1, 8, 8), seed=0)

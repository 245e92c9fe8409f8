"""Convolutions over sequences: whole models over every way down and up, and how they begin."""

from __future__ import annotations

import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts.codes import GaussianCode
from isthmus.config.parts.networks import Conv1d, Conv2d
from isthmus.config.parts.penalties import Contractive
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_module

torch.set_num_threads(1)

WAYS = [
    {"down": "stride", "up": "transposed"},
    {"down": "max_pool", "up": "unpool", "switches": True},
    {"down": "max_pool", "up": "unpool"},
    {"down": "average_pool", "up": "resize"},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_whole_model_of_sequences_obeys_the_laws(way) -> None:
    network = Conv1d((3, 2), 4, 2, "tanh", residual=1, **way)
    model = Model(code_size=2, network=network, code=GaussianCode(), likelihood="gaussian")
    check_module(build(model, (2, 9), seed=0), Randomness(0).normal((3, 2, 9)))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_contractive_penalty_goes_through_pooling(way) -> None:
    network = Conv1d((2,), 3, 2, "tanh", **way)
    model = Model(code_size=2, network=network, likelihood="squared_error", penalties=(Contractive(0.1),))
    check_module(build(model, (1, 6), seed=0), Randomness(0).normal((3, 1, 6)))


def test_reconstructing_with_the_context_uses_the_switches() -> None:
    """What training sees is the reconstruction with the context; a stored code goes without."""
    network = Conv2d((4,), 3, 2, down="max_pool", up="unpool", switches=True)
    module = build(Model(code_size=3, network=network, likelihood="squared_error"), (1, 6, 6), seed=0)
    x = Randomness(0).uniform((5, 1, 6, 6))
    with_context, without = module.reconstruct(x, with_context=True), module.reconstruct(x)
    assert not torch.allclose(with_context, without)
    assert torch.equal(without, module.decode(module.encode(x)))
    distortion = (x - with_context).square().flatten(1).sum(dim=1).mean()
    torch.testing.assert_close(module.objective(x, 0).terms["distortion"], distortion)
    plain = build(
        Model(code_size=3, network=network.replace(switches=False), likelihood="squared_error"),
        (1, 6, 6),
        seed=0,
    )
    assert torch.equal(plain.reconstruct(x, with_context=True), plain.reconstruct(x))
    torch.testing.assert_close(plain.reconstruct(x), without)


@pytest.mark.parametrize("activation", ["relu", "silu", "tanh", "identity"])
def test_many_residual_blocks_neither_grow_nor_drown_the_signal(activation: str) -> None:
    """At the start a chain of 24 blocks gives maps of the size that it was given, within a quarter."""
    network = Conv1d((16,), 3, 2, activation, residual=24)
    module = build(Model(code_size=2, network=network, likelihood="squared_error"), (1, 64), seed=0)
    blocks = module.network.encoder.blocks[0]
    a = Randomness(0).normal((50, 16, 32))
    with torch.no_grad():
        gain = float(blocks(a).square().mean().sqrt() / a.square().mean().sqrt())
        moved = float((blocks(a) - a).square().mean().sqrt())
    assert 0.8 < gain < 1.25
    assert moved > 0.05

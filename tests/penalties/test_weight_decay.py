"""Squares of the weights, each once, biases left out."""

from __future__ import annotations

import torch

from isthmus.config import Model
from isthmus.config.parts.networks import Conv2d, Dense
from isthmus.config.parts.penalties import WeightDecay
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)


def omega(network: Conv2d | Dense, shape: tuple[int, ...]) -> tuple[float, float, list[int]]:
    model = Model(code_size=2, network=network, likelihood="gaussian", penalties=WeightDecay(0.1))
    module = build(model, shape, seed=0)
    with torch.no_grad():
        for name, parameter in module.network.named_parameters():
            parameter.fill_(1e6 if name.endswith("bias") else 2.0)
    term = module.objective(Randomness(0).normal((3, *shape)), 0).terms["weight_decay"]
    sizes = [p.numel() for n, p in module.network.named_parameters() if n.endswith("weight")]
    return term.item(), 4.0 * sum(sizes), sizes


def test_dense_weights_count_once() -> None:
    got, expected, sizes = omega(Dense((4,)), (5,))
    assert sizes == [20, 8, 8, 20]
    assert got == expected


def test_kernels_count_once() -> None:
    got, expected, sizes = omega(Conv2d((3,)), (2, 6, 6))
    assert sizes == [3 * 2 * 16, 2 * 27, 27 * 2, 3 * 2 * 16]
    assert got == expected


def test_shared_weights_count_once() -> None:
    module = build(
        Model(code_size=5, network=Dense(()), likelihood="squared_error", penalties=WeightDecay()),
        (5,),
        seed=0,
    )
    module.decoder.layers[0].weight = module.encoder.layers[0].weight
    term = module.objective(torch.zeros(2, 5), 0).terms["weight_decay"]
    torch.testing.assert_close(term, module.encoder.layers[0].weight.square().sum())

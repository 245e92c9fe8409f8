"""Squared Jacobian norms: three ways that must agree, and the limit that they are."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import get_args

import pytest
import torch

from isthmus.config.parts.activations import Activation
from isthmus.networks.base import Ends
from isthmus.networks.conv2d import Conv2d
from isthmus.networks.dense import Dense
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.jacobians import (
    dense_estimated_squared_norm,
    dense_squared_norm,
    estimated_squared_norm,
    exact_squared_norm,
)
from isthmus.numerics.randomness import Randomness

torch.set_num_threads(1)
ROWS = 3
SIZES = [(5, 3), (3, 5), (4, 6, 2), (6, 4, 3), (9, 4, 5, 2), (3, 7, 5, 4), (7, 6, 5, 4, 3), (2, 9, 3, 8, 4)]


def chain(sizes: tuple[int, ...], name: Activation):
    """Layers, an activation after each, and the trace of a batch through them."""
    draw = Randomness(0, "chain", *sizes)
    weights = [draw.at("w", i).normal((b, a)).double() for i, (a, b) in enumerate(pairwise(sizes))]
    biases = [draw.at("b", i).normal((b,)).double() for i, b in enumerate(sizes[1:])]
    activation = ACTIVATIONS[name]

    def function(x: torch.Tensor) -> torch.Tensor:
        for weight, bias in zip(weights, biases, strict=True):
            x = activation.function(x @ weight.T + bias)
        return x

    def slopes(x: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for weight, bias in zip(weights, biases, strict=True):
            a = x @ weight.T + bias
            found.append(activation.derivative(a))
            x = activation.function(a)
        return found

    return function, weights, slopes, draw.at("x").normal((ROWS, sizes[0])).double()


def by_autograd(function, x: torch.Tensor) -> torch.Tensor:
    rows = [torch.autograd.functional.jacobian(lambda one: function(one.unsqueeze(0))[0], row) for row in x]
    return torch.stack([row.square().sum() for row in rows])


@pytest.mark.parametrize("name", get_args(Activation))
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_closed_form_is_autograds(sizes: tuple[int, ...], name: Activation) -> None:
    function, weights, slopes, x = chain(sizes, name)
    expected = by_autograd(function, x)
    torch.testing.assert_close(dense_squared_norm(weights, slopes(x)), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(exact_squared_norm(function, x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sizes", [(5, 3), (6, 4, 3), (3, 7, 5, 4)], ids=str)
def test_gradients_agree_too(sizes: tuple[int, ...]) -> None:
    function, weights, slopes, x = chain(sizes, "tanh")
    for weight in weights:
        weight.requires_grad_()
    closed = torch.autograd.grad(dense_squared_norm(weights, slopes(x)).sum(), weights)
    exact = torch.autograd.grad(exact_squared_norm(function, x).sum(), weights)
    torch.testing.assert_close(closed, exact, rtol=1e-9, atol=1e-10)


def test_one_layer_is_rifais_equation() -> None:
    function, (weight,), _, x = chain((6, 4), "sigmoid")
    h = function(x)
    expected = ((h * (1 - h)).square() * weight.square().sum(dim=1)).sum(dim=1)
    torch.testing.assert_close(exact_squared_norm(function, x), expected, rtol=1e-12, atol=0)


def conv() -> tuple[Conv2d, torch.Tensor]:
    network = Conv2d(Ends((2, 7, 6), 3, 3, (2, 7, 6)), (4, 3), 3, 2, "tanh").double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(Randomness(0, name).normal(parameter.shape) / 2)
    return network, Randomness(0, "x").normal((ROWS, 2, 7, 6)).double()


def test_exact_through_convolutions() -> None:
    network, x = conv()
    encode = lambda x: network.encoder(x)[0]  # noqa: E731
    torch.testing.assert_close(exact_squared_norm(encode, x), by_autograd(encode, x), rtol=1e-10, atol=0)


def test_the_estimate_is_unbiased() -> None:
    network, x = conv()
    encode = lambda x: network.encoder(x)[0]  # noqa: E731
    many = 2_000
    draws = torch.stack(
        [
            estimated_squared_norm(encode, x, Randomness(0, "probe", i).normal((ROWS, 3)).double()).detach()
            for i in range(many)
        ]
    )
    error = draws.std(dim=0) / math.sqrt(many)
    assert ((draws.mean(dim=0) - exact_squared_norm(encode, x).detach()).abs() < 4 * error).all()
    assert (error > 0).all()


def test_the_estimate_with_unit_probes_is_exact() -> None:
    function, _, _, x = chain((5, 4, 3), "silu")
    rows = sum(
        estimated_squared_norm(function, x, torch.eye(3, dtype=x.dtype)[j].expand(ROWS, 3)) for j in range(3)
    )
    torch.testing.assert_close(rows, exact_squared_norm(function, x))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_estimate_through_dense_layers_is_autograds(sizes: tuple[int, ...]) -> None:
    function, weights, slopes, x = chain(sizes, "silu")
    for weight in weights:
        weight.requires_grad_()
    probe = Randomness(0, "probe").normal((ROWS, sizes[-1])).double()
    written, general = (
        dense_estimated_squared_norm(weights, slopes(x), probe),
        estimated_squared_norm(function, x, probe),
    )
    torch.testing.assert_close(written, general, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(written.sum(), weights),
        torch.autograd.grad(general.sum(), weights),
        rtol=1e-9,
        atol=1e-10,
    )


def test_it_is_the_limit_of_small_noise() -> None:
    function, _, _, x = chain((5, 4, 3), "tanh")
    scale, many = 1e-4, 20_000
    noise = scale * Randomness(0, "noise").normal((many, 5)).double()
    moved = (function(x[:1] + noise) - function(x[:1])).square().sum(dim=1) / scale**2
    error = moved.std() / math.sqrt(many)
    assert abs(moved.mean() - exact_squared_norm(function, x)[0]) < 4 * error + 1e-3


def test_a_graph_is_made_without_being_asked() -> None:
    """Evaluation under no_grad still finds the norm, and leaves the input as it was."""
    function, weights, slopes, x = chain((4, 3), "tanh")
    with torch.no_grad():
        norm = exact_squared_norm(function, x)
    assert not x.requires_grad
    torch.testing.assert_close(norm.detach(), dense_squared_norm(weights, slopes(x)))


@pytest.mark.parametrize("hidden", [(), (6,), (3, 5), (9, 4, 7)], ids=str)
def test_dense_encoders_trace(hidden: tuple[int, ...]) -> None:
    encoder = Dense(Ends((5,), 3, 3, (5,)), hidden, "gelu").double().encoder
    x = Randomness(0).normal((ROWS, 5)).double()
    weights, slopes, pre_code = encoder.dense_trace(x)
    norm = dense_squared_norm(weights, [*slopes, torch.ones_like(pre_code)])
    torch.testing.assert_close(norm, by_autograd(lambda one: encoder(one)[0], x), rtol=1e-10, atol=0)

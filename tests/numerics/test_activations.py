"""Every activation's derivative is its own slope, at the kink too."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from isthmus.config.parts.activations import Activation
from isthmus.numerics.activations import ACTIVATIONS

torch.set_num_threads(1)


def test_the_list_is_closed() -> None:
    assert tuple(ACTIVATIONS) == get_args(Activation)


@pytest.mark.parametrize("name", get_args(Activation))
def test_derivative_is_autograds(name: Activation) -> None:
    a = torch.cat([torch.linspace(-30, 30, 601), torch.tensor([0.0, -1e-9, 1e-9])]).double().requires_grad_()
    (slope,) = torch.autograd.grad(ACTIVATIONS[name].function(a).sum(), a)
    # torch's softplus is linear above 20, where the exact slope is 2e-9 short of 1.
    atol = 3e-9 if name == "softplus" else 1e-12
    torch.testing.assert_close(ACTIVATIONS[name].derivative(a), slope, rtol=1e-10, atol=atol)


@pytest.mark.parametrize("name", get_args(Activation))
def test_derivative_is_the_difference_quotient(name: Activation) -> None:
    a = torch.linspace(-4, 4, 40, dtype=torch.float64)
    function, h = ACTIVATIONS[name].function, 1e-6
    slope = (function(a + h) - function(a - h)) / (2 * h)
    torch.testing.assert_close(ACTIVATIONS[name].derivative(a), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", get_args(Activation))
def test_derivative_can_be_differentiated(name: Activation) -> None:
    """The contractive penalty's gradient runs through it."""
    a = torch.linspace(-3, 3, 20, dtype=torch.float64).requires_grad_()
    (first,) = torch.autograd.grad(ACTIVATIONS[name].function(a).sum(), a, create_graph=True)
    ours = ACTIVATIONS[name].derivative(a)
    for slopes in (first, ours):
        assert slopes.dtype == torch.float64
    twice = [
        torch.autograd.grad(s.sum(), a, retain_graph=True, allow_unused=True)[0] if s.requires_grad else None
        for s in (first, ours)
    ]
    theirs, mine = (torch.zeros_like(a) if t is None else t for t in twice)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "module"),
    [("relu", nn.ReLU()), ("leaky_relu", nn.LeakyReLU()), ("elu", nn.ELU()), ("selu", nn.SELU()),
     ("silu", nn.SiLU()), ("gelu", nn.GELU()), ("softplus", nn.Softplus()), ("identity", nn.Identity())],
)  # fmt: skip
def test_functions_are_torchs(name: Activation, module: nn.Module) -> None:
    a = torch.linspace(-5, 5, 101, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name].function(a), module(a))


@pytest.mark.parametrize("name", get_args(Activation))
def test_in_place_has_the_bits_of_the_function(name: Activation) -> None:
    elementwise, a = ACTIVATIONS[name], torch.linspace(-30, 30, 10_007)
    if elementwise.in_place is None:
        return
    over = a.clone()
    found = elementwise.in_place(over)
    assert found.data_ptr() == over.data_ptr()
    assert torch.equal(over, elementwise.function(a))

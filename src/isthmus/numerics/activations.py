"""Elementwise functions and their exact derivatives, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from isthmus.config.parts.activations import Activation

# Klambauer et al. (2017), equation 14: the fixed point of mean 0 and variance 1.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@dataclass(frozen=True, slots=True)
class Elementwise:
    """An elementwise function and its derivative, both of the same argument."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    in_place: Callable[[Tensor], Tensor] | None = None
    """The function, bit for bit, written over its argument; None where PyTorch has none such."""


def _step(a: Tensor, below: float | Tensor, above: float | Tensor) -> Tensor:
    return torch.where(a > 0, torch.as_tensor(above, dtype=a.dtype, device=a.device), below)


def _d_silu(a: Tensor) -> Tensor:
    s = torch.sigmoid(a)
    return s * (1 + a * (1 - s))


def _d_gelu(a: Tensor) -> Tensor:
    density = torch.exp(-a.square() / 2) / math.sqrt(2 * math.pi)
    return (1 + torch.erf(a / math.sqrt(2))) / 2 + a * density


def _d_sigmoid(a: Tensor) -> Tensor:
    s = torch.sigmoid(a)
    return s * (1 - s)


ACTIVATIONS: dict[Activation, Elementwise] = {
    "identity": Elementwise(lambda a: a, torch.ones_like),
    "relu": Elementwise(F.relu, lambda a: _step(a, 0.0, 1.0), torch.relu_),
    "leaky_relu": Elementwise(
        F.leaky_relu, lambda a: _step(a, 0.01, 1.0), partial(F.leaky_relu, inplace=True)
    ),
    "elu": Elementwise(
        F.elu, lambda a: _step(a, torch.exp(a.clamp(max=0)), 1.0), partial(F.elu, inplace=True)
    ),
    "selu": Elementwise(
        F.selu,
        lambda a: SELU_SCALE * _step(a, SELU_ALPHA * torch.exp(a.clamp(max=0)), 1.0),
        partial(F.selu, inplace=True),
    ),
    "silu": Elementwise(F.silu, _d_silu, partial(F.silu, inplace=True)),
    "gelu": Elementwise(F.gelu, _d_gelu, torch.ops.aten.gelu_),
    "softplus": Elementwise(F.softplus, torch.sigmoid),
    "sigmoid": Elementwise(torch.sigmoid, _d_sigmoid, torch.sigmoid_),
    "tanh": Elementwise(torch.tanh, lambda a: 1 - torch.tanh(a).square(), torch.tanh_),
}
"""At a kink (relu, leaky_relu at 0) the derivative is the one from below, as in autograd."""

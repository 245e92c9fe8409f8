"""Calls of which the steps of dense layers are made: each puts what it computes into memory that is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from isthmus.config.parts.activations import Activation
from isthmus.numerics.products import is_large, is_turned, large_product

OWN_MEMORY = 1 << 14
"""Numbers of a weight from which on its gradient is no part of a vector: a large product brings its own memory."""

Call = Callable[[], object]
Forward = Callable[[Tensor, Tensor], Call]
"""``(a, into)``: what puts act(a) into a tensor."""
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], Call]
"""``(gradient, a, act(a), into)``: what puts the gradient of a into a tensor."""


def aten(name: str, overload: str) -> Any:
    """An operator of PyTorch, without what Python does at each of its calls: a tenth of what some of them take."""
    found = getattr(getattr(torch.ops.aten, name), overload)
    return getattr(found, "_op", found)


BENT: dict[Activation, tuple[Forward, Backward]] = {
    "relu": (
        lambda a, into: partial(torch.clamp_min, a, 0.0, out=into),
        lambda g, a, _, into: partial(aten("threshold_backward", "grad_input"), g, a, 0.0, grad_input=into),
    ),
    "leaky_relu": (
        lambda a, into: partial(aten("leaky_relu", "out"), a, 0.01, out=into),
        lambda g, a, _, into: partial(aten("leaky_relu_backward", "grad_input"), g, a, 0.01, False, grad_input=into),
    ),
    "silu": (
        lambda a, into: partial(aten("silu", "out"), a, out=into),
        lambda g, a, _, into: partial(aten("silu_backward", "grad_input"), g, a, grad_input=into),
    ),
    "gelu": (
        lambda a, into: partial(aten("gelu", "out"), a, out=into),
        lambda g, a, _, into: partial(aten("gelu_backward", "grad_input"), g, a, grad_input=into),
    ),
    "softplus": (
        lambda a, into: partial(aten("softplus", "out"), a, out=into),
        lambda g, a, _, into: partial(aten("softplus_backward", "grad_input"), g, a, 1.0, 20.0, grad_input=into),
    ),
    "sigmoid": (
        lambda a, into: partial(torch.sigmoid, a, out=into),
        lambda g, _, bent, into: partial(aten("sigmoid_backward", "grad_input"), g, bent, grad_input=into),
    ),
    "tanh": (
        lambda a, into: partial(torch.tanh, a, out=into),
        lambda g, _, bent, into: partial(aten("tanh_backward", "grad_input"), g, bent, grad_input=into),
    ),
}  # fmt: skip
"""Activations that can be written into memory that is there; ``identity`` needs none."""


SLOPES: dict[Activation, tuple[Callable[[Tensor, Tensor], list[Call]], bool]] = {
    "sigmoid": (lambda h, into: [partial(torch.addcmul, h, h, h, value=-1, out=into)], True),
    "tanh": (lambda h, into: [partial(torch.mul, h, h, out=into), into.neg_, partial(into.add_, 1)], False),
}
"""What puts act'(a) into a tensor, given h = act(a); and of act''(a) = act'(a) (c - 2 h) whether c is 1, not 0."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Views of a layer's part of the vectors."""

    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor
    activation: Activation
    turned_gradient: Tensor | None = None
    """The transpose of ``weight_gradient``, where weights lie turned and products bring its memory."""
    joined: Tensor | None = None
    """``(n_out, n_in + 1)``: weight and bias side by side, where that is how they lie."""
    joined_gradient: Tensor | None = None
    """Of the same, ``(n_out, n_in + 1 or a little more)``: what stands in other columns is never read."""


def rows_are_large(rows: Tensor, shape: Sequence[int]) -> bool:
    """Whether the product of rows with a matrix is oneDNN's, on the CPU alone."""
    return rows.device.type == "cpu" and is_large(len(rows), *shape)


def outputs_of(a: Tensor, layer: Layer, into: Any, *, stays: bool = False) -> Call:
    """What puts ``a W^T + b`` into a tensor; of a large product it has the memory, each time another, or ``stays``."""
    if rows_are_large(a, layer.weight.shape):
        put = into.copy_ if stays else into.set_
        return lambda: put(large_product(a, layer.weight, layer.bias))
    return partial(torch.addmm, layer.bias, a, layer.weight.t(), out=into)


def gradient_of_input(gradient: Tensor, weight: Tensor, into: Any) -> Call:
    """What puts ``gradient W`` into a tensor."""
    if rows_are_large(gradient, weight.shape):
        weights = weight.t()
        return lambda: into.set_(large_product(gradient, weights))
    return partial(torch.mm, gradient, weight, out=into)


def gradient_of_weight(gradient: Tensor, a: Tensor, layer: Layer, *, stays: bool) -> Call:
    """What puts ``gradient^T a`` where it belongs; ``stays`` says that no product's memory is ever another."""
    into: Any = layer.weight_gradient
    if not rows_are_large(a, into.shape):
        return (
            partial(torch.mm, gradient.t(), a, out=into)
            if stays
            else lambda: torch.mm(gradient.t(), a, out=into)
        )
    own: Any = layer.turned_gradient
    if own is not None:
        return lambda: into.set_(own.set_(large_product(a.t(), gradient.t())).t())
    if is_turned(into):
        return lambda: into.copy_(large_product(a.t(), gradient.t()).t())
    put = into.set_ if into.numel() >= OWN_MEMORY else into.copy_
    return lambda: put(large_product(gradient.t(), a.t()))


def rounded_up(n: int, to: int) -> int:
    """The next multiple.

    >>> rounded_up(31, 8), rounded_up(32, 8)
    (32, 32)
    """
    return -(-n // to) * to

"""Transposed convolution to few channels, as to a picture's: one product, whose results are laid over each other.

oneDNN computes it as the gradient of a convolution by its input, in blocks of eight channels or more, of which few
are then of use: 8 GFLOP/s a core to one channel, where the product does 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from isthmus.numerics.products import is_plain, linear

MOST_CHANNELS = 2
"""Channels up to which the product is faster."""

_Given = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Stride, padding and output padding."""
_backward: Any = torch.ops.aten.convolution_backward


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
) -> Tensor:
    """As :func:`torch.nn.functional.conv_transpose2d`, in one group and without dilation.

    Parameters
    ----------
    x
        ``(rows, n_in, height, width)``
    weight, bias
        ``(n_in, n_out, *kernel)`` and ``(n_out,)``
    stride, padding, output_padding
        Two each.

    Examples
    --------
    >>> x, weight = torch.ones(1, 2, 1, 1), torch.ones(2, 1, 2, 2)
    >>> conv_transpose2d(x, weight, None, (2, 2), (0, 0), (0, 0)).tolist()
    [[[[2.0, 2.0], [2.0, 2.0]]]]
    """
    given = stride, padding, output_padding
    if weight.shape[1] > MOST_CHANNELS or x.ndim != 4 or not is_plain(x, weight):
        return functional.conv_transpose2d(x, weight, bias, *given)
    if torch.is_grad_enabled():
        found: Any = _Transposed.apply(x, weight, bias, given)
        return found
    return _by_product(x, weight, bias, given)


def _by_product(x: Tensor, weight: Tensor, bias: Tensor | None, given: _Given) -> Tensor:
    """Every place of x times every number of the kernel, added where they fall."""
    stride, padding, output_padding = given
    n, n_in, *size = x.shape
    kernel = weight.shape[2:]
    products = linear(x.permute(0, 2, 3, 1).reshape(-1, n_in), weight.flatten(1).t())
    size_out = [
        (a - 1) * s - 2 * p + k + o
        for a, s, p, k, o in zip(size, stride, padding, kernel, output_padding, strict=True)
    ]
    laid = products.view(n, -1, products.shape[1]).transpose(1, 2)
    found = functional.fold(
        laid, tuple(size_out), tuple(kernel), padding=tuple(padding), stride=tuple(stride)
    )
    return found if bias is None else found + bias[:, None, None]


class _Transposed(torch.autograd.Function):
    """Its gradients are convolutions, which torch does well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, given: _Given) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.given = given
        return _by_product(x, weight, bias, given)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, output_padding = ctx.given
        wanted = list(ctx.needs_input_grad[:3])
        of_inputs = _backward(
            gradients[0], x, weight, [weight.shape[1]], stride, padding, [1, 1], True, output_padding, 1, wanted
        )  # fmt: skip
        return (*of_inputs, None)

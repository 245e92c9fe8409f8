"""Sums of products of one length modulo 16 bytes, so that a row's place in its batch never matters.

Where only every second or fourth row is aligned, MKL treats the ends of rows differently, and
a row's last bits would depend on its place in the batch; so would those of a product of its
own, as between an example's tokens.

Products of few outputs are made wider: MKL has a way of its own with them, which is slower, and whose bits those
of oneDNN never are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad
from torch.overrides import TorchFunctionMode

ALIGNED = 4
"""Values a row that a dense layer or a matrix product sees, in multiples: 16 bytes of float32."""

FEW, ENOUGH = range(4, 12), 16
"""Outputs of a dense layer that count as few, and to how many zeros make them."""

PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm)


class AlignedRows(TorchFunctionMode):
    """Dense layers and matrix products see rows that all begin at a multiple of 16 bytes: zeros fill them up.

    This reaches modules of the user's own.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``func``, sums of products with their length made a multiple of :data:`ALIGNED`."""
        if func is linear:
            return _linear(*args, **(kwargs or {}))
        if func in PRODUCTS and not kwargs:
            return _product(*args)
        return func(*args, **(kwargs or {}))


def filled(values: Tensor, more_rows: int = 0) -> Tensor:
    """``(..., n)`` with zeros behind it up to a multiple of :data:`ALIGNED`; itself if none are missing.

    ``more_rows`` of zeros are behind all rows.
    """
    missing = -values.shape[-1] % ALIGNED
    if more_rows:
        return torch.constant_pad_nd(values, (0, missing, 0, more_rows))
    return torch.constant_pad_nd(values, (0, missing)) if missing else values


def lengthened(rows: Tensor, more_rows: int) -> Tensor:
    """``(n, ...)`` with so many more rows of zeros; itself for none, of which padding would make a copy."""
    return torch.constant_pad_nd(rows, [0, 0] * (rows.ndim - 1) + [0, more_rows]) if more_rows else rows


def filled_weight(weight: Tensor) -> Tensor:
    """That of a dense layer for inputs that are filled up; it has :data:`ENOUGH` outputs for few."""
    n_out = weight.shape[0]
    return filled(weight, ENOUGH - n_out if n_out in FEW else 0)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    n_out = weight.shape[0]
    if n_out not in FEW:
        return linear(filled(x), filled(weight), bias)
    found = linear(filled(x), filled_weight(weight))[..., :n_out]
    return found.contiguous() if bias is None else found + bias


def _product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b``, both lying along what is summed over."""
    if min(a.ndim, b.ndim) > 1:
        missing = -a.shape[-1] % ALIGNED
        a = pad(a, (0, missing)).contiguous()
        b = pad(b.transpose(-2, -1), (0, missing)).contiguous().transpose(-2, -1)
    return torch.matmul(a, b)

"""Large matrix products through oneDNN, which PyTorch has beside MKL.

PyTorch takes float32 products from MKL, which leaves the widest registers of processors aside that are not Intel's:
on one of AMD's with AVX-512 oneDNN does 2.3 times as many operations a second, and small products take it longer.
Which one a product takes is a function of its size alone, so that a seed means the same bits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LEAST = 5_000_000
"""Operations from which on oneDNN is faster, whose calls take longer to begin."""
RELAID = 1.5
"""Times that a number of a gradient takes to be laid anew, where one of a product's factors takes 1."""

_pointwise: Any = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    else None
)
_functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
_PLAIN = (Tensor, torch.nn.Parameter)


def is_large(n_rows: int, n_in: int, n_out: int) -> bool:
    """Whether oneDNN is to be taken for a product of ``(n_rows, n_in)`` and ``(n_in, n_out)``, and is there.

    Where ``torch.backends.mkldnn.enabled`` is off it is not.
    """
    return (
        2 * n_rows * n_in * n_out >= LEAST and _pointwise is not None and bool(torch._C._get_mkldnn_enabled())  # pyright: ignore[reportPrivateUsage]
    )


def large_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W^T + b`` by oneDNN, without a graph.

    Parameters
    ----------
    x, weight
        ``(rows, n_in)`` and ``(n_out, n_in)``, float32 on the CPU, in any layout.
    bias
        ``(n_out,)``, or none.

    Examples
    --------
    >>> x, weight = torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> large_product(x, weight).tolist() if is_large(1000, 1000, 1000) else weight.T.tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    bias = None if bias is None else bias.contiguous()  # it is read as if it were
    return _pointwise(_in_one_piece(x), _in_one_piece(weight), bias, "none", [], "")


def _in_one_piece(matrix: Tensor) -> Tensor:
    """Itself, or a copy where rows or columns lie with gaps between them: oneDNN would take it number by number."""
    strides, (n_rows, n_columns) = matrix.stride(), matrix.shape
    return matrix if strides in ((n_columns, 1), (1, n_rows)) else matrix.contiguous()


def is_turned(matrix: Tensor) -> bool:
    """Whether it lies as its transpose would.

    >>> is_turned(torch.ones(2, 3)), is_turned(torch.ones(3, 2).t())
    (False, True)
    """
    return matrix.stride(0) == 1 < matrix.stride(1)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As :func:`torch.nn.functional.linear`, large ones through oneDNN; it can be differentiated as often as that.

    Parameters
    ----------
    x
        ``(..., n_in)``
    weight, bias
        ``(n_out, n_in)`` and ``(n_out,)``

    Examples
    --------
    >>> linear(torch.ones(1, 3), torch.ones(2, 3), torch.tensor([0.0, 1.0])).tolist()
    [[3.0, 4.0]]
    """
    n_out, n_in = weight.shape
    n_rows = x.numel() // n_in if n_in else 0
    if not (is_large(n_rows, n_in, n_out) and is_plain(x, weight)):
        return functional.linear(x, weight, bias)
    rows = x.reshape(-1, n_in)
    if torch.is_grad_enabled():
        found: Any = _Linear.apply(rows, weight, bias)
    else:
        found = large_product(rows, weight, bias)
    return found if x.ndim == 2 else found.unflatten(0, x.shape[:-1])


def is_plain(x: Tensor, weight: Tensor) -> bool:
    """Whether these are numbers on the CPU, and nobody traces, counts, transforms or casts what is done to them."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and type(x) in _PLAIN
        and type(weight) in _PLAIN
        and not torch.is_autocast_enabled("cpu")
        and torch._C._len_torch_dispatch_stack() == 0  # pyright: ignore[reportPrivateUsage]
        and _functorch.peek_interpreter_stack() is None
        and not _functorch.is_legacy_batchedtensor(x)
        and torch.autograd.forward_ad._current_level < 0  # pyright: ignore[reportPrivateUsage]
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    )


class _Linear(torch.autograd.Function):
    """``x W^T + b``, whose gradients are products of the same kind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return large_product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            linear(gradient, weight.t()) if of_x else None,
            _of_weight(gradient, x, weight) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """``gradient^T x``, lying as the weight does: what is added up with it would be laid out anew.

    oneDNN lays the first of its two factors anew, which here both lie turned. That takes time for each row; where
    there are many, less for the narrower one, and the result is laid anew.
    """
    (n_rows, n_in), n_out = x.shape, gradient.shape[1]
    if is_turned(weight):
        return linear(x.t(), gradient.t()).t()
    if n_rows * (n_out - n_in) >= RELAID * n_in * n_out:
        return linear(x.t(), gradient.t()).t().contiguous()
    return linear(gradient.t(), x.t())

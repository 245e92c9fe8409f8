"""Squared Frobenius norms of Jacobians: exact through dense layers, exact by autograd, estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from isthmus.numerics.products import linear


def dense_squared_norm(weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
    """``||D_L W_L ... D_1 W_1||_F^2`` for each row, in closed form.

    Source: Rifai et al. (2011), equation 5 (one layer), and the chain rule. The product is built
    from the code downwards; where W_1 is wide the last norm is taken through its Gram matrix
    ``W_1 W_1^T``, so that the input's size drops out of the cost.

    Parameters
    ----------
    weights
        W_1 to W_L, each ``(n_out, n_in)``, from the input to the code.
    slopes
        Diagonals of D_1 to D_L: the activations' derivatives, each ``(rows, n_out)``.

    Returns
    -------
    Tensor
        ``(rows,)``
    """
    if len(weights) == 1:
        return slopes[0].square() @ _squared_row_norms(weights[0])
    return _squared_norm(_from_first_layer(weights, slopes), weights[0])


def dense_estimated_squared_norm(
    weights: Sequence[Tensor], slopes: Sequence[Tensor], probe: Tensor
) -> Tensor:
    """``||v^T D_L W_L ... D_1 W_1||^2`` for each row: :func:`estimated_squared_norm` through dense layers.

    ``probe`` is v, ``(rows, n_code)``; the rest is as in :func:`dense_squared_norm`.
    """
    projected = probe
    for weight, slope in zip(reversed(weights), reversed(slopes), strict=True):
        projected = linear(projected * slope, weight.t())
    return projected.square().sum(dim=1)


def dense_squared_difference(
    weights: Sequence[Tensor], slopes: Sequence[Tensor], other_slopes: Sequence[Tensor]
) -> Tensor:
    """``||J(slopes) - J(other_slopes)||_F^2`` for each row, both Jacobians as in :func:`dense_squared_norm`."""
    if len(weights) == 1:
        return (slopes[0] - other_slopes[0]).square() @ _squared_row_norms(weights[0])
    difference = _from_first_layer(weights, slopes) - _from_first_layer(weights, other_slopes)
    return _squared_norm(difference, weights[0])


def _squared_row_norms(weight: Tensor) -> Tensor:
    """``(n_out,)``; torch's norm makes no copy of the weight, as squares would."""
    return torch.linalg.vector_norm(weight, dim=1).square()


def _from_first_layer(weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
    """``D_L W_L ... D_1``, ``(rows, n_code, n_first)``."""
    product = slopes[-1].unsqueeze(-1) * weights[-1]
    for weight, slope in zip(reversed(weights[1:-1]), reversed(slopes[1:-1]), strict=True):
        product = linear(product * slope.unsqueeze(-2), weight.t())
    return product * slopes[0].unsqueeze(-2)


def _squared_norm(product: Tensor, first: Tensor) -> Tensor:
    """``||product @ first||_F^2``; where ``first`` is wide, through its Gram matrix."""
    if first.shape[1] > first.shape[0]:
        return (linear(product, linear(first, first)) * product).sum(dim=(-2, -1))
    return linear(product, first.t()).square().sum(dim=(-2, -1))


def exact_squared_norm(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``||d function(x) / dx||_F^2`` for each row, by one backward pass an output.

    ``function`` maps ``(rows, ...)`` to ``(rows, n)`` and treats rows independently.
    """
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        h = function(x)
        norm = torch.zeros(len(x), dtype=h.dtype, device=h.device)
        for j in range(h.shape[1]):
            (row,) = torch.autograd.grad(h[:, j].sum(), x, create_graph=True)
            norm = norm + row.flatten(1).square().sum(dim=1)
    return norm


def estimated_squared_norm(function: Callable[[Tensor], Tensor], x: Tensor, probe: Tensor) -> Tensor:
    """``||v^T d function(x) / dx||^2`` for each row: unbiased for the squared norm if ``E v v^T = I``.

    Source: Hutchinson (1990). ``probe`` is v, ``(rows, n)``; one backward pass in all.
    """
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        (projected,) = torch.autograd.grad((function(x) * probe).sum(), x, create_graph=True)
    return projected.flatten(1).square().sum(dim=1)


def estimated_squared_difference(
    function: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, probe: Tensor
) -> Tensor:
    """``||v^T (J(x) - J(y))||^2`` for each row: unbiased for the squared norm of the difference.

    ``probe`` is v, ``(rows, n)``; two backward passes in all.
    """
    with torch.enable_grad():
        x, y = (z if z.requires_grad else z.detach().requires_grad_() for z in (x, y))
        projected = [
            torch.autograd.grad((function(z) * probe).sum(), z, create_graph=True)[0] for z in (x, y)
        ]
    return (projected[0] - projected[1]).flatten(1).square().sum(dim=1)

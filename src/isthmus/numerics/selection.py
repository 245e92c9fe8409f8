"""Which numbers are the largest: masks without gradients, of exactly the size that is asked for."""

from __future__ import annotations

import torch
from torch import Tensor


def largest_of_each_row(a: Tensor, k: int) -> Tensor:
    """True at exactly ``k`` of the numbers of each row, ``(rows, n)``: none of the others is larger.

    NaN counts as larger than any number, so that it stays visible.

    >>> largest_of_each_row(torch.tensor([[1.0, 3.0, 2.0]]), 2).tolist()
    [[False, True, True]]
    """
    chosen = a.topk(k, dim=1, sorted=False).indices
    return torch.zeros_like(a, dtype=torch.bool).scatter_(1, chosen, True)


def largest_of_each_column(a: Tensor, k: int) -> Tensor:
    """True at exactly ``k`` of the numbers of each column."""
    return largest_of_each_row(a.T, k).T


def largest_of_all(a: Tensor, k: int) -> Tensor:
    """True at exactly ``k`` of all numbers.

    >>> largest_of_all(torch.tensor([[1.0, 3.0], [2.0, 0.0]]), 2).tolist()
    [[False, True], [True, False]]
    """
    return largest_of_each_row(a.reshape(1, -1), k).reshape(a.shape)

"""The logistic distribution in cells: probabilities whose logarithms stay finite in every tail."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def log_cell_probability(low: Tensor, high: Tensor, width: Tensor) -> Tensor:
    """``ln(sigmoid(high) - sigmoid(low))``, in nats, for ``low < high``, either of which may be infinite.

    ``sigmoid(high) - sigmoid(low) = sigmoid(high) sigmoid(-low) (1 - exp(-width))``: a sum of three
    logarithms, none of which cancels or overflows, so that no tail needs an approximation. ``width`` is
    ``high - low``, given apart because the difference of two large numbers would lose it.

    Examples
    --------
    >>> ends = torch.tensor([-torch.inf, 0.0, torch.inf])
    >>> log_cell_probability(ends[:-1], ends[1:], ends[1:] - ends[:-1]).exp()
    tensor([0.5000, 0.5000])
    """
    return F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(-torch.expm1(-width))

"""Squares of the weights."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from isthmus.penalties.base import Penalty, Scope, View


class WeightDecay(Penalty):
    """``Omega = sum ||W||_F^2``: a normal prior on the weights (Kunin et al. 2019)."""

    scope: ClassVar[Scope] = "weights"

    def forward(self, view: View) -> Tensor:
        """Sum over all weights of encoder and decoder, one number."""
        squares = [weight.square().sum() for weight in view.weights]
        return torch.stack(squares).sum() if squares else view.h.new_zeros(())

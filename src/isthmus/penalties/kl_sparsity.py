"""Divergence of each unit's mean activity from a target."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from isthmus.penalties.base import Penalty, Scope, View


class KLSparsity(Penalty):
    """``Omega = sum_j rho ln(rho / q_j) + (1 - rho) ln((1 - rho) / (1 - q_j))``, q_j unit j's batch mean.

    Source: Ng (2011), Sparse autoencoder, section 3.
    """

    scope: ClassVar[Scope] = "batch"
    support = (0.0, 1.0)

    def __init__(self, weight: float, target_activity: float = 0.05, warm_up_share: float = 0.0) -> None:
        super().__init__(weight, warm_up_share)
        self.target_activity = target_activity

    def forward(self, view: View) -> Tensor:
        """Sum over units, one number."""
        rho, q = self.target_activity, view.row_shares() @ view.h
        # A unit whose sigmoid is saturated at every row has a mean of 0 or 1 to the last bit.
        tiny = torch.finfo(q.dtype).eps
        q = q.clamp(tiny, 1 - tiny)
        entropy = rho * math.log(rho) + (1 - rho) * math.log(1 - rho)
        return (entropy - rho * q.log() - (1 - rho) * torch.log1p(-q)).sum()

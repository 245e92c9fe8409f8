"""Squares of what the units say twice."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from isthmus.penalties.base import Penalty, Scope, View


class Decorrelation(Penalty):
    """``Omega = sum_{i<j} C_ij^2``, C the units' covariance or correlation over the batch.

    Source: Cogswell et al. (2016), equation 2 (DeCov), with the covariance over n, not n - 1.
    """

    scope: ClassVar[Scope] = "batch"

    def __init__(
        self,
        weight: float,
        measure: Literal["covariance", "correlation"] = "covariance",
        warm_up_share: float = 0.0,
    ) -> None:
        super().__init__(weight, warm_up_share)
        self.measure = measure

    def forward(self, view: View) -> Tensor:
        """Sum over pairs of units, one number."""
        share = view.row_shares()
        mean = share @ view.h
        centred = view.h - mean
        if self.measure == "correlation":
            variance = share @ centred.square()
            # A unit that does not vary, but for rounding, is correlated with none.
            varies = variance > (4 * torch.finfo(mean.dtype).eps * mean).square()
            centred = centred * varies * torch.where(varies, variance, 1.0).rsqrt()
        products = (centred * share.unsqueeze(1)).T @ centred
        return products.triu(diagonal=1).square().sum()

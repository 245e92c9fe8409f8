"""Logarithms of the squares of the code."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from isthmus.penalties.base import Penalty, Scope, View


class StudentT(Penalty):
    """``Omega = sum_j (dof + 1) / 2 * ln(1 + h_j^2 / (dof * scale^2))``: a Student-t prior on the code.

    With one degree of freedom it is ``ln(1 + h^2 / scale^2)`` (Olshausen and Field 1996).
    """

    scope: ClassVar[Scope] = "example"

    def __init__(
        self, weight: float, scale: float = 1.0, dof: float = 1.0, warm_up_share: float = 0.0
    ) -> None:
        super().__init__(weight, warm_up_share)
        self.scale, self.dof = scale, dof

    def forward(self, view: View) -> Tensor:
        """Sum over units, ``(rows,)``."""
        squares = (view.h / self.scale).square() / self.dof
        return (self.dof + 1) / 2 * torch.log1p(squares).sum(dim=1)

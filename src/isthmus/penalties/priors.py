"""Priors on the code: full negative log densities, so that the loss is ``-ln p(x, h)``.

Under a likelihood that is a density in nats, ``L + Omega = -ln p(x given h) - ln p(h)``: the code that
minimises it has the largest posterior density (MAP).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from isthmus.penalties.base import Penalty, Scope, View


class LaplacePrior(Penalty):
    """``Omega = sum_j |h_j| / scale + ln(2 scale)``, in nats."""

    scope: ClassVar[Scope] = "example"

    def __init__(self, scale: float) -> None:
        super().__init__(1.0)
        self.scale = scale

    def forward(self, view: View) -> Tensor:
        """Sum over units, ``(rows,)``."""
        return (view.h.abs() / self.scale + math.log(2 * self.scale)).sum(dim=1)


class NormalPrior(Penalty):
    """``Omega = sum_j h_j^2 / (2 scale^2) + ln(2 pi scale^2) / 2``, in nats."""

    scope: ClassVar[Scope] = "example"

    def __init__(self, scale: float) -> None:
        super().__init__(1.0)
        self.scale = scale

    def forward(self, view: View) -> Tensor:
        """Sum over units, ``(rows,)``."""
        constant = math.log(2 * math.pi) / 2 + math.log(self.scale)
        return ((view.h / self.scale).square() / 2 + constant).sum(dim=1)


class StudentTPrior(Penalty):
    """``Omega = sum_j (dof + 1) / 2 * ln(1 + h_j^2 / (dof * scale^2)) + constant``, in nats."""

    scope: ClassVar[Scope] = "example"

    def __init__(self, scale: float, dof: float) -> None:
        super().__init__(1.0)
        self.scale, self.dof = scale, dof

    def forward(self, view: View) -> Tensor:
        """Sum over units, ``(rows,)``."""
        constant = (
            math.lgamma(self.dof / 2)
            - math.lgamma((self.dof + 1) / 2)
            + math.log(self.dof * math.pi) / 2
            + math.log(self.scale)
        )
        squares = (view.h / self.scale).square() / self.dof
        return ((self.dof + 1) / 2 * torch.log1p(squares) + constant).sum(dim=1)

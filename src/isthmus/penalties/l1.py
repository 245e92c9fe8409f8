"""Absolute values of the code."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from isthmus.penalties.base import Penalty, Scope, View


class L1(Penalty):
    """``Omega = sum_j |h_j|``: a Laplace prior on the code."""

    scope: ClassVar[Scope] = "example"

    def forward(self, view: View) -> Tensor:
        """Sum over units, ``(rows,)``."""
        return view.h.abs().sum(dim=1)

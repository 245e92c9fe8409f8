"""Squares of the code."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from isthmus.penalties.base import Penalty, Scope, View


class L2(Penalty):
    """``Omega = sum_j h_j^2``: a normal prior on the code."""

    scope: ClassVar[Scope] = "example"

    def forward(self, view: View) -> Tensor:
        """Sum over units, ``(rows,)``."""
        return view.h.square().sum(dim=1)

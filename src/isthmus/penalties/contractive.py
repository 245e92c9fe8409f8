"""Squared Frobenius norm of the code's Jacobian."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from isthmus.numerics.jacobians import (
    dense_estimated_squared_norm,
    dense_squared_norm,
    estimated_squared_norm,
    exact_squared_norm,
)
from isthmus.penalties.base import Penalty, Scope, View


class Contractive(Penalty):
    """``Omega = ||dh/dx||_F^2`` (Rifai et al. 2011, equation 5).

    Exact in closed form for dense encoders of any depth; for others exact by one backward pass a
    code unit, or estimated without bias by one in all (Hutchinson 1990).
    """

    scope: ClassVar[Scope] = "example"
    reads_trace = True

    def __init__(
        self, weight: float, method: Literal["auto", "exact", "estimate"], warm_up_share: float = 0.0
    ) -> None:
        super().__init__(weight, warm_up_share)
        self.method = method

    def forward(self, view: View) -> Tensor:
        """The squared norm at each row, ``(rows,)``."""
        trace = view.dense_trace(view.x)
        if self.method == "exact" or (self.method == "auto" and trace is not None):
            return exact_squared_norm(view.encode, view.x) if trace is None else dense_squared_norm(*trace)
        probe = view.randomness.normal(view.h.shape, like=view.h)
        if trace is None:
            return estimated_squared_norm(view.encode, view.x, probe)
        return dense_estimated_squared_norm(*trace, probe)

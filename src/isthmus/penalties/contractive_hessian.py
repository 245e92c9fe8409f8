"""How much the code's Jacobian changes around a row."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from isthmus.numerics.jacobians import dense_squared_difference, estimated_squared_difference
from isthmus.penalties.base import Penalty, Scope, View


class ContractiveHessian(Penalty):
    """``Omega = E ||J(x + e) - J(x)||_F^2``, ``e ~ N(0, scale^2 I)``, J = dh/dx.

    For small scales it is ``scale^2`` times the squared norm of the Hessian (Rifai et al. 2011b,
    equation 4). The mean over ``n_probes`` draws of e; the Jacobians are exact for dense encoders, for
    others their difference is estimated without bias by one random projection a draw.
    """

    scope: ClassVar[Scope] = "example"
    reads_trace = True

    def __init__(
        self, weight: float, scale: float = 0.1, n_probes: int = 4, warm_up_share: float = 0.0
    ) -> None:
        super().__init__(weight, warm_up_share)
        self.scale, self.n_probes = scale, n_probes

    def forward(self, view: View) -> Tensor:
        """Mean over the draws, ``(rows,)``."""
        here = view.dense_trace(view.x)
        total = view.h.new_zeros(len(view.x))
        for number in range(self.n_probes):
            chance = view.randomness.at(number)
            moved = view.x + self.scale * chance.at("step").normal(view.x.shape, like=view.x)
            there = None if here is None else view.dense_trace(moved)
            if here is not None and there is not None:
                total = total + dense_squared_difference(here[0], here[1], there[1])
            else:
                probe = chance.at("probe").normal(view.h.shape, like=view.h)
                total = total + estimated_squared_difference(view.encode, view.x, moved, probe)
        return total / self.n_probes

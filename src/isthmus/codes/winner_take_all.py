"""Each unit's largest values over a batch, and zeros."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from isthmus.codes.base import Code, CodeOutput
from isthmus.config.parts.activations import Activation
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.selection import largest_of_each_column

ROUNDING = 1e-9
"""``0.07 * 100`` is 7.000000000000001 and still means 7 rows."""


class WinnerTakeAll(Code):
    """``h_j = a_j`` in the rows where it is among unit j's ``ceil(active_share * rows)`` largest, else 0.

    Source: Makhzani and Frey (2015), section 2 (lifetime sparsity). As there, evaluation keeps every
    unit: ``h = activation(pre_code)``.
    """

    scope: Literal["example", "batch"] = "batch"

    def __init__(self, size: int, active_share: float = 0.05, activation: Activation = "relu") -> None:
        super().__init__(size)
        self.active_share = active_share
        self.activation = ACTIVATIONS[activation]

    @staticmethod
    def n_inputs(size: int) -> int:
        """One number a unit."""
        return size

    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """h, without a rate; sparse in training alone."""
        a = self.mean(pre_code)
        if not self.training:
            return CodeOutput(a, None)
        n_winners = max(1, math.ceil(self.active_share * len(a) - ROUNDING))
        return CodeOutput(a.where(largest_of_each_column(a.detach(), n_winners), 0.0), None)

    def mean(self, pre_code: Tensor) -> Tensor:
        """The activation alone."""
        return self.activation.function(pre_code)

    def slope(self, pre_code: Tensor) -> Tensor:
        """The activation's derivative."""
        return self.activation.derivative(pre_code)

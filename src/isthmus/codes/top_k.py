"""The largest few units of each row, and zeros."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from isthmus.codes.base import Code, CodeOutput
from isthmus.config.parts.activations import Activation
from isthmus.config.parts.codes import check_active, n_active_of
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.ramp import between
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.selection import largest_of_each_row


class TopK(Code):
    """``h = a`` where a is among the ``n_active`` largest of its row, else 0; ``a = activation(pre_code)``.

    Source: Makhzani and Frey (2014), algorithm 1: gradients reach the kept units alone.
    """

    def __init__(
        self,
        size: int,
        n_active: int | Literal["auto"] = "auto",
        activation: Activation = "identity",
        first_n_active: int | None = None,
        ranked_by: Literal["value", "magnitude"] = "value",
    ) -> None:
        super().__init__(size)
        self.n_active = n_active_of(n_active, size)
        self.first_n_active = first_n_active
        check_active("TopK", "n_active", self.n_active, size)
        check_active("TopK", "first_n_active", first_n_active or 1, size)
        self.activation = ACTIVATIONS[activation]
        self.ranked_by = ranked_by

    @staticmethod
    def n_inputs(size: int) -> int:
        """One number a unit."""
        return size

    def n_active_at(self, progress: float) -> int:
        """Units kept when the share ``progress`` of the training is done: fewer and fewer over its first half."""
        if self.first_n_active is None:
            return self.n_active
        return round(between(self.first_n_active, self.n_active, min(1.0, 2 * progress)))

    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """h, without a rate."""
        return CodeOutput(self._kept(pre_code, self.activation.function(pre_code), progress), None)

    def mean(self, pre_code: Tensor) -> Tensor:
        """h itself, at the final number of units."""
        return self._kept(pre_code, self.activation.function(pre_code))

    def slope(self, pre_code: Tensor) -> Tensor:
        """The activation's derivative at the kept units, 0 at the others."""
        return self._kept(pre_code, self.activation.derivative(pre_code))

    def _kept(self, pre_code: Tensor, values: Tensor, progress: float = 1.0) -> Tensor:
        ranks = self.activation.function(pre_code.detach())
        if self.ranked_by == "magnitude":
            ranks = ranks.abs()
        return values.where(largest_of_each_row(ranks, self.n_active_at(progress)), 0.0)

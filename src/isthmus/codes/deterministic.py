"""A code that is a plain function of the encoder's output."""

from __future__ import annotations

from torch import Tensor

from isthmus.codes.base import Code, CodeOutput
from isthmus.config.parts.activations import Activation
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.randomness import Randomness


class Deterministic(Code):
    """``h = activation(pre_code)``."""

    def __init__(self, size: int, activation: Activation) -> None:
        super().__init__(size)
        self.activation_name: Activation = activation
        self.activation = ACTIVATIONS[activation]

    @staticmethod
    def n_inputs(size: int) -> int:
        """One number a unit."""
        return size

    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """h, without a rate."""
        return CodeOutput(self.mean(pre_code), None)

    def mean(self, pre_code: Tensor) -> Tensor:
        """h itself."""
        return self.activation.function(pre_code)

    def slope(self, pre_code: Tensor) -> Tensor:
        """The activation's derivative."""
        return self.activation.derivative(pre_code)

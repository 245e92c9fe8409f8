"""A code that is a plain function of the encoder's output."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.codes.base import Code, CodeOutput
from isthmus.config.parts.activations import Activation
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.ramp import between
from isthmus.numerics.randomness import Randomness


class Deterministic(Code):
    """``h = activation(pre_code)``; in training with noise relative to each unit's scale, if asked."""

    def __init__(
        self, size: int, activation: Activation, noise: float = 0.0, final_noise: float | None = None
    ) -> None:
        super().__init__(size)
        self.activation_name: Activation = activation
        self.activation = ACTIVATIONS[activation]
        self.noise, self.final_noise = noise, final_noise
        self.scope = "batch" if noise or final_noise else "example"
        if activation == "sigmoid" and self.scope == "example":
            self.support = (0.0, 1.0)

    @property
    def batch_term(self) -> str:
        """The noise, whose scale is that of the units over the batch."""
        return "noise of the code Deterministic"

    @staticmethod
    def n_inputs(size: int) -> int:
        """One number a unit."""
        return size

    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """h, without a rate."""
        h = self.mean(pre_code)
        share = between(self.noise, self.final_noise, progress)
        if not self.training or share == 0:
            return CodeOutput(h, None)
        return CodeOutput(h + share * _spread(h) * randomness.normal(h.shape, like=h), None)

    def mean(self, pre_code: Tensor) -> Tensor:
        """h itself, without noise."""
        return self.activation.function(pre_code)

    def slope(self, pre_code: Tensor) -> Tensor:
        """The activation's derivative."""
        return self.activation.derivative(pre_code)


def _spread(h: Tensor) -> Tensor:
    """Standard deviation of each unit over the rows, ``(size,)``.

    Its gradient is kept: were it a constant to the optimiser, every step would make h larger to
    outgrow a noise that grows with it. A unit that does not vary has none.
    """
    variance = h.var(dim=0, unbiased=False)
    varies = variance > 0
    return torch.where(varies, variance, 1.0).sqrt() * varies

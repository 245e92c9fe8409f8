"""Full negative log density of a normal distribution."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.likelihoods.base import Likelihood, Unit, sum_over_values
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape


class Gaussian(Likelihood):
    """``L = sum_i (x_i - outputs_i)^2 / (2 scale^2) + ln scale + ln(2 pi) / 2``, in nats.

    A learned scale is one number for all values; at its optimum ``scale^2`` is the mean squared
    error a value (Rybkin et al. 2021).
    """

    unit: Unit = "nats"

    def __init__(self, scale: float | Literal["learned"]) -> None:
        super().__init__()
        start = torch.tensor(0.0 if scale == "learned" else math.log(scale))
        self.log_scale: Tensor
        if scale == "learned":
            self.log_scale = nn.Parameter(start)
        else:
            self.register_buffer("log_scale", start)

    def output_shape(self, sample_shape: Shape) -> Shape:
        """One mean a value."""
        return sample_shape

    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        """Negative log density of each example."""
        standardised = (x - outputs) * torch.exp(-self.log_scale)
        loss = standardised.square() / 2 + self.log_scale + math.log(2 * math.pi) / 2
        return sum_over_values(loss, value_weight)

    def draw(self, outputs: Tensor, randomness: Randomness) -> Tensor:
        """``outputs + scale * e``, ``e ~ N(0, I)``."""
        return outputs + torch.exp(self.log_scale) * randomness.normal(outputs.shape, like=outputs)

    def mean(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs

    def outputs_at(self, mean: Tensor) -> Tensor:
        """The mean itself."""
        return mean

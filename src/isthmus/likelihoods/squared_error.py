"""Plain sum of squares for real values."""

from __future__ import annotations

from torch import Tensor

from isthmus.likelihoods.base import Likelihood, Unit, sum_over_values
from isthmus.shapes import Shape


class SquaredError(Likelihood):
    """``L = sum_i (x_i - outputs_i)^2``: no half, no constant, no density."""

    unit: Unit = "squared error"

    def output_shape(self, sample_shape: Shape) -> Shape:
        """One number a value."""
        return sample_shape

    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        """Squared error of each example."""
        return sum_over_values((x - outputs).square(), value_weight)

    def mean(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs

    def outputs_at(self, mean: Tensor) -> Tensor:
        """The mean itself."""
        return mean

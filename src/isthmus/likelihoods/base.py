"""The contract of a likelihood."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from isthmus.errors import ParameterError
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape

Unit = Literal["nats", "squared error", "squared error and nats"]


class Likelihood(nn.Module, ABC):
    """Says what the decoder's outputs mean, and how well they fit x."""

    unit: Unit
    """Unit of an example's loss. Nats: a full negative log density; with squared error: none."""
    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Lowest and highest value of x, in model units, that L is meant for."""
    is_probability: ClassVar[bool] = False
    """Whether ``exp(-L)`` is a probability, where :meth:`is_density`: then L is what exact values cost to store."""
    sample_shape: Shape | None = None
    """The one shape of examples, torch side, that L is made for; None takes any."""

    @abstractmethod
    def output_shape(self, sample_shape: Shape) -> Shape:
        """Shape of the decoder's outputs for one example, torch side."""

    @abstractmethod
    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        """L summed over the values of each example, ``(rows,)``.

        ``value_weight``, of x's shape or broadcast to it, weighs each value's loss; 0 leaves it out.
        """

    def target(self, x: Tensor, randomness: Randomness) -> Tensor:
        """What this use of x is: x itself, unless x states probabilities. It is shown to the encoder too."""
        return x

    def balance(self) -> Tensor | None:
        """What each value's loss counts in training, of the sample's shape; None if all count the same."""
        return None

    def is_density(self, x: Tensor) -> bool:
        """Whether ``exp(-L)`` is a density, or a probability, of such x."""
        return self.unit == "nats"

    def draw(self, outputs: Tensor, randomness: Randomness) -> Tensor:
        """An example from the density that ``outputs`` state, of x's shape.

        Raises
        ------
        ParameterError
            If L is no density.
        """
        raise ParameterError(
            f"{type(self).__name__}: noise can be drawn from a density alone, got a plain loss. "
            "Fit with Gaussian('learned') or Bernoulli(), or take the means."
        )

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """The reconstruction, of x's shape, in model units."""

    @abstractmethod
    def outputs_at(self, mean: Tensor) -> Tensor:
        """Outputs whose reconstruction is ``mean``, ``(rows, ...)``: where an untrained decoder should begin."""


def sum_over_values(loss: Tensor, value_weight: Tensor | None) -> Tensor:
    """One number an example from one number a value."""
    weighted = loss if value_weight is None else loss * value_weight
    return weighted.flatten(1).sum(dim=1)

"""The contract of a likelihood."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from isthmus.shapes import Shape


class Likelihood(nn.Module, ABC):
    """Says what the decoder's outputs mean, and how well they fit x."""

    unit: ClassVar[Literal["nats", "squared error"]]
    """Unit of an example's loss. Nats: a full negative log density; squared error: none."""
    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Lowest and highest value of x, in model units, that L is meant for."""

    @staticmethod
    @abstractmethod
    def output_shape(sample_shape: Shape) -> Shape:
        """Shape of the decoder's outputs for one example, torch side."""

    @abstractmethod
    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        """L summed over the values of each example, ``(rows,)``.

        ``value_weight``, of x's shape or broadcast to it, weighs each value's loss; 0 leaves it out.
        """

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """The reconstruction, of x's shape, in model units."""

    @abstractmethod
    def outputs_at(self, mean: Tensor) -> Tensor:
        """Outputs whose reconstruction is ``mean``: where an untrained decoder should begin."""


def sum_over_values(loss: Tensor, value_weight: Tensor | None) -> Tensor:
    """One number an example from one number a value."""
    weighted = loss if value_weight is None else loss * value_weight
    return weighted.flatten(1).sum(dim=1)

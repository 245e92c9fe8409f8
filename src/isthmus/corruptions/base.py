"""The contract of a corruption."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from isthmus.numerics.randomness import Randomness


class Corruption(nn.Module, ABC):
    """Damages the input that the encoder is shown; the target stays clean."""

    @abstractmethod
    def forward(self, x: Tensor, randomness: Randomness) -> Tensor:
        """x~ of x's shape, ``(rows, *sample_shape)`` in model units; all chance from ``randomness``."""

"""Additive normal noise."""

from __future__ import annotations

from torch import Tensor

from isthmus.corruptions.base import Corruption
from isthmus.numerics.randomness import Randomness


class GaussianNoise(Corruption):
    """``x~ = x + scale * e``, ``e ~ N(0, I)`` (Vincent et al. 2010, 3.3)."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """Add noise to ``x``, in model units."""
        return x + self.scale * randomness.normal(x.shape, like=x)

"""Additive normal noise."""

from __future__ import annotations

from torch import Tensor

from isthmus.corruptions.base import Corruption
from isthmus.numerics.ramp import between
from isthmus.numerics.randomness import Randomness


class GaussianNoise(Corruption):
    """``x~ = x + scale * e``, ``e ~ N(0, I)`` (Vincent et al. 2010, 3.3)."""

    def __init__(self, scale: float, final_scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.final_scale = final_scale

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """Add noise to ``x``, in model units."""
        return x + self.scale_at(progress) * randomness.normal(x.shape, like=x)

    def scale_at(self, progress: float) -> float:
        """Standard deviation when ``progress`` of the training is done."""
        return between(self.scale, self.final_scale, progress)

"""Masking noise: values set to nothing."""

from __future__ import annotations

from torch import Tensor

from isthmus.corruptions.base import Corruption
from isthmus.numerics.randomness import Randomness


class Masking(Corruption):
    """``x~_i = 0`` with probability ``hidden_share``, independently (Vincent et al. 2010, 3.3)."""

    def __init__(self, hidden_share: float) -> None:
        super().__init__()
        self.hidden_share = hidden_share

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """Hide values of ``x``; kept ones are not rescaled."""
        return x * (randomness.uniform(x.shape, like=x) >= self.hidden_share)

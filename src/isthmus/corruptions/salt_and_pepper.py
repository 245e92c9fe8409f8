"""Salt-and-pepper noise: values set to the lowest or the highest there is."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from isthmus.corruptions.base import Corruption
from isthmus.corruptions.places import chance_of_places, check_has_channels
from isthmus.errors import ParameterError
from isthmus.numerics.ramp import between
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape


class SaltAndPepper(Corruption):
    """``x~_i`` is ``low`` or ``high``, ``replaced_share / 2`` of the values each (Vincent et al. 2010, 3.3)."""

    def __init__(
        self,
        replaced_share: float,
        final_replaced_share: float | None = None,
        low: float | Literal["auto"] = 0.0,
        high: float | Literal["auto"] = 1.0,
        emphasis: float = 0.0,
        whole_pixels: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(low, str) or isinstance(high, str):
            raise ParameterError(
                "SaltAndPepper: low and high must be chosen first, got 'auto'. "
                "Resolve the config, or give both, as in SaltAndPepper(low=0, high=1)."
            )
        self.replaced_share = replaced_share
        self.final_replaced_share = final_replaced_share
        self.low, self.high = low, high
        self.emphasis = emphasis
        self.whole_pixels = whole_pixels

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """Replace values of ``x``."""
        chance, share = self._chance(x, randomness), self._share(progress)
        ends = torch.where(chance < share / 2, self.low, self.high).to(x)
        return torch.where(chance < share, ends, x)

    def touched(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """The replaced values, also those that were at that end already."""
        return self._chance(x, randomness) < self._share(progress)

    def check_sample_shape(self, sample_shape: Shape) -> None:
        """Whole pixels want channels."""
        if self.whole_pixels:
            check_has_channels("SaltAndPepper", sample_shape)

    def _chance(self, x: Tensor, randomness: Randomness) -> Tensor:
        return chance_of_places(x, randomness, whole_pixels=self.whole_pixels)

    def _share(self, progress: float) -> float:
        return between(self.replaced_share, self.final_replaced_share, progress)

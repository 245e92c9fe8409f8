"""Masking noise: values set to nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.corruptions.base import Corruption
from isthmus.corruptions.places import chance_of_places, check_has_channels
from isthmus.numerics.ramp import between
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Layout, Shape


class Masking(Corruption):
    """``x~_i = 0`` with probability ``hidden_share``, independently (Vincent et al. 2010, 3.3).

    Of tables whole columns are hidden: see :meth:`hide_columns`.
    """

    columns: Tensor | None

    def __init__(
        self,
        hidden_share: float,
        final_hidden_share: float | None = None,
        emphasis: float = 0.0,
        whole_pixels: bool = False,
    ) -> None:
        super().__init__()
        self.hidden_share = hidden_share
        self.final_hidden_share = final_hidden_share
        self.emphasis = emphasis
        self.whole_pixels = whole_pixels
        self.hidden_value, self.n_columns = 0.0, 0
        self.register_buffer("columns", None, persistent=False)

    def hide_columns(self, layout: Layout, hidden_value: float) -> None:
        """From now on hide all features of a column together, by ``hidden_value``: NaN makes a gap of it."""
        self.columns = torch.tensor([place for place, block in enumerate(layout) for _ in range(block.size)])
        self.hidden_value, self.n_columns = hidden_value, len(layout)

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """Hide values of ``x``; kept ones are not rescaled."""
        return x.masked_fill(self.touched(x, randomness, progress), self.hidden_value)

    def touched(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """The hidden values."""
        share = between(self.hidden_share, self.final_hidden_share, progress)
        if self.columns is not None:
            return (randomness.uniform((len(x), self.n_columns), like=x) < share)[:, self.columns]
        return chance_of_places(x, randomness, whole_pixels=self.whole_pixels) < share

    def check_sample_shape(self, sample_shape: Shape) -> None:
        """Whole pixels want channels."""
        if self.whole_pixels:
            check_has_channels("Masking", sample_shape)

"""A missing piece: a patch of a picture, a stretch of a sequence or of columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from isthmus.corruptions.base import Corruption
from isthmus.corruptions.places import places_of
from isthmus.errors import ParameterError
from isthmus.numerics.ramp import between
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape, shape_text


class Block(Corruption):
    """``x~_i = 0`` for i in one block of each example, at a random place (Pathak et al. 2016, 3.2)."""

    def __init__(
        self, hidden_share: float, final_hidden_share: float | None = None, emphasis: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden_share = hidden_share
        self.final_hidden_share = final_hidden_share
        self.emphasis = emphasis

    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """Hide a block of each example."""
        return x.masked_fill(self.touched(x, randomness, progress), 0.0)

    def touched(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """The values of the blocks, all channels of a place together."""
        places = places_of(tuple(x.shape[1:]))
        sides = sides_of(places, between(self.hidden_share, self.final_hidden_share, progress))
        n_axes = len(places)
        chance = randomness.uniform((len(x), n_axes))
        inside = torch.ones((len(x), *[1] * n_axes), dtype=torch.bool)
        for axis, (length, side) in enumerate(zip(places, sides, strict=True)):
            # A number just under 1 may round up to one place too far.
            first = (chance[:, axis] * (length - side + 1)).floor().clamp(max=length - side)
            at = torch.arange(length) - first.unsqueeze(1)
            within = (at >= 0) & (at < side)
            inside = inside & within.reshape(len(x), *[length if a == axis else 1 for a in range(n_axes)])
        if x.ndim > 1 + n_axes:
            inside = inside.unsqueeze(1)
        return inside.to(x.device).expand_as(x)

    def check_sample_shape(self, sample_shape: Shape) -> None:
        """Something must be left to see."""
        places = places_of(sample_shape)
        largest = max(self.hidden_share, self.final_hidden_share or 0.0)
        if largest and sides_of(places, largest) == places:
            raise ParameterError(
                f"Block: hidden_share must leave something of examples of shape {shape_text(sample_shape)}, "
                f"got {largest:g}, which hides them whole. Lower it, or take another corruption."
            )


def sides_of(places: Sequence[int], share: float) -> Shape:
    """Sides of the block that is ``share`` of all places, in the example's own proportions.

    At least one place, unless the share is 0; sides are whole, the last one makes up for what the
    others were rounded by.

    >>> sides_of((28, 28), 0.25), sides_of((100,), 0.1), sides_of((10, 10), 0.3), sides_of((8,), 0.0)
    ((14, 14), (10,), (5, 6), (0,))
    """
    if share == 0:
        return (0,) * len(places)
    root = share ** (1 / len(places))
    first = [min(max(round(length * root), 1), length) for length in places[:-1]]
    wanted = share * math.prod(places) / math.prod(first)
    return (*first, min(max(round(wanted), 1), places[-1]))

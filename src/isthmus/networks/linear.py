"""The dense layer of all networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from isthmus.numerics.products import linear


class Linear(nn.Linear):
    """torch's layer, with large products by the faster of the two libraries that PyTorch has for them."""

    def forward(self, input: Tensor) -> Tensor:
        """``(..., out_features)`` of ``(..., in_features)``."""
        return linear(input, self.weight, self.bias)


class FromMaps(Linear):
    """``W a + b`` of maps ``(rows, channels, *size)``, flattened as they lie: pictures with channels innermost.

    It is the weights that are put in that order, of which there are fewer, and gradients come back in it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``(rows, out_features)`` of ``(rows, channels, *size)``, whose values are the weights' columns in order."""
        if input.ndim != 4:
            return linear(input.flatten(1), self.weight, self.bias)
        weight = self.weight.unflatten(1, input.shape[1:]).permute(0, 2, 3, 1).flatten(1)
        return linear(input.permute(0, 2, 3, 1).flatten(1), weight, self.bias)


class ToMaps(Linear):
    """``W h + b`` as maps, pictures with channels innermost; see :class:`FromMaps`.

    Parameters
    ----------
    in_features
        Width of h.
    shape
        Of a row's maps, ``(channels, *size)``.
    """

    def __init__(self, in_features: int, shape: Sequence[int]) -> None:
        super().__init__(in_features, math.prod(shape))
        self.shape = tuple(shape)

    def forward(self, input: Tensor) -> Tensor:
        """``(rows, channels, *size)`` of ``(rows, in_features)``."""
        if len(self.shape) != 3:
            return linear(input, self.weight, self.bias).unflatten(1, self.shape)
        n_channels, *size = self.shape
        # Turned, so that its gradient, which lies as it does, is made by laying the few values of the code anew.
        weight = self.weight.unflatten(0, self.shape).permute(3, 1, 2, 0).flatten(1).t()
        bias = self.bias.unflatten(0, self.shape).permute(1, 2, 0).flatten()
        return linear(input, weight, bias).unflatten(1, (*size, n_channels)).permute(0, 3, 1, 2)

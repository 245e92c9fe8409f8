"""The contract of a corruption."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape


class Corruption(nn.Module, ABC):
    """Damages the input that the encoder is shown; the target stays clean."""

    emphasis: float = 0.0
    """How much less the loss of values that were not touched counts, in [0, 1]; 0: all count alike."""

    @abstractmethod
    def forward(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor:
        """x~ of x's shape, ``(rows, *sample_shape)`` in model units; all chance from ``randomness``.

        ``progress`` is the share of the training done, in [0, 1]: for a strength that changes.
        """

    def touched(self, x: Tensor, randomness: Randomness, progress: float = 1.0) -> Tensor | None:
        """Which values :meth:`forward` damages with the same arguments, of x's shape; None for all."""
        return None

    def check_sample_shape(self, sample_shape: Shape) -> None:
        """Raise ParameterError if examples of this shape, torch side, cannot be damaged so."""

"""The contract of a penalty."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from isthmus.numerics.ramp import ramp
from isthmus.numerics.randomness import Randomness

Scope = Literal["example", "batch", "weights"]

DenseTrace = tuple[Sequence[Tensor], Sequence[Tensor]]
"""Weights W_1 .. W_L and slopes D_1 .. D_L of a chain of dense layers up to the code."""


@dataclass(frozen=True, slots=True)
class View:
    """What a penalty may look at in one forward pass."""

    x: Tensor
    """The input that the encoder was shown, ``(rows, *sample_shape)``."""
    h: Tensor
    """The code that the decoder was given, ``(rows, size)``."""
    encode: Callable[[Tensor], Tensor]
    """The deterministic code of an input; rows do not depend on each other."""
    dense_trace: Callable[[Tensor], DenseTrace | None]
    """The chain of dense layers from an input to the code, or None if there is another kind."""
    find_weights: Callable[[], Sequence[Tensor]]
    """Gives ``weights``, which few penalties look at and a small network takes a while to list."""
    randomness: Randomness
    """The penalty's own branch of chance."""
    sample_weight: Tensor | None = None
    """Weight of each row, ``(rows,)``; None if all count the same."""

    @property
    def weights(self) -> Sequence[Tensor]:
        """Weight matrices and kernels of encoder and decoder, biases left out."""
        return self.find_weights()

    def row_shares(self) -> Tensor:
        """What each row counts in a mean over rows, ``(rows,)``, of sum 1."""
        if self.sample_weight is None:
            return self.h.new_full((len(self.h),), 1 / len(self.h))
        weight = self.sample_weight.to(self.h.dtype)
        return weight / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


class Penalty(nn.Module, ABC):
    """Adds ``weight * Omega`` to the loss."""

    scope: ClassVar[Scope]
    """``"example"``: Omega is ``(rows,)``; ``"batch"``, ``"weights"``: it is one number."""
    support: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Where Omega needs every unit to lie; a code that may leave it is refused."""
    reads_trace: ClassVar[bool] = False
    """Whether Omega asks for the view's ``dense_trace`` at its ``x``: it then costs no encoder pass of its own."""

    def __init__(self, weight: float, warm_up_share: float = 0.0) -> None:
        super().__init__()
        self.weight = weight
        self.warm_up_share = warm_up_share

    def weight_at(self, progress: float) -> float:
        """The weight when the share ``progress`` of the training is done: it rises over the warm-up."""
        return self.weight * ramp(progress, self.warm_up_share)

    @abstractmethod
    def forward(self, view: View) -> Tensor:
        """Omega, not yet weighted."""

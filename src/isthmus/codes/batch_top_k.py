"""The largest units of a batch, and zeros."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from isthmus.codes.base import Code, CodeOutput
from isthmus.config.parts.activations import Activation
from isthmus.config.parts.codes import check_active, n_active_of
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.selection import largest_of_all

SMALLEST_SHARE = 0.01
"""Of the newest batch in the running threshold: the first 100 batches count alike, later ones fade."""


class BatchTopK(Code):
    """``h = a`` where a is among the ``n_active * rows`` largest of the batch, else 0 (Bussmann et al. 2024).

    In evaluation a unit is kept where it is above a threshold: the running mean of the values half
    way between the smallest kept and the largest dropped unit of a training batch. (The paper takes
    the smallest kept ones; half way, a batch's own threshold gives back its code.)
    """

    scope: Literal["example", "batch"] = "batch"
    threshold: Tensor
    n_seen: Tensor

    def __init__(
        self, size: int, n_active: int | Literal["auto"] = "auto", activation: Activation = "relu"
    ) -> None:
        super().__init__(size)
        self.n_active = n_active_of(n_active, size)
        check_active("BatchTopK", "n_active", self.n_active, size)
        self.activation = ACTIVATIONS[activation]
        self.register_buffer("threshold", torch.zeros(()))
        self.register_buffer("n_seen", torch.zeros(()))

    @staticmethod
    def n_inputs(size: int) -> int:
        """One number a unit."""
        return size

    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """h, without a rate; in training the batch shares its active units, and moves the threshold."""
        if not self.training or self.n_active == self.size:
            return CodeOutput(self.mean(pre_code), None)
        a = self.activation.function(pre_code)
        kept = largest_of_all(a.detach(), self.n_active * len(a))
        self._follow(a.detach(), kept)
        return CodeOutput(a.where(kept, 0.0), None)

    def mean(self, pre_code: Tensor) -> Tensor:
        """h as evaluation gives it, by the threshold."""
        return self.activation.function(pre_code).where(self._above(pre_code), 0.0)

    def slope(self, pre_code: Tensor) -> Tensor:
        """The activation's derivative above the threshold, 0 below it."""
        return self.activation.derivative(pre_code).where(self._above(pre_code), 0.0)

    def _above(self, pre_code: Tensor) -> Tensor:
        a = self.activation.function(pre_code.detach())
        if self.n_active == self.size:
            return torch.ones_like(a, dtype=torch.bool)
        return ~(a <= self.threshold)  # so that NaN stays visible

    @torch.no_grad()
    def _follow(self, a: Tensor, kept: Tensor) -> None:
        """Move the threshold towards the batch's own, unless the batch holds no numbers."""
        smallest, largest = a.where(kept, torch.inf).amin(), a.where(~kept, -torch.inf).amax()
        own = (smallest + largest) / 2
        usable = own.isfinite()
        n_seen = self.n_seen + usable
        share = (1 / n_seen.clamp(min=1)).clamp(min=SMALLEST_SHARE)
        self.threshold.copy_(torch.where(usable, torch.lerp(self.threshold, own, share), self.threshold))
        self.n_seen.copy_(n_seen)

"""The contract of a code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from isthmus.numerics.randomness import Randomness


class CodeOutput(NamedTuple):
    """What a code yields for a batch."""

    value: Tensor
    """h, ``(rows, size)``: what the decoder is given."""
    rate: Tensor | None
    """Nats that h costs under its prior, ``(rows,)``; None where h has no distribution."""


class Code(nn.Module, ABC):
    """Turns the encoder's output into h."""

    rate_weight: float = 0.0
    """Weight of the rate in the objective."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    @staticmethod
    @abstractmethod
    def n_inputs(size: int) -> int:
        """How many numbers the encoder must give for a code of ``size`` units."""

    @abstractmethod
    def forward(self, pre_code: Tensor, randomness: Randomness) -> CodeOutput:
        """h for training, from ``pre_code`` ``(rows, n_inputs)``; all chance from ``randomness``."""

    @abstractmethod
    def mean(self, pre_code: Tensor) -> Tensor:
        """The deterministic h, ``(rows, size)``: what ``encode`` gives and files store."""

    @abstractmethod
    def slope(self, pre_code: Tensor) -> Tensor:
        """``d mean_j / d pre_code_j``, ``(rows, size)``; the mean reads the first ``size`` inputs."""

    def scale(self, pre_code: Tensor) -> Tensor | None:
        """Standard deviation of h, ``(rows, size)``; None where h has no distribution."""
        return None

    def rate_per_unit(self, pre_code: Tensor) -> Tensor | None:
        """Nats of each unit, ``(rows, size)``; None where h has no distribution."""
        return None

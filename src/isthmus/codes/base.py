"""The contract of a code."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

from torch import Tensor, nn

from isthmus.numerics.randomness import Randomness


class CodeOutput(NamedTuple):
    """What a code yields for a batch."""

    value: Tensor
    """h, ``(rows, size)``: what the decoder is given."""
    rates: Tensor | None
    """Nats that each unit costs under its prior, ``(rows, size)``; None where h has no distribution."""
    log_ratio: Tensor | None = None
    """``ln q(h given x) - ln p(h)`` of each draw, one a row of ``value``, where a code draws several."""


class Code(nn.Module, ABC):
    """Turns the encoder's output into h."""

    rate_weight: float = 0.0
    """Weight of the rate in the objective, once any warm-up is over."""
    n_draws: int = 1
    """How many h a row has in training: more than one is the importance-weighted bound."""
    scope: Literal["example", "batch"] = "example"
    """``"batch"``: in training h or its cost depends on the rows beside it; evaluation never does."""
    support: tuple[float, float] = (-math.inf, math.inf)
    """Where every unit lies, ends left out: a penalty may need units in (0, 1)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    @staticmethod
    @abstractmethod
    def n_inputs(size: int) -> int:
        """How many numbers the encoder must give for a code of ``size`` units."""

    @abstractmethod
    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """h for training, from ``pre_code`` ``(rows, n_inputs)``; all chance from ``randomness``.

        ``progress`` is the share of the training done, in [0, 1]. The draws of a row stand together:
        ``value`` is ``(rows * n_draws, size)``.
        """

    @property
    def batch_term(self) -> str:
        """What of a code of scope ``"batch"`` needs the whole batch, as a message names it."""
        return f"the code {type(self).__name__}"

    def cost(self, rates: Tensor, progress: float = 1.0) -> Tensor:
        """What the rate adds to the loss: ``(rows,)``, or one number if it is of the whole batch.

        ``rates`` is ``(rows, size)``, nats. Where the cost is of the whole batch they come weighted
        by the rows' weights; a cost of each row is weighted afterwards.
        """
        return self.rate_weight * rates.sum(dim=1)

    def draw(self, pre_code: Tensor, noise: Tensor) -> tuple[Tensor, Tensor] | None:
        """One h a row from standard normal ``noise`` ``(rows, size)``, with ``ln q(h given x) - ln p(h)``.

        ``(rows, size)`` and ``(rows,)``: what the evidence is estimated from. None where h has no density.
        """
        return None

    @abstractmethod
    def mean(self, pre_code: Tensor) -> Tensor:
        """The deterministic h, ``(rows, size)``: what ``encode`` gives and files store."""

    @abstractmethod
    def slope(self, pre_code: Tensor) -> Tensor:
        """``d mean_j / d pre_code_j``, ``(rows, size)``; the mean reads the first ``size`` inputs."""

    def prior_quantiles(self, shares: Tensor) -> Tensor | None:
        """Below which value each unit lies in which share of a prior that was learned with the weights.

        ``(n, size)`` of ``shares`` in (0, 1), ``(n, 1)`` or ``(n, size)``; None without such a prior, whose
        units are independent.
        """
        return None

    def scale(self, pre_code: Tensor) -> Tensor | None:
        """Standard deviation of h, ``(rows, size)``; None where h has no distribution."""
        return None

    def rate_per_unit(self, pre_code: Tensor) -> Tensor | None:
        """Nats of each unit, ``(rows, size)``; None where h has no distribution."""
        return None

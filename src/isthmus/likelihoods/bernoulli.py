"""Log loss for black-and-white values."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from isthmus.likelihoods.base import Likelihood, Unit, sum_over_values
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape

SMALLEST_SHARE = 1e-3
"""Means nearer to 0 or 1 begin here: Burda et al. (2016) clip likewise before the logit."""


class Bernoulli(Likelihood):
    """``L = -sum_i x_i ln p_i + (1 - x_i) ln(1 - p_i)``, ``p = sigmoid(outputs)``, in nats.

    With ``sampled``, x states probabilities: each use of it is a draw of zeros and ones.
    """

    unit: Unit = "nats"
    support: ClassVar[tuple[float, float]] = (0.0, 1.0)
    is_probability: ClassVar[bool] = True

    def __init__(self, sampled: bool = False) -> None:
        super().__init__()
        self.sampled = sampled

    def output_shape(self, sample_shape: Shape) -> Shape:
        """One logit a value."""
        return sample_shape

    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        """Log loss of each example; x in [0, 1]."""
        loss = F.binary_cross_entropy_with_logits(outputs, x, reduction="none")
        return sum_over_values(loss, value_weight)

    def target(self, x: Tensor, randomness: Randomness) -> Tensor:
        """Zeros and ones with x as their probabilities, if x is sampled."""
        return (randomness.uniform(x.shape, like=x) < x).to(x.dtype) if self.sampled else x

    def is_density(self, x: Tensor) -> bool:
        """Of zeros and ones alone."""
        return self.sampled or bool(((x == 0) | (x == 1)).all())

    def draw(self, outputs: Tensor, randomness: Randomness) -> Tensor:
        """Zeros and ones."""
        mean = self.mean(outputs)
        return (randomness.uniform(mean.shape, like=mean) < mean).to(mean.dtype)

    def mean(self, outputs: Tensor) -> Tensor:
        """Probability of white."""
        return torch.sigmoid(outputs)

    def outputs_at(self, mean: Tensor) -> Tensor:
        """Logit of the mean."""
        return torch.logit(mean, eps=SMALLEST_SHARE)

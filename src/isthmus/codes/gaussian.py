"""A normal distribution for each code unit."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.codes.base import Code, CodeOutput
from isthmus.numerics.divergences import kl_from_standard_normal
from isthmus.numerics.randomness import Randomness

LOG_VARIANCE_RANGE = (-20.0, 20.0)
"""Outside it exp() would overflow in half precision or underflow the rate's gradient."""


class Gaussian(Code):
    """``h = mean + scale * e``; rate ``KL(N(mean, scale^2) || N(0, I))`` (Kingma and Welling 2014).

    The encoder gives means, then log variances.
    """

    def __init__(self, size: int, beta: float) -> None:
        super().__init__(size)
        self.rate_weight = beta

    @staticmethod
    def n_inputs(size: int) -> int:
        """A mean and a log variance a unit."""
        return 2 * size

    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """A draw of h by reparameterisation, and its rate."""
        mean, log_variance = self._split(pre_code)
        noise = randomness.normal(mean.shape, like=mean)
        rates = kl_from_standard_normal(mean, log_variance)
        return CodeOutput(mean + torch.exp(log_variance / 2) * noise, rates)

    def mean(self, pre_code: Tensor) -> Tensor:
        """Mean of each unit, laid out as a stored code is, so that it decodes to the same bits."""
        return pre_code[:, : self.size].contiguous()

    def slope(self, pre_code: Tensor) -> Tensor:
        """One: the mean is read as it is."""
        return torch.ones_like(self.mean(pre_code))

    def scale(self, pre_code: Tensor) -> Tensor:
        """Standard deviation of each unit."""
        return torch.exp(self._split(pre_code)[1] / 2)

    def rate_per_unit(self, pre_code: Tensor) -> Tensor:
        """Divergence of each unit from the prior, in nats."""
        return kl_from_standard_normal(*self._split(pre_code))

    def _split(self, pre_code: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = pre_code.chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

"""A normal distribution for each code unit."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.codes.base import Code, CodeOutput
from isthmus.numerics.divergences import kl_from_standard_normal
from isthmus.numerics.ramp import ramp, ratio_between
from isthmus.numerics.randomness import Randomness

LOG_VARIANCE_RANGE = (-20.0, 20.0)
"""Outside it exp() would overflow in half precision or underflow the rate's gradient."""


class Gaussian(Code):
    """``h = mean + scale * e``; rate ``KL(N(mean, scale^2) || N(0, I))`` (Kingma and Welling 2014).

    The encoder gives means, then log variances. Parameters as in
    :class:`isthmus.config.parts.codes.GaussianCode`.
    """

    def __init__(
        self,
        size: int,
        beta: float = 1.0,
        warm_up_share: float = 0.0,
        free_bits: float = 0.0,
        capacity: float | None = None,
        capacity_share: float = 0.5,
        n_draws: int = 1,
        first_beta: float = 0.0,
    ) -> None:
        super().__init__(size)
        self.rate_weight = beta
        self.warm_up_share = warm_up_share
        self.free_bits = free_bits
        self.capacity = capacity
        self.capacity_share = capacity_share
        self.n_draws = n_draws
        self.first_beta = first_beta
        self.scope = "batch" if free_bits > 0 or capacity is not None else "example"

    @property
    def batch_term(self) -> str:
        """The rate's floor, or what it is held to."""
        return f"{'free_bits' if self.free_bits > 0 else 'capacity'} of the code Gaussian"

    @staticmethod
    def n_inputs(size: int) -> int:
        """A mean and a log variance a unit."""
        return 2 * size

    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """Draws of h by reparameterisation, and the rate."""
        mean, log_variance = self._split(pre_code)
        rates = kl_from_standard_normal(mean, log_variance)
        if self.n_draws == 1:
            noise = randomness.normal(mean.shape, like=mean)
            return CodeOutput(mean + torch.exp(log_variance / 2) * noise, rates)
        repeated = pre_code.repeat_interleave(self.n_draws, dim=0)
        noise = randomness.normal((len(repeated), self.size), like=mean)
        value, log_ratio = self.draw(repeated, noise)
        return CodeOutput(value, rates, log_ratio)

    def draw(self, pre_code: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """``h = mean + scale * noise`` and ``sum_j (h_j^2 - noise_j^2) / 2 - ln scale_j``."""
        mean, log_variance = self._split(pre_code)
        value = mean + torch.exp(log_variance / 2) * noise
        return value, (value.square() - noise.square() - log_variance).sum(dim=1) / 2

    def weight_at(self, progress: float) -> float:
        """Beta, the weight of the rate, where the share ``progress`` of the training is done."""
        return ratio_between(self.first_beta, self.rate_weight, ramp(progress, self.warm_up_share))

    def cost(self, rates: Tensor, progress: float = 1.0) -> Tensor:
        """The weighted rate, with its free bits or held to its capacity.

        In evaluation each row counts as a batch of its own.
        """
        beta = self.weight_at(progress)
        if self.free_bits > 0:
            known = rates.mean(dim=0) if self.training else rates
            return beta * known.clamp_min(self.free_bits).sum(dim=-1)
        totals = rates.sum(dim=1)
        if self.capacity is None:
            return beta * totals
        known = totals.mean() if self.training else totals
        return beta * (known - self.capacity * ramp(progress, self.capacity_share)).abs()

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

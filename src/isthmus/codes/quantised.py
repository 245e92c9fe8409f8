"""Whole steps with a learned distribution: a code that is made to be stored in few bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.codes.base import Code, CodeOutput
from isthmus.numerics.logistic import log_cell_probability
from isthmus.numerics.ramp import ramp
from isthmus.numerics.randomness import Randomness

LOG_RANGE = (-30.0, 30.0)
"""Of steps and spreads: beyond it 32-bit numbers would overflow."""
SMALLEST_SCALE, LARGEST_SCALE = 1 / 32, 1e4
"""Of a component of the entropy model, in steps: at the smallest one, one step holds all but 2e-7."""
FIRST_SPREAD, FIRST_WIDTH = 1.0, 0.5
"""Of an untrained unit; and of each of its components, as a share of the spread."""
HALVINGS = 100
"""Of the interval that a quantile is looked for in, until it is one number of float64."""


class Quantised(Code):
    """``h = step * round(pre_code / step)``; rate ``-ln P(h)`` under a learned distribution of each unit.

    In training rounding gives way to uniform noise of the same width. Parameters as in
    :class:`isthmus.config.parts.codes.QuantisedCode`.
    """

    def __init__(
        self,
        size: int,
        beta: float = 1.0,
        first_step: float = 0.1,
        n_mixtures: int = 3,
        warm_up_share: float = 0.0,
    ) -> None:
        super().__init__(size)
        self.rate_weight = beta
        self.warm_up_share = warm_up_share
        # The step is learned apart from the weights: to make it finer by these alone, the encoder's would
        # have to grow as the decoder's shrink, which takes several times as long.
        self.log_step = nn.Parameter(torch.full((size,), math.log(first_step)))
        # Places and widths are shares of one spread a unit, so that one number follows a unit that grows.
        places = torch.linspace(-1, 1, n_mixtures) if n_mixtures > 1 else torch.zeros(1)
        self.log_spread = nn.Parameter(torch.full((size,), math.log(FIRST_SPREAD)))
        self.place = nn.Parameter(places.repeat(size, 1))
        self.log_width = nn.Parameter(torch.full((size, n_mixtures), math.log(FIRST_WIDTH)))
        self.log_weight = nn.Parameter(torch.zeros(size, n_mixtures)) if n_mixtures > 1 else None

    @staticmethod
    def n_inputs(size: int) -> int:
        """One number a unit."""
        return size

    @property
    def step(self) -> Tensor:
        """What each unit is rounded to multiples of, ``(size,)``."""
        return self.log_step.clamp(*LOG_RANGE).exp()

    def forward(self, pre_code: Tensor, randomness: Randomness, progress: float = 1.0) -> CodeOutput:
        """h and its rate; with noise in training, rounded in evaluation."""
        if self.training:
            value = pre_code + self.step * (randomness.uniform(pre_code.shape, like=pre_code) - 0.5)
        else:
            value = self.mean(pre_code)
        return CodeOutput(value, self._rates(value))

    def cost(self, rates: Tensor, progress: float = 1.0) -> Tensor:
        """``beta * rate``, once any warm-up is over."""
        return self.rate_weight * ramp(progress, self.warm_up_share) * rates.sum(dim=1)

    def mean(self, pre_code: Tensor) -> Tensor:
        """The rounded h; in training the mean of the noisy one, which is ``pre_code``."""
        return pre_code.contiguous() if self.training else self._rounded(pre_code)

    def slope(self, pre_code: Tensor) -> Tensor:
        """One, in training and, straight through the rounding (Bengio et al. 2013), in evaluation."""
        return torch.ones_like(pre_code)

    def rate_per_unit(self, pre_code: Tensor) -> Tensor:
        """``-ln P`` of the rounded unit, in nats: what an entropy coder needs for it."""
        return self._rates(self._rounded(pre_code))

    def symbols(self, h: Tensor) -> Tensor:
        """Whole numbers of steps, ``(rows, size)``: what is stored of h, which is ``step * symbols``."""
        return torch.round(h / self.step).long()

    def cumulative(self, edges: Tensor) -> Tensor:
        """Share of each unit below ``edges``, in steps; ``(size, n)`` of ``(n,)``, float64.

        The probability of symbol k is ``cumulative(k + 1/2) - cumulative(k - 1/2)``.
        """
        log_weight, place, scale = (part.double().unsqueeze(2) for part in self._mixture())
        at = self.step.double()[:, None, None] * edges.double()
        return (log_weight.exp() * torch.sigmoid((at - place) / scale)).sum(dim=1)

    def prior_quantiles(self, shares: Tensor) -> Tensor:
        """Lowest h below or at which each unit lies in which share of rows, ``(n, size)``; by halving."""
        shares = shares.double().expand(len(shares), self.size)
        log_weight, place, scale = (part.detach().double() for part in self._mixture())
        low = (place - 50 * scale).amin(dim=1).expand_as(shares)
        high = (place + 50 * scale).amax(dim=1).expand_as(shares)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = torch.sigmoid((middle.unsqueeze(2) - place) / scale)
            is_below = (log_weight.exp() * below).sum(dim=2) < shares
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        step = self.step.detach().double()
        return step * torch.ceil(high / step - 0.5)

    def _rounded(self, pre_code: Tensor) -> Tensor:
        rounded = self.step * torch.round(pre_code / self.step)
        return (rounded.detach() + (pre_code - pre_code.detach())).contiguous()

    def _rates(self, h: Tensor) -> Tensor:
        """``-ln P`` of the step around h, ``(rows, size)``: for a noisy h its density, in steps."""
        log_weight, place, scale = self._mixture()
        half = (self.step / 2).unsqueeze(1)
        off = h.unsqueeze(2) - place
        cells = log_cell_probability((off - half) / scale, (off + half) / scale, 2 * half / scale)
        return (-torch.logsumexp(log_weight + cells, dim=2)).clamp_min(0.0)  # rounding may go below it

    def _mixture(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, places and scales of the components in units of h, ``(size, n_mixtures)`` each."""
        spread = self.log_spread.clamp(*LOG_RANGE).unsqueeze(1)
        step = self.log_step.clamp(*LOG_RANGE).unsqueeze(1)
        log_scale = spread + self.log_width
        log_scale = torch.maximum(log_scale, step + math.log(SMALLEST_SCALE))
        log_scale = torch.minimum(log_scale, step + math.log(LARGEST_SCALE))
        weights = torch.zeros_like(log_scale) if self.log_weight is None else self.log_weight
        return F.log_softmax(weights, dim=1), self.place * spread.exp(), log_scale.exp()

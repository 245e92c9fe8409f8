"""Probabilities of exact levels, such as the 256 shades of a byte."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from isthmus.likelihoods.base import Likelihood, Unit, sum_over_values
from isthmus.likelihoods.bernoulli import SMALLEST_SHARE
from isthmus.numerics.logistic import log_cell_probability
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape

SMALLEST_SCALE, LARGEST_SCALE = 1 / 16, 8.0
"""Of a component: the smallest in levels, at which one level holds all but 0.0007; the largest in the
range of x, beyond which 32-bit numbers would cancel."""
FIRST_SCALE = 0.1
"""Of an untrained decoder, in the range of x; further components begin at half the scale of the one before."""
NEAR_A_LEVEL = 0.05
"""In levels: what rounding to 32 bits may take a value away from its own, of 65,536 of them 0.01."""
WINDOW = 33
"""Edges of levels that are looked at one by one; the others lie beyond 16 scales of a narrow component."""


class Components(NamedTuple):
    """What the decoder says of each value, every one ``(rows, channels, n_mixtures, ...)``."""

    log_weights: Tensor
    """Logarithms of the components' shares; 0 of a single one."""
    mean: Tensor
    """Where a component lies, in units of x; its ends may be beyond 0 and 1."""
    log_scale: Tensor
    """Logarithm of its scale in units of x, clamped."""


class DiscretisedLogistic(Likelihood):
    """``L = -sum_i ln sum_m w_m (sigmoid((x_i + step/2 - mean_m) / s_m) - sigmoid((x_i - step/2 - mean_m) / s_m))``.

    See :class:`isthmus.config.parts.likelihoods.DiscretisedLogistic`. The outputs of a channel stand
    together: mean and log scale, or of each component its log weight, its mean and its log scale, all
    log weights first.
    """

    unit: Unit = "nats"
    support: ClassVar[tuple[float, float]] = (0.0, 1.0)
    is_probability: ClassVar[bool] = True

    def __init__(self, n_levels: int = 256, n_mixtures: int = 1) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.n_mixtures = n_mixtures
        self.step = 1 / (n_levels - 1)

    @property
    def n_parameters(self) -> int:
        """Outputs that each value takes."""
        return 2 if self.n_mixtures == 1 else 3 * self.n_mixtures

    def output_shape(self, sample_shape: Shape) -> Shape:
        """Two numbers a value, or three for each component of a mixture; side by side on the first axis."""
        return (sample_shape[0] * self.n_parameters, *sample_shape[1:])

    def components(self, outputs: Tensor) -> Components:
        """The decoder's outputs as the parameters that they are."""
        split = outputs.unflatten(1, (-1, self.n_parameters // self.n_mixtures, self.n_mixtures))
        *log_weights, mean, log_scale = split.unbind(2)
        low, high = math.log(SMALLEST_SCALE * self.step), math.log(LARGEST_SCALE)
        shares = F.log_softmax(log_weights[0], dim=2) if log_weights else torch.zeros_like(mean)
        return Components(shares, mean, log_scale.clamp(low, high))

    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        """Minus the log probability of each example's levels; x is taken to the nearest ones."""
        log_weights, mean, log_scale = self.components(outputs)
        level = self._level(x).unsqueeze(2)
        inverse_scale = torch.exp(-log_scale)
        low = ((level - 0.5) * self.step - mean) * inverse_scale
        high = ((level + 0.5) * self.step - mean) * inverse_scale
        is_lowest, is_highest = level == 0, level == self.n_levels - 1
        low, high = torch.where(is_lowest, -math.inf, low), torch.where(is_highest, math.inf, high)
        width = torch.where(is_lowest | is_highest, math.inf, self.step * inverse_scale)
        log_probability = torch.logsumexp(log_weights + log_cell_probability(low, high, width), dim=2)
        return sum_over_values(-log_probability, value_weight)

    def is_density(self, x: Tensor) -> bool:
        """Of the levels alone, which lie evenly from 0 to 1."""
        off = (x * (self.n_levels - 1) - self._level(x)).abs()
        return bool((off <= NEAR_A_LEVEL).all())

    def draw(self, outputs: Tensor, randomness: Randomness) -> Tensor:
        """Levels, each of a component drawn by its weight."""
        log_weights, mean, log_scale = self.components(outputs)
        if self.n_mixtures > 1:
            below = log_weights.exp().cumsum(dim=2)[:, :, :-1]
            chance = randomness.at("component").uniform(mean[:, :, :1].shape, like=mean)
            chosen = (chance >= below).sum(dim=2, keepdim=True)
            mean, log_scale = mean.gather(2, chosen), log_scale.gather(2, chosen)
        mean, log_scale = mean.squeeze(2), log_scale.squeeze(2)
        uniform = randomness.at("value").uniform(mean.shape, like=mean)
        value = mean + torch.exp(log_scale) * torch.logit(uniform)
        return self._level(value) / (self.n_levels - 1)

    def mean(self, outputs: Tensor) -> Tensor:
        """Expectation of the levels, in [0, 1]."""
        log_weights, mean, log_scale = self.components(outputs)
        return (log_weights.exp() * self._expectation(mean, log_scale.exp())).sum(dim=2)

    def outputs_at(self, mean: Tensor) -> Tensor:
        """Components that all have this mean, the first one widest, all of one weight."""
        wanted = mean.clamp(SMALLEST_SHARE, 1 - SMALLEST_SHARE).unsqueeze(2).double()
        wanted = wanted.expand(*wanted.shape[:2], self.n_mixtures, *wanted.shape[3:])
        halvings = torch.arange(self.n_mixtures, dtype=torch.float64, device=mean.device)
        log_scales = math.log(FIRST_SCALE) - halvings * math.log(2)
        log_scales = log_scales.clamp(min=math.log(SMALLEST_SCALE * self.step))
        log_scale = log_scales.reshape(-1, *[1] * (wanted.ndim - 3)).expand_as(wanted)
        low, high = torch.full_like(wanted, -1.0), torch.full_like(wanted, 2.0)
        for _ in range(60):  # the expectation rises with the component's mean: halve the interval
            middle = (low + high) / 2
            above = self._expectation(middle, log_scale.exp()) > wanted
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        parts = [(low + high) / 2, log_scale]
        parts = parts if self.n_mixtures == 1 else [torch.zeros_like(wanted), *parts]
        return torch.stack(parts, dim=2).flatten(1, 3).to(mean.dtype)

    def _level(self, x: Tensor) -> Tensor:
        """Number of the nearest level, from 0."""
        return (x * (self.n_levels - 1)).round().clamp(0, self.n_levels - 1)

    def _expectation(self, mean: Tensor, scale: Tensor) -> Tensor:
        """``step * sum_j sigmoid((mean - edge_j) / scale)`` over the edges between levels, exact to 1e-8.

        A narrow component is flat but near its mean, where edges are summed one by one. Of a wide one the
        sum is the integral over [0, 1] with the terms of Euler and Maclaurin at both ends (midpoint rule,
        orders 2, 4 and 6): what all edges would cost does not grow with their number.
        """
        n_edges = self.n_levels - 1
        n_near = min(n_edges, WINDOW)
        first = (torch.floor(mean * n_edges) - WINDOW // 2).clamp(0, n_edges - n_near)
        narrow = first
        for place in range(n_near):
            narrow = narrow + torch.sigmoid((mean - (first + (place + 0.5)) * self.step) / scale)
        if n_near == n_edges:
            return narrow * self.step
        at_low, at_high = mean / scale, (mean - 1) / scale
        wide = scale * (F.softplus(at_low) - F.softplus(at_high))
        share = self.step / scale
        ends = [_slopes(z) for z in (at_low, at_high)]
        for weight, power, low, high in zip((1 / 24, -7 / 5760, 31 / 967680), (1, 3, 5), *ends, strict=True):
            wide = wide + weight * self.step * share.clamp(max=1.0) ** power * (high - low)
        return torch.where(share > 1, narrow * self.step, wide)


def _slopes(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First, third and fifth derivative of the sigmoid."""
    slope = torch.sigmoid(z) * torch.sigmoid(-z)
    return slope, slope * (1 - 6 * slope), slope * (1 - 30 * slope + 120 * slope.square())

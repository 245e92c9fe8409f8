"""The chain as it is learned: of each column a small network that reads those before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.likelihoods.discretised_logistic import DiscretisedLogistic
from isthmus.model.objective import Objective, Trainable
from isthmus.networks.dense import DenseDecoder
from isthmus.numerics.randomness import Randomness

HIDDEN_SIZES = (64, 24)
MOST_DIMENSIONS = 8
"""Of the place of a symbol that has a logit."""


class ChainModel(Trainable):
    """``L = -sum_j ln P(x_j given x_1 ... x_(j-1))``, in nats (Bengio and Bengio 2000; Larochelle and Murray 2011).

    Each symbol has a place in a few dimensions, which all later columns share. A column's network gives a logit a
    symbol; of a column whose symbols are ranges of numbers, in order, a mixture of discretised logistic
    distributions, so that its size does not grow with their number.

    Parameters
    ----------
    n_symbols
        Of each column.
    n_mixtures
        Components of each column; 0 of one whose symbols have a logit each, as those of the first must.
    hidden_sizes
        Of a column's network.
    seed
        Of the first weights.
    """

    def __init__(
        self,
        n_symbols: Sequence[int],
        n_mixtures: Sequence[int],
        *,
        hidden_sizes: Sequence[int] = HIDDEN_SIZES,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.seed = seed
        chance = Randomness(seed, "chain")
        self.places, self.columns, self.likelihoods = nn.ParameterList(), nn.ModuleList(), nn.ModuleList()
        n_seen = 0
        for at, (n, m) in enumerate(zip(n_symbols, n_mixtures, strict=True)):
            places = _line(n) if m else chance.at("places", at).normal((n, n_dimensions(n, m)))
            self.places.append(nn.Parameter(places))
            sizes = [n_seen, *hidden_sizes, 3 * m or n] if n_seen else [1, 3 * m or n]
            network = dense_network(sizes, chance.at("network", at))
            likelihood = DiscretisedLogistic(n, m) if m else _Logits()
            if isinstance(likelihood, DiscretisedLogistic):
                network.start_at(_spread(likelihood))
            self.columns.append(network)
            self.likelihoods.append(likelihood)
            n_seen += places.shape[1]

    def seen(self, x: Tensor, column: int) -> Tensor:
        """What a column's network reads of rows of symbols: the places of those before it."""
        if column == 0:
            return torch.zeros((len(x), 1))
        return torch.cat([self.places[at][x[:, at]] for at in range(column)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Minus the log probability of rows of symbols ``(rows, n_columns)``, in nats, for each column."""
        seen = torch.cat([places[x[:, at]] for at, places in enumerate(self.places)], dim=1)
        losses, width = list[Tensor](), 0
        for at, (network, likelihood) in enumerate(zip(self.columns, self.likelihoods, strict=True)):
            outputs = network(seen[:, :width] if at else torch.zeros((len(x), 1)))
            symbols = x[:, at : at + 1]
            if isinstance(likelihood, DiscretisedLogistic):
                losses.append(likelihood(outputs, symbols * likelihood.step))
            else:
                losses.append(likelihood(outputs, symbols))
            width += self.places[at].shape[1]
        return torch.stack(losses, dim=1)

    def objective_at(
        self,
        batch: Any,
        randomness: Randomness,
        *,
        sample_weight: Tensor | None = None,
        progress: float = 1.0,
    ) -> Objective:
        """Minus the log probability, of the whole batch."""
        losses = self(batch).sum(dim=1)
        return Objective(losses.mean(), {"distortion": losses.mean()}, losses)


def n_dimensions(n_symbols: int, n_mixtures: int) -> int:
    """Of the place of a symbol of a column."""
    return 3 if n_mixtures else min(MOST_DIMENSIONS, max(1, n_symbols - 1))


class _Logits(nn.Module):
    def forward(self, outputs: Tensor, symbols: Tensor) -> Tensor:
        return F.cross_entropy(outputs, symbols[:, 0], reduction="none")


def _line(n: int) -> Tensor:
    """Places of symbols in order: a line, and two dimensions to be learned."""
    line = torch.linspace(-math.sqrt(3), math.sqrt(3), n)
    return torch.stack([line, torch.zeros(n), torch.zeros(n)], dim=1)


def _spread(likelihood: DiscretisedLogistic) -> Tensor:
    """Components side by side, of equal weight."""
    m = likelihood.n_mixtures
    means = (torch.arange(m) + 0.5) / m
    parts = [torch.zeros(m), means, torch.full((m,), math.log(0.3 / m))]
    return torch.cat(parts if m > 1 else parts[1:])


def dense_network(sizes: Sequence[int], chance: Randomness) -> DenseDecoder:
    """Rectifier between layers of these sizes."""
    layers = nn.ModuleList()
    for at, (n_in, n_out) in enumerate(pairwise(sizes)):
        layer = nn.Linear(n_in, n_out)
        with torch.no_grad():
            layer.weight.copy_(chance.at(at).normal((n_out, n_in)) * math.sqrt(2 / n_in))
            layer.bias.zero_()
        layers.append(layer)
    return DenseDecoder(layers, (sizes[-1],), "relu")

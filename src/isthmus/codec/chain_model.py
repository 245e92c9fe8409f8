"""The chain as it is learned: of each column a small network that reads those before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.model.objective import Objective, Trainable
from isthmus.networks.dense import DenseDecoder
from isthmus.numerics.randomness import Randomness


class ChainModel(Trainable):
    """``L = -sum_j ln P(x_j given x_1 ... x_(j-1))``, in nats (Bengio and Bengio 2000; Larochelle and Murray 2011).

    Each symbol has a place in a few dimensions, which all later columns share; a column's network has one hidden layer
    and gives a logit a symbol through a bottleneck, so that its size hardly grows with the number of symbols.

    Parameters
    ----------
    n_symbols
        Of each column.
    n_dimensions
        Of a symbol's place, at most.
    hidden_sizes
        Of a column's network; the last one is small, so that the network hardly grows with the number of symbols.
    seed
        Of the first weights.
    """

    def __init__(
        self,
        n_symbols: Sequence[int],
        *,
        n_dimensions: int = 8,
        hidden_sizes: Sequence[int] = (64, 24),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.n_symbols = tuple(n_symbols)
        chance = Randomness(seed, "chain")
        self.places = nn.ParameterList()
        self.columns = nn.ModuleList()
        n_seen = 0
        for at, n in enumerate(n_symbols):
            width = min(n_dimensions, max(1, n - 1))
            self.places.append(nn.Parameter(chance.at("places", at).normal((n, width))))
            sizes = [n_seen, *hidden_sizes, n] if n_seen else [1, n]
            self.columns.append(_network(sizes, chance.at("network", at)))
            n_seen += width

    def seen(self, x: Tensor, column: int) -> Tensor:
        """What a column's network reads of rows of symbols: the places of those before it."""
        if column == 0:
            return torch.zeros((len(x), 1))
        return torch.cat([self.places[at][x[:, at]] for at in range(column)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Minus the log probability of each row of symbols ``(rows, n_columns)``, in nats, for each column."""
        seen = torch.cat(
            [torch.zeros((len(x), 1)), *(p[x[:, at]] for at, p in enumerate(self.places))], dim=1
        )
        losses, width = list[Tensor](), 1
        for at, network in enumerate(self.columns):
            logits = network(seen[:, :1] if at == 0 else seen[:, 1:width])
            losses.append(F.cross_entropy(logits, x[:, at], reduction="none"))
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


def _network(sizes: Sequence[int], chance: Randomness) -> DenseDecoder:
    layers = nn.ModuleList()
    for at, (n_in, n_out) in enumerate(pairwise(sizes)):
        layer = nn.Linear(n_in, n_out)
        with torch.no_grad():
            layer.weight.copy_(chance.at(at).normal((n_out, n_in)) * math.sqrt(2 / n_in))
            layer.bias.zero_()
        layers.append(layer)
    return DenseDecoder(layers, (sizes[-1],), "relu")

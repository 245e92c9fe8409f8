"""The chain as it is learned: of each column a small network that reads those before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.model.objective import Objective, Trainable
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
    n_hidden
        Units of a column's hidden layer.
    rank
        Units between the hidden layer and the logits.
    seed
        Of the first weights.
    """

    def __init__(
        self,
        n_symbols: Sequence[int],
        *,
        n_dimensions: int = 8,
        n_hidden: int = 64,
        rank: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.seed = seed
        chance = Randomness(seed, "chain")
        self.places = nn.ParameterList()
        self.columns = nn.ModuleList()
        n_seen = 0
        for at, n in enumerate(n_symbols):
            width = min(n_dimensions, max(1, n - 1))
            like = torch.empty(0)
            self.places.append(nn.Parameter(chance.at("places", str(at)).normal((n, width), like=like)))
            sizes = [n_seen, n_hidden, min(rank, n), n] if n_seen else [1, n]
            self.columns.append(_network(sizes, chance.at("network", str(at))))
            n_seen += width

    def logits(self, x: Tensor) -> list[Tensor]:
        """Of each column ``(rows, n_symbols)``, given symbols ``(rows, n_columns)``."""
        seen = [places[x[:, at]] for at, places in enumerate(self.places[:-1])]
        said = [self.columns[0](x.new_zeros((len(x), 1), dtype=torch.float32))]
        for at, network in enumerate(self.columns[1:], 1):
            said.append(network(torch.cat(seen[:at], dim=1)))
        return said

    def forward(self, x: Tensor) -> Tensor:
        """Minus the log probability of each row, in nats."""
        losses = [F.cross_entropy(each, x[:, at], reduction="none") for at, each in enumerate(self.logits(x))]
        return torch.stack(losses, dim=1).sum(dim=1)

    def objective_at(
        self,
        batch: Any,
        randomness: Randomness,
        *,
        sample_weight: Tensor | None = None,
        progress: float = 1.0,
    ) -> Objective:
        """Minus the log probability, of the whole batch."""
        losses = self(batch)
        return Objective(losses.mean(), {"distortion": losses.mean()}, losses)


def _network(sizes: Sequence[int], chance: Randomness) -> nn.Sequential:
    """Linear, rectified, linear and, through the bottleneck, linear."""
    layers: list[nn.Module] = []
    for at, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layer = nn.Linear(n_in, n_out)
        weight = chance.at("layer", str(at)).normal((n_out, n_in), like=layer.weight)
        with torch.no_grad():
            layer.weight.copy_(weight * math.sqrt((2 if at == 0 else 1) / n_in))
            layer.bias.zero_()
        layers.append(layer)
        if at == 0 and len(sizes) > 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)

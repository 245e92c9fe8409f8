"""The network that sees what is around a value, as it is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.codec.coding.chain_model import dense_network
from isthmus.codec.coding.context import Neighbourhood
from isthmus.codec.coding.observed import Marked
from isthmus.likelihoods.discretised_logistic import DiscretisedLogistic
from isthmus.model.objective import Objective, Trainable
from isthmus.numerics.randomness import Randomness

NARROWEST, WIDEST = 1 / 512, 1 / 16
"""Scales of components at first, where the range of levels is 1."""

FIRST_SHARE = 0.1
"""Of their usual size, that weights into outputs begin with."""


class ContextModel(Trainable):
    """``L = -sum_i ln P(x_i given those before it around it)``, in nats a value (van den Oord et al. 2016).

    Learned from some places of each picture, of each of which the network sees its neighbourhood: as many values as
    the entropy coder is to know of it.

    Parameters
    ----------
    neighbourhood
        What is seen.
    places
        Of each line and each column, what networks read of it, ``(height, a)`` and ``(width, b)``.
    observed
        Which levels have a logit; how many components the distribution of the others has.
    common
        Number of the level that is read as 0.
    n_levels
        Of a value: the highest is read as 1 more than the lowest.
    n_drawn
        Places of a picture that a step looks at.
    hidden_sizes
        Of a network.
    seed
        Of the first weights and of places.
    """

    def __init__(
        self,
        neighbourhood: Neighbourhood,
        places: tuple[Tensor, Tensor],
        observed: Marked,
        *,
        common: int,
        n_levels: int,
        n_drawn: int,
        hidden_sizes: Sequence[int] = (64, 64),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.neighbourhood, self.common, self.n_drawn, self.seed = neighbourhood, common, n_drawn, seed
        self.steps = n_levels - 1
        lines, columns = places
        height, width, n_channels = neighbourhood.shape
        self.places = torch.cat(
            [lines[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=2
        ).reshape(height * width, -1)
        self.marked = observed.marked.tolist()
        others = torch.zeros(n_levels, dtype=torch.long)
        others[torch.from_numpy(observed.others)] = torch.arange(len(observed.others))
        self.others = others
        self.likelihood = (
            None
            if observed.levels is None
            else DiscretisedLogistic(len(observed.others), observed.levels.n_mixtures)
        )
        self.networks = nn.ModuleList()
        for channel in range(n_channels):
            n_in = neighbourhood.n_seen(channel) + (self.likelihood is not None) + self.places.shape[1]
            network = dense_network(
                [n_in, *hidden_sizes, observed.n_outputs], Randomness(seed, "context", channel)
            )
            first = torch.zeros(len(self.marked))
            if self.likelihood is not None:
                first = torch.cat([first, _around(self.likelihood)])
            network.start_at(first)
            with torch.no_grad():  # what is said at first is what is said there, nearly
                network.layers[-1].get_parameter("weight").mul_(FIRST_SHARE)
            self.networks.append(network)

    def seen(self, pictures: Tensor, at: Tensor, channel: int) -> tuple[Tensor, Tensor, Tensor]:
        """At places ``(pictures, n)``, one after the other: what a channel's network reads, numbers, and guesses."""
        _, width, n_channels = self.neighbourhood.shape
        up, left, right = self.neighbourhood.margin
        canvas = F.pad(pictures, (0, 0, left, right, up, 0), value=self.common).flatten()
        line = left + width + right
        picture = torch.arange(len(pictures))[:, None] * (len(canvas) // len(pictures))
        here = (picture + ((at // width + up) * line + at % width + left) * n_channels + channel).flatten()
        offsets = torch.from_numpy(self.neighbourhood.seen(channel))
        values = canvas.take(here + offsets[:, None]).int() - self.common
        guess = torch.zeros(1, len(here))
        read = [values.T / self.steps, self.places[at.flatten()]]
        if self.likelihood is not None:
            ends = -self.common, self.steps - self.common
            found = self.neighbourhood.guess(values.numpy(), channel, *ends)
            guess = torch.from_numpy(found)[None] / self.steps
            read.insert(1, guess.T)
        return torch.cat(read, dim=1), canvas.take(here).long(), guess[0] + self.common / self.steps

    def losses(self, outputs: Tensor, numbers: Tensor, guess: Tensor) -> Tensor:
        """Minus the log probability of levels ``(n,)``, in nats; means are beside a guess ``(n,)``."""
        found = torch.zeros(len(numbers))
        left = torch.ones(len(numbers), dtype=torch.bool)
        for at, mark in enumerate(self.marked):
            is_mark, logit = numbers == mark, outputs[:, at]
            found = found + left * F.softplus(torch.where(is_mark, -logit, logit))
            left = left & ~is_mark
        rest = left.nonzero()[:, 0]
        if self.likelihood is None or not len(rest):
            return found
        values = self.others[numbers[rest]][:, None] * self.likelihood.step
        weights, means, scales = outputs[rest, len(self.marked) :].chunk(3, dim=1)
        said = torch.cat([weights, means + guess[rest, None], scales], dim=1)
        return found.index_add(0, rest, self.likelihood(said, values))

    def objective_at(
        self,
        batch: Any,
        randomness: Randomness,
        *,
        sample_weight: Tensor | None = None,
        progress: float = 1.0,
    ) -> Objective:
        """Nats a value, by some places of each picture."""
        height, width, n_channels = self.neighbourhood.shape
        at = (randomness.at("places").uniform((len(batch), self.n_drawn)) * (height * width)).long()
        total = torch.zeros(len(batch))
        for channel, network in enumerate(self.networks):
            read, numbers, guess = self.seen(batch, at, channel)
            total = total + self.losses(network(read), numbers, guess).reshape(len(batch), -1).mean(dim=1)
        losses = total / n_channels
        return Objective(losses.mean(), {"distortion": losses.mean()}, losses)


def _around(likelihood: DiscretisedLogistic) -> Tensor:
    """Components of equal weight near a guess, from narrow to wide."""
    m = likelihood.n_mixtures
    scales = torch.linspace(math.log(NARROWEST), math.log(WIDEST), m)
    return torch.cat([torch.zeros(m), (torch.arange(m) - (m - 1) / 2) * NARROWEST, scales])

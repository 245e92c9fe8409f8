"""A likelihood for each column of a table: numbers, categories and booleans side by side."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from isthmus.errors import ParameterError
from isthmus.likelihoods.base import Likelihood, Unit, sum_over_values
from isthmus.likelihoods.bernoulli import SMALLEST_SHARE
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Layout, Shape

SMALLEST_SCALE = 0.01
"""Of a learned scale, in model units: a column that is rebuilt exactly would pull its density to infinity."""
ONE_NUMBER_NATS = (1 + math.log(2 * math.pi)) / 2
"""What the best constant loses under a normal density of variance 1."""


class Mixed(Likelihood):
    """The sum over columns of what suits each: see :class:`isthmus.config.parts.likelihoods.Mixed`.

    Parameters
    ----------
    layout
        Which features belong to which column; the features of a row are one axis, or are all numbers.
    sample_shape
        Shape of one example, torch side.
    numbers
        Loss of a number.
    balanced
        Whether training divides each column's loss by that of the best constant.
    """

    def __init__(
        self,
        layout: Layout,
        sample_shape: Shape,
        numbers: Literal["squared_error", "gaussian"] = "squared_error",
        balanced: bool = True,
    ) -> None:
        super().__init__()
        if sum(block.size for block in layout) != math.prod(sample_shape):
            raise ParameterError(
                f"Mixed: expected columns of {math.prod(sample_shape)} features in all, got "
                f"{sum(block.size for block in layout)}. Give the layout of these rows."
            )
        self.layout, self.sample_shape, self.balanced = layout, sample_shape, balanced
        kinds = torch.tensor(
            [("number", "boolean", "category").index(b.kind) for b in layout for _ in range(b.size)]
        )
        members = torch.tensor([place for place, block in enumerate(layout) for _ in range(block.size)])
        places = [
            torch.nonzero(members == place).squeeze(1)
            for place, block in enumerate(layout)
            if block.kind == "category"
        ]
        grid = (
            pad_sequence(places, batch_first=True, padding_value=-1) if places else torch.empty(0, 0).long()
        )
        losses = [self._constant_loss(block.kind, block.constant_loss, numbers) for block in layout]
        weights = torch.tensor([1 / loss for loss in losses], dtype=torch.float64)[members]
        for name, value in (
            ("numbers", (kinds == 0).nonzero().squeeze(1)),
            ("booleans", (kinds == 1).nonzero().squeeze(1)),
            ("members", members),
            ("categories", (kinds == 2).nonzero().squeeze(1)),
            ("grid", grid),
            ("filled", (grid.flatten() >= 0).nonzero().squeeze(1)),
            ("weights", weights.float()),
        ):
            self.register_buffer(name, value, persistent=False)
        self.log_scale = nn.Parameter(torch.zeros(len(self.numbers))) if numbers == "gaussian" else None
        self.unit: Unit = "squared error and nats"
        if numbers == "gaussian" or not len(self.numbers):
            self.unit = "nats"
        elif len(self.numbers) == len(kinds):
            self.unit = "squared error"

    numbers: Tensor
    booleans: Tensor
    members: Tensor
    categories: Tensor
    grid: Tensor
    """Features of each category's block, a row a block, filled up with -1."""
    filled: Tensor
    """Where the flattened grid holds a feature."""
    weights: Tensor

    @staticmethod
    def _constant_loss(kind: str, loss: float, numbers: str) -> float:
        """Of a normal density the best constant's loss depends on the unit of the values: theirs is of variance 1."""
        return ONE_NUMBER_NATS if kind == "number" and numbers == "gaussian" else loss

    def output_shape(self, sample_shape: Shape) -> Shape:
        """A number, or a logit, a feature."""
        return sample_shape

    def balance(self) -> Tensor | None:
        """One over the loss of the best constant, for each feature."""
        return self.weights.reshape(self.sample_shape or (-1,)) if self.balanced else None

    def forward(self, outputs: Tensor, x: Tensor, value_weight: Tensor | None = None) -> Tensor:
        """Loss of each example."""
        if tuple(x.shape[1:]) != self.sample_shape:
            raise ParameterError(
                f"Mixed: expected rows of shape {self.sample_shape}, got {tuple(x.shape[1:])}. Give rows of the "
                "table whose layout it has."
            )
        flat, given = outputs.flatten(1), x.flatten(1)
        loss = torch.zeros_like(flat)
        if len(self.numbers):
            rest = given[:, self.numbers] - flat[:, self.numbers]
            if self.log_scale is None:
                number = rest.square()
            else:
                log_scale = self.log_scales
                number = (rest * torch.exp(-log_scale)).square() / 2 + log_scale + math.log(2 * math.pi) / 2
            loss = loss.index_copy(1, self.numbers, number)
        if len(self.booleans):
            boolean = F.binary_cross_entropy_with_logits(
                flat[:, self.booleans], given[:, self.booleans], reduction="none"
            )
            loss = loss.index_copy(1, self.booleans, boolean)
        if len(self.categories):
            category = -given[:, self.categories] * self._log_shares(flat)
            loss = loss.index_copy(1, self.categories, category)
        return sum_over_values(loss.reshape(x.shape), value_weight)

    def mean(self, outputs: Tensor) -> Tensor:
        """Numbers, and probabilities of categories and booleans."""
        flat = outputs.flatten(1)
        found = flat
        if len(self.booleans):
            found = found.index_copy(1, self.booleans, torch.sigmoid(flat[:, self.booleans]))
        if len(self.categories):
            found = found.index_copy(1, self.categories, torch.exp(self._log_shares(flat)))
        return found.reshape(outputs.shape)

    def draw(self, outputs: Tensor, randomness: Randomness) -> Tensor:
        """Normal numbers, one category of each block, and booleans; of a density alone."""
        if self.unit != "nats":
            raise ParameterError(
                "Mixed: noise can be drawn from a density alone, got squared error of numbers, which is none. "
                "Fit with Mixed(numbers='gaussian'), as the kinds imputing and variational are, or take the means."
            )
        mean = self.mean(outputs).flatten(1)
        chance = randomness.at("blocks").uniform((len(mean), len(self.layout)), like=mean)
        found = mean
        if self.log_scale is not None:
            noise = randomness.at("numbers").normal((len(mean), len(self.numbers)), like=mean)
            number = mean[:, self.numbers] + torch.exp(self.log_scales) * noise
            found = found.index_copy(1, self.numbers, number)
        if len(self.booleans):
            hits = chance[:, self.members[self.booleans]] < mean[:, self.booleans]
            found = found.index_copy(1, self.booleans, hits.to(mean.dtype))
        start = 0
        for place, block in enumerate(self.layout):
            if block.kind == "category":
                below = mean[:, start : start + block.size - 1].cumsum(dim=1)
                chosen = (chance[:, place : place + 1] >= below).sum(dim=1)
                found = found.clone()
                found[:, start : start + block.size] = F.one_hot(chosen, block.size).to(mean.dtype)
            start += block.size
        return found.reshape(outputs.shape)

    def is_density(self, x: Tensor) -> bool:
        """Where booleans and categories are zeros and ones, and numbers have a density."""
        if self.unit != "nats":
            return False
        flat = x.flatten(1)
        whole = torch.ones_like(flat, dtype=torch.bool)
        whole[:, self.numbers] = False
        return bool(((flat == 0) | (flat == 1) | flat.isnan() | ~whole).all())

    def outputs_at(self, mean: Tensor) -> Tensor:
        """Numbers themselves, logits of booleans, logarithms of the categories' shares."""
        flat = mean.reshape(-1, len(self.members))
        found = flat
        if len(self.booleans):
            logits = torch.logit(flat[:, self.booleans], eps=SMALLEST_SHARE)
            found = found.index_copy(1, self.booleans, logits)
        if len(self.categories):
            shares = flat[:, self.categories].clamp(min=SMALLEST_SHARE)
            found = found.index_copy(1, self.categories, torch.log(shares))
        return found.reshape(mean.shape)

    @property
    def log_scales(self) -> Tensor:
        """Of each number, of a density, in model units: ``(len(numbers),)``."""
        if self.log_scale is None:
            raise TypeError("Mixed: squared error has no scale")
        return self.log_scale.clamp(min=math.log(SMALLEST_SCALE))

    def _log_shares(self, flat: Tensor) -> Tensor:
        """Logarithms of the categories' shares, ``(rows, len(categories))``: a softmax over each block."""
        blocks = flat[:, self.grid.clamp(min=0)].masked_fill(self.grid < 0, -math.inf)
        return torch.log_softmax(blocks, dim=2).flatten(1).index_select(1, self.filled)

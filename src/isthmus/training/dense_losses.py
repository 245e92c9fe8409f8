"""The loss that ends the steps of dense layers, and its gradient by the decoder's outputs, written out.

Values lie along ``axis`` as in the plans: by rows ``(rows, values)``, along 1, or by units ``(values, columns)``, along
0, where columns behind the rows count for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.mixed import SMALLEST_SCALE, Mixed
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.training.dense_calls import Call, aten

FORWARDS: dict[type[Any], Any] = {each: each.forward for each in (SquaredError, Bernoulli, Mixed)}
"""What is written out here, of each likelihood: somebody may have put another in its place."""
LOW = -1e30
"""The logit of a category that is none: finite, for times a weight of 0 it is to be 0."""

MeanLoss = Callable[[int], Tensor]
"""The mean over so many of the first rows, once the others' gradients are 0; a new tensor each time."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a batch of some size, and what is beside them."""

    outputs: Tensor
    x: Tensor
    """What they are to be."""
    gradient: Tensor
    """Where theirs belongs."""
    missing: Tensor | None
    """Where x is a gap."""
    emphasis: Tensor | None
    """What each value counts besides."""
    n_rows: int
    axis: int
    """Along which values lie."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What stands behind the outputs of a batch of some size."""

    loss: MeanLoss
    calls: list[Call]
    """What puts the gradient where it belongs."""
    scale: Tensor | None = None
    """By which the gradient of the sum of losses is multiplied: that of their mean. None if it can't be another."""


class PlainLoss:
    """Squared error, or log loss, of all values alike; the gradient takes the place of the outputs."""

    is_apart = False
    """Whether the gradient has memory apart from that of the outputs."""

    def __init__(self, *, bernoulli: bool) -> None:
        self._bernoulli = bernoulli
        self.slope = 1.0 if bernoulli else 2.0
        """Of a value's loss, by what its output is beyond the input: (sigmoid) a - x for the log loss, 2 (a - x)."""

    def ending(self, of: Outputs) -> Ending:
        """Where the gradient is the outputs' own memory, and nothing is missing or counts less."""
        outputs, x, n_rows, axis = of.outputs, of.x, of.n_rows, of.axis
        assert of.gradient is outputs
        assert of.missing is of.emphasis is None
        scale = torch.tensor(self.slope / n_rows)
        calls: list[Call] = [partial(outputs.sub_, x), partial(outputs.mul_, scale)]
        if self._bernoulli:
            losses, n = torch.empty_like(outputs), torch.tensor(float(n_rows))
            by_row = losses if axis else losses.t()
            loss = partial(
                aten("binary_cross_entropy_with_logits", "out"), outputs, x, None, None, 0, out=losses
            )
            return Ending(
                lambda rows: by_row[:rows].sum().div_(n if rows == n_rows else rows),
                [loss, partial(torch.sigmoid, outputs, out=outputs), *calls],
                scale,
            )
        share = torch.tensor(n_rows / 4)
        kept = None if axis else outputs.view(-1)  # by rows a product may bring other memory

        def mean_of_squares(rows: int) -> Tensor:
            """Of differences d, where 2 d / n are left."""
            values = outputs.view(-1) if kept is None else kept
            return torch.dot(values, values).mul_(share if rows == n_rows else rows / 4)

        return Ending(mean_of_squares, calls, scale)


class MixedLoss:
    """The loss of a table's columns (:class:`isthmus.likelihoods.mixed.Mixed`), each as it counts in training.

    With w the weight of a value, over the rows, and 0 at a gap: of a number ``w (a - x)^2``, or with its scale
    ``w ((a - x)^2 / (2 s^2) + ln s + ln(2 pi) / 2)``; of a boolean ``w (softplus(a) - x a)``; of a category's block
    ``-sum w x ln softmax(a)``. Gradients by a are ``2 w (a - x)``, or ``w (a - x) / s^2``; ``w (sigmoid(a) - x)``;
    ``softmax(a) sum w x - w x``; by ln s it is the sum of ``w (1 - (a - x)^2 / s^2)``.

    Parameters
    ----------
    likelihood
        The module's.
    scale_gradient
        Where the gradient of its scales belongs, if it has some.
    """

    is_apart = True

    def __init__(self, likelihood: Mixed, scale_gradient: Tensor | None) -> None:
        self._likelihood, self._scale_gradient = likelihood, scale_gradient

    def ending(self, of: Outputs) -> Ending:
        """Where x is 0 at gaps."""
        outputs, missing, emphasis, axis = of.outputs, of.missing, of.emphasis, of.axis
        mixed = self._likelihood
        balance = mixed.balance()
        each = torch.ones(outputs.shape[axis]) if balance is None else balance.flatten().clone()
        if mixed.log_scale is None:
            each[mixed.numbers] *= 2
        weight = torch.zeros_like(outputs)
        weight.narrow(1 - axis, 0, of.n_rows).copy_(each.unsqueeze(1 - axis) / of.n_rows)
        calls, losses = list[Call](), list[Callable[[], Tensor]]()
        moves = missing is not None or emphasis is not None
        if moves:
            counts, weight = weight, torch.empty_like(weight)
            calls.append(
                partial(weight.copy_, counts)
                if emphasis is None
                else partial(torch.mul, counts, emphasis, out=weight)
            )
        if missing is not None:
            calls.append(partial(weight.masked_fill_, missing, 0.0))
        values = _Values(outputs, of.x, weight, of.gradient, axis, moves)
        for places, part in (
            (mixed.numbers, self._squares if mixed.log_scale is None else self._densities),
            (mixed.booleans, _log_losses),
            (mixed.categories, partial(_cross_entropies, mixed)),
        ):
            if len(places):
                made, loss = part(values, places)
                calls += made
                losses.append(loss)
        first, *others = losses

        def mean(_: int) -> Tensor:
            total = first()
            for loss in others:
                total.add_(loss())
            return total

        return Ending(mean, calls)

    @staticmethod
    def _squares(values: _Values, places: Tensor) -> _Part:
        (a, x, twice), calls = values.of(places)
        of_a, back = values.gradient_of(places)
        rest = torch.empty_like(of_a)
        calls += [partial(torch.sub, a, x, out=rest), partial(torch.mul, rest, twice, out=of_a), *back]
        return calls, lambda: torch.dot(rest.view(-1), of_a.view(-1)).mul_(0.5)

    def _densities(self, values: _Values, places: Tensor) -> _Part:
        (a, x, weight), calls = values.of(places)
        of_a, back = values.gradient_of(places)
        by_scale, axis = self._scale_gradient, values.axis
        assert self._likelihood.log_scale is not None
        assert by_scale is not None
        held, least = self._likelihood.log_scale.detach(), math.log(SMALLEST_SCALE)
        log_scale, precision, counted, squares, constant = (torch.empty_like(held) for _ in range(5))
        rest, weighed = torch.empty_like(of_a), torch.empty_like(of_a)
        is_least = torch.empty_like(held, dtype=torch.bool)
        calls += [
            partial(torch.clamp_min, held, least, out=log_scale),
            partial(torch.mul, log_scale, -2.0, out=precision),
            precision.exp_,
            partial(torch.sub, a, x, out=rest),
            partial(torch.mul, rest, weight, out=weighed),
            partial(torch.mul, weighed, precision.unsqueeze(1 - axis), out=of_a),
            partial(torch.mul, rest, of_a, out=weighed),
            partial(torch.sum, weighed, 1 - axis, out=squares),
            partial(torch.sum, weight, 1 - axis, out=counted),
            partial(torch.sub, counted, squares, out=by_scale),
            partial(torch.lt, held, least, out=is_least),
            partial(by_scale.masked_fill_, is_least, 0.0),
            partial(torch.add, log_scale, math.log(2 * math.pi) / 2, out=constant),
            *back,
        ]
        return calls, lambda: torch.dot(counted, constant).add_(squares.sum(), alpha=0.5)


_Part = tuple[list[Call], Callable[[], Tensor]]
"""What puts the gradient of a kind's columns where it belongs, and then their mean loss."""


@dataclass(frozen=True, slots=True)
class _Values:
    """Outputs, what they are to be, what each counts, and where the gradient belongs; values lie along an axis."""

    outputs: Tensor
    x: Tensor
    weight: Tensor
    gradient: Tensor
    axis: int
    moves: bool
    """Whether weights are other ones in each batch."""

    def of(self, places: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], list[Call]]:
        """Outputs, targets and weights of some values, and what brings them there."""
        calls = list[Call]()
        a, x = (self._some(each, places, calls) for each in (self.outputs, self.x))
        weight = self._some(self.weight, places, calls if self.moves else None)
        return (a, x, weight), calls

    def _some(self, values: Tensor, places: Tensor, calls: list[Call] | None) -> Tensor:
        if is_range(places):
            return values.narrow(self.axis, int(places[0]), len(places))
        found = values.index_select(self.axis, places)
        if calls is not None:
            calls.append(partial(torch.index_select, values, self.axis, places, out=found))
        return found

    def gradient_of(self, places: Tensor) -> tuple[Tensor, list[Call]]:
        """Memory in one piece for the gradient of some values, and what brings it where it belongs."""
        if is_range(places):
            own = self.gradient.narrow(self.axis, int(places[0]), len(places))
            if own.is_contiguous():
                return own, []
        found = self.gradient.index_select(self.axis, places).contiguous()
        return found, [partial(self.gradient.index_copy_, self.axis, places, found)]


def _log_losses(values: _Values, places: Tensor) -> _Part:
    (a, x, weight), calls = values.of(places)
    of_a, back = values.gradient_of(places)
    losses = torch.empty_like(of_a)
    calls += [
        partial(aten("softplus", "out"), a, 1.0, 20.0, out=losses),
        partial(losses.addcmul_, a, x, value=-1),
        partial(losses.mul_, weight),
        partial(torch.sigmoid, a, out=of_a),
        partial(of_a.sub_, x),
        partial(of_a.mul_, weight),
        *back,
    ]
    return calls, losses.sum


def _cross_entropies(mixed: Mixed, values: _Values, places: Tensor) -> _Part:
    """Of blocks side by side, filled up to the largest of them."""
    axis, none = values.axis, mixed.grid.flatten() < 0
    grid = mixed.grid.flatten().clamp(min=0)
    (a, x, weight), calls = values.of(grid)
    of_a, back = values.gradient_of(places)
    if none.any():  # else a may be the outputs themselves
        is_none = none.unsqueeze(1 - axis)
        calls.append(partial(a.masked_fill_, is_none, LOW))
        weight.masked_fill_(is_none, 0.0)
    targets = torch.empty_like(a, memory_format=torch.contiguous_format)
    calls += [partial(torch.mul, x, weight, out=targets), targets.neg_]
    if none.any() and values.moves:
        calls.append(partial(targets.masked_fill_, none.unsqueeze(1 - axis), 0.0))
    shape, dim = tuple(mixed.grid.shape), axis + 1
    logits, shares_of = a.unflatten(axis, shape), targets.unflatten(axis, shape)
    log_shares, slopes = torch.empty_like(shares_of), torch.empty_like(shares_of)
    filled = slopes.flatten(axis, axis + 1)
    calls += [
        partial(aten("_log_softmax", "out"), logits, dim, False, out=log_shares),
        partial(
            aten("_log_softmax_backward_data", "out"), shares_of, log_shares, dim, torch.float32, out=slopes
        ),
        partial(torch.index_select, filled, axis, mixed.filled, out=of_a)
        if none.any()
        else partial(of_a.copy_, filled),
        *back,
    ]
    return calls, lambda: torch.dot(targets.view(-1), log_shares.view(-1))


def is_range(places: Tensor) -> bool:
    """Whether numbers follow each other.

    >>> is_range(torch.tensor([3, 4, 5])), is_range(torch.tensor([3, 5]))
    (True, False)
    """
    return bool((places.diff() == 1).all())


Loss = PlainLoss | MixedLoss

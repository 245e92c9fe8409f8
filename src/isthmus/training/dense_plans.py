"""What the steps of dense layers compute, as lists of calls into memory that is kept.

Values lie by rows, ``(rows, units)``, where products are large; else by units, ``(units, rows)``: there a row of ones
stands under the inputs of a layer and the bias beside its weights, so that a product adds the bias, and another makes
the gradients of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from isthmus.model.gaps import Gaps
from isthmus.training.dense_calls import (
    BENT,
    Call,
    Layer,
    gradient_of_input,
    gradient_of_weight,
    outputs_of,
    rounded_up,
    rows_are_large,
)
from isthmus.training.dense_losses import Loss, MeanLoss, Outputs
from isthmus.training.dense_terms import Contraction, Drawn, Term

COLUMNS = 8
"""In multiples of which values of a unit lie: products with 31 columns take nearly twice as long as with 32."""


@dataclass(frozen=True, slots=True)
class Room:
    """Where a batch is put."""

    rows: Tensor
    """``(rows, *sample_shape)``"""
    flat: Any
    """``(rows, n_values)``, the tensor that is read."""

    def put(self, batch: Tensor, *, as_it_lies: bool) -> None:
        """Copy the batch, or read it where it lies."""
        if as_it_lies:
            self.flat.set_(batch.flatten(1))
        else:
            self.rows.copy_(batch)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is computed of a batch of some size, in order, into memory that is kept."""

    shown: Room
    """Of what the encoder is shown of a batch."""
    clean: Room
    """Of the batch itself: the same where nothing is corrupted."""
    loss: MeanLoss
    scale: Tensor | None
    """By which the gradient of the sum of losses is multiplied: that of their mean. None if it can't be another."""
    of_outputs: Tensor
    """The gradient of the outputs, in their memory: where they lie by rows, ``(rows, n_values)``."""
    calls: Sequence[Call]
    backwards: Sequence[Call] = ()
    """The rest of them, from the gradient of the outputs on, where a batch may be a row short; else it is empty."""
    term: Callable[[], Tensor] | None = None
    """The mean over rows of what stands beside the loss, if anything does; a new tensor each time."""
    noise: Tensor | None = None
    """``(rows, size)``, where standard normal numbers are copied to if the code is drawn or noisy."""
    emphasis: Tensor | None = None
    """``(rows, n_values)``, where what each value counts is copied to, if some count less."""

    def made(self, n_rows: int | None = None) -> Tensor:
        """Compute all of it, for the mean loss; of only the first ``n_rows``, the others count for nothing."""
        for call in self.calls:
            call()
        if n_rows is not None:
            self.of_outputs[n_rows:].zero_()
        loss = self.loss(len(self.shown.rows) if n_rows is None else n_rows)
        for call in self.backwards:
            call()
        return loss


def by_rows(
    n_rows: int,
    layers: Sequence[Layer],
    sample_shape: Sequence[int],
    *,
    loss: Loss,
    gaps: Gaps | None,
    corrupted: bool,
    emphasised: bool,
    term: Term | None,
) -> Plan:
    """Outputs layer by layer, the loss, gradients from the last layer to the first; values are ``(rows, units)``."""
    empty = partial(torch.empty, device=layers[0].weight.device)
    a = x = empty(n_rows, layers[0].weight.shape[1])
    shown, clean, missing, forwards = _ends(x, gaps, corrupted=corrupted, axis=1)
    backwards = list[Call]()
    outwards: Tensor | None = None  # the gradient of what the layer before gives
    drawn: Drawn | None = None
    omega = empty(n_rows) if isinstance(term, Contraction) else None
    stays = not any(rows_are_large(x, layer.weight.shape) for layer in layers)
    for number, layer in enumerate(layers):
        n_out = len(layer.bias)
        before = empty(n_rows, n_out)
        is_last = layer is layers[-1]
        of_bent = gradient = before if is_last and not loss.is_apart else empty(n_rows, n_out)
        draw = None if term is None or isinstance(term, Contraction) or number != term.place else term
        forwards.append(outputs_of(a, layer, before, stays=draw is not None or (is_last and loss.is_apart)))
        bent, back = before, list[Call]()
        if draw is not None:
            bent, of_bent = (empty(n_rows, n_out // draw.n_inputs) for _ in range(2))
            drawn = draw.drawn(n_rows, before, bent, of_bent, gradient, axis=1)
            forwards += drawn.forwards
            back += drawn.backwards
        elif layer.activation != "identity":
            bent = empty(n_rows, n_out)
            forward, backward = BENT[layer.activation]
            forwards.append(forward(before, bent))
            back.append(backward(gradient, before, bent, gradient))
        of_bias = partial(torch.sum, gradient, 0, out=layer.bias_gradient)
        if isinstance(term, Contraction) and omega is not None and number == 0:
            back += [*term.calls(a, bent, gradient, omega), of_bias]
        else:  # the sum while the gradient is still in the cache
            back += [of_bias, gradient_of_weight(gradient, a, layer, stays=stays)]
        if outwards is not None:
            back.append(gradient_of_input(gradient, layer.weight, outwards))
        backwards = [*back, *backwards]
        a, outwards = bent, of_bent
    emphasis = torch.empty_like(clean) if emphasised else None
    assert outwards is not None
    ending = loss.ending(Outputs(a, clean, outwards, missing, emphasis, n_rows, axis=1))
    may_be_short = not stays and term is None and ending.scale is not None
    return Plan(
        Room(shown.unflatten(1, tuple(sample_shape)), shown),
        Room(clean.unflatten(1, tuple(sample_shape)), clean),
        ending.loss,
        ending.scale,
        a,
        [*forwards, *ending.calls] if may_be_short else [*forwards, *ending.calls, *backwards],
        backwards if may_be_short else (),
        omega.mean if omega is not None else None if drawn is None else drawn.rate,
        None if drawn is None else drawn.noise,
        emphasis,
    )


def by_units(
    n_rows: int,
    layers: Sequence[Layer],
    sample_shape: Sequence[int],
    *,
    loss: Loss,
    gaps: Gaps | None,
    corrupted: bool,
    emphasised: bool,
    term: Term | None,
) -> Plan:
    """As :func:`by_rows`, of layers whose weights and biases are joined and whose products are small; contracts none.

    There are more columns than rows, up to a multiple of :data:`COLUMNS`: behind the rows stand zeros, no ones among
    them, and their gradients are set to 0.
    """
    n_columns, inputs = rounded_up(n_rows, COLUMNS), list[Tensor]()
    for layer in layers:
        assert layer.joined_gradient is not None
        inputs.append(torch.zeros(layer.joined_gradient.shape[1], n_columns))
        inputs[-1][layer.weight.shape[1], :n_rows] = 1
    a = x = inputs[0][: layers[0].weight.shape[1]]
    shown, clean, missing, forwards = _ends(x, gaps, corrupted=corrupted, axis=0)
    backwards = list[Call]()
    outwards: Tensor | None = None
    drawn: Drawn | None = None
    for number, layer in enumerate(layers):
        n_out, n_in = layer.weight.shape
        assert layer.joined is not None
        draw = None if term is None or isinstance(term, Contraction) or number != term.place else term
        n_bent = n_out if draw is None else n_out // draw.n_inputs
        a = inputs[number + 1][:n_bent] if number + 1 < len(layers) else torch.empty(n_out, n_columns)
        before = a if layer.activation == "identity" and draw is None else torch.empty(n_out, n_columns)
        is_last = number + 1 == len(layers)
        of_output = of_before = a if is_last and not loss.is_apart else torch.empty_like(a)
        forwards.append(partial(torch.mm, layer.joined, inputs[number][: n_in + 1], out=before))
        back = list[Call]()
        if draw is not None:
            of_before = torch.empty_like(before)
            drawn = draw.drawn(n_rows, before, a, of_output, of_before, axis=0)
            forwards += drawn.forwards
            back += drawn.backwards
        elif layer.activation != "identity":
            of_before = torch.empty_like(a)
            forward, backward = BENT[layer.activation]
            forwards.append(forward(before, a))
            back.append(backward(of_output, before, a, of_before))
        back.append(partial(torch.mm, of_before, inputs[number].t(), out=layer.joined_gradient))
        if outwards is not None:
            back.append(partial(torch.mm, layer.weight.t(), of_before, out=outwards))
        backwards = [*back, *backwards]
        outwards = of_output
    assert outwards is not None
    emphasis = torch.ones_like(clean) if emphasised else None
    ending = loss.ending(Outputs(a, clean, outwards, missing, emphasis, n_rows, axis=0))
    if n_rows < n_columns:
        ending.calls.append(outwards[:, n_rows:].zero_)
    rooms = [
        Room(flat.unflatten(1, tuple(sample_shape)), flat)
        for flat in (shown[:, :n_rows].t(), clean[:, :n_rows].t())
    ]
    return Plan(
        rooms[0],
        rooms[1],
        ending.loss,
        ending.scale,
        a,
        [*forwards, *ending.calls, *backwards],
        term=None if drawn is None else drawn.rate,
        noise=None if drawn is None else drawn.noise,
        emphasis=None if emphasis is None else emphasis[:, :n_rows].t(),
    )


def _ends(
    x: Tensor, gaps: Gaps | None, *, corrupted: bool, axis: int
) -> tuple[Tensor, Tensor, Tensor | None, list[Call]]:
    """Where a batch is put as it is shown and as it is, where the latter is a gap, and what makes ``x`` of both.

    ``x`` is what the first layer reads. With gaps it has a flag a column behind the values: see :class:`Gaps`.
    """
    if gaps is None:
        return x, torch.zeros_like(x) if corrupted else x, None, []
    n_values = x.shape[axis] - gaps.n_columns
    shown, flags = x.narrow(axis, 0, n_values), x.narrow(axis, n_values, gaps.n_columns)
    is_hidden = torch.empty_like(shown, dtype=torch.bool, memory_format=torch.contiguous_format)
    of_columns = torch.empty_like(flags, dtype=torch.bool, memory_format=torch.contiguous_format)
    calls: list[Call] = [
        partial(torch.ne, shown, shown, out=is_hidden),  # NaN alone is not itself
        partial(torch.index_select, is_hidden, axis, gaps.first, out=of_columns),
        partial(flags.copy_, of_columns),
        partial(shown.masked_fill_, is_hidden, 0.0),
    ]
    if not corrupted:
        return shown, shown, is_hidden, calls
    clean, missing = torch.zeros_like(is_hidden, dtype=x.dtype), torch.empty_like(is_hidden)
    calls += [partial(torch.ne, clean, clean, out=missing), partial(clean.masked_fill_, missing, 0.0)]
    return shown, clean, missing, calls

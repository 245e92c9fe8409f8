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

from isthmus.training.dense_calls import (
    BENT,
    Call,
    Layer,
    aten,
    gradient_of_input,
    gradient_of_weight,
    outputs_of,
    rounded_up,
    rows_are_large,
)
from isthmus.training.dense_terms import Contraction, Draw, Drawn, Term

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
    loss: Callable[[int], Tensor]
    """The mean over so many of the first rows, once the others' gradients are 0; a new tensor each time."""
    scale: Tensor
    """By which the gradient of the sum of losses is multiplied: that of their mean."""
    of_outputs: Tensor
    """The gradient of the outputs, in their memory: where they lie by rows, ``(rows, n_values)``."""
    calls: Sequence[Call]
    backwards: Sequence[Call] = ()
    """The rest of them, from the gradient of the outputs on, where a batch may be a row short; else it is empty."""
    term: Callable[[], Tensor] | None = None
    """The mean over rows of what stands beside the loss, if anything does; a new tensor each time."""
    noise: Tensor | None = None
    """``(rows, size)``, where standard normal numbers are copied to if the code is drawn."""

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
    bernoulli: bool,
    corrupted: bool,
    term: Term | None,
) -> Plan:
    """Outputs layer by layer, the loss, gradients from the last layer to the first; values are ``(rows, units)``."""
    empty = partial(torch.empty, device=layers[0].weight.device)
    a = x = empty(n_rows, layers[0].weight.shape[1])
    clean = torch.empty_like(x) if corrupted else x
    forwards, backwards = list[Call](), list[Call]()
    outwards: Tensor | None = None  # the gradient of what the layer before gives
    drawn: Drawn | None = None
    omega = empty(n_rows) if isinstance(term, Contraction) else None
    stays = not any(rows_are_large(x, layer.weight.shape) for layer in layers)
    for number, layer in enumerate(layers):
        n_out = len(layer.bias)
        before = empty(n_rows, n_out)
        of_bent = gradient = before if layer is layers[-1] else empty(n_rows, n_out)
        draw = term if isinstance(term, Draw) and number == term.place else None
        forwards.append(outputs_of(a, layer, before, stays=draw is not None))
        bent, back = before, list[Call]()
        if draw is not None:
            bent, of_bent = (empty(n_rows, n_out // 2) for _ in range(2))
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
    loss, scale, middle = _of_loss(a, clean, n_rows, bernoulli=bernoulli)
    may_be_short = not stays and term is None
    return Plan(
        Room(x.view(n_rows, *sample_shape), x),
        Room(clean.view(n_rows, *sample_shape), clean),
        loss,
        scale,
        a,
        [*forwards, *middle] if may_be_short else [*forwards, *middle, *backwards],
        backwards if may_be_short else (),
        omega.mean if omega is not None else None if drawn is None else drawn.rate,
        None if drawn is None else drawn.noise,
    )


def by_units(
    n_rows: int,
    layers: Sequence[Layer],
    sample_shape: Sequence[int],
    *,
    bernoulli: bool,
    corrupted: bool,
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
    clean = torch.zeros(x.shape) if corrupted else x
    forwards, backwards = list[Call](), list[Call]()
    outwards: Tensor | None = None
    drawn: Drawn | None = None
    for number, layer in enumerate(layers):
        n_out, n_in = layer.weight.shape
        assert layer.joined is not None
        draw = term if isinstance(term, Draw) and number == term.place else None
        n_bent = n_out if draw is None else n_out // 2
        a = inputs[number + 1][:n_bent] if number + 1 < len(layers) else torch.empty(n_out, n_columns)
        before = a if layer.activation == "identity" and draw is None else torch.empty(n_out, n_columns)
        of_output = of_before = a if number + 1 == len(layers) else torch.empty_like(a)
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
    loss, scale, middle = _of_loss(a, clean, n_rows, bernoulli=bernoulli, are_columns=True)
    if n_rows < n_columns:
        middle.append(a[:, n_rows:].zero_)
    rooms = [
        Room(flat.unflatten(1, tuple(sample_shape)), flat)
        for flat in (x[:, :n_rows].t(), clean[:, :n_rows].t())
    ]
    return Plan(
        rooms[0],
        rooms[1],
        loss,
        scale,
        a,
        [*forwards, *middle, *backwards],
        term=None if drawn is None else drawn.rate,
        noise=None if drawn is None else drawn.noise,
    )


def _of_loss(
    outputs: Tensor, x: Tensor, n_rows: int, *, bernoulli: bool, are_columns: bool = False
) -> tuple[Callable[[int], Tensor], Tensor, list[Call]]:
    """The mean loss, the scale of the gradient of outputs, and what puts that gradient in their place."""
    scale = torch.tensor(slope(bernoulli=bernoulli) / n_rows)
    gradient: list[Call] = [partial(outputs.sub_, x), partial(outputs.mul_, scale)]
    if bernoulli:
        losses, n = torch.empty_like(outputs), torch.tensor(float(n_rows))
        by_row = losses.t() if are_columns else losses
        loss = partial(aten("binary_cross_entropy_with_logits", "out"), outputs, x, None, None, 0, out=losses)
        return (
            lambda rows: by_row[:rows].sum().div_(n if rows == n_rows else rows),
            scale,
            [loss, partial(torch.sigmoid, outputs, out=outputs), *gradient],
        )
    share = torch.tensor(n_rows / 4)
    kept = outputs.view(-1) if are_columns else None  # by rows a product may bring other memory

    def mean_of_squares(rows: int) -> Tensor:
        """Of differences d, where 2 d / n are left."""
        values = outputs.view(-1) if kept is None else kept
        return torch.dot(values, values).mul_(share if rows == n_rows else rows / 4)

    return mean_of_squares, scale, gradient


def slope(*, bernoulli: bool) -> float:
    """Of a value's loss, by what its output is beyond the input: (sigmoid) a - x for the log loss, 2 (a - x)."""
    return 1.0 if bernoulli else 2.0

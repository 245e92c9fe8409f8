"""Weights, gradients and moments of dense layers, of each kind one vector, so that one fused call moves them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isthmus.config.parts.activations import Activation
from isthmus.training.dense_calls import OWN_MEMORY, Layer, rounded_up

ALIGNMENT = 16
"""Numbers, of 64 bytes: where matrix products begin elsewhere, they round in another order."""
ROW_ALIGNMENT = 4
"""Numbers of a row of weights and bias side by side: products of 31 columns take half as long again as of 32."""


class Place(NamedTuple):
    """Of a tensor in a vector."""

    start: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def of(self, vector: Tensor) -> Tensor:
        """The part of a vector that is there."""
        return vector.as_strided(self.shape, self.stride, self.start)


class DenseMemory:
    """Parameters become views of one vector, and so do their moments; gradients of large matrices stand alone.

    Parameters
    ----------
    layers
        Dense ones in order, each with a bias, and their activations.
    parameters
        The same layers', and vectors beside them, in the order that the optimiser has them.
    joined
        Whether each bias is a column beside its weights, as :func:`isthmus.training.dense_plans.by_units` needs it;
        gradients are then one vector too.
    turned
        Whether each parameter, a matrix then, is to lie as its transpose would, and its gradient and moments with it.
    """

    def __init__(
        self,
        layers: Sequence[tuple[nn.Linear, Activation]],
        parameters: Sequence[nn.Parameter],
        *,
        joined: bool,
        turned: Sequence[bool],
    ) -> None:
        self.device = parameters[0].device
        strides = [_stride(one, is_turned) for one, is_turned in zip(parameters, turned, strict=True)]
        places, n = _side_by_side(layers, parameters) if joined else _apart(parameters, strides)
        weights, first, second = (torch.zeros(n, device=self.device) for _ in range(3))
        self.moments = [[place.of(vector) for place in places] for vector in (first, second)]
        """Views for each parameter, of the first moment and of the second."""
        if joined:
            gradient = torch.zeros(n, device=self.device)
            self.gradients, pieces, turned_ones = (
                [place.of(gradient) for place in places],
                [(_whole, gradient)],
                {},
            )
        else:
            self.gradients, pieces, turned_ones = _gradients(parameters, strides)
        self.pieces = [[cut(vector) for cut, _ in pieces] for vector in (weights, first, second)]
        """Of weights, gradients and both moments, the same parts of each: all that an optimiser moves."""
        self.pieces.insert(1, [gradient for _, gradient in pieces])
        for parameter, place in zip(parameters, places, strict=True):
            view = place.of(weights).copy_(parameter.detach())
            parameter.data = view
        of_gradient = {id(one): view for one, view in zip(parameters, self.gradients, strict=True)}
        self.layers = [
            Layer(
                layer.weight.detach(),
                layer.bias.detach(),
                of_gradient[id(layer.weight)],
                of_gradient[id(layer.bias)],
                activation,
                turned_ones.get(id(layer.weight)),
                *(_with_bias(layer.weight, of_gradient[id(layer.weight)]) if joined else ()),
            )
            for layer, activation in layers
        ]
        """In order."""


def _with_bias(weight: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Of weights with their bias in the next column, both; of their gradient, whole rows."""
    (n_out, n_in), stride = weight.shape, weight.stride()
    return (
        weight.detach().as_strided((n_out, n_in + 1), stride),
        gradient.as_strided((n_out, stride[0]), stride),
    )


def _side_by_side(
    layers: Sequence[tuple[nn.Linear, Activation]], parameters: Sequence[nn.Parameter]
) -> tuple[list[Place], int]:
    """Where parameters are in a vector, each bias in a column beside its weights; and how long it is."""
    places, start = dict[int, Place](), 0
    for layer, _ in layers:
        n_out, n_in = layer.weight.shape
        n_columns = rounded_up(n_in + 1, ROW_ALIGNMENT)
        places[id(layer.weight)] = Place(start, (n_out, n_in), (n_columns, 1))
        places[id(layer.bias)] = Place(start + n_in, (n_out,), (n_columns,))
        start += rounded_up(n_out * n_columns, ALIGNMENT)
    for other in (one for one in parameters if id(one) not in places):
        places[id(other)] = Place(start, tuple(other.shape), (1,))
        start += rounded_up(other.numel(), ALIGNMENT)
    return [places[id(one)] for one in parameters], start


def _stride(parameter: Tensor, is_turned: bool) -> tuple[int, ...]:
    """Without gaps."""
    if is_turned:
        return 1, parameter.shape[0]
    return (parameter.shape[1], 1) if parameter.ndim == 2 else (1,)


def _apart(parameters: Sequence[nn.Parameter], strides: Sequence[tuple[int, ...]]) -> tuple[list[Place], int]:
    """Where parameters are in a vector, one after the other; and how long it is."""
    places, start = list[Place](), 0
    for parameter, stride in zip(parameters, strides, strict=True):
        places.append(Place(start, tuple(parameter.shape), stride))
        start += rounded_up(parameter.numel(), ALIGNMENT)
    return places, start


def _whole(vector: Tensor) -> Tensor:
    return vector


def _gradients(
    parameters: Sequence[nn.Parameter], strides: Sequence[tuple[int, ...]]
) -> tuple[list[Tensor], list[tuple[Callable[[Tensor], Tensor], Tensor]], dict[int, Tensor]]:
    """A gradient for each parameter; and how a vector of all is cut into pieces that have a gradient in one.

    Those of large matrices have memory of their own, all between these is one vector. Of those that lie turned
    the optimiser has the transpose, which is in order: it is the third, by the parameter's id.
    """
    found, pieces = list[Tensor](), list[tuple[Callable[[Tensor], Tensor], Tensor]]()
    turned_ones = dict[int, Tensor]()
    start = stop = 0
    between = list[tuple[nn.Parameter, tuple[int, ...]]]()

    def close() -> None:
        if between:
            vector = between[0][0].new_zeros(stop - start)
            found.extend(place.of(vector) for place in _apart(*zip(*between, strict=True))[0])
            pieces.append((lambda all, ends=slice(start, stop): all[ends], vector))
            between.clear()

    for parameter, stride in zip(parameters, strides, strict=True):
        n = parameter.numel()
        if n < OWN_MEMORY:
            between.append((parameter, stride))
            stop += rounded_up(n, ALIGNMENT)
            continue
        close()
        is_turned = stride[-1] > 1
        shape = tuple(reversed(parameter.shape)) if is_turned else parameter.shape
        gradient = parameter.new_empty(shape)  # all of it is the first product's to fill
        if is_turned:
            turned_ones[id(parameter)] = gradient
        found.append(gradient.t() if is_turned else gradient)
        pieces.append(
            (lambda all, ends=slice(stop, stop + n), as_=gradient: all[ends].view_as(as_), gradient)
        )
        start = stop = stop + rounded_up(n, ALIGNMENT)
    close()
    return found, pieces, turned_ones

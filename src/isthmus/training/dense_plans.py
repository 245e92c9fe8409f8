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

from isthmus.codes.base import Code
from isthmus.codes.deterministic import Deterministic
from isthmus.codes.gaussian import LOG_VARIANCE_RANGE, Gaussian
from isthmus.config.parts.activations import Activation
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import DenseEncoder
from isthmus.numerics.products import is_large, is_turned, large_product
from isthmus.penalties.contractive import Contractive

OWN_MEMORY = 1 << 14
"""Numbers of a weight from which on its gradient is no part of a vector: a large product brings its own memory."""
COLUMNS = 8
"""In multiples of which values of a unit lie: products with 31 columns take nearly twice as long as with 32."""

Call = Callable[[], object]
Forward = Callable[[Tensor, Tensor], Call]
"""``(a, into)``: what puts act(a) into a tensor."""
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], Call]
"""``(gradient, a, act(a), into)``: what puts the gradient of a into a tensor."""


def _aten(name: str, overload: str) -> Any:
    """An operator of PyTorch, without what Python does at each of its calls: a tenth of what some of them take."""
    found = getattr(getattr(torch.ops.aten, name), overload)
    return getattr(found, "_op", found)


BENT: dict[Activation, tuple[Forward, Backward]] = {
    "relu": (
        lambda a, into: partial(torch.clamp_min, a, 0.0, out=into),
        lambda g, a, _, into: partial(_aten("threshold_backward", "grad_input"), g, a, 0.0, grad_input=into),
    ),
    "leaky_relu": (
        lambda a, into: partial(_aten("leaky_relu", "out"), a, 0.01, out=into),
        lambda g, a, _, into: partial(_aten("leaky_relu_backward", "grad_input"), g, a, 0.01, False, grad_input=into),
    ),
    "silu": (
        lambda a, into: partial(_aten("silu", "out"), a, out=into),
        lambda g, a, _, into: partial(_aten("silu_backward", "grad_input"), g, a, grad_input=into),
    ),
    "gelu": (
        lambda a, into: partial(_aten("gelu", "out"), a, out=into),
        lambda g, a, _, into: partial(_aten("gelu_backward", "grad_input"), g, a, grad_input=into),
    ),
    "softplus": (
        lambda a, into: partial(_aten("softplus", "out"), a, out=into),
        lambda g, a, _, into: partial(_aten("softplus_backward", "grad_input"), g, a, 1.0, 20.0, grad_input=into),
    ),
    "sigmoid": (
        lambda a, into: partial(torch.sigmoid, a, out=into),
        lambda g, _, bent, into: partial(_aten("sigmoid_backward", "grad_input"), g, bent, grad_input=into),
    ),
    "tanh": (
        lambda a, into: partial(torch.tanh, a, out=into),
        lambda g, _, bent, into: partial(_aten("tanh_backward", "grad_input"), g, bent, grad_input=into),
    ),
}  # fmt: skip
"""Activations that can be written into memory that is there; ``identity`` needs none."""


_SLOPES: dict[Activation, tuple[Callable[[Tensor, Tensor], list[Call]], bool]] = {
    "sigmoid": (lambda h, into: [partial(torch.addcmul, h, h, h, value=-1, out=into)], True),
    "tanh": (lambda h, into: [partial(torch.mul, h, h, out=into), into.neg_, partial(into.add_, 1)], False),
}
"""What puts act'(a) into a tensor, given h = act(a); and of act''(a) = act'(a) (c - 2 h) whether c is 1, not 0."""
_CONTRACTIVE = Contractive.forward
_GAUSSIAN = Gaussian.forward, Gaussian.cost


@dataclass(frozen=True, slots=True)
class Layer:
    """Views of a layer's part of the vectors."""

    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor
    activation: Activation
    turned_gradient: Tensor | None = None
    """The transpose of ``weight_gradient``, where weights lie turned and products bring its memory."""
    joined: Tensor | None = None
    """``(n_out, n_in + 1)``: weight and bias side by side, where that is how they lie."""
    joined_gradient: Tensor | None = None
    """Of the same, ``(n_out, n_in + 1 or a little more)``: what stands in other columns is never read."""


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
    omega: Tensor
    """Of each row, ``(rows,)``; 0 where nothing is penalised."""
    calls: Sequence[Call]
    backwards: Sequence[Call] = ()
    """The rest of them, from the gradient of the outputs on, where a batch may be a row short; else it is empty."""
    drawn: Drawn | None = None
    """Of a code that is drawn."""

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


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a batch of some size has of a :class:`Draw`."""

    noise: Tensor
    """``(rows, size)``, where standard normal numbers are copied to."""
    rate: Callable[[], Tensor]
    """The mean of the rows' rates, in nats; a new tensor each time."""
    forwards: Sequence[Call]
    """From the encoder's outputs to the code."""
    backwards: Sequence[Call]
    """From the gradient of the code to that of the encoder's outputs, with the rate's."""


class Draw:
    """The draw of a Gaussian code, its rate and the gradients of both (Kingma and Welling 2014, appendix B).

    Of a mean m, a log variance v within its range and noise e the code is ``h = m + exp(v / 2) e``; with g the
    gradient of h and b the weight of the rate, over the rows, those of m and v are ``g + b m`` and
    ``(g exp(v / 2) e + b (exp(v) - 1)) / 2``.

    Parameters
    ----------
    code
        The module's.
    place
        The number of the encoder's last layer among all.
    device
        Where steps are made.
    """

    def __init__(self, code: Gaussian, place: int, device: torch.device) -> None:
        self._code, self.place = code, place
        self.strength = 0.0
        self._share, self._half = torch.zeros((), device=device), torch.zeros((), device=device)
        self._minus_one = torch.full((), -1.0, device=device)

    @staticmethod
    def fits(code: Code) -> bool:
        """Whether a code is Gaussian, drawn once a row, and its rate is of each row alone."""
        return (
            type(code) is Gaussian
            and (type(code).forward, type(code).cost) == _GAUSSIAN
            and code.n_draws == 1
            and code.scope == "example"
        )

    def begin(self, n_rows: int, progress: float) -> None:
        """Take the weight that the rate has in a step."""
        self.strength = self._code.weight_at(progress)
        self._share.fill_(self.strength / n_rows)
        self._half.fill_(self.strength / (2 * n_rows))

    def drawn(
        self, n_rows: int, pre_code: Tensor, h: Tensor, of_h: Tensor, of_pre_code: Tensor, *, axis: int
    ) -> Drawn:
        """What puts the code into ``h``, and the gradient of the encoder's outputs into ``of_pre_code``.

        Units lie along ``axis``; if that is the first, there may be more columns than rows, whose gradient is 0 then.
        """
        (mean, raw), (of_mean, of_raw) = pre_code.chunk(2, axis), of_pre_code.chunk(2, axis)
        log_variance, scale, moved, excess, sums, part = (torch.empty_like(h) for _ in range(6))
        noise = torch.zeros_like(h)
        rows = slice(None) if axis else slice(n_rows)
        forwards: list[Call] = [
            partial(torch.clamp, raw, *LOG_VARIANCE_RANGE, out=log_variance),
            partial(torch.mul, log_variance, 0.5, out=scale),
            partial(torch.exp, scale, out=scale),
            partial(torch.mul, scale, noise, out=moved),
            partial(torch.add, mean, moved, out=h),
            partial(torch.addcmul, self._minus_one, scale, scale, out=excess),
            partial(torch.addcmul, excess, mean, mean, out=sums),
            partial(sums.sub_, log_variance),
        ]
        backwards: list[Call] = [
            partial(torch.mul, excess, self._half, out=part),
            partial(part.addcmul_, moved, of_h, value=0.5),
            partial(
                _aten("hardtanh_backward", "grad_input"), part, raw, *LOG_VARIANCE_RANGE, grad_input=of_raw
            ),
            partial(torch.addcmul, of_h, mean, self._share, out=of_mean),
        ]
        if not axis and n_rows < h.shape[1]:
            backwards.append(of_pre_code[:, n_rows:].zero_)
        return Drawn(
            noise if axis else noise[:, :n_rows].t(),
            lambda: sums[..., rows].sum().div_(2 * n_rows),
            forwards,
            backwards,
        )


class Contraction:
    """The closed form of the contractive penalty of one layer (Rifai et al. 2011, equation 5) and its gradient.

    Of a row with slopes s = act'(W x + b) it is the sum of s_j^2 |w_j|^2 over units j.

    Parameters
    ----------
    name, penalty
        As the module has them.
    layer
        The encoder's.
    """

    def __init__(self, name: str, penalty: Contractive, layer: Layer) -> None:
        self.name, self._penalty, self._layer = name, penalty, layer
        self.strength = 0.0
        self._twice = layer.bias.new_zeros(())  # of the strength, over the rows
        self._norms, self._scaled, self._squares = (torch.empty_like(layer.bias) for _ in range(3))

    @staticmethod
    def fits(module: AutoencoderModule) -> bool:
        """Whether a module has no penalty but this one."""
        (penalty, *others) = module.penalties.values()
        encoder, code = module.network.encoder, module.code
        return (
            not others
            and type(penalty) is Contractive
            and type(penalty).forward is _CONTRACTIVE
            and penalty.method != "estimate"
            and isinstance(encoder, DenseEncoder)
            and len(encoder.layers) == 1
            and isinstance(code, Deterministic)
            and code.activation_name in _SLOPES
        )

    def begin(self, n_rows: int, progress: float) -> None:
        """Take the strength that a step has."""
        self.strength = self._penalty.weight_at(progress)
        self._twice.fill_(2 * self.strength / n_rows)

    def calls(self, x: Tensor, h: Tensor, gradient: Tensor, omega: Tensor) -> list[Call]:
        """What computes Omega ``(rows,)``, adds to the gradient of W x + b, and makes all of that of W."""
        layer = self._layer
        squares, weighed = torch.empty_like(h), torch.empty_like(h)
        slope, is_shifted = _SLOPES[layer.activation]
        return [
            *slope(h, squares),
            partial(squares.mul_, squares),
            partial(torch.linalg.vector_norm, layer.weight, dim=1, out=self._norms),
            partial(self._norms.mul_, self._norms),
            partial(torch.mv, squares, self._norms, out=omega),
            partial(torch.mul, self._norms, self._twice, out=self._scaled),
            partial(torch.mul, squares, self._scaled, out=weighed),
            partial(gradient.addcmul_, weighed, h, value=-2),
            *([partial(gradient.add_, weighed)] if is_shifted else []),
            partial(torch.sum, squares, 0, out=self._squares),
            partial(self._squares.mul_, self._twice),
            _of_weight(gradient, x, layer, stays=False),
            partial(layer.weight_gradient.addcmul_, layer.weight, self._squares.unsqueeze(1)),
        ]


def by_rows(
    n_rows: int,
    layers: Sequence[Layer],
    sample_shape: Sequence[int],
    *,
    bernoulli: bool,
    corrupted: bool,
    draw: Draw | None,
    contraction: Contraction | None,
) -> Plan:
    """Outputs layer by layer, the loss, gradients from the last layer to the first; values are ``(rows, units)``."""
    empty = partial(torch.empty, device=layers[0].weight.device)
    a = x = empty(n_rows, layers[0].weight.shape[1])
    clean, drawn = torch.empty_like(x) if corrupted else x, None
    forwards, backwards = list[Call](), list[Call]()
    outwards: Tensor | None = None  # the gradient of what the layer before gives
    omega = torch.zeros(n_rows, device=x.device)
    stays = not any(_is_large(x, layer.weight.shape) for layer in layers)
    for number, layer in enumerate(layers):
        n_out = len(layer.bias)
        before = empty(n_rows, n_out)
        of_bent = gradient = before if layer is layers[-1] else empty(n_rows, n_out)
        is_drawn = draw is not None and number == draw.place
        forwards.append(_forward(a, layer, before, stays=is_drawn))
        bent, back = before, list[Call]()
        if draw is not None and is_drawn:
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
        if contraction is not None and layer is layers[0]:
            back += [*contraction.calls(a, bent, gradient, omega), of_bias]
        else:  # the sum while the gradient is still in the cache
            back += [of_bias, _of_weight(gradient, a, layer, stays=stays)]
        if outwards is not None:
            back.append(_of_input(gradient, layer.weight, outwards))
        backwards = [*back, *backwards]
        a, outwards = bent, of_bent
    loss, scale, middle = _of_loss(a, clean, n_rows, bernoulli=bernoulli)
    may_be_short = not stays and contraction is None and draw is None
    return Plan(
        Room(x.view(n_rows, *sample_shape), x),
        Room(clean.view(n_rows, *sample_shape), clean),
        loss,
        scale,
        a,
        omega,
        [*forwards, *middle] if may_be_short else [*forwards, *middle, *backwards],
        backwards if may_be_short else (),
        drawn,
    )


def by_units(
    n_rows: int,
    layers: Sequence[Layer],
    sample_shape: Sequence[int],
    *,
    bernoulli: bool,
    corrupted: bool,
    draw: Draw | None,
) -> Plan:
    """As :func:`by_rows`, of layers whose weights and biases are joined and whose products are small.

    There are more columns than rows, up to a multiple of :data:`COLUMNS`: behind the rows stand zeros, no ones among
    them, and their gradients are set to 0.
    """
    n_columns, inputs = rounded_up(n_rows, COLUMNS), list[Tensor]()
    for layer in layers:
        assert layer.joined_gradient is not None
        inputs.append(torch.zeros(layer.joined_gradient.shape[1], n_columns))
        inputs[-1][layer.weight.shape[1], :n_rows] = 1
    a = x = inputs[0][: layers[0].weight.shape[1]]
    clean, drawn = torch.zeros(x.shape) if corrupted else x, None
    forwards, backwards = list[Call](), list[Call]()
    outwards: Tensor | None = None
    for number, layer in enumerate(layers):
        n_out, n_in = layer.weight.shape
        assert layer.joined is not None
        is_drawn = draw is not None and number == draw.place
        n_bent = n_out // 2 if is_drawn else n_out
        a = inputs[number + 1][:n_bent] if number + 1 < len(layers) else torch.empty(n_out, n_columns)
        before = a if layer.activation == "identity" and not is_drawn else torch.empty(n_out, n_columns)
        of_output = of_before = a if number + 1 == len(layers) else torch.empty_like(a)
        forwards.append(partial(torch.mm, layer.joined, inputs[number][: n_in + 1], out=before))
        back = list[Call]()
        if draw is not None and is_drawn:
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
        torch.zeros(n_rows),
        [*forwards, *middle, *backwards],
        drawn=drawn,
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
        loss = partial(
            _aten("binary_cross_entropy_with_logits", "out"), outputs, x, None, None, 0, out=losses
        )
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


def rounded_up(n: int, to: int) -> int:
    """The next multiple.

    >>> rounded_up(31, 8), rounded_up(32, 8)
    (32, 32)
    """
    return -(-n // to) * to


def _is_large(rows: Tensor, shape: Sequence[int]) -> bool:
    """Whether the product of rows with a matrix is oneDNN's, on the CPU alone."""
    return rows.device.type == "cpu" and is_large(len(rows), *shape)


def _forward(a: Tensor, layer: Layer, into: Any, *, stays: bool = False) -> Call:
    """What puts ``a W^T + b`` into a tensor; of a large product it has the memory, each time another, or ``stays``."""
    if _is_large(a, layer.weight.shape) and not stays:
        return lambda: into.set_(large_product(a, layer.weight, layer.bias))
    return partial(torch.addmm, layer.bias, a, layer.weight.t(), out=into)


def _of_input(gradient: Tensor, weight: Tensor, into: Any) -> Call:
    """What puts ``gradient W`` into a tensor."""
    if _is_large(gradient, weight.shape):
        weights = weight.t()
        return lambda: into.set_(large_product(gradient, weights))
    return partial(torch.mm, gradient, weight, out=into)


def _of_weight(gradient: Tensor, a: Tensor, layer: Layer, *, stays: bool) -> Call:
    """What puts ``gradient^T a`` where it belongs; ``stays`` says that no product's memory is ever another."""
    into: Any = layer.weight_gradient
    if not _is_large(a, into.shape):
        return (
            partial(torch.mm, gradient.t(), a, out=into)
            if stays
            else lambda: torch.mm(gradient.t(), a, out=into)
        )
    own: Any = layer.turned_gradient
    if own is not None:
        return lambda: into.set_(own.set_(large_product(a.t(), gradient.t())).t())
    if is_turned(into):
        return lambda: into.copy_(large_product(a.t(), gradient.t()).t())
    put = into.set_ if into.numel() >= OWN_MEMORY else into.copy_
    return lambda: put(large_product(gradient.t(), a.t()))

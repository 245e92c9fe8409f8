"""Fully connected encoder and decoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from isthmus.config.parts.activations import Activation
from isthmus.errors import ParameterError
from isthmus.networks.base import Activated, Decoder, Encoder, Ends, Layer, Network
from isthmus.networks.linear import Linear
from isthmus.numerics.products import linear
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape, n_values

LINEAR_GAIN: dict[Activation, float] = {
    "identity": 2.0, "relu": 1.0, "leaky_relu": 1.01, "silu": 1.0, "gelu": 1.0, "softplus": 1.0,
}  # fmt: skip
"""c in ``act(a) - act(-a) = c a``: a pair of units with opposite weights is exactly linear."""

AROUND_LINEAR = 0.1
"""Share of their usual size at which the other units' weights into the last layer begin."""


def _layers(sizes: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(Linear(a, b) for a, b in pairwise(sizes))


def can_start_linear(layers: nn.ModuleList, activation: Activation, size: int) -> bool:
    """Whether every hidden layer has a pair of units for each of ``size`` signals."""
    hidden = _linears(layers)[:-1]
    return activation in LINEAR_GAIN and all(layer.out_features >= 2 * size for layer in hidden)


def _linears(layers: nn.ModuleList) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def start_linear(
    layers: nn.ModuleList, activation: Activation, inwards: Tensor, outwards: Tensor, bias: Tensor
) -> None:
    """Let an untrained chain of layers begin near ``outwards @ inwards @ a + bias``, exactly linear pairs first.

    Each of the k signals ``inwards @ a`` travels through every hidden layer as a pair of units with
    opposite weights, for which ``act(a) - act(-a) = c a`` (Balduzzi et al. 2017, looks-linear
    initialisation, there for rectifiers). The other units keep their random weights and enter the
    last layer at a tenth of their usual size, so that training bends what begins as a plane.

    Parameters
    ----------
    inwards
        ``(k, n_in)``
    outwards
        ``(n_out, k)``
    bias
        ``(n_out,)``
    """
    k, chain = len(inwards), _linears(layers)
    with torch.no_grad():
        if len(chain) == 1:
            chain[0].weight.copy_(outwards @ inwards)
            chain[0].bias.copy_(bias)
            return
        split = torch.cat([torch.eye(k), -torch.eye(k)], dim=1) / LINEAR_GAIN[activation]
        for number, layer in enumerate(chain[:-1]):
            incoming = inwards
            if number > 0:
                incoming = torch.zeros(k, layer.in_features)
                incoming[:, : 2 * k] = split
            layer.weight[: 2 * k] = torch.cat([incoming, -incoming])
            layer.bias[: 2 * k] = 0
        last = chain[-1]
        last.weight.mul_(AROUND_LINEAR)
        last.weight[:, : 2 * k] = outwards @ split
        last.bias.copy_(bias)


class TiedLinear(Layer):
    """``a W + b``: another layer's weight transposed, and a bias of its own.

    The weight stays the other layer's alone, so that it is moved, counted and stored once; its
    gradient is the sum of what both layers ask for.

    Parameters
    ----------
    mirror
        The layer whose weight W, ``(n_out, n_in)``, maps the other way.
    size
        How many of its outputs, the first ones, are this layer's inputs.
    """

    def __init__(self, mirror: nn.Linear, size: int) -> None:
        super().__init__()
        self._mirror = (mirror,)  # in a tuple, torch does not register it here a second time
        self.in_features, self.out_features = size, mirror.in_features
        self.bias = nn.Parameter(torch.empty(mirror.in_features))

    @property
    def weight(self) -> Tensor:
        """A view of the mirror's weight, ``(out_features, in_features)``."""
        return self._mirror[0].weight[: self.in_features].T

    def initialise(self, randomness: Randomness) -> None:
        """Only the bias, as that of a layer of its own: uniform within ``1 / sqrt(in_features)``."""
        numbers = randomness.at("bias").uniform(self.bias.shape)
        self.bias.copy_((2 * numbers - 1) * (1 / math.sqrt(self.in_features)))

    def forward(self, a: Tensor) -> Tensor:
        """``(rows, out_features)`` of ``(rows, in_features)``."""
        return linear(a, self.weight, self.bias)


class DenseEncoder(Encoder):
    """``f(x) = W_L act(... act(W_1 x + b_1) ...) + b_L``."""

    def __init__(self, layers: nn.ModuleList, activation: Activation) -> None:
        super().__init__()
        self.layers = layers
        self.activation = Activated(activation)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """pre_code of ``(rows, ...)``, flattened; no context."""
        *_, pre_code = self._pre_activations(x)
        return pre_code, None

    def dense_trace(self, x: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor], Tensor] | None:
        """Weights, slopes of the hidden layers, and pre_code; None where somebody put in layers of another kind."""
        weights = [layer.weight for layer in _linears(self.layers)]
        if len(weights) < len(self.layers):
            return None
        *hidden, pre_code = self._pre_activations(x)
        return weights, [self.activation.derivative(a) for a in hidden], pre_code

    def _pre_activations(self, x: Tensor) -> Iterator[Tensor]:
        """What each layer gives, ``(rows, n_out)``, before its activation."""
        a = x.flatten(1)
        for number, layer in enumerate(self.layers):
            a = layer(a if number == 0 else self.activation(a))
            yield a

    def filters(self) -> tuple[str, Tensor]:
        """Weights of the first layer, a row a unit."""
        return "First-layer weights of the encoder", self.layers[0].get_parameter("weight").detach()


class DenseDecoder(Decoder):
    """The encoder's widths in reverse."""

    def __init__(self, layers: nn.ModuleList, output_shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        self.layers = layers
        self.activation = Activated(activation)
        self.output_shape = output_shape

    def forward(self, h: Tensor, context: object = None) -> Tensor:
        """Outputs of ``(rows, code_size)``; a context is not used."""
        a = h
        *hidden, last = self.layers
        for layer in hidden:
            a = self.activation(layer(a))
        return last(a).unflatten(1, self.output_shape)

    def start_at(self, outputs: Tensor) -> None:
        """Put ``outputs`` into the last bias."""
        with torch.no_grad():
            self.layers[-1].get_parameter("bias").copy_(outputs.flatten())

    @property
    def is_tied(self) -> bool:
        """Whether the weights are the encoder's."""
        return any(isinstance(layer, TiedLinear) for layer in self.layers)

    def alone(self) -> Decoder:
        """Itself; of a tied one a copy whose weights are its own."""
        if not self.is_tied:
            return self
        copy = DenseDecoder(
            nn.ModuleList(_with_own_weight(layer) for layer in self.layers),
            self.output_shape,
            self.activation.name,
        )
        return copy.train(self.training)


def _with_own_weight(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, TiedLinear):
        return layer
    weight = layer.weight.detach()
    own = Linear(layer.in_features, layer.out_features, device="meta", dtype=weight.dtype)
    own.weight = nn.Parameter(weight.clone(memory_format=torch.contiguous_format))
    own.bias = nn.Parameter(layer.bias.detach().clone())
    return own


class Dense(Network):
    """``d - hidden_sizes - code - reversed(hidden_sizes) - outputs``; ``()`` is linear.

    Tied, the decoder's layer l has the weight ``W_l^T`` of the encoder's, and a bias of its own.
    """

    def __init__(
        self, ends: Ends, hidden_sizes: Sequence[int], activation: Activation, tied: bool = False
    ) -> None:
        super().__init__()
        inputs, outputs = n_values(ends.sample_shape), n_values(ends.output_shape)
        hidden = list(hidden_sizes)
        downwards = _layers([inputs, *hidden, ends.pre_code_size])
        if tied:
            _check_can_tie(ends)
            sizes = [*hidden, ends.code_size]
            upwards = nn.ModuleList(map(TiedLinear, reversed(_linears(downwards)), reversed(sizes)))
        else:
            upwards = _layers([ends.code_size, *reversed(hidden), outputs])
        self.encoder = DenseEncoder(downwards, activation)
        self.decoder = DenseDecoder(upwards, ends.output_shape, activation)


class DenseLevel(Network):
    """One layer of a dense network and its mirror, with the parameters of both: a shallow network.

    Parameters
    ----------
    down, up
        A layer of the encoder and its mirror in the decoder; they are shared, not copied.
    output_shape
        Of one example.
    activation
        Of the deep network's hidden layers.
    bent
        Whether the outputs pass through ``activation``, as the mirror's do inside the deep network.
    """

    def __init__(
        self, down: nn.Module, up: nn.Module, output_shape: Shape, activation: Activation, *, bent: bool
    ) -> None:
        super().__init__()
        decoder = _BentDecoder if bent else DenseDecoder
        self.encoder = DenseEncoder(nn.ModuleList([down]), activation)
        self.decoder = decoder(nn.ModuleList([up]), output_shape, activation)


class _BentDecoder(DenseDecoder):
    """Outputs that pass through the activation too."""

    def forward(self, h: Tensor, context: object = None) -> Tensor:
        """Activated outputs of ``(rows, code_size)``."""
        return self.activation(super().forward(h, context))


def _check_can_tie(ends: Ends) -> None:
    inputs, outputs = n_values(ends.sample_shape), n_values(ends.output_shape)
    if inputs != outputs:
        raise ParameterError(
            f"Dense: tied weights need as many outputs as inputs, got {outputs} outputs for the likelihood "
            f"and {inputs} inputs. Set tied=False, or choose a likelihood with one output a value."
        )
    if ends.pre_code_size < ends.code_size:
        raise ParameterError(
            f"Dense: tied weights need an encoder output for each of the {ends.code_size} code units, got "
            f"{ends.pre_code_size}. Set tied=False."
        )

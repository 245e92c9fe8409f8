"""Fully connected encoder and decoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from isthmus.config.parts.activations import Activation
from isthmus.networks.base import Activated, Decoder, Encoder, Ends, Network
from isthmus.shapes import n_values

LINEAR_GAIN: dict[Activation, float] = {
    "identity": 2.0, "relu": 1.0, "leaky_relu": 1.01, "silu": 1.0, "gelu": 1.0, "softplus": 1.0,
}  # fmt: skip
"""c in ``act(a) - act(-a) = c a``: a pair of units with opposite weights is exactly linear."""

AROUND_LINEAR = 0.1
"""Share of their usual size at which the other units' weights into the last layer begin."""


def _layers(sizes: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))


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


class DenseEncoder(Encoder):
    """``f(x) = W_L act(... act(W_1 x + b_1) ...) + b_L``."""

    def __init__(self, sizes: Sequence[int], activation: Activation) -> None:
        super().__init__()
        self.layers = _layers(sizes)
        self.activation = Activated(activation)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """pre_code of ``(rows, ...)``, flattened; no context."""
        a = x.flatten(1)
        *hidden, last = self.layers
        for layer in hidden:
            a = self.activation(layer(a))
        return last(a), None

    def dense_trace(self, x: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor], Tensor]:
        """Weights, slopes of the hidden layers, and pre_code."""
        a = x.flatten(1)
        slopes: list[Tensor] = []
        *hidden, last = self.layers
        for layer in hidden:
            before = layer(a)
            slopes.append(self.activation.derivative(before))
            a = self.activation(before)
        weights = [layer.get_parameter("weight") for layer in self.layers]
        return weights, slopes, last(a)

    def filters(self) -> tuple[str, Tensor]:
        """Weights of the first layer, a row a unit."""
        return "First-layer weights of the encoder", self.layers[0].get_parameter("weight").detach()


class DenseDecoder(Decoder):
    """The encoder's widths in reverse."""

    def __init__(self, sizes: Sequence[int], output_shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        self.layers = _layers(sizes)
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


class Dense(Network):
    """``d - hidden_sizes - code - reversed(hidden_sizes) - outputs``; ``()`` is linear."""

    def __init__(self, ends: Ends, hidden_sizes: Sequence[int], activation: Activation) -> None:
        super().__init__()
        inputs, outputs = n_values(ends.sample_shape), n_values(ends.output_shape)
        hidden = list(hidden_sizes)
        self.encoder = DenseEncoder([inputs, *hidden, ends.pre_code_size], activation)
        self.decoder = DenseDecoder(
            [ends.code_size, *reversed(hidden), outputs], ends.output_shape, activation
        )

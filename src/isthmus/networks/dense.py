"""Fully connected encoder and decoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from isthmus.config.parts.activations import Activation
from isthmus.networks.base import Activated, Decoder, Encoder, Ends, Network
from isthmus.shapes import n_values


def _layers(sizes: Sequence[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))


class DenseEncoder(Encoder):
    """``f(x) = W_L act(... act(W_1 x + b_1) ...) + b_L``."""

    def __init__(self, sizes: Sequence[int], activation: Activation) -> None:
        super().__init__()
        self.layers = _layers(sizes)
        self.activation = Activated(activation)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """pre_code of ``(rows, ...)``, flattened; no context."""
        a = x.flatten(1)
        for layer in self.layers[:-1]:
            a = self.activation(layer(a))
        return self.layers[-1](a), None

    def dense_trace(self, x: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor], Tensor]:
        """Weights, slopes of the hidden layers, and pre_code."""
        a = x.flatten(1)
        slopes: list[Tensor] = []
        for layer in self.layers[:-1]:
            before = layer(a)
            slopes.append(self.activation.derivative(before))
            a = self.activation(before)
        weights = [layer.get_parameter("weight") for layer in self.layers]
        return weights, slopes, self.layers[-1](a)


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
        for layer in self.layers[:-1]:
            a = self.activation(layer(a))
        return self.layers[-1](a).unflatten(1, self.output_shape)

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

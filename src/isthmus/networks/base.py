"""The contract of a network: a mirrored pair of encoder and decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from isthmus.config.parts.activations import Activation
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape


class Ends(NamedTuple):
    """What a network is built between, torch side."""

    sample_shape: Shape
    """Shape of one input."""
    pre_code_size: int
    """Numbers that the encoder gives, as the code asks for them."""
    code_size: int
    """Units of h that the decoder is given."""
    output_shape: Shape
    """Shape of one example's outputs, as the likelihood asks for it."""


class Encoder(nn.Module, ABC):
    """f: from an input to what the code is made of."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """``(pre_code, context)``: ``(rows, pre_code_size)``, and what a decoder may be helped by.

        The context never becomes part of h; whatever decodes a stored code goes without it.
        """

    def dense_trace(self, x: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor], Tensor] | None:
        """Weights W_1 .. W_L, slopes D_1 .. D_(L-1) and pre_code, if this is a chain of dense layers.

        Where a penalty looks at the slopes, training takes pre_code from here instead of calling the encoder
        too: such a chain has no context.
        """
        return None

    def filters(self) -> tuple[str, Tensor] | None:
        """What the first layer's weights are, and themselves: ``(m, values)`` or ``(m, channels, height, width)``."""
        return None


class Decoder(nn.Module, ABC):
    """g: from a code to the likelihood's parameters."""

    @abstractmethod
    def forward(self, h: Tensor, context: Any = None) -> Tensor:
        """Outputs, ``(rows, *output_shape)``, from ``(rows, code_size)``."""

    def start_at(self, outputs: Tensor) -> None:
        """Set the last bias so that the untrained decoder gives about ``outputs`` for one example."""
        return

    def alone(self) -> Decoder:
        """A decoder that needs no encoder beside it: itself, unless it reads the encoder's weights."""
        return self


class StageFacts(NamedTuple):
    """What one stage of a network does to the shape of a row, torch side."""

    half: Literal["encoder", "decoder"]
    layers: str
    """What it is made of, in words."""
    kernel: Shape
    stride: Shape
    output: Shape
    """``(channels, *size)`` after it."""
    receptive_field: Shape | None
    """Of the encoder: how many inputs, padding among them, one unit sees along each axis."""


class Network(nn.Module, ABC):
    """Encoder and decoder, mirrored, in one file."""

    encoder: nn.Module
    decoder: nn.Module

    def stages(self) -> Sequence[StageFacts]:
        """Stages of encoder and decoder in their order, where a network has them; see :class:`StageFacts`."""
        return ()


class Layer(nn.Module, ABC):
    """A module with parameters of its own, which says itself how they begin.

    Where a network is built from a description, every ``weight`` and ``bias`` of torch's own layers
    is set by their sizes; what else holds parameters must be one of these.
    """

    @abstractmethod
    def initialise(self, randomness: Randomness) -> None:
        """Set every parameter that is the module's own, in place, without recording gradients."""


class Activated(nn.Module):
    """An activation as a module, with its derivative at hand."""

    def __init__(self, name: Activation) -> None:
        super().__init__()
        self.name: Activation = name
        self.function = ACTIVATIONS[name].function
        self.derivative = ACTIVATIONS[name].derivative

    def forward(self, a: Tensor) -> Tensor:
        """Apply it."""
        return self.function(a)

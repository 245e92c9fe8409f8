"""Descriptions of networks: encoder and decoder, mirrored."""

from __future__ import annotations

from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within
from isthmus.config.parts.activations import Activation
from isthmus.errors import ParameterError

Width = Annotated[int, numpy_scalars, within("[1, inf)", "A layer needs at least one unit.")]


class Network(Description):
    """Family of the networks."""


@description
class Dense(Network):
    """Fully connected layers; the decoder has the same widths in reverse.

    Parameters
    ----------
    hidden_sizes
        Units of each hidden layer, from the input to the code; ``()`` is a linear autoencoder;
        ``"auto"`` chooses from the data (see ``isthmus.config.defaults``).
    activation
        Of the hidden layers. Code and outputs have their own.
    tied
        Whether each decoder layer's weight is its mirror's in the encoder, transposed: one parameter,
        learned, counted and stored once (Vincent et al. 2010, section 2.2); biases stay apart. Of an
        encoder that gives more numbers than the code has units (mean and variance) the decoder's
        first layer takes the rows of the first ones, the means. Outputs must be as many as inputs.

    Examples
    --------
    >>> Dense((512, 256)).hidden_sizes
    (512, 256)
    """

    hidden_sizes: tuple[Width, ...] | Literal["auto"] = "auto"
    activation: Activation = "silu"
    tied: bool = False


@description
class Conv2d(Network):
    """Strided convolutions down, transposed convolutions up, for pictures of any size.

    Each stage divides height and width by ``stride``; the decoder restores every size exactly. A
    side that has become smaller than the kernel is left as it is. Source: Zeiler et al. (2010);
    Dumoulin and Visin (2016) for the arithmetic.

    Parameters
    ----------
    channels
        Channels after each stage, from the input to the code; ``"auto"`` chooses from the data.
    kernel_size
        Side of the kernel, at least ``stride``.
    stride
        At least 1.
    activation
        After each stage.

    Examples
    --------
    >>> Conv2d(channels=(32, 64)).kernel_size
    4
    """

    channels: tuple[Width, ...] | Literal["auto"] = "auto"
    kernel_size: Width = 4
    stride: Width = 2
    activation: Activation = "silu"

    def __post_init__(self) -> None:
        if self.kernel_size < self.stride:
            raise ParameterError(
                f"Conv2d: kernel_size must be at least stride ({self.stride}), got {self.kernel_size}. "
                "A smaller kernel would skip pixels; try kernel_size=4, stride=2."
            )

"""Descriptions of networks: encoder and decoder, mirrored."""

from __future__ import annotations

from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within
from isthmus.config.parts.activations import Activation
from isthmus.errors import ParameterError

Width = Annotated[int, numpy_scalars, within("[1, inf)", "A layer needs at least one unit.")]
Blocks = Annotated[int, numpy_scalars, within("[0, 64]", "It is a number of blocks a stage; try 1.")]
Down = Literal["stride", "max_pool", "average_pool"]
Up = Literal["transposed", "unpool", "resize"]


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
class Convolutional(Network):
    """What the convolutional networks share; choose :class:`Conv1d` or :class:`Conv2d`."""

    channels: tuple[Width, ...] | Literal["auto"] = "auto"
    kernel_size: Width = 4
    stride: Width = 2
    activation: Activation = "silu"
    down: Down = "stride"
    up: Up = "transposed"
    switches: bool = False
    residual: Blocks = 0

    def __post_init__(self) -> None:
        who = type(self).__name__
        if self.kernel_size < self.stride:
            raise ParameterError(
                f"{who}: kernel_size must be at least stride ({self.stride}), got {self.kernel_size}. "
                "A smaller kernel would skip values; try kernel_size=4, stride=2."
            )
        if self.down != "stride" and self.stride < 2:
            raise ParameterError(
                f"{who}: down={self.down!r} needs a stride of at least 2, the side of its windows, got "
                f"{self.stride}. Pooling single values does nothing; try stride=2."
            )
        if self.up == "unpool" and self.down != "max_pool":
            raise ParameterError(
                f"{who}: up='unpool' needs down='max_pool', which it mirrors, got down={self.down!r}. "
                "Set down='max_pool', or up='transposed' or 'resize'."
            )


@description
class Conv2d(Convolutional):
    """Convolutions down and up again, for pictures ``(channels, height, width)`` of any size.

    A stage goes down by a strided convolution, ``act(W * x)`` at every ``stride``-th place, or by a
    convolution that keeps the size and pooling over windows of side ``stride``; the decoder mirrors
    it and restores every size exactly. A strided convolution leaves a side that has become smaller
    than the kernel as it is; pooling makes one window of it. Sources: Zeiler et al. (2010); Dumoulin
    and Visin (2016) for the arithmetic.

    Parameters
    ----------
    channels
        Channels after each stage, from the input to the code; ``"auto"`` chooses from the data.
    kernel_size
        Side of the kernel, at least ``stride``.
    stride
        At least 1, where windows are pooled at least 2.
    activation
        After each stage.
    down
        ``"stride"``, ``"max_pool"`` or ``"average_pool"``.
    up
        ``"transposed"``: a transposed convolution. ``"resize"``: every value repeated over its window
        (nearest neighbour), then a convolution, which leaves no chequerboard (Odena et al. 2016).
        ``"unpool"``: every value at one place of its window, zeros around it, then a convolution
        (Zeiler et al. 2011); it mirrors ``"max_pool"`` and needs it.
    switches
        Of ``up="unpool"`` alone: whether, in training, a value returns to where the encoder found
        it to be the largest. These places travel beside the code and never in it, so a stored code
        decodes without them, to the middle of each window (the top left value of 2 x 2), and with a
        larger error; without switches (the default) it does so in training too.
    residual
        Residual blocks a stage, ``x + W_2 * act(W_1 * x)`` with kernels of side 3, on the smaller
        maps of both halves (He et al. 2016). 0: none.

    Examples
    --------
    >>> Conv2d(channels=(32, 64)).kernel_size
    4
    >>> Conv2d(down="max_pool", up="unpool", kernel_size=3, residual=1).switches
    False
    """


@description
class Conv1d(Convolutional):
    """Convolutions down and up again, for sequences ``(channels, steps)`` of any length.

    As :class:`Conv2d`, along one axis. By default a stage leaves every fourth step, as one of
    ``Conv2d`` leaves every fourth pixel, so that channels may double just the same.

    Parameters
    ----------
    channels
        Channels after each stage, from the input to the code; ``"auto"`` chooses from the data.
    kernel_size
        Steps of the kernel, at least ``stride``.
    stride
        Steps, at least 1, where windows are pooled at least 2.
    activation, down, up, switches, residual
        As in :class:`Conv2d`.

    Examples
    --------
    >>> Conv1d(channels=(16, 32)).stride
    4
    """

    kernel_size: Width = 8
    stride: Width = 4


TokenWidth = Annotated[
    int, numpy_scalars, within("[2, inf)", "A token of one number is normalised to nothing; try 64.")
]
Depth = Annotated[int, numpy_scalars, within("[1, 1000]", "It is a number of blocks; try 2.")]
Ratio = Annotated[
    float, numpy_scalars, within("(0, inf)", "It is the MLP's hidden width over the token's; try 4.")
]


@description
class Transformer(Network):
    """Attention between the patches of a picture, the stretches of a sequence or the columns of a table.

    Each patch becomes a token, ``a_t = W x_t + p_t`` with a learned position p_t; ``depth`` blocks
    ``a + Attention(norm(a))``, ``a + MLP(norm(a))`` follow, and one dense layer from all tokens to
    the code. The decoder goes the same way back. Sizes that ``patch_size`` does not divide are filled
    up inside and come back exactly. Nothing is dropped out. Source: Vaswani et al. (2017); blocks that
    normalise first, Xiong et al. (2020); patches, Dosovitskiy et al. (2021); a token a column,
    with weights of its own, Gorishniy et al. (2021).

    Parameters
    ----------
    patch_size
        Side of a square patch in pixels; steps of a stretch; columns of vectors that share a token.
        At least 1; what is longer than the side is the whole side. ``"auto"``: half of the
        longest side, at most 16 pixels; a sixteenth of the steps, at most 64; one column, or as many
        as make 64 tokens.
    width
        Numbers in a token, at least 2; ``"auto"`` chooses from the number of rows.
    depth
        Blocks in the encoder, and as many in the decoder.
    n_heads
        Heads of the attention, a divisor of ``width``; ``"auto"``: one for each 32 numbers.
    mlp_ratio
        Hidden units of the MLP in units of ``width``, above 0.

    Examples
    --------
    >>> Transformer(patch_size=4, width=64).n_heads
    'auto'
    """

    patch_size: Width | Literal["auto"] = "auto"
    width: TokenWidth | Literal["auto"] = "auto"
    depth: Depth = 1
    n_heads: Width | Literal["auto"] = "auto"
    mlp_ratio: Ratio = 4.0

    def __post_init__(self) -> None:
        if isinstance(self.width, int) and isinstance(self.n_heads, int) and self.width % self.n_heads:
            fitting = max(n for n in range(1, 65) if n <= self.n_heads and self.width % n == 0)
            raise ParameterError(
                f"Transformer: n_heads must divide width ({self.width}), got {self.n_heads}. "
                f"Every head takes an equal part of a token; try n_heads={fitting}."
            )

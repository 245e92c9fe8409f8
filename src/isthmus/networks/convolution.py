"""Convolutional encoder and decoder over one or two axes, exact for every size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isthmus.config.parts.activations import Activation
from isthmus.config.parts.networks import Down, Up
from isthmus.errors import ParameterError
from isthmus.networks.base import Activated, Decoder, Encoder, Ends, Layer, Network, StageFacts
from isthmus.networks.linear import FromMaps, ToMaps
from isthmus.networks.stages import RESIDUAL_KERNEL, Field, Stage, pads
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.transposed import conv_transpose2d
from isthmus.shapes import Shape, n_values, shape_text

Switches = tuple[Tensor, ...]
"""Of each max pooling, from the input to the code: which value of its window was the largest, as a
position in the flattened map, ``(rows, channels, *size_out)``."""


class Axes(NamedTuple):
    """What torch calls the layers over one or two axes."""

    convolution: Callable[..., nn.Module]
    transposed: Callable[..., nn.Module]
    max_pool: Callable[..., Any]
    average_pool: Callable[..., Tensor]


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's layer, to few channels by a product; in one group, without dilation."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """``(rows, out_channels, *size)`` of ``(rows, in_channels, *size)``."""
        if output_size is not None:
            return super().forward(input, output_size)
        given = self.stride, self.padding, self.output_padding
        return conv_transpose2d(input, self.weight, self.bias, *given)  # pyright: ignore[reportArgumentType]


AXES = {
    1: Axes(nn.Conv1d, nn.ConvTranspose1d, F.max_pool1d, F.avg_pool1d),
    2: Axes(nn.Conv2d, ConvTranspose2d, F.max_pool2d, F.avg_pool2d),
}


class BranchEnd(Layer):
    """The last convolution of a residual block, one of ``n_blocks`` in a row.

    Its weights and biases begin uniform within ``1 / sqrt(fan in * n_blocks)``: the blocks then add
    as much as one would, whatever their number (Zhang et al. 2019, Fixup, section 3).
    """

    n_blocks: int

    def initialise(self, randomness: Randomness) -> None:
        """Draw weight and bias."""
        bound = 1 / math.sqrt(math.prod(self.get_parameter("weight").shape[1:]) * self.n_blocks)
        with torch.no_grad():
            for name, parameter in self.named_parameters(recurse=False):
                parameter.copy_((2 * randomness.at(name).uniform(parameter.shape) - 1) * bound)


class BranchEnd1d(BranchEnd, nn.Conv1d):
    """Over one axis."""


class BranchEnd2d(BranchEnd, nn.Conv2d):
    """Over two axes."""


BRANCH_ENDS: dict[int, Callable[..., BranchEnd]] = {1: BranchEnd1d, 2: BranchEnd2d}


class Residual(nn.Module):
    """``a + W_2 * act(W_1 * a)``: what is learned is the difference to the identity (He et al. 2016)."""

    def __init__(self, n_blocks: int, channels: int, size: Shape, activation: Activation) -> None:
        super().__init__()
        kernel = tuple(min(RESIDUAL_KERNEL, side) for side in size)
        self.padding = pads(kernel)
        self.first = AXES[len(size)].convolution(channels, channels, kernel)
        self.activation = Activated(activation)
        self.second = BRANCH_ENDS[len(size)](channels, channels, kernel)
        self.second.n_blocks = n_blocks

    def forward(self, a: Tensor) -> Tensor:
        """Of the shape of ``a``, ``(rows, channels, *size)``."""
        inner = self.activation(self.first(F.pad(a, self.padding)))
        return a + self.second(F.pad(inner, self.padding))


def _blocks(n: int, channels: int, size: Shape, activation: Activation) -> nn.Sequential:
    return nn.Sequential(*(Residual(n, channels, size, activation) for _ in range(n)))


class ConvolutionalEncoder(Encoder):
    """Stage by stage to smaller maps, then one dense layer to the code."""

    def __init__(
        self, stages: Sequence[Stage], channels: Sequence[int], n_out: int, options: Options
    ) -> None:
        super().__init__()
        self.stages, self.options = tuple(stages), options
        self.axes = AXES[len(stages[0].size_in)]
        self.convolutions = nn.ModuleList(
            self._convolution(stage, a, b)
            for stage, a, b in zip(stages, channels[:-1], channels[1:], strict=True)
        )
        self.blocks = nn.ModuleList(
            _blocks(options.residual, n, stage.size_out, options.activation)
            for stage, n in zip(stages, channels[1:], strict=True)
        )
        self.activation = Activated(options.activation)
        self.to_code = FromMaps(channels[-1] * n_values(stages[-1].size_out), n_out)

    def _convolution(self, stage: Stage, n_in: int, n_out: int) -> nn.Module:
        if self.options.down == "stride":
            return self.axes.convolution(n_in, n_out, stage.kernel, stage.stride, stage.padding)
        return self.axes.convolution(n_in, n_out, stage.keeping)

    def forward(self, x: Tensor) -> tuple[Tensor, Switches | None]:
        """pre_code of ``(rows, channels, *size)``; the switches of unpooling, if it uses any."""
        a, switches = _laid_out(x), list[Tensor]()
        for stage, convolution, blocks in zip(self.stages, self.convolutions, self.blocks, strict=True):
            if self.options.down == "stride":
                a = self.activation(convolution(a))
            else:
                a = self.activation(convolution(F.pad(a, pads(stage.keeping))))
                a = self._pooled(a, stage, switches)
            a = blocks(a)
        return self.to_code(a), tuple(switches) if self.options.switches else None

    def _pooled(self, a: Tensor, stage: Stage, switches: list[Tensor]) -> Tensor:
        window = stage.stride
        if self.options.down == "average_pool":
            # The last window may reach over the edge: it is the mean of what it holds.
            return self.axes.average_pool(a, window, window, ceil_mode=True)
        if not self.options.switches:
            return self.axes.max_pool(a, window, window, ceil_mode=True)
        pooled, where = self.axes.max_pool(a, window, window, ceil_mode=True, return_indices=True)
        switches.append(where)
        return pooled

    def filters(self) -> tuple[str, Tensor]:
        """Kernels of the first convolution."""
        return "Kernels of the first convolution", self.convolutions[0].get_parameter("weight").detach()


class ConvolutionalDecoder(Decoder):
    """One dense layer from the code, then stage by stage to the exact size."""

    def __init__(
        self, stages: Sequence[Stage], channels: Sequence[int], code_size: int, options: Options
    ) -> None:
        super().__init__()
        self.stages, self.options = tuple(reversed(stages)), options
        self.axes = AXES[len(stages[0].size_in)]
        self.start_shape = (channels[-1], *stages[-1].size_out)
        self.from_code = ToMaps(code_size, self.start_shape)
        self.activation = Activated(options.activation)
        narrow, wide = list(reversed(channels[1:])), list(reversed(channels[:-1]))
        self.convolutions = nn.ModuleList(
            self._convolution(stage, a, b) for stage, a, b in zip(self.stages, narrow, wide, strict=True)
        )
        self.blocks = nn.ModuleList(
            _blocks(options.residual, n, stage.size_out, options.activation)
            for stage, n in zip(self.stages, narrow, strict=True)
        )

    def _convolution(self, stage: Stage, n_in: int, n_out: int) -> nn.Module:
        if self.options.up == "transposed":
            return self.axes.transposed(
                n_in, n_out, stage.kernel, stage.stride, stage.padding, stage.output_padding
            )
        return self.axes.convolution(n_in, n_out, stage.keeping)

    def forward(self, h: Tensor, context: Switches | None = None) -> Tensor:
        """Outputs of ``(rows, code_size)``; unpooling goes by the switches, where they are given."""
        a = _laid_out(self.from_code(h))
        switches = reversed(context) if context and self.options.switches else [None] * len(self.stages)
        for stage, convolution, blocks, where in zip(
            self.stages, self.convolutions, self.blocks, switches, strict=True
        ):
            a = blocks(self.activation(a))
            if self.options.up == "transposed":
                a = convolution(a)
                continue
            if self.options.up == "unpool":
                a = unpooled(a, stage.size_in, middles(stage, a.device) if where is None else where)
            else:
                a = F.interpolate(a, size=stage.size_in, mode="nearest")
            a = convolution(F.pad(a, pads(stage.keeping, mirrored=True)))
        return a.contiguous()

    def start_at(self, outputs: Tensor) -> None:
        """Put each channel's mean output into the last bias."""
        with torch.no_grad():
            self.convolutions[-1].get_parameter("bias").copy_(outputs.flatten(1).mean(dim=1))


@dataclass(frozen=True, slots=True)
class Options:
    """How both halves go down and up again; see :class:`isthmus.Conv2d`."""

    activation: Activation
    down: Down = "stride"
    up: Up = "transposed"
    switches: bool = False
    residual: int = 0


class Convolutional(Network):
    """What ``Conv1d`` and ``Conv2d`` are, over their number of axes."""

    rows: str
    """What its rows are, for messages."""
    advice: str
    n_axes: Literal[1, 2]

    def __init__(
        self,
        ends: Ends,
        channels: Sequence[int],
        kernel_size: int,
        stride: int,
        activation: Activation,
        down: Down = "stride",
        up: Up = "transposed",
        switches: bool = False,
        residual: int = 0,
    ) -> None:
        super().__init__()
        who, n_axes = type(self).__name__, self.n_axes
        if len(ends.sample_shape) != 1 + n_axes or len(ends.output_shape) != 1 + n_axes:
            raise ParameterError(
                f"{who}: expected {self.rows}, got rows of shape {shape_text(ends.sample_shape)}. "
                f"{self.advice}"
            )
        if not channels:
            raise ParameterError(f"{who}: channels must name at least one stage, got (). Try (32, 64).")
        made = Stage.of if down == "stride" else Stage.pooled
        n_in, *size = ends.sample_shape
        self._stages: list[Stage] = []
        for _ in channels:
            self._stages.append(made(tuple(size), kernel_size, stride))
            size = self._stages[-1].size_out
        self.channels, self.n_outputs = (n_in, *channels), ends.output_shape[0]
        self.options = Options(activation, down, up, up == "unpool" and switches, residual)
        self.encoder = ConvolutionalEncoder(self._stages, self.channels, ends.pre_code_size, self.options)
        self.decoder = ConvolutionalDecoder(
            self._stages, (self.n_outputs, *channels), ends.code_size, self.options
        )

    def fields(self) -> list[Field]:
        """The receptive field of the maps after each stage of the encoder."""
        field, found = Field.of_input(self.n_axes), list[Field]()
        for stage in self._stages:
            field = field.after_stage(stage, pooled=self.options.down != "stride")
            for _ in range(2 * self.options.residual):
                field = field.after_keeping(tuple(min(RESIDUAL_KERNEL, side) for side in stage.size_out))
            found.append(field)
        return found

    def stages(self) -> list[StageFacts]:
        """Every stage of encoder and decoder: layers, kernel, stride, output and receptive field."""
        down, up, more = self.options.down, self.options.up, self.options.residual
        pooled = down != "stride"
        blocks = f", {more} residual" if more else ""
        facts = [
            StageFacts(
                "encoder",
                ("convolution, " + down if pooled else "strided convolution") + blocks,
                stage.keeping if pooled else stage.kernel,
                stage.stride,
                (n, *stage.size_out),
                field.size,
            )
            for stage, n, field in zip(self._stages, self.channels[1:], self.fields(), strict=True)
        ]
        widths = (self.n_outputs, *self.channels[1:-1])
        for stage, n in zip(reversed(self._stages), reversed(widths), strict=True):
            layers = "transposed convolution" if up == "transposed" else f"{up}, convolution"
            kernel = stage.kernel if up == "transposed" else stage.keeping
            before = blocks.removeprefix(", ") + ", " if more else ""
            facts.append(
                StageFacts("decoder", before + layers, kernel, stage.stride, (n, *stage.size_in), None)
            )
        return facts


def middles(stage: Stage, device: torch.device | None = None) -> Tensor:
    """Where unpooling without switches puts each value: the middle of its window, ``size_out``.

    As a position in the flattened map of ``size_in``. Of a window of w values it is the value
    ``(w - 1) // 2`` from its start, so the top left one of 2 x 2 (Dosovitskiy et al. 2015).
    """
    flat = torch.zeros((), dtype=torch.int64, device=device)
    for n, m, w in zip(stage.size_in, stage.size_out, stage.stride, strict=True):
        places = torch.arange(m, device=device) * w
        places = torch.minimum(places + (w - 1) // 2, torch.tensor(n - 1, device=device))
        flat = flat.unsqueeze(-1) * n + places
    return flat


def unpooled(a: Tensor, size: Shape, where: Tensor) -> Tensor:
    """Maps of ``size`` with each value of ``a`` at its position, zero elsewhere (Zeiler et al. 2011)."""
    where = where.expand(a.shape).flatten(2)
    empty = a.new_zeros((*a.shape[:2], n_values(size)))
    return empty.scatter(2, where, a.flatten(2)).unflatten(2, size)


def _laid_out(a: Tensor) -> Tensor:
    """Pictures with the channels innermost, where convolutions on CPUs are fastest."""
    if a.ndim == 4 and a.shape[1] == 1:
        # Of one channel both ways are the same, and torch would take it for the slow one.
        return a.reshape(len(a), *a.shape[2:], 1).permute(0, 3, 1, 2)
    return a.contiguous(memory_format=torch.channels_last) if a.ndim == 4 else a.contiguous()

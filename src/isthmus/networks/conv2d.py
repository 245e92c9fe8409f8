"""Convolutional encoder, transposed-convolutional decoder, exact for every picture size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isthmus.config.parts.activations import Activation
from isthmus.errors import ParameterError
from isthmus.networks.base import Activated, Decoder, Encoder, Ends, Network
from isthmus.shapes import shape_text

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stage:
    """Arithmetic of one strided convolution and of the transposed one that undoes its size."""

    kernel: Pair
    stride: Pair
    padding: Pair
    size_in: Pair
    size_out: Pair
    output_padding: Pair

    @classmethod
    def of(cls, size: Pair, kernel_size: int, stride: int) -> Stage:
        """The stage for pictures of ``size``; a side too small for the kernel is left as it is.

        ``out = floor((in + 2 p - k) / s) + 1``; the transposed convolution gives
        ``(out - 1) s - 2 p + k``, and what that lacks, ``(in + 2 p - k) mod s``, is its output
        padding (Dumoulin and Visin 2016, relationship 14).
        """
        sides = [_side(side, kernel_size, stride) for side in size]
        kernel, strides, padding, out, extra = zip(*sides, strict=True)
        return cls(kernel, strides, padding, size, out, extra)


def _side(n: int, k: int, s: int) -> tuple[int, int, int, int, int]:
    p = (k - s + 1) // 2
    if n < 2 or n + 2 * p < k:
        return 1, 1, 0, n, 0
    # The last (n + 2 p - k) mod s rows of the padded picture are in no window: keep them padding.
    while (n + 2 * p - k) % s > p:
        p += 1
    return k, s, p, (n + 2 * p - k) // s + 1, (n + 2 * p - k) % s


class Conv2dEncoder(Encoder):
    """Strided convolutions, then one dense layer to the code."""

    def __init__(
        self, stages: Sequence[Stage], channels: Sequence[int], n_out: int, activation: Activation
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, stage.kernel, stage.stride, stage.padding)
            for stage, a, b in zip(stages, channels[:-1], channels[1:], strict=True)
        )
        height, width = stages[-1].size_out
        self.activation = Activated(activation)
        self.to_code = nn.Linear(channels[-1] * height * width, n_out)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """pre_code of ``(rows, channels, height, width)``; no context."""
        a = x.contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            a = self.activation(convolution(a))
        return self.to_code(a.flatten(1)), None

    def filters(self) -> tuple[str, Tensor]:
        """Kernels of the first convolution."""
        return "Kernels of the first convolution", self.convolutions[0].get_parameter("weight").detach()


class Conv2dDecoder(Decoder):
    """One dense layer from the code, then transposed convolutions to the exact size."""

    def __init__(
        self, stages: Sequence[Stage], channels: Sequence[int], code_size: int, activation: Activation
    ) -> None:
        super().__init__()
        self.start_shape = (channels[-1], *stages[-1].size_out)
        height, width = stages[-1].size_out
        self.from_code = nn.Linear(code_size, channels[-1] * height * width)
        self.activation = Activated(activation)
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(b, a, stage.kernel, stage.stride, stage.padding, stage.output_padding)
            for stage, a, b in zip(
                reversed(stages), reversed(channels[:-1]), reversed(channels[1:]), strict=True
            )
        )

    def forward(self, h: Tensor, context: object = None) -> Tensor:
        """Outputs of ``(rows, code_size)``; a context is not used."""
        a = self.from_code(h).unflatten(1, self.start_shape)
        a = a.contiguous(memory_format=torch.channels_last)
        for convolution in self.convolutions:
            a = convolution(self.activation(a))
        return a.contiguous()

    def start_at(self, outputs: Tensor) -> None:
        """Put each channel's mean output into the last bias."""
        with torch.no_grad():
            self.convolutions[-1].get_parameter("bias").copy_(outputs.flatten(1).mean(dim=1))


class Conv2d(Network):
    """Zeiler et al. (2010): learned downsampling, learned upsampling."""

    def __init__(
        self, ends: Ends, channels: Sequence[int], kernel_size: int, stride: int, activation: Activation
    ) -> None:
        super().__init__()
        if len(ends.sample_shape) != 3 or len(ends.output_shape) != 3:
            raise ParameterError(
                f"Conv2d: expected pictures (channels, height, width), got rows of shape "
                f"{shape_text(ends.sample_shape)}. Give sample_shape=(height, width), or use Dense."
            )
        if not channels:
            raise ParameterError("Conv2d: channels must name at least one stage, got (). Try (32, 64).")
        n_in, height, width = ends.sample_shape
        stages: list[Stage] = []
        for _ in channels:
            stages.append(Stage.of(stages[-1].size_out if stages else (height, width), kernel_size, stride))
        self.encoder = Conv2dEncoder(stages, [n_in, *channels], ends.pre_code_size, activation)
        self.decoder = Conv2dDecoder(stages, [ends.output_shape[0], *channels], ends.code_size, activation)

"""What isthmus's layers do, step by step, so that it can be done in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from isthmus.codec.frozen.layers import Layer
from isthmus.codec.frozen.maps import Pair, Pool, Spread, Swap, Windows
from isthmus.codec.frozen.rounding import Added, Bent, Linear, Moved, Real, Step
from isthmus.errors import ParameterError
from isthmus.networks.base import Activated
from isthmus.networks.convolution import ConvolutionalDecoder, ConvolutionalEncoder, Residual
from isthmus.networks.stages import Stage, pads
from isthmus.shapes import Shape, n_values


def encoder_steps(encoder: ConvolutionalEncoder) -> tuple[list[Step], int, Shape]:
    """Steps, number of inputs, shape of outputs."""
    options, stages = encoder.options, encoder.stages
    first = encoder.convolutions[0].get_parameter("weight").shape[1]
    steps = _channels_last(first, stages[0].size_in)
    for stage, convolution, blocks in zip(stages, encoder.convolutions, encoder.blocks, strict=True):
        if options.down == "stride":
            steps.append(
                _convolution(convolution, stage.size_in, stage.size_out, stage.stride, stage.padding)
            )
        else:
            steps.append(_keeping(convolution, stage.size_in, stage.keeping))
        steps += bent(encoder.activation)
        channels = convolution.get_parameter("weight").shape[0]
        if options.down != "stride":
            steps.append(_pool(stage, channels, mean=options.down == "average_pool"))
        steps += _blocks(blocks, stage.size_out)
    last = linear(encoder.to_code)
    n_out, n_positions = len(last.bias), n_values(stages[-1].size_out)
    weight = last.weight.reshape(n_out, -1, n_positions).swapaxes(1, 2).reshape(n_out, -1)
    return [*steps, Linear(weight, last.bias)], first * n_values(stages[0].size_in), (n_out,)


def decoder_steps(decoder: ConvolutionalDecoder) -> tuple[list[Step], int, Shape]:
    """Steps, number of inputs, shape of outputs."""
    start, (channels, *size) = linear(decoder.from_code), decoder.start_shape
    n_positions, n_in = n_values(tuple(size)), start.weight.shape[1]
    weight = start.weight.reshape(channels, n_positions, n_in).swapaxes(0, 1).reshape(-1, n_in)
    steps: list[Step] = [Linear(weight, start.bias.reshape(channels, n_positions).T.ravel())]
    for stage, convolution, blocks in zip(decoder.stages, decoder.convolutions, decoder.blocks, strict=True):
        steps += [*bent(decoder.activation), *_blocks(blocks, stage.size_out)]
        if decoder.options.up == "transposed":
            steps.append(_transposed(convolution, stage))
            channels = convolution.get_parameter("weight").shape[1]
            continue
        places = _middles(stage) if decoder.options.up == "unpool" else _nearest(stage)
        steps.append(_spread(stage, channels, places))
        steps.append(_keeping(convolution, stage.size_in, stage.keeping, mirrored=True))
        channels = convolution.get_parameter("weight").shape[0]
    size = decoder.stages[-1].size_in
    steps += _channels_last(n_values(size), (channels,))
    return steps, n_in, (channels, *size)


def _channels_last(n: int, size: Shape) -> list[Step]:
    """``(n, size)`` becomes ``(size, n)``, where that moves anything."""
    shape = n, n_values(size)
    return [Moved(lambda limit: Swap(shape, limit))] if min(shape) > 1 else []


def _pair(sizes: Sequence[int], fill: int = 1) -> Pair:
    """Height and width; what has one axis is a map of width 1."""
    height, width = [*sizes, fill][:2]
    return height, width


def _taps(weight: Real) -> Real:
    """``(n_out, taps, channels)`` of ``(n_out, channels, *kernel)``."""
    return np.ascontiguousarray(weight.reshape(*weight.shape[:2], -1).swapaxes(1, 2))


def _convolution(
    layer: nn.Module, size_in: Shape, size_out: Shape, stride: Sequence[int], before: Sequence[int]
) -> Linear:
    weight = _numbers(layer, "weight")
    windows = Windows(
        _pair(size_in),
        _pair(size_out),
        _pair(weight.shape[2:]),
        _pair(stride),
        _pair(before, 0),
        transposed=False,
    )
    return Linear(_taps(weight), _numbers(layer, "bias"), windows)


def _keeping(layer: nn.Module, size: Shape, kernel: Shape, *, mirrored: bool = False) -> Linear:
    """A convolution that keeps the size; what torch's pad() is told, the last axis comes first."""
    before = pads(kernel, mirrored=mirrored)[::2][::-1]
    return _convolution(layer, size, size, (1,) * len(size), before)


def _transposed(layer: nn.Module, stage: Stage) -> Linear:
    weight = _numbers(layer, "weight").swapaxes(0, 1)
    windows = Windows(
        _pair(stage.size_out),
        _pair(stage.size_in),
        _pair(stage.kernel),
        _pair(stage.stride),
        _pair(stage.padding, 0),
        transposed=True,
    )
    return Linear(_taps(weight), _numbers(layer, "bias"), windows)


def _pool(stage: Stage, channels: int, *, mean: bool) -> Moved:
    size, window = _pair(stage.size_in), _pair(stage.stride)
    return Moved(lambda limit: Pool(size, channels, window, limit, mean=mean))


def _blocks(blocks: nn.Module, size: Shape) -> list[Step]:
    found = list[Step]()
    for block in blocks.children():
        if not isinstance(block, Residual):
            raise ParameterError(
                f"freeze: expected residual blocks, got {type(block).__name__}. Fit the model with isthmus's own."
            )
        kernel = tuple(block.first.get_parameter("weight").shape[2:])
        first, second = (_keeping(layer, size, kernel) for layer in (block.first, block.second))
        inner: list[Linear | Bent] = [first, *bent(block.activation), second]
        found.append(Added(inner))
    return found


def _nearest(stage: Stage) -> list[list[int]]:
    """Of each output, along each axis, the input that interpolation takes."""
    found = list[list[int]]()
    for m, n in zip(stage.size_out, stage.size_in, strict=True):
        numbers = torch.arange(m, dtype=torch.float64)[None, None]
        found.append(F.interpolate(numbers, size=n, mode="nearest")[0, 0].long().tolist())
    return found


def _middles(stage: Stage) -> list[list[int]]:
    """Of each output, along each axis, the input that unpooling puts there, or -1."""
    found = list[list[int]]()
    for n, m, w in zip(stage.size_in, stage.size_out, stage.stride, strict=True):
        places = [-1] * n
        for i in range(m):
            places[min(i * w + (w - 1) // 2, n - 1)] = i
        found.append(places)
    return found


def _spread(stage: Stage, channels: int, places: list[list[int]]) -> Moved:
    lines, columns = (np.array(axis, np.int64) for axis in [*places, [0]][:2])
    size = _pair(stage.size_out)

    def layer(limit: int) -> Layer:
        return Spread(size, channels, lines, columns, limit)

    return Moved(layer)


def linear(layer: nn.Module) -> Linear:
    """A dense layer."""
    return Linear(_numbers(layer, "weight"), _numbers(layer, "bias"))


def bent(activation: Activated) -> list[Bent]:
    """The activation, unless it is none."""

    def function(values: Real) -> Real:
        with torch.no_grad():
            return activation(torch.from_numpy(values)).numpy()

    return [] if activation.name == "identity" else [Bent(activation.name, function)]


def _numbers(layer: nn.Module, name: str) -> Real:
    values: torch.Tensor = getattr(layer, name)  # a tied layer's weight is no parameter of its own
    found = values.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(found).all():
        raise ParameterError(
            "freeze: expected weights that are finite, got NaN or infinity. Fit the model again."
        )
    return found

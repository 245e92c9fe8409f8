"""From the torch modules of a fitted model to networks in whole numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from isthmus.codec.frozen.convolutions import bent, decoder_steps, encoder_steps, linear
from isthmus.codec.frozen.file import LARGEST, Ends
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.codec.frozen.rounding import HEADROOM, Linear, Real, Step, Values, rounded
from isthmus.errors import DataError, ParameterError
from isthmus.networks.base import Activated
from isthmus.networks.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from isthmus.networks.dense import DenseDecoder, DenseEncoder
from isthmus.shapes import Shape, n_values, shape_text

MOST_ROWS = 2048
"""Of a longer sample as many are used, evenly spaced."""
FEWEST_ROWS = 16
MOST_SAMPLED = 2**23
"""Values of the sample in any layer: of wide maps fewer rows are used."""
SMALLEST_LIMIT = 2**20
"""Inputs may at least be so large."""


def freeze(
    module: nn.Module,
    sample: ArrayLike,
    input_scale: float | ArrayLike = 1.0,
    *,
    weight_bits: int = 10,
    output_bits: int = 12,
) -> FrozenNetwork:
    """The network in whole numbers that does what a fitted encoder or decoder does.

    Weights become ``round(w 2^r)``, r of each unit its own; each weight makes good what rounding those
    before it changed (Frantar et al. 2023, GPTQ); biases take up the mean of what is left. Hidden
    values are rounded down to some 2^-14, activations other than the rectifier are looked up in tables.

    Parameters
    ----------
    module
        A dense or convolutional encoder or decoder of isthmus, in model units.
    sample
        Rows such as the module is to be given, ``(rows, *input_shape)``, in model units: they choose the
        scales. A few hundred to some thousands do.
    input_scale
        The frozen network is given whole numbers, ``round(value * input_scale)``: 255 for pixels of
        eight bits in [0, 1], 8 for a code on a grid of 1/8. One number, or one for each input.
    weight_bits
        Of a unit's largest weight, its sign among them, 4 to 24. Each bit less doubles the network's error
        and saves an eighth of a byte a weight. Measured on a 784-200-50-200-784 variational autoencoder of
        black-and-white digits: 10 bits change outputs by 0.0007 of their spread and the log loss by less
        than 0.01 %, 8 bits by 0.003 and 0.01 %, 6 bits by 0.012 and 0.02 %.
    output_bits
        Outputs are whole numbers / 2^output_bits, 0 to 30.

    Returns
    -------
    FrozenNetwork
        Called with whole numbers, it gives whole numbers / ``output_scale``.

    Raises
    ------
    ParameterError
        For a module of another kind, and where sums could leave the whole numbers of float64.
    DataError
        For a sample that is empty, of another shape or not finite.

    Examples
    --------
    >>> import torch
    >>> from isthmus.networks.base import Ends
    >>> from isthmus.networks.dense import Dense
    >>> _ = torch.manual_seed(0)
    >>> decoder = Dense(Ends((6,), 2, 2, (6,)), (8,), "selu").decoder
    >>> h = np.rint(np.random.default_rng(0).normal(size=(100, 2)) * 64) / 64
    >>> frozen = freeze(decoder, h, 64)
    >>> outputs = frozen(h * 64) / frozen.output_scale
    >>> expected = decoder(torch.tensor(h, dtype=torch.float32)).detach().numpy()
    >>> bool(abs(outputs - expected).max() < 0.01)
    True
    """
    _check_bits("weight_bits", weight_bits, 4, 24)
    _check_bits("output_bits", output_bits, 0, 30)
    steps, n_in, output_shape = _steps_of(module)
    rows = _sample(sample, _widest(steps))
    scale = _scale(input_scale, rows[0])
    shape, values = rows.shape[1:], np.rint(rows.reshape(len(rows), -1) * scale)
    low, high = int(values.min()), int(values.max())
    largest = max(-low, high)
    if largest << HEADROOM > LARGEST:
        raise ParameterError(
            f"freeze: expected inputs * input_scale of at most 2^{(LARGEST >> HEADROOM).bit_length() - 1}, got "
            f"{largest}. Choose a coarser input_scale."
        )
    limit = max(SMALLEST_LIMIT, 2 ** (largest.bit_length() + HEADROOM))
    if n_values(shape) != n_in:
        raise DataError(
            f"freeze: expected a sample of rows with {n_in} values, got {shape_text(shape)}. "
            "Give rows as the module is given them."
        )
    unit = 1.0 / scale
    start = Values(values * unit, values, float(unit) if unit.ndim == 0 else unit, limit)
    layers = rounded(steps, start, weight_bits, output_bits)
    ends = Ends(
        shape,
        output_shape,
        float(scale) if scale.ndim == 0 else tuple(scale.tolist()),
        output_bits,
        low,
        high,
        limit,
    )
    return FrozenNetwork(ends, layers)


def _steps_of(module: nn.Module) -> tuple[list[Step], int, Shape]:
    """What a module does, step by step, how many values it takes, and the shape of its outputs."""
    # Its own class alone: of a subclass nobody knows what else it does.
    if type(module) is DenseEncoder:
        layers = [linear(layer) for layer in module.layers]
        return _dense(layers, module.activation), layers[0].weight.shape[1], layers[-1].bias.shape
    if type(module) is DenseDecoder:
        layers = [linear(layer) for layer in module.layers]
        return _dense(layers, module.activation), layers[0].weight.shape[1], module.output_shape
    if type(module) is ConvolutionalEncoder:
        return encoder_steps(module)
    if type(module) is ConvolutionalDecoder:
        return decoder_steps(module)
    raise ParameterError(
        f"freeze: expected a dense or convolutional encoder or decoder, got {type(module).__name__}. "
        "Fit a model with network=Dense(...), Conv1d(...) or Conv2d(...)."
    )


def _dense(layers: list[Linear], activation: Activated) -> list[Step]:
    *hidden, last = layers
    steps: list[Step] = [step for layer in hidden for step in (layer, *bent(activation))]
    return [*steps, last]


def _check_bits(name: str, bits: int, low: int, high: int) -> None:
    if not low <= bits <= high:
        raise ParameterError(f"freeze: {name} must be from {low} to {high}, got {bits}. 10 is a good number.")


def _widest(steps: list[Step]) -> int:
    """Values of a row in the widest map."""
    linear = [step for step in steps if isinstance(step, Linear)]
    return max(len(s.bias) * (math.prod(s.windows.size_out) if s.windows else 1) for s in linear)


def _sample(sample: ArrayLike, widest: int) -> Real:
    rows = np.asarray(sample, dtype=np.float64)
    if rows.ndim < 2 or rows.size == 0:
        raise DataError(
            f"freeze: expected a sample of rows (rows, *input_shape), got an array of shape "
            f"{shape_text(rows.shape) or '()'}. Give at least one row."
        )
    n = min(len(rows), max(FEWEST_ROWS, min(MOST_ROWS, MOST_SAMPLED // widest)))
    if n < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, n).astype(np.intp)]
    if not np.isfinite(rows).all():
        raise DataError("freeze: expected a sample of finite numbers, got NaN or infinity. Fill gaps first.")
    return rows


def _scale(input_scale: float | ArrayLike, row: Real) -> Real:
    """One number, or one for each input, flattened."""
    scale = np.asarray(input_scale, dtype=np.float64)
    if scale.ndim and scale.shape != row.shape:
        raise ParameterError(
            f"freeze: input_scale must be one number or one for each of {shape_text(row.shape)} inputs, got "
            f"{shape_text(scale.shape)}."
        )
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ParameterError(
            "freeze: input_scale must be positive and finite. Try 255 for pixels of eight bits."
        )
    return scale if scale.ndim == 0 else scale.ravel()

"""How a network of real numbers becomes one of whole numbers, by what it does to sample rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from isthmus.codec.frozen.layers import EXACT, N_SEGMENTS, Affine, Layer, Numbers, Rectifier, Table
from isthmus.codec.frozen.maps import Convolution, Pool, Residual, Windows
from isthmus.errors import ParameterError

Real = NDArray[np.float64]

USUAL_BITS = 14
"""A hidden value is a whole number / 2^14, if its sample's largest magnitude is within 2^-2 and 2^6."""
FEWEST_BITS, MOST_BITS = 12, 20
"""The largest magnitude of a sample's hidden values takes so many bits."""
HEADROOM = 3
"""Bits between a sample's largest magnitude and the limit."""
FINER = 8
"""Bits of a table's knots behind those of its results."""
DAMPING = 1e-3
"""Share of the mean square of the inputs that keeps an unused one from being leant upon."""
MOST_INPUTS = 4096
"""Of a layer whose rounding errors are made good one by one; the effort grows with their cube."""
PATCHES_PER_INPUT = 20
"""So many patches tell what the inputs of a window have to do with one another."""
MOST_DIFFERENCE = 6
"""Bits by which a unit's weights may be finer than those of the layer's largest unit."""


@dataclass(frozen=True, slots=True)
class Linear:
    """``W a + b``: weight ``(n_out, n_in)``, or over windows ``(n_out, taps, channels)``; bias ``(n_out,)``."""

    weight: Real
    bias: Real
    windows: Windows | None = None

    def __call__(self, a: Real) -> Real:
        """Real numbers of real numbers, a channel a column: ``(..., n_out)``."""
        return self.products(a, self.weight) + self.bias

    def products(self, a: Real, weight: Real) -> Real:
        """As above, without the bias, of any weight of the same shape."""
        if self.windows is None:
            return a @ weight.T
        return self.windows.products(a, self.windows.weights(weight), len(weight))


@dataclass(frozen=True, slots=True)
class Bent:
    """An elementwise function; of the rectifier only its name counts."""

    name: str
    function: Callable[[Real], Real]


@dataclass(frozen=True, slots=True)
class Moved:
    """What moves values, takes largest ones or means: a layer of its limit."""

    layer: Callable[[int], Layer]


@dataclass(frozen=True, slots=True)
class Added:
    """``a`` and what some steps make of it; the last of them is linear."""

    steps: Sequence[Linear | Bent]


Step = Linear | Bent | Moved | Added


@dataclass(frozen=True, slots=True)
class Values:
    """What the sample's rows have become at some layer."""

    real: Real
    """In the network of real numbers."""
    whole: Numbers
    """In the network of whole ones."""
    unit: float | Real
    """What 1 is worth; of all values, or of each."""
    within: int
    """Largest magnitude of a whole number."""


def rounded(steps: Sequence[Step], values: Values, weight_bits: int, output_bits: int | None) -> list[Layer]:
    """Layers in whole numbers that do what the steps do, over the sample as exactly as they can.

    Parameters
    ----------
    steps
        From the input to the output.
    values
        The sample.
    weight_bits
        Of the largest weight of a unit, its sign among them.
    output_bits
        Outputs of the last linear step are whole numbers / 2^output_bits.
    """
    layers = list[Layer]()
    last = max(number for number, step in enumerate(steps) if isinstance(step, Linear))
    for number, step in enumerate(steps):
        if isinstance(step, Linear):
            layer, values = _linear(step, values, weight_bits, output_bits if number == last else None)
        elif isinstance(step, Bent):
            layer, values = _bend(step, values)
        elif isinstance(step, Moved):
            layer = step.layer(values.within)
            real = layer.real(values.real) if isinstance(layer, Pool) else layer(values.real.copy())
            values = _after(layer, values, real, values.unit)
        else:
            layer, values = _add(step, values, weight_bits)
        layers.append(layer)
    return layers


def _after(layer: Layer, values: Values, real: Real, unit: float | Real) -> Values:
    return Values(real, layer(values.whole.copy()), unit, layer.limit)


def _add(step: Added, values: Values, weight_bits: int) -> tuple[Layer, Values]:
    bits = -round(math.log2(_one(values.unit)))
    inner = rounded(step.steps, values, weight_bits, bits)
    real = values.real.copy()
    for part in step.steps:
        real = part.function(real) if isinstance(part, Bent) else part(real).reshape(len(real), -1)
    real += values.real
    layer = Residual(inner, limit_of(real, bits))
    return layer, _after(layer, values, real, values.unit)


def value_bits(values: Real) -> int:
    """Bits behind the point that suit values of their largest magnitude."""
    top = _exponent(values)
    return min(max(USUAL_BITS, FEWEST_BITS - top), MOST_BITS - top)


def limit_of(values: Real, bits: int) -> int:
    """What a limit for whole numbers in place of such values should be."""
    return 2 ** max(1, _exponent(values) + bits + HEADROOM)


def _exponent(values: Real) -> int:
    """The least e with magnitudes of at most 2^e; 0 of zeros."""
    largest = float(np.abs(values).max(initial=0.0))
    return math.ceil(math.log2(largest)) if largest > 0 else 0


def _linear(step: Linear, values: Values, weight_bits: int, output_bits: int | None) -> tuple[Layer, Values]:
    """The layer whose results are ``(W a + b) 2^bits``, as nearly as the sample can tell."""
    target = step(values.real)
    bits = value_bits(target) if output_bits is None else output_bits
    limit = limit_of(target, bits)
    n_out, unit = len(step.weight), values.unit
    if step.windows is not None:
        unit = _one(unit)
    # Of inputs with units of their own, the finest has weights of weight_bits, the others more.
    fine = _fineness(step.weight.reshape(n_out, -1) * np.min(unit), weight_bits, bits)
    scaled = np.ldexp(step.weight * unit, fine.reshape(-1, *[1] * (step.weight.ndim - 1)))
    weight = _whole_weight(step, scaled, values.whole)
    shift = fine - bits
    # The bias takes up what rounding the weights and the values before them moved the mean by.
    left = np.ldexp(target, fine) - step.products(values.whole, weight)
    half = np.where(shift > 0, np.ldexp(1.0, np.maximum(shift, 1) - 1), 0.0)
    bias = np.rint(left.reshape(-1, n_out).mean(axis=0) + half)
    if max(np.abs(weight).max(), np.abs(bias).max()) >= EXACT:
        raise ParameterError(
            "frozen network: expected weights and biases of like size, got a layer in which some could not be "
            "whole numbers below 2^53. Freeze with fewer weight_bits, or train with weight decay."
        )
    numbers = weight.astype(np.int64), bias.astype(np.int64), shift, limit, values.within
    layer = Affine(*numbers) if step.windows is None else Convolution(step.windows, *numbers)
    return layer, _after(layer, values, target.reshape(len(target), -1), 2.0**-bits)


def _whole_weight(step: Linear, weight: Real, whole: Numbers) -> Real:
    """Whole numbers near ``weight``, each phase of windows by what it sees."""
    if step.windows is None:
        return _with_errors_made_good(weight, whole.T @ whole)
    n_out, _, channels = weight.shape
    found = np.rint(weight)
    padded = step.windows.padded(whole, channels)
    for phase in step.windows.phases:
        n_in = len(phase.taps) * channels
        if 0 < n_in <= MOST_INPUTS:
            moments = np.zeros((n_in, n_in))
            n_rows = max(1, PATCHES_PER_INPUT * n_in // math.prod(phase.counts))
            some = np.ascontiguousarray(padded[:: max(1, len(padded) // n_rows)])
            for _, seen in step.windows.patches(some, phase):
                moments += seen.T @ seen
            part = _with_errors_made_good(weight[:, phase.taps].reshape(n_out, n_in), moments)
            found[:, phase.taps] = part.reshape(n_out, -1, channels)
    return found


def _fineness(weight: Real, weight_bits: int, bits: int) -> NDArray[np.int64]:
    """Of each unit the power of two that takes its largest weight to just under ``2^(weight_bits - 1)``."""
    largest = np.abs(weight).max(axis=1)
    if not largest.any():
        return np.full(len(weight), bits)
    _, exponent = np.frexp(largest)
    coarsest = exponent[largest > 0].max()
    finest = coarsest - MOST_DIFFERENCE
    return weight_bits - 1 - np.where(largest > 0, exponent, finest).clip(finest).astype(np.int64)


def _with_errors_made_good(weight: Real, moments: Real) -> Real:
    """Whole numbers near ``weight``, ``(n_out, n_in)``, of which each makes good the errors of those before it.

    Column for column: what rounding changes is put upon the columns to come, in the way that changes
    ``W a`` least over inputs of such ``moments``, the sum of ``a a^T`` (Frantar et al. 2023, GPTQ,
    equation 2; Hassibi and Stork 1993).
    """
    n_in = weight.shape[1]
    mean_square = float(np.trace(moments)) / n_in
    if n_in > MOST_INPUTS or mean_square == 0:
        return np.rint(weight)
    moments = moments.copy()
    moments[np.diag_indices(n_in)] += DAMPING * mean_square
    # Those that matter most come first: for their errors the most others are left.
    order = np.argsort(-np.diag(moments), kind="stable")
    upper = _factor_of_inverse(moments[np.ix_(order, order)] / mean_square)
    left = weight[:, order].copy()
    for i in range(n_in):
        column = np.rint(left[:, i])
        error = (left[:, i] - column) / upper[i, i]
        left[:, i] = column
        left[:, i + 1 :] -= np.outer(error, upper[i, i + 1 :])
    found = np.empty_like(left)
    found[:, order] = left
    return found


def _factor_of_inverse(moments: Real) -> Real:
    """The upper triangular U with ``U^T U`` the inverse of ``moments``."""
    # Factored from the last to the first, moments are R R^T with R upper: then U is R^-1.
    backwards = np.linalg.cholesky(moments[::-1, ::-1])[::-1, ::-1]
    return solve_triangular(backwards, np.eye(len(moments)))


def _bend(step: Bent, values: Values) -> tuple[Layer, Values]:
    """The layer of an elementwise function."""
    unit, results = _one(values.unit), step.function(values.real)
    if step.name == "relu":
        layer = Rectifier(values.within)
        return layer, _after(layer, values, results, unit)
    bits = value_bits(results)
    # Wide enough for where the function bends, and at least eight times what the sample reaches.
    segment = min(-6, _exponent(values.real) - 7)
    places = np.ldexp(np.arange(-N_SEGMENTS // 2, N_SEGMENTS // 2 + 1, dtype=np.float64), segment)
    knots = np.rint(np.ldexp(step.function(places), bits + FINER)).astype(np.int64)
    width = segment - round(math.log2(unit))
    layer = Table(knots, width, FINER, limit_of(results, bits), values.within)
    return layer, _after(layer, values, results, 2.0**-bits)


def _one(unit: float | Real) -> float:
    """The unit of all values."""
    if not isinstance(unit, float):
        raise ParameterError(
            "freeze: expected one input_scale for all inputs of a network of maps, got one for each. "
            "Give one number."
        )
    return unit

"""How a network of real numbers becomes one of whole numbers, by what it does to sample rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.frozen_layers import EXACT, N_SEGMENTS, Affine, Layer, Numbers, Rectifier, Table
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
MOST_INPUTS = 2048
"""Of a layer whose rounding errors are made good one by one; the effort grows with their cube."""
MOST_DIFFERENCE = 6
"""Bits by which a unit's weights may be finer than those of the layer's largest unit."""


@dataclass(frozen=True, slots=True)
class Linear:
    """``W a + b``: weight ``(n_out, n_in)``, bias ``(n_out,)``."""

    weight: Real
    bias: Real


@dataclass(frozen=True, slots=True)
class Bent:
    """An elementwise function; of the rectifier only its name counts."""

    name: str
    function: Callable[[Real], Real]


Step = Linear | Bent


def rounded(
    steps: Sequence[Step],
    sample: Numbers,
    unit: float | Real,
    within: int,
    weight_bits: int,
    output_bits: int,
) -> list[Layer]:
    """Layers in whole numbers that do what the steps do, in the mean over the sample as exactly as they can.

    Parameters
    ----------
    steps
        From the input to the output, the last one linear.
    sample
        Whole numbers, ``(rows, n_in)``.
    unit
        What 1 is worth in the steps' own units; of all inputs, or of each.
    within
        Largest magnitude of an input.
    weight_bits
        Of the largest weight of a unit, its sign among them.
    output_bits
        Outputs are whole numbers / 2^output_bits.
    """
    layers, real, whole = list[Layer](), sample * unit, sample
    last = len(steps) - 1
    for number, step in enumerate(steps):
        if isinstance(step, Linear):
            target = real @ step.weight.T + step.bias
            bits = output_bits if number == last else value_bits(target)
            limit = limit_of(target, bits)
            layer = _affine(step.weight, unit, target, whole, bits, limit, within, weight_bits)
            real, unit = target, 2.0**-bits
        else:
            layer, real, unit = _bend(step, real, unit, within)
        layers.append(layer)
        whole, within = layer(whole.copy()), layer.limit
    return layers


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


def _affine(
    weight: Real,
    unit: float | Real,
    target: Real,
    whole: Numbers,
    bits: int,
    limit: int,
    within: int,
    weight_bits: int,
) -> Affine:
    """The layer whose results are ``target * 2^bits``, as nearly as the sample can tell."""
    # Of inputs with units of their own, the finest has weights of weight_bits, the others more.
    fine = _fineness(weight * np.min(unit), weight_bits, bits)
    rounded_weight = _with_errors_made_good(np.ldexp(weight * unit, fine[:, None]), whole)
    shift = fine - bits
    # The bias takes up what rounding the weights and the values before them moved the mean by.
    left = np.ldexp(target, fine) - whole @ rounded_weight.T
    half = np.where(shift > 0, np.ldexp(1.0, np.maximum(shift, 1) - 1), 0.0)
    bias = np.rint(left.mean(axis=0) + half)
    if max(np.abs(rounded_weight).max(), np.abs(bias).max()) >= EXACT:
        raise ParameterError(
            "frozen network: expected weights and biases of like size, got a layer in which some could not be "
            "whole numbers below 2^53. Freeze with fewer weight_bits, or train with weight decay."
        )
    return Affine(rounded_weight.astype(np.int64), bias.astype(np.int64), shift, limit, within)


def _fineness(weight: Real, weight_bits: int, bits: int) -> NDArray[np.int64]:
    """Of each unit the power of two that takes its largest weight to just under ``2^(weight_bits - 1)``."""
    largest = np.abs(weight).max(axis=1)
    if not largest.any():
        return np.full(len(weight), bits)
    _, exponent = np.frexp(largest)
    coarsest = exponent[largest > 0].max()
    finest = coarsest - MOST_DIFFERENCE
    return weight_bits - 1 - np.where(largest > 0, exponent, finest).clip(finest).astype(np.int64)


def _with_errors_made_good(weight: Real, inputs: Numbers) -> Real:
    """Whole numbers near ``weight``, ``(n_out, n_in)``, of which each makes good the errors of those before it.

    Column for column: what rounding changes is put upon the columns to come, in the way that changes
    ``W a`` least over the inputs (Frantar et al. 2023, GPTQ, equation 2; Hassibi and Stork 1993).
    """
    n_in = weight.shape[1]
    if n_in > MOST_INPUTS:
        return np.rint(weight)
    moments = inputs.T @ inputs
    mean_square = float(np.trace(moments)) / n_in
    if mean_square == 0:
        return np.rint(weight)
    moments[np.diag_indices(n_in)] += DAMPING * mean_square
    # Those that matter most come first: for their errors the most others are left.
    order = np.argsort(-np.diag(moments), kind="stable")
    inverse = np.linalg.inv(moments[np.ix_(order, order)] / mean_square)
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
    left = weight[:, order].copy()
    for i in range(n_in):
        column = np.rint(left[:, i])
        error = (left[:, i] - column) / upper[i, i]
        left[:, i] = column
        left[:, i + 1 :] -= np.outer(error, upper[i, i + 1 :])
    found = np.empty_like(left)
    found[:, order] = left
    return found


def _bend(step: Bent, values: Real, unit: float | Real, within: int) -> tuple[Layer, Real, float]:
    """The layer of an elementwise function, its results and their unit."""
    if not isinstance(unit, float):
        raise ParameterError(
            "frozen network: expected a linear layer before the first activation, got an activation of inputs "
            "with units of their own. Give one input_scale for all."
        )
    results = step.function(values)
    if step.name == "relu":
        return Rectifier(within), results, unit
    bits = value_bits(results)
    # Wide enough for where the function bends, and at least eight times what the sample reaches.
    segment = min(-6, _exponent(values) - 7)
    places = np.ldexp(np.arange(-N_SEGMENTS // 2, N_SEGMENTS // 2 + 1, dtype=np.float64), segment)
    knots = np.rint(np.ldexp(step.function(places), bits + FINER)).astype(np.int64)
    width = segment - round(math.log2(unit))
    return Table(knots, width, FINER, limit_of(results, bits), within), results, 2.0**-bits

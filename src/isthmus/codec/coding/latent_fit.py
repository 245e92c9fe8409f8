"""From a fitted model to a coder in whole numbers."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.codec.coding.bits_back import GRID_BITS
from isthmus.codec.coding.latent import LatentCoder, LatentFacts
from isthmus.codec.frozen.modules import freeze
from isthmus.codes.gaussian import Gaussian
from isthmus.errors import ParameterError
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.discretised_logistic import (
    LARGEST_SCALE,
    NEAR_A_LEVEL,
    SMALLEST_SCALE,
    DiscretisedLogistic,
)
from isthmus.networks.base import Encoder
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape, n_values

BYTE = 255
"""Whole steps of a byte's levels between 0 and 1."""
WEIGHT_BITS = 8
"""Of a network's weights: more than its error shows, and the archive carries them."""
FINE = 1 << 10
"""Steps to a unit of the model's where its inputs are no bytes."""


def latent_coder(model: FittedModel, sample: NDArray[np.generic]) -> LatentCoder:
    """What codes arrays as the model knows them.

    Parameters
    ----------
    model
        Of a Gaussian code, and a likelihood that gives exact values their probabilities.
    sample
        Some rows, ``(n, ...)`` as the array has them: by these the networks' whole numbers are chosen.

    Raises
    ------
    ParameterError
        A model that gives exact values no probabilities, or rows of another shape.
    """
    module = model.module
    shape = model.scaling.schema.sample_shape
    likelihood = module.likelihood
    if not isinstance(module.code, Gaussian) or not isinstance(likelihood, Bernoulli | DiscretisedLogistic):
        raise ParameterError(
            f"compress: a model codes values exactly if its code is Gaussian and its likelihood Bernoulli or "
            f"DiscretisedLogistic, got {type(module.code).__name__} and {type(likelihood).__name__}. "
            "Give another model, or leave --model out."
        )
    if model.classes is not None:
        raise ParameterError("compress: a model that is told labels cannot code rows without; give another.")
    if n_values(sample.shape[1:]) != n_values(shape):
        raise ParameterError(
            f"compress: expected rows of shape {shape}, which the model was fitted to, got {sample.shape[1:]}. "
            "Give the model of these data."
        )
    levels = _levels(model, sample, 2 if isinstance(likelihood, Bernoulli) else likelihood.n_levels)
    places = np.broadcast_to(levels.reshape(-1, *[1] * len(shape)), (len(levels), *shape))
    seen = model.scaling.to_model(np.ascontiguousarray(places)).reshape(len(levels), -1)
    scale = BYTE if np.allclose(seen * BYTE, np.rint(seen * BYTE), atol=1e-3) else FINE
    inputs = np.rint(seen.astype(np.float64) * scale)
    rows = model.scaling.to_model(np.ascontiguousarray(sample.reshape(-1, *shape)))
    encoder = freeze(module.encoder, rows, scale, weight_bits=WEIGHT_BITS)
    decoder = freeze(
        module.decoder,
        draws_of_codes(module.encoder, module.code, rows),
        2 << GRID_BITS,
        weight_bits=WEIGHT_BITS,
    )
    return LatentCoder(
        _facts(likelihood, sample.shape[1:], shape, decoder.output_bits),
        levels,
        inputs[:, :1] if (inputs == inputs[:, :1]).all() else inputs,
        encoder,
        decoder,
    )


def _facts(
    likelihood: Bernoulli | DiscretisedLogistic, shape: Shape, sample_shape: Shape, point: int
) -> LatentFacts:
    if isinstance(likelihood, Bernoulli):
        return LatentFacts("binary", shape, sample_shape)
    one, steps = 1 << point, likelihood.n_levels - 1
    ends = round(math.log(SMALLEST_SCALE / steps) * one), round(math.log(LARGEST_SCALE) * one)
    return LatentFacts(
        "levels", shape, sample_shape, likelihood.n_mixtures, ends, round(math.log(steps) * one)
    )


def _levels(model: FittedModel, sample: NDArray[np.generic], n_levels: int) -> NDArray[np.generic]:
    """The values that the likelihood gives probabilities, in order: they lie evenly from 0 to 1.

    Raises
    ------
    ParameterError
        There are not as many.
    """
    every = np.arange(256, dtype=np.uint8) if sample.dtype == np.uint8 else np.unique(sample)
    shape = model.scaling.schema.sample_shape
    seen = model.scaling.to_model(
        np.ascontiguousarray(np.broadcast_to(every.reshape(-1, *[1] * len(shape)), (len(every), *shape)))
    )
    steps = seen.reshape(len(every), -1) * (n_levels - 1)
    off = np.abs(steps - np.rint(steps)).max(axis=1)
    is_level = (off < NEAR_A_LEVEL) & (steps > -0.5).all(axis=1) & (steps < n_levels - 0.5).all(axis=1)
    near, number = every[is_level], np.rint(steps[is_level, 0])
    nearest = np.lexsort((off[is_level], number))
    _, first = np.unique(number[nearest], return_index=True)
    if len(first) != n_levels:
        raise ParameterError(
            f"compress: the model knows {n_levels} levels, of which the data have {len(first)}; give a model of "
            "these data, whose likelihood has as many levels as they."
        )
    return np.sort(near[nearest[first]])


def draws_of_codes(encoder: Encoder, code: Gaussian, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Draws of the codes of what an encoder is shown, in the middles of cells of the grid."""
    with torch.no_grad():
        pre_code, _ = encoder(torch.from_numpy(rows))
        draws = code(pre_code, Randomness(0, "codec")).value.double().numpy()
    return (np.floor(draws * (1 << GRID_BITS)) + 0.5) / (1 << GRID_BITS)

"""From a fitted model to a coder in whole numbers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.codec.bits_back import GRID_BITS
from isthmus.codec.frozen_modules import freeze
from isthmus.codec.latent import LatentCoder, LatentFacts
from isthmus.codes.gaussian import Gaussian
from isthmus.errors import ParameterError
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import n_values

BYTE = 255
"""Whole steps of a byte's levels between 0 and 1."""
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
    if not isinstance(module.code, Gaussian) or not isinstance(module.likelihood, Bernoulli):
        raise ParameterError(
            f"compress: a model codes values exactly if its code is Gaussian and its likelihood Bernoulli or "
            f"DiscretisedLogistic, got {type(module.code).__name__} and {type(module.likelihood).__name__}. "
            "Give another model, or leave --model out."
        )
    if model.classes is not None:
        raise ParameterError("compress: a model that is told labels cannot code rows without; give another.")
    if n_values(sample.shape[1:]) != n_values(shape):
        raise ParameterError(
            f"compress: expected rows of shape {shape}, which the model was fitted to, got {sample.shape[1:]}. "
            "Give the model of these data."
        )
    levels = _levels(model, sample)
    places = np.broadcast_to(levels.reshape(-1, *[1] * len(shape)), (len(levels), *shape))
    seen = model.scaling.to_model(np.ascontiguousarray(places)).reshape(len(levels), -1)
    scale = BYTE if np.allclose(seen * BYTE, np.rint(seen * BYTE), atol=1e-3) else FINE
    inputs = np.rint(seen.astype(np.float64) * scale)
    rows = model.scaling.to_model(np.ascontiguousarray(sample.reshape(-1, *shape)))
    encoder = freeze(module.encoder, rows, scale)
    decoder = freeze(module.decoder, _codes(module, rows), 2 << GRID_BITS)
    return LatentCoder(
        LatentFacts("binary", sample.shape[1:], shape[-1]),
        levels,
        inputs[:, :1] if (inputs == inputs[:, :1]).all() else inputs,
        encoder,
        decoder,
    )


def _levels(model: FittedModel, sample: NDArray[np.generic]) -> NDArray[np.generic]:
    """The values that the likelihood gives probabilities, in order."""
    every = np.arange(256, dtype=np.uint8) if sample.dtype == np.uint8 else np.unique(sample)
    shape = model.scaling.schema.sample_shape
    seen = model.scaling.to_model(
        np.ascontiguousarray(np.broadcast_to(every.reshape(-1, *[1] * len(shape)), (len(every), *shape)))
    )
    is_end = ((seen == 0) | (seen == 1)).reshape(len(every), -1).all(axis=1)
    return every[is_end]


def _codes(module: AutoencoderModule, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Draws of the rows' codes, in the middles of cells of the grid."""
    with torch.no_grad():
        pre_code, _ = module.encoder(torch.from_numpy(rows))
        code = module.code(pre_code, Randomness(0, "codec")).value.double().numpy()
    return (np.floor(code * (1 << GRID_BITS)) + 0.5) / (1 << GRID_BITS)

"""Where a model begins: at the data's mean, or at PCA itself."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.codes.deterministic import Deterministic
from isthmus.likelihoods.gaussian import Gaussian
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import (
    AROUND_LINEAR,
    DenseDecoder,
    DenseEncoder,
    can_start_linear,
    start_linear,
)


def can_start_at_pca(module: AutoencoderModule) -> bool:
    """Whether a model can begin as PCA, exactly up to its small random rest.

    Dense layers with two units a code unit and an activation that a pair makes linear; a
    deterministic code without activation; linear outputs.
    """
    encoder, decoder, code = module.encoder, module.decoder, module.code
    return (
        isinstance(encoder, DenseEncoder)
        and isinstance(decoder, DenseDecoder)
        and isinstance(code, Deterministic)
        and code.activation_name == "identity"
        and isinstance(module.likelihood, (SquaredError, Gaussian))
        and can_start_linear(encoder.layers, encoder.activation.name, code.size)
        and can_start_linear(decoder.layers, decoder.activation.name, code.size)
    )


def start_at_pca(module: AutoencoderModule, mean: Tensor, components: Tensor) -> None:
    """Let the untrained model begin near PCA's reconstruction; the code begins as PCA's scores.

    Training can only leave PCA for something better, and what PCA would need thousands of steps to
    find is there at the first. Tied weights can begin there too, at any depth: the components are
    orthonormal, so that the encoder's transpose undoes it, and a pair of units is its own mirror.

    Parameters
    ----------
    mean
        Of the training rows in model units, ``sample_shape``.
    components
        Principal axes, ``(k, n_values)``, k at most the code size; further units begin at random.
    """
    encoder, decoder, size = module.encoder, module.decoder, module.code.size
    if not (isinstance(encoder, DenseEncoder) and isinstance(decoder, DenseDecoder)):
        return
    k, flat = len(components), mean.flatten()
    axes = torch.zeros(size, k)
    axes[:k] = torch.eye(k)
    last = encoder.layers[-1].get_parameter("weight")
    spare = last[k:].detach().clone()
    start_linear(encoder.layers, encoder.activation.name, components, axes, axes @ -(components @ flat))
    if len(encoder.layers) == 1:
        # Units at 0 on both sides would stay there: no gradient would reach them. Tied, they enter the
        # reconstruction at once, and so begin small.
        with torch.no_grad():
            last[k:] = spare * (AROUND_LINEAR if decoder.is_tied else 1)
    if not decoder.is_tied:
        start_linear(decoder.layers, decoder.activation.name, axes.T, components.T, flat)
        return
    with torch.no_grad():
        for layer in decoder.layers:
            layer.get_parameter("bias").zero_()
    decoder.start_at(flat)

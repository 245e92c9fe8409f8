"""Where a model begins: at the data's mean, or at PCA itself."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.codes.deterministic import Deterministic
from isthmus.likelihoods.gaussian import Gaussian
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import Dense, can_start_linear, start_linear


def can_start_at_pca(module: AutoencoderModule) -> bool:
    """Whether a model can begin as PCA, exactly up to its small random rest.

    Dense layers with two units a code unit and an activation that a pair makes linear; a
    deterministic code without activation; linear outputs.
    """
    network, code = module.network, module.code
    return (
        isinstance(network, Dense)
        and isinstance(code, Deterministic)
        and code.activation_name == "identity"
        and isinstance(module.likelihood, (SquaredError, Gaussian))
        and can_start_linear(network.encoder.layers, network.encoder.activation.name, code.size)
        and can_start_linear(network.decoder.layers, network.decoder.activation.name, code.size)
    )


def start_at_pca(module: AutoencoderModule, mean: Tensor, components: Tensor) -> None:
    """Let the untrained model begin near PCA's reconstruction; the code begins as PCA's scores.

    Training can only leave PCA for something better, and what PCA would need thousands of steps to
    find is there at the first.

    Parameters
    ----------
    mean
        Of the training rows in model units, ``sample_shape``.
    components
        Principal axes, ``(k, n_values)``, k at most the code size; further units begin at random.
    """
    network, size = module.network, module.code.size
    if not isinstance(network, Dense):
        return
    k, flat = len(components), mean.flatten()
    axes = torch.zeros(size, k)
    axes[:k] = torch.eye(k)
    encoder, decoder = network.encoder, network.decoder
    start_linear(encoder.layers, encoder.activation.name, components, axes, axes @ -(components @ flat))
    start_linear(decoder.layers, decoder.activation.name, axes.T, components.T, flat)

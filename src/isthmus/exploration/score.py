"""The slope of the data's log density, read off a denoiser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from isthmus.corruptions.gaussian_noise import GaussianNoise
from isthmus.errors import ParameterError
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.sources import Source


def score(module: AutoencoderModule, x: Tensor) -> Tensor:
    """Estimate the gradient of the log density at x: ``(r(x) - x) / scale^2``.

    The density is that of the data with the model's noise added, ``p * N(0, scale^2 I)``. For the
    best r under squared error (the posterior mean of the clean row) this is exact at every scale
    (Miyasawa 1961; Efron 2011, equation 1.4, Tweedie's formula); as the scale goes to 0 it becomes the
    slope of p itself (Alain and Bengio 2014, theorem 1). What a model has not learned, it misses here
    too: errors of r are divided by ``scale^2``.

    Parameters
    ----------
    module
        Trained with :class:`~isthmus.config.parts.corruptions.GaussianNoise`; of a scale that changed,
        the one at the end counts.
    x
        ``(rows, *sample_shape)`` in model units, taken for noisy rows.

    Returns
    -------
    Tensor
        Of x's shape, nats per model unit.

    Raises
    ------
    ParameterError
        If the model was not trained with Gaussian noise, or with none left at the end.

    Examples
    --------
    >>> import torch
    >>> from isthmus.config import Model
    >>> from isthmus.model.build import build
    >>> noise = {"type": "gaussian_noise", "scale": 0.5}
    >>> network = {"type": "dense", "hidden_sizes": [8]}
    >>> described = Model(code_size=2, network=network, likelihood="squared_error", corruption=noise)
    >>> score(build(described, (3,), seed=0), torch.zeros(4, 3)).shape
    torch.Size([4, 3])
    """
    return (module.reconstruct(x) - x) / noise_scale(module) ** 2


def score_rows(inference: Inference, source: Source) -> NDArray[np.float32]:
    """:func:`score` of every row of a source, ``(rows, *model_shape)``."""
    noise_scale(inference.module)
    return inference.over(source, score, inference.model.scaling.model_shape)


def noise_scale(module: AutoencoderModule) -> float:
    """Standard deviation, in model units, of the noise that a model was trained with at the end.

    Raises
    ------
    ParameterError
        If there was none.
    """
    corruption = module.corruption
    if not isinstance(corruption, GaussianNoise):
        got = "no corruption" if corruption is None else type(corruption).__name__
        raise ParameterError(
            f"score: expected a model trained with Gaussian noise, got {got}. "
            "Fit one with corruption=GaussianNoise(0.1)."
        )
    scale = corruption.scale_at(1.0)
    if scale == 0:
        raise ParameterError(
            "score: expected noise at the end of the training, got a scale of 0. "
            "Fit with a final_scale above 0, or with none."
        )
    return scale

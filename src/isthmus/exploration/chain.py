"""The chain that samples from a denoiser: corrupt, denoise, draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.errors import ParameterError
from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source


class ChainStep(NamedTuple):
    """One step of all chains; ``(rows, *sample_shape)`` in model units each."""

    mean: Tensor
    """What the decoder expects: for the eye."""
    sample: Tensor
    """A draw around it: what the next step begins with."""


def chain(
    module: AutoencoderModule, x: Tensor, *, n_steps: int, seed: int, residuals: Tensor | None = None
) -> Iterator[ChainStep]:
    """Walk through the data's distribution: ``x~ ~ C(x~ given x)``, then ``x ~ P(x given x~)``, again and again.

    If P is the true distribution of clean rows given corrupted ones, the chain's own distribution is
    that of the data (Bengio et al. 2013, theorem 1). P is the likelihood around the decoder's output:
    Gaussian noise of its scale, or Bernoulli draws. Without that draw the chain shrinks: its
    means alone are no samples.

    Parameters
    ----------
    module
        Trained with a corruption, which is applied here at the strength of the end of the training.
    x
        Where the chains begin, ``(rows, *sample_shape)`` in model units; one chain a row.
    n_steps
        How many steps to give, at least 1. Early ones depend on where they began.
    seed
        Of all chance in the chains.
    residuals
        What :func:`residual_noise` found, ``(n_values, n_values)``: draw normal noise of that
        covariance in place of the likelihood's. Squared error, which is no density, wants it.

    Yields
    ------
    ChainStep
        Means and samples after each step.

    Raises
    ------
    ParameterError
        If the model has no corruption, or a loss that is no density and no ``residuals`` are given.

    Examples
    --------
    >>> from isthmus.config import Model
    >>> from isthmus.model.build import build
    >>> network = {"type": "dense", "hidden_sizes": [8]}
    >>> described = Model(code_size=2, network=network, likelihood="bernoulli", corruption="masking")
    >>> module = build(described, (3,), seed=0)
    >>> *_, last = chain(module, torch.zeros(4, 3), n_steps=5, seed=0)
    >>> sorted(set(last.sample.flatten().tolist()))
    [0.0, 1.0]
    """
    if module.corruption is None:
        raise ParameterError(
            "chain: expected a model with a corruption, got one without. Fit one with corruption='masking'."
        )
    if n_steps < 1:
        raise ParameterError(
            f"chain: n_steps must be in [1, inf), got {n_steps}. It counts what is given; try 10."
        )
    if residuals is None and module.likelihood.unit != "nats":
        raise ParameterError(
            f"chain: expected a likelihood to draw from, got {type(module.likelihood).__name__}, which is no "
            "density. Fit with Gaussian('learned'), or hand in residuals=residual_noise(module, x, seed=0)."
        )
    return _steps(module, x, n_steps, seed, residuals)


def chain_rows(inference: Inference, source: Source, n_steps: int, *, seed: int) -> NDArray[np.float32]:
    """Samples of chains that begin at the rows of a source, ``(n_steps, rows, *model_shape)``."""
    inference.check_source(source)
    start = torch.from_numpy(inference.model.scaling.to_model(source.read(slice(0, len(source)))))
    steps = chain(inference.told(source), start, n_steps=n_steps, seed=seed)
    return np.stack([step.sample.numpy() for step in steps])


def _steps(
    module: AutoencoderModule, x: Tensor, n_steps: int, seed: int, residuals: Tensor | None
) -> Iterator[ChainStep]:
    for step in range(n_steps):
        randomness = Randomness(seed, "chain", step)
        with torch.no_grad():
            outputs = _outputs(module, x, randomness)
            mean, chance = module.likelihood.mean(outputs), randomness.at("draw")
            if residuals is None:
                x = module.likelihood.draw(outputs, chance)
            else:
                noise = chance.normal((len(x), len(residuals)), like=x) @ residuals.T
                x = mean + noise.reshape(x.shape)
        yield ChainStep(mean, x)


def residual_noise(module: AutoencoderModule, x: Tensor, *, seed: int) -> Tensor:
    """Estimate how clean rows lie around the model's reconstructions of corrupted ones.

    Each row is corrupted once; the matrix L with ``L L' = mean of (x - r(x~)) (x - r(x~))'`` is what
    :func:`chain` multiplies standard normal numbers by. At the best linear r this is the exact
    covariance of a clean row given a corrupted one, if the data are normal; otherwise the same
    covariance for all rows is an approximation.

    Parameters
    ----------
    module
        Trained with a corruption.
    x
        Clean rows, ``(rows, *sample_shape)`` in model units; more of them than values a row.
    seed
        Of the corruption.

    Returns
    -------
    Tensor
        ``(n_values, n_values)``, in model units.
    """
    if module.corruption is None:
        raise ParameterError(
            "residual_noise: expected a model with a corruption, got one without. "
            "Fit one with corruption='gaussian_noise'."
        )
    with torch.no_grad():
        mean = module.likelihood.mean(_outputs(module, x, Randomness(seed, "residuals")))
        missed = (x - mean).flatten(1)
        values, vectors = torch.linalg.eigh(missed.T @ missed / len(x))
        return vectors * values.clamp(min=0).sqrt()


def _outputs(module: AutoencoderModule, x: Tensor, randomness: Randomness) -> Tensor:
    """The decoder's outputs for x corrupted, with a draw of the code where it has a distribution."""
    shown = x if module.corruption is None else module.corruption(x, randomness.at("corruption"))
    pre_code, context = module.encoder(shown)
    code = module.code(pre_code, randomness.at("code")).value[:: module.code.n_draws]
    return module.decoder(code, context)

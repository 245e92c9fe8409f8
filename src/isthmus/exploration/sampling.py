"""New examples: codes from a prior, decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ParameterError
from isthmus.exploration.priors import Prior
from isthmus.inference import Inference
from isthmus.numerics.randomness import Randomness


def sample(
    inference: Inference,
    n: int,
    prior: Prior,
    *,
    seed: int,
    noise: bool = False,
    labels: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """New examples in model units, ``(n, *model_shape)``: ``g(h)`` with h drawn from the prior.

    Parameters
    ----------
    n
        How many, at least 1.
    prior
        Where codes come from.
    seed
        Root of all draws.
    noise
        Whether to draw each example from the likelihood at ``g(h)``, as the model states it; without
        it, its mean, which is smoother than the data and varies less: of a linear model ``W W'``
        instead of ``W W' + scale^2 I``.
    labels
        What a conditional model is to make, ``(n,)``.

    Raises
    ------
    ParameterError
        If n is not at least 1, or noise is asked of a loss that is no density (squared error).
    """
    if n < 1:
        raise ParameterError(f"sample: the number of examples must be at least 1, got {n}. Try 16.")
    root = Randomness(seed, "sample")
    codes = prior.sample(n, root.at("codes"))
    return inference.decode_model_units(codes, noise=root.at("noise") if noise else None, labels=labels)

"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from typing import Literal


def rate_factor(
    step: int, n_steps: int, warm_up_share: float, schedule: Literal["cosine", "constant"]
) -> float:
    """Share of the highest rate at ``step`` of ``n_steps``, counted from 0; in (0, 1].

    It rises linearly over the warm-up and then falls as half a cosine to nothing, or stays.
    Source: Loshchilov and Hutter (2017), equation 5; warm-up: Goyal et al. (2017), section 2.2.

    >>> [round(rate_factor(s, 100, 0.1, "cosine"), 3) for s in (0, 9, 55, 99)]
    [0.1, 1.0, 0.5, 0.0]
    """
    warm_up = round(warm_up_share * n_steps)
    if step < warm_up:
        return (step + 1) / warm_up
    if schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (step - warm_up) / max(1, n_steps - warm_up))) / 2

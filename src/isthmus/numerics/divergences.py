"""Divergences between distributions, in closed form, in nats."""

from __future__ import annotations

from torch import Tensor


def kl_from_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """``KL(N(mean, exp(log_variance)) || N(0, 1))`` for each element.

    ``(mean^2 + variance - 1 - ln variance) / 2``; zero exactly at mean 0 and variance 1. Source:
    Kingma and Welling (2014), appendix B. Any shape in, the same shape out.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2

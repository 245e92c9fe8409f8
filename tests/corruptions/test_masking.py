"""Masking: the share hidden, nothing rescaled."""

from __future__ import annotations

import math

import pytest
import torch

from isthmus.corruptions.masking import Masking
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_corruption

torch.set_num_threads(1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(6, 50), (4, 2, 6, 7)])
def test_laws(share: float, shape: tuple[int, ...]) -> None:
    check_corruption(Masking(share), torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0.1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.75])
def test_values_are_hidden_or_kept_as_they_are(share: float) -> None:
    x = torch.randn(200, 500, generator=torch.Generator().manual_seed(0))
    shown = Masking(share)(x, Randomness(0))
    hidden = shown == 0
    assert torch.equal(shown[~hidden], x[~hidden])
    assert abs(hidden.double().mean() - share) <= 4 * math.sqrt(share * (1 - share) / x.numel())


def test_values_are_hidden_independently() -> None:
    hidden = (Masking(0.5)(torch.ones(20_000, 3), Randomness(0)) == 0).double()
    covariance = torch.cov(hidden.T)
    torch.testing.assert_close(
        covariance, torch.eye(3, dtype=torch.float64) / 4, rtol=0, atol=4 / 4 / math.sqrt(20_000)
    )

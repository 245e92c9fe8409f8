"""Gaussian noise: its mean and scale."""

from __future__ import annotations

import math

import pytest
import torch

from isthmus.corruptions.gaussian_noise import GaussianNoise
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_corruption

torch.set_num_threads(1)


@pytest.mark.parametrize("scale", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("shape", [(6, 50), (4, 2, 6, 7)])
def test_laws(scale: float, shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    check_corruption(GaussianNoise(scale), x)
    check_corruption(GaussianNoise(scale, 0.1), x)


def test_noise_has_its_mean_and_scale() -> None:
    x = torch.full((500, 200), 7.0, dtype=torch.float64)
    noise = GaussianNoise(0.3)(x, Randomness(0)) - x
    n = noise.numel()
    assert abs(noise.mean()) < 4 * 0.3 / math.sqrt(n)
    assert abs(noise.var() / 0.09 - 1) < 4 * math.sqrt(2 / n)


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_the_scale_goes_from_first_to_last(progress: float) -> None:
    noise = GaussianNoise(0.8, 0.0)(torch.zeros(500, 200).double(), Randomness(0), progress)
    scale = 0.8 * (1 - progress)
    assert abs(noise.std() - scale) <= 4 * scale / math.sqrt(2 * noise.numel())
    assert GaussianNoise(0.8, 0.0).scale_at(progress) == pytest.approx(scale)

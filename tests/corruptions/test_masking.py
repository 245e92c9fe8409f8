"""Masking: the share hidden, nothing rescaled, channels apart or together."""

from __future__ import annotations

import math

import pytest
import torch

from isthmus.config import Model
from isthmus.config.parts import corruptions
from isthmus.config.parts.networks import Dense
from isthmus.corruptions.masking import Masking
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_corruption

torch.set_num_threads(1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(6, 50), (4, 2, 6, 7), (4, 3, 20)])
@pytest.mark.parametrize("more", [{}, {"final_hidden_share": 0.3, "emphasis": 0.5}, {"whole_pixels": True}])
def test_laws(share: float, shape: tuple[int, ...], more: dict[str, object]) -> None:
    if more.get("whole_pixels") and len(shape) == 2:
        return
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0.1
    check_corruption(Masking(share, **more), x)
    check_corruption(Masking(share, **more), x.double())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.75])
def test_values_are_hidden_or_kept_as_they_are(share: float) -> None:
    x = torch.randn(200, 500, generator=torch.Generator().manual_seed(0))
    shown = Masking(share)(x, Randomness(0))
    hidden = shown == 0
    assert torch.equal(shown[~hidden], x[~hidden])
    assert torch.equal(hidden, Masking(share).touched(x, Randomness(0)))
    assert abs(hidden.double().mean() - share) <= 4 * math.sqrt(share * (1 - share) / x.numel())


def test_values_are_hidden_independently() -> None:
    hidden = (Masking(0.5)(torch.ones(20_000, 3), Randomness(0)) == 0).double()
    covariance = torch.cov(hidden.T)
    torch.testing.assert_close(
        covariance, torch.eye(3, dtype=torch.float64) / 4, rtol=0, atol=4 / 4 / math.sqrt(20_000)
    )


def test_whole_pixels_hide_their_channels_together() -> None:
    x = torch.ones(50, 3, 16, 16)
    shown = Masking(0.3, whole_pixels=True)(x, Randomness(0))
    assert torch.equal(shown, shown[:, :1].expand_as(shown))
    assert abs((shown[:, 0] == 0).double().mean() - 0.3) <= 4 * math.sqrt(0.21 / shown[:, 0].numel())
    apart = Masking(0.3)(x, Randomness(0))
    assert not torch.equal(apart, apart[:, :1].expand_as(apart))


def test_whole_pixels_of_vectors_are_refused_before_the_first_step() -> None:
    model = Model(
        code_size=2,
        network=Dense(()),
        likelihood="squared_error",
        corruption=corruptions.Masking(whole_pixels=True),
    )
    with pytest.raises(ParameterError, match="whole_pixels wants pictures or sequences with channels, got"):
        build(model, (6,), seed=0)


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_the_share_goes_from_first_to_last(progress: float) -> None:
    x = torch.ones(200, 500)
    hidden = Masking(0.8, 0.2).touched(x, Randomness(0), progress).double().mean()
    share = 0.8 - 0.6 * progress
    assert abs(hidden - share) <= 4 * math.sqrt(share * (1 - share) / x.numel())


@pytest.mark.parametrize("emphasis", [0.0, 0.25, 1.0])
def test_hidden_values_count_more(emphasis: float) -> None:
    """By hand: the squared error of a row, its kept values weighed by ``1 - emphasis``."""
    described = corruptions.Masking(0.4, emphasis=emphasis)
    model = Model(code_size=2, network=Dense(()), likelihood="squared_error", corruption=described)
    module = build(model, (6,), seed=0).double()
    x = Randomness(0).normal((5, 6)).double() + 3
    shown = module.corruption(x, Randomness(0, "training", 7, "corruption"))
    error = (module.reconstruct(shown) - x).square()
    expected = (error * torch.where(shown == 0, 1.0, 1 - emphasis)).sum(dim=1).mean()
    torch.testing.assert_close(module.objective(x, 7).loss, expected)

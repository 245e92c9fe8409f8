"""Salt and pepper: half each, the ends that were asked for or that the data have."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from isthmus.config import Config, Model
from isthmus.config.parts import corruptions
from isthmus.config.parts.networks import Dense
from isthmus.corruptions.salt_and_pepper import SaltAndPepper
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.sources import ArraySource
from isthmus.testing import check_corruption
from isthmus.workflows.fit import prepare

torch.set_num_threads(1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("shape", [(6, 50), (4, 2, 6, 7), (4, 3, 20)])
@pytest.mark.parametrize(
    "more", [{}, {"final_replaced_share": 0.3, "emphasis": 0.5}, {"low": -2.0, "whole_pixels": True}]
)
def test_laws(share: float, shape: tuple[int, ...], more: dict[str, object]) -> None:
    if more.get("whole_pixels") and len(shape) == 2:
        return
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    check_corruption(SaltAndPepper(share, **more), x)
    check_corruption(SaltAndPepper(share, **more), x.double())


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_half_of_the_replaced_values_go_to_each_end(progress: float) -> None:
    x = torch.full((200, 500), 0.5, dtype=torch.float64)
    part = SaltAndPepper(0.6, 0.2, low=-1.5, high=2.5)
    shown = part(x, Randomness(0), progress)
    share = 0.6 - 0.4 * progress
    for end in (-1.5, 2.5):
        got = (shown == end).double().mean()
        assert abs(got - share / 2) <= 4 * math.sqrt(share / 2 * (1 - share / 2) / x.numel())
    touched = part.touched(x, Randomness(0), progress)
    assert torch.equal(touched, shown != 0.5)


def test_whole_pixels_go_to_one_end_together() -> None:
    shown = SaltAndPepper(0.5, whole_pixels=True)(torch.full((20, 3, 9, 9), 0.5), Randomness(0))
    assert torch.equal(shown, shown[:, :1].expand_as(shown))


@pytest.mark.parametrize("emphasis", [0.0, 0.25, 1.0])
def test_replaced_values_count_more(emphasis: float) -> None:
    described = corruptions.SaltAndPepper(0.4, low=-9, high=9, emphasis=emphasis)
    model = Model(code_size=2, network=Dense(()), likelihood="squared_error", corruption=described)
    module = build(model, (6,), seed=0).double()
    x = Randomness(0).normal((5, 6)).double()
    shown = module.corruption(x, Randomness(0, "training", 7, "corruption"))
    error = (module.reconstruct(shown) - x).square()
    expected = (error * torch.where(shown.abs() == 9, 1.0, 1 - emphasis)).sum(dim=1).mean()
    torch.testing.assert_close(module.objective(x, 7).loss, expected)


def prepared_ends(rows: np.ndarray, **data: str) -> tuple[float, float]:
    model = Model(code_size=2, network=Dense((4,)), corruption="salt_and_pepper")
    config = Config(model=model).with_training(seed=0).with_data(**data)
    module = prepare(ArraySource(rows), config).model.module
    return module.corruption.low, module.corruption.high


def test_the_ends_come_from_the_scaling() -> None:
    random = np.random.default_rng(0)
    assert prepared_ends(random.integers(0, 256, (20, 4, 4), dtype=np.uint8)) == (0.0, 1.0)
    assert prepared_ends(random.normal(size=(20, 5)), scaling="range") == (0.0, 1.0)
    assert prepared_ends(random.integers(0, 2, (20, 5)).astype(np.float64)) == (0.0, 1.0)


def test_columns_without_ends_are_refused_in_one_sentence() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 5)) * [1, 10, 100, 1, 1]
    with pytest.raises(ParameterError, match="want data scaled to a range, got standardised or raw values"):
        prepared_ends(rows)
    with pytest.raises(ParameterError, match="low and high must be chosen first, got 'auto'"):
        build(
            Model(code_size=2, likelihood="squared_error", corruption="salt_and_pepper", network=Dense(())),
            (5,),
            seed=0,
        )


def test_ends_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"low must be under high, got 2.0 and 1.0\. Exchange them\."):
        corruptions.SaltAndPepper(low=2, high=1)
    with pytest.raises(ParameterError, match="must both be numbers or both 'auto'"):
        corruptions.SaltAndPepper(low=2)

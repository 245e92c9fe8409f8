"""Blocks: exact sides, one piece, every place alike."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isthmus.config import Model
from isthmus.config.parts import corruptions
from isthmus.config.parts.networks import Dense
from isthmus.corruptions.block import Block, sides_of
from isthmus.errors import ParameterError
from isthmus.model.build import build
from isthmus.numerics.randomness import Randomness
from isthmus.testing import check_corruption

torch.set_num_threads(1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("shape", [(6, 50), (4, 2, 6, 7), (4, 3, 20), (4, 2, 5, 6, 7)])
@pytest.mark.parametrize("more", [{}, {"final_hidden_share": 0.3, "emphasis": 0.5}])
def test_laws(share: float, shape: tuple[int, ...], more: dict[str, object]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0.1
    check_corruption(Block(share, **more), x)
    check_corruption(Block(share, **more), x.double())


@pytest.mark.parametrize(
    ("shape", "share", "sides"),
    [
        ((3, 28, 28), 0.25, (14, 14)),
        ((1, 20, 10), 0.25, (10, 5)),
        ((2, 100), 0.07, (7,)),
        ((64,), 0.5, (32,)),
        ((1, 8, 8), 0.001, (1, 1)),
    ],
)
def test_each_example_loses_one_block_of_exact_sides(
    shape: tuple[int, ...], share: float, sides: tuple[int, ...]
) -> None:
    hidden = Block(share)(torch.ones(50, *shape), Randomness(0)) == 0
    if len(shape) > 1:
        assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))
        hidden = hidden[:, 0]
    for one in hidden:
        where = one.nonzero()
        assert len(where) == math.prod(sides)
        assert tuple((where.amax(dim=0) - where.amin(dim=0) + 1).tolist()) == sides


@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.floats(0.001, 0.99))
def test_the_block_is_as_large_as_whole_sides_allow(places: list[int], share: float) -> None:
    """Off by at most half a layer of the last axis, or one place at least, or the whole last axis."""
    sides = sides_of(places, share)
    assert all(1 <= side <= length for side, length in zip(sides, places, strict=True))
    layer, wanted = math.prod(sides[:-1]), share * math.prod(places)
    if 1 < sides[-1] < places[-1]:
        assert abs(math.prod(sides) - wanted) <= layer / 2 + 1e-9 * wanted


def test_every_place_is_equally_likely() -> None:
    n, places = 40_000, 8
    hidden = Block(0.25).touched(torch.ones(n, places), Randomness(0))
    first = hidden.int().argmax(dim=1)
    share = torch.bincount(first, minlength=places).double() / n
    expected = torch.tensor([1 / 7] * 7 + [0.0], dtype=torch.float64)
    torch.testing.assert_close(share, expected, rtol=0, atol=4 * math.sqrt(1 / 7 * 6 / 7 / n))


def test_the_block_shrinks_over_the_training() -> None:
    x, part = torch.ones(3, 1, 20, 20), Block(0.64, 0.0)
    for progress, side in ((0.0, 16), (0.75, 8), (1.0, 0)):
        hidden = part.touched(x, Randomness(0), progress)
        assert hidden.sum(dim=(1, 2, 3)).tolist() == [side**2] * 3


@pytest.mark.parametrize("emphasis", [0.0, 0.25, 1.0])
def test_the_hidden_piece_counts_more(emphasis: float) -> None:
    described = corruptions.Block(0.4, emphasis=emphasis)
    model = Model(code_size=2, network=Dense(()), likelihood="squared_error", corruption=described)
    module = build(model, (6,), seed=0).double()
    x = Randomness(0).normal((5, 6)).double() + 9
    shown = module.corruption(x, Randomness(0, "training", 7, "corruption"))
    error = (module.reconstruct(shown) - x).square()
    expected = (error * torch.where(shown == 0, 1.0, 1 - emphasis)).sum(dim=1).mean()
    torch.testing.assert_close(module.objective(x, 7).loss, expected)


def test_a_block_that_hides_everything_is_refused() -> None:
    model = Model(code_size=1, network=Dense(()), likelihood="squared_error", corruption="block")
    with pytest.raises(ParameterError, match=r"must leave something of examples of shape 1, got 0\.25"):
        build(model, (1,), seed=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: corruptions.Block(0, emphasis=1),
        lambda: corruptions.Masking(0.5, 0.0, emphasis=1),
        lambda: corruptions.SaltAndPepper(0.0, 0.5, emphasis=1),
    ],
)
def test_a_loss_in_which_nothing_counts_is_refused(make) -> None:
    with pytest.raises(ParameterError, match="must be above 0 from first to last where emphasis is 1"):
        make()

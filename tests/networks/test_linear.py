"""Dense layers behind maps and before them are those of flattened maps, however maps lie in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from isthmus.networks.linear import FromMaps, ToMaps
from isthmus.numerics.randomness import Randomness

SHAPES = [(3, 4, 5), (1, 4, 5), (3, 1, 1), (3, 7)]


def normal(*shape: int) -> Tensor:
    return Randomness(len(shape)).normal(shape).double()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_from_maps_is_the_layer_of_flattened_maps(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    layer, maps = FromMaps(torch.Size(shape).numel(), 6).double(), normal(2, *shape)
    if len(shape) == 3:
        maps = maps.contiguous(memory_format=layout)
    maps.requires_grad_()
    twin = nn.functional.linear(maps.flatten(1), layer.weight, layer.bias)
    check_alike(layer(maps), twin, [maps, *layer.parameters()])


@pytest.mark.parametrize("shape", SHAPES)
def test_to_maps_is_the_layer_of_flattened_maps(shape: tuple[int, ...]) -> None:
    layer, h = ToMaps(6, shape).double(), normal(2, 6).requires_grad_()
    twin = nn.functional.linear(h, layer.weight, layer.bias).unflatten(1, shape)
    found = layer(h)
    assert len(shape) != 3 or found.is_contiguous(memory_format=torch.channels_last)
    check_alike(found, twin, [h, *layer.parameters()])


def check_alike(found: Tensor, twin: Tensor, wanted: list[Tensor]) -> None:
    torch.testing.assert_close(found, twin)
    towards = normal(*found.shape)
    gradients = [
        torch.autograd.grad((each * towards).sum(), wanted, retain_graph=True) for each in (found, twin)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_of_pictures_come_back_as_they_lie() -> None:
    maps = normal(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(FromMaps(60, 6).double()(maps).sum(), maps)
    assert gradient.is_contiguous(memory_format=torch.channels_last)

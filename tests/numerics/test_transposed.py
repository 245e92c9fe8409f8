"""Transposed convolution to few channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from isthmus.networks.convolution import ConvTranspose2d
from isthmus.numerics.transposed import MOST_CHANNELS, conv_transpose2d

SHAPES: list[dict[str, Any]] = [
    {"size": (7, 7), "kernel": (4, 4), "stride": (2, 2), "padding": (1, 1), "output_padding": (0, 0)},
    {"size": (5, 3), "kernel": (3, 3), "stride": (2, 2), "padding": (1, 1), "output_padding": (1, 0)},
    {"size": (4, 6), "kernel": (5, 2), "stride": (3, 1), "padding": (0, 0), "output_padding": (2, 0)},
    {"size": (1, 1), "kernel": (2, 3), "stride": (1, 1), "padding": (0, 1), "output_padding": (0, 0)},
]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_out", [1, MOST_CHANNELS, MOST_CHANNELS + 1])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_twice_are_those_of_torch(
    shape: dict[str, Any], n_out: int, has_bias: bool, memory_format: torch.memory_format
) -> None:
    given = shape["stride"], shape["padding"], shape["output_padding"]

    def all_of(function: Callable[..., Tensor]) -> list[Tensor]:
        x = numbers(3, 6, *shape["size"]).contiguous(memory_format=memory_format).requires_grad_()
        weight = numbers(6, n_out, *shape["kernel"], seed=1).requires_grad_()
        bias = numbers(n_out, seed=2).requires_grad_() if has_bias else None
        by = [x, weight] if bias is None else [x, weight, bias]
        y = function(x, weight, bias, *given)
        first = torch.autograd.grad(y.tanh().sum(), by, create_graph=True)
        with torch.no_grad():
            bare = function(x, weight, bias, *given)
        return [y, bare, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), by)]

    for ours, theirs in zip(all_of(conv_transpose2d), all_of(functional.conv_transpose2d), strict=True):
        largest = float(theirs.detach().abs().max())
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * largest)


def test_a_row_does_not_depend_on_its_neighbours_or_its_place() -> None:
    layer, x = ConvTranspose2d(32, 1, 4, 2, 1), numbers(128, 32, 14, 14)
    with torch.no_grad():
        found = layer(x)
        alone = torch.zeros_like(x)
        alone[77] = x[3]
        assert torch.equal(layer(alone)[77], found[3])


def test_transforms_and_exports_see_torchs_own() -> None:
    layer, x = ConvTranspose2d(3, 1, 4, 2, 1).eval(), numbers(2, 3, 5, 5)
    torch.testing.assert_close(torch.func.vmap(lambda row: layer(row[None])[0])(x), layer(x))
    program = torch.export.export(layer, (x,))
    assert {str(n.target) for n in program.graph.nodes if n.op == "call_function"} == {
        "aten.conv_transpose2d.input"
    }
    assert layer(x, [11, 11]).shape == (2, 1, 11, 11)

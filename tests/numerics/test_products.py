"""Large products through oneDNN."""

from __future__ import annotations

import timeit
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from isthmus.networks.linear import Linear
from isthmus.numerics import products
from isthmus.numerics.products import LEAST, is_large, large_product, linear

N, N_IN, N_OUT = 200, 150, 120
WIDENING = 32, 500
"""Inputs and outputs of a layer whose weights' gradient is made the other way round."""
needs_both = pytest.mark.skipif(
    not is_large(N, N_IN, N_OUT), reason="PyTorch has but one library for products"
)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def is_ours(x: Tensor, weight: Tensor) -> bool:
    return "_Linear" in type(linear(x.requires_grad_(), weight).grad_fn).__name__


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.detach().abs().max()))


@needs_both
def test_size_alone_chooses_the_library() -> None:
    n_in = LEAST // (2 * 100 * 100)
    assert is_large(100, n_in, 100)
    assert not is_large(100, n_in - 1, 100)
    assert is_ours(numbers(100, n_in), numbers(100, n_in))
    assert not is_ours(numbers(100, n_in - 1), numbers(100, n_in - 1))
    assert not is_large(0, 10**9, 1)


@pytest.mark.parametrize("rows", [(N,), (4, N // 4), (2, 5, N // 10)])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("size", [(N_IN, N_OUT), WIDENING])
def test_values_and_gradients_twice_are_those_of_torch(
    rows: tuple[int, ...], has_bias: bool, is_tied: bool, size: tuple[int, int]
) -> None:
    n_in, n_out = size

    def all_of(product: Callable[..., Tensor]) -> list[Tensor]:
        x = numbers(*rows, n_in, seed=1).requires_grad_()
        held = numbers(n_in, n_out, seed=2) if is_tied else numbers(n_out, n_in, seed=2)
        held.requires_grad_()
        bias = numbers(n_out, seed=3).requires_grad_() if has_bias else None
        given = [x, held] if bias is None else [x, held, bias]
        y = product(x, held.t() if is_tied else held, bias)
        first = torch.autograd.grad(y.tanh().sum(), given, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), given)
        return [y, *first, *second]

    for ours, theirs in zip(all_of(linear), all_of(functional.linear), strict=True):
        assert ours.shape == theirs.shape
        close(ours, theirs)


@needs_both
def test_an_own_product_is_near_that_of_double_precision() -> None:
    x, weight = numbers(N, N_IN), numbers(N_OUT, N_IN, seed=1)
    close(large_product(x, weight), (x.double() @ weight.double().t()).float())
    close(large_product(x.t().contiguous().t(), weight.t().contiguous().t()), large_product(x, weight))


@needs_both
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [(N_IN, N_OUT), WIDENING])
def test_the_gradient_of_a_weight_lies_as_the_weight_does(turned: bool, size: tuple[int, int]) -> None:
    n_in, n_out = size
    x = numbers(N, n_in)
    held = numbers(n_in, n_out).t() if turned else numbers(n_out, n_in)
    weight = held.requires_grad_()
    (gradient,) = torch.autograd.grad(linear(x, weight).sum(), weight)
    assert gradient.stride() == weight.stride()


@needs_both
@pytest.mark.parametrize("gap", [0, 1, 4])
def test_matrices_and_a_bias_with_gaps_between_their_numbers(gap: int) -> None:
    """As weights beside their bias have them: read right, and not number by number, in a thousand times as long."""
    x, joined = numbers(N, N_IN + gap)[:, :N_IN], numbers(N_OUT, N_IN + 1 + gap, seed=1)
    weight, bias = joined[:, :N_IN], joined[:, N_IN]
    expected = functional.linear(x, weight, bias)
    close(large_product(x, weight, bias), expected)
    close(linear(x, weight, bias), expected)
    close(large_product(weight, x), functional.linear(weight, x))
    close(large_product(x.t(), numbers(40, N, seed=2)), functional.linear(x.t(), numbers(40, N, seed=2)))
    seconds = [min(timeit.repeat(call, number=3, repeat=3)) for call in (
        lambda: large_product(x, weight, bias), lambda: functional.linear(x, weight, bias)
    )]  # fmt: skip
    assert seconds[0] < 20 * seconds[1]


@needs_both
@pytest.mark.parametrize("n_in", [784, 513, 151, 66])
def test_a_row_does_not_depend_on_its_neighbours_or_its_place(n_in: int) -> None:
    rows, weight, bias = numbers(128, n_in), numbers(512, n_in, seed=1), numbers(512, seed=2)
    found = large_product(rows, weight, bias)
    order = torch.randperm(128, generator=torch.Generator().manual_seed(0))
    assert torch.equal(large_product(rows[order], weight, bias), found[order])
    alone = torch.zeros_like(rows)
    alone[77] = rows[3]
    assert torch.equal(large_product(alone, weight, bias)[77], found[3])


@needs_both
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch, of its own
def test_who_looks_at_products_sees_those_of_torch() -> None:
    x, weight = numbers(N, N_IN), numbers(N_OUT, N_IN, seed=1)

    def total(x: Tensor) -> Tensor:
        return linear(x, weight).tanh().sum(0)

    def theirs(x: Tensor) -> Tensor:
        return functional.linear(x, weight).tanh().sum(0)

    close(torch.func.jacrev(total)(x), torch.func.jacrev(theirs)(x))
    close(*(torch.func.jvp(f, (x,), (x,))[1] for f in (total, theirs)))
    close(*(torch.func.vmap(f, in_dims=1)(numbers(N, 3, N_IN)) for f in (total, theirs)))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        close(*(forward_ad.unpack_dual(f(dual)).tangent for f in (total, theirs)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
    assert linear(x.to("meta"), weight.to("meta")).device.type == "meta"
    assert linear(x.double(), weight.double()).dtype == torch.float64


@needs_both
@pytest.mark.parametrize("vectorize", [True, False])
def test_jacobians_keep_their_graph(vectorize: bool) -> None:
    x, weight = numbers(N, N_IN), numbers(N_OUT, N_IN, seed=1).requires_grad_()

    def gradient(product: Callable[..., Tensor]) -> Tensor:
        full = torch.autograd.functional.jacobian(
            lambda x: product(x, weight).tanh().sum(0), x, create_graph=True, vectorize=vectorize
        )
        assert isinstance(full, Tensor)
        return torch.autograd.grad(full.square().sum(), weight)[0]

    close(gradient(linear), gradient(functional.linear))


@needs_both
def test_where_onednn_is_off_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert not is_large(N, N_IN, N_OUT)
    assert not is_ours(numbers(N, N_IN), numbers(N_OUT, N_IN))


def test_without_onednn_all_products_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_pointwise", None)
    layer = Linear(N_IN, N_OUT)
    x = numbers(N, N_IN)
    assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))


def test_the_layer_is_exported_as_torchs_own() -> None:
    layer, x = Linear(N_IN, N_OUT).eval(), numbers(N, N_IN)
    program = torch.export.export(layer, (x,))
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert names == {"aten.linear.default"}
    close(program.module()(x), layer(x))

"""Dense layers called one after the other, without what a module's call costs.

A batch of a small network is almost all overhead: of modules that call modules, of a mode that looks at
every call of torch, of weights that are filled up again for each batch. Where an autoencoder is dense layers,
its results have the same bits from bare calls of them, in a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from isthmus.inference.aligned import filled
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import DenseDecoder, DenseEncoder, TiedLinear
from isthmus.networks.linear import Linear
from isthmus.numerics.products import is_large, large_product
from isthmus.numerics.randomness import Randomness

BATCH = 128
"""Rows a batch, always: a shorter batch would compute other last bits. The last one is padded."""
AT_ONCE = 1024
"""Rows that are multiplied at once where that gives the bits of their batches: what a cache holds of a narrow layer."""

Step = Callable[[Tensor], Tensor]
Product = Callable[[Tensor, Tensor, Tensor], Tensor]


class Bare(NamedTuple):
    """Two steps whose results are those of a function of the module, bit for bit."""

    ready: Step
    """Of any number of rows: no sums, so that it may be taken of many batches at once."""
    run: Step
    """Of a batch of rows that are ready."""
    shapes: Sequence[tuple[int, int]]
    """Of the weights, ``(n_out, n_in)``."""


class _Half(NamedTuple):
    """Encoder or decoder."""

    run: Step
    shapes: Sequence[tuple[int, int]]


def bare(module: AutoencoderModule, function: object) -> Bare | None:
    """What gives of rows the bits that ``function(module, x)`` gives, where that is dense layers; else None.

    ``function`` is one of :class:`AutoencoderModule`'s own: encode, decode or reconstruct. Gaps count as
    dense, labels do not. Weights are taken as they are now: one that is kept would not see them move.
    """
    halves: list[_Half | None] = []
    if function in (AutoencoderModule.encode, AutoencoderModule.reconstruct):
        halves.append(_encode(module))
    if function in (AutoencoderModule.decode, AutoencoderModule.reconstruct):
        halves.append(_decode(module))
    found = [half for half in halves if half is not None]
    if not found or len(found) < len(halves) or module.condition is not None or not _is_plain(module):
        return None
    gaps, first, last = module.gaps, found[0].run, found[-1].run

    def ready(x: Tensor) -> Tensor:
        return filled(x.flatten(1) if gaps is None else gaps(x))

    return Bare(
        filled if function is AutoencoderModule.decode else ready,
        first if len(found) == 1 else lambda x: last(first(x)),
        [shape for half in found for shape in half.shapes],
    )


def rows_at_once(shapes: Sequence[tuple[int, int]]) -> int:
    """How many rows may be multiplied at once by weights of these shapes, with the bits that each batch would have.

    A product of more rows might be cut up otherwise, and its sums be taken in another order: whether it is, is tried.
    Where a batch is a large product, more rows would take memory and gain nothing.
    """
    if any(is_large(BATCH, n_in, n_out) for n_out, n_in in shapes):
        return BATCH
    threads = torch.get_num_threads()
    return AT_ONCE if all(_is_alike(n_in, n_out, threads) for n_out, n_in in set(shapes)) else BATCH


@cache
def _is_alike(n_in: int, n_out: int, threads: int) -> bool:
    """Whether a small product has for many rows the bits of its batches, with so many threads."""
    chance = Randomness(n_in, "products", n_out, threads)
    x, weight, bias = (
        chance.at(i).normal(shape) for i, shape in enumerate([(AT_ONCE, n_in), (n_out, n_in), (n_out,)])
    )
    batches = torch.cat([linear(part, weight, bias) for part in x.split(BATCH)])
    return torch.equal(linear(x, weight, bias), batches)


def _is_plain(module: AutoencoderModule) -> bool:
    """Whether code, likelihood and gaps are parts of isthmus: they multiply no matrices."""
    gaps = module.gaps
    parts = (module.code, module.likelihood) if gaps is None else (module.code, module.likelihood, gaps)
    return all(type(part).__module__.startswith("isthmus.") for part in parts) and not _is_hooked(gaps)


def _encode(module: AutoencoderModule) -> _Half | None:
    encoder = module.network.encoder
    if type(encoder) is not DenseEncoder:
        return None
    layers = _chain(encoder)
    if layers is None:
        return None
    mean = module.code.mean
    return _Half(lambda x: mean(layers.run(x)), layers.shapes)


def _decode(module: AutoencoderModule) -> _Half | None:
    decoder = module.network.decoder
    if type(decoder) is not DenseDecoder:
        return None
    layers = _chain(decoder)
    if layers is None:
        return None
    mean, shape = module.likelihood.mean, decoder.output_shape
    return _Half(lambda h: mean(layers.run(h).unflatten(1, shape)), layers.shapes)


def _chain(half: DenseEncoder | DenseDecoder) -> _Half | None:
    """``W_n act(.. act(W_1 a + b_1) ..) + b_n``, all lengths filled up; None if a layer is of another kind."""
    bent = half.activation.function
    if _is_hooked(half) or _is_hooked(half.activation):
        return None
    held: list[tuple[Product, Tensor, Tensor]] = []
    for layer in half.layers:
        if type(layer) not in (Linear, TiedLinear) or _is_hooked(layer):
            return None
        weight, bias = layer.weight, layer.bias
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
            return None
        weight = filled(weight)
        n_out, n_in = weight.shape
        held.append((large_product if is_large(BATCH, n_in, n_out) else linear, weight, bias))
    *hidden, (last_product, last, end) = held

    def run(a: Tensor) -> Tensor:
        for product, weight, bias in hidden:
            a = bent(product(filled(a), weight, bias))
        return last_product(filled(a), last, end)

    return _Half(run, [(len(weight), weight.shape[1]) for _, weight, _ in held])


def _is_hooked(module: nn.Module | None) -> bool:
    """Whether somebody wants to know when a module is called, or to change what it gives."""
    if module is None:
        return False
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]

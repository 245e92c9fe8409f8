"""Dense layers called one after the other, without what a module's call costs.

A batch of a small network is almost all overhead: of modules that call modules, of a mode that looks at
every call of torch, of weights that are filled up again for each batch. Where an autoencoder is dense layers,
its results have the same bits from bare calls of them, in a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from isthmus.inference.aligned import FEW, filled, filled_weight, lengthened
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import DenseDecoder, DenseEncoder, TiedLinear
from isthmus.networks.linear import Linear
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.products import is_large, large_product
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads
from isthmus.shapes import Shape

BATCH = 128
"""Rows a batch, always: a shorter batch would compute other last bits. The last one is padded."""
FEW_AT_ONCE, MANY_AT_ONCE = 2048, 8192
"""Rows that are multiplied at once where that gives the bits of their batches, of some rows and of many."""
LARGE_AT_ONCE = 256
"""The same where a batch's product is large: more would be no faster."""
VALUES_AT_ONCE = 1 << 21
"""Of the widest layer, at most."""
PIECES = 4
"""Of as many rows at once, for each thread, before they are taken: so that none waits long for the last."""

Step = Callable[[Tensor], Tensor]
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Pass(NamedTuple):
    """What a module makes of rows."""

    x: Tensor
    """Themselves, ``(rows, *model_shape)``."""
    code: Tensor
    """``(rows, code_size)``; of a distribution its mean."""
    outputs: Tensor
    """The decoder's, of the code alone."""
    context: Any = None
    """What the encoder gives beside the code."""


@dataclass(frozen=True, slots=True)
class OfPass:
    """A function of a module and rows that takes their pass through it: what it gives of a row is of that row alone."""

    function: Callable[[AutoencoderModule, Pass], Tensor]
    """Multiplies no matrices."""

    def __call__(self, module: AutoencoderModule, x: Tensor) -> Tensor:
        """What it gives of rows, ``(rows, ...)``."""
        pre_code, context = module.encoder(x)
        code = module.code.mean(pre_code)
        return self.function(module, Pass(x, code, module.decoder(code), context))


class Bare(NamedTuple):
    """Steps whose results are those of a function of the module, bit for bit."""

    ready: Callable[[Tensor, int], Tensor]
    """Of any number of rows, and with so many more of zeros: no sums, so that it may be taken of many at once."""
    run: Callable[[Tensor], Any]
    """Of :data:`BATCH` rows that are ready, or of as many as may be multiplied at once."""
    end: Callable[[Tensor, Sequence[Any]], Tensor]
    """Of rows and of all that was run of them and of those behind them: the result, ``(rows, ...)``."""
    n_at_once: int
    """How many rows may be multiplied at once."""
    is_alone: bool
    """Whether that is done on one thread, so that others may run others: of few rows it is not."""


class _Layer(NamedTuple):
    n_in: int
    weight: Tensor
    """Filled up."""
    bias: Tensor
    is_wider: bool
    """Whether it has more outputs than are its own, and the bias is added to these."""
    is_large: bool
    """Whether a batch's product is."""


class _Half(NamedTuple):
    """Encoder or decoder: ``W_n act(.. act(W_1 a + b_1) ..) + b_n``."""

    layers: list[_Layer]
    bend: Step
    """The activation, written over what it is of where it can be."""
    output_shape: Shape | None = None
    """Of a decoder."""


class _Way(NamedTuple):
    """How rows are multiplied with a layer's weight."""

    product: Product
    is_filled: bool
    """Whether both are filled up for it."""


def bare(  # noqa: PLR0911
    module: AutoencoderModule, function: object, n_rows: int = BATCH
) -> Bare | None:
    """What gives of rows the bits that ``function(module, x)`` gives, where that is dense layers; else None.

    ``function`` is one of :class:`AutoencoderModule`'s own, encode, decode or reconstruct, or :class:`OfPass`.
    Gaps count as dense, labels do not. Weights are taken as they are now: one that is kept would not see them
    move. ``n_rows`` is how many there will be: of few none are multiplied at once.
    """
    code, likelihood, gaps = module.code, module.likelihood, module.gaps
    parts = (code, likelihood) if gaps is None else (code, likelihood, gaps)
    if module.condition is not None or not all(map(_is_plain, parts)):
        return None
    network = module.network
    encoder, decoder, of_code, of_outputs = network.encoder, network.decoder, code.mean, likelihood.mean

    def ready(x: Tensor, more_rows: int) -> Tensor:
        x = x.flatten(1) if gaps is None else gaps(x)
        return lengthened(x, more_rows) if n_at_once else filled(x, more_rows)

    if function is AutoencoderModule.encode:
        wanted = [encoder]
    elif function is AutoencoderModule.decode:
        wanted = [decoder]
    elif function is AutoencoderModule.reconstruct or isinstance(function, OfPass):
        wanted = [encoder, decoder]
    else:
        return None
    halves = [half for half in map(_half, wanted) if half is not None]
    if len(halves) < len(wanted):
        return None
    n_at_once = _rows_at_once([layer for half in halves for layer in half.layers], n_rows)
    runs = [_run(half, n_at_once) for half in halves]
    how = (n_at_once or BATCH, n_at_once is not None)
    encode, decode = runs[0], runs[-1]
    if function is AutoencoderModule.encode:
        return Bare(ready, lambda x: of_code(encode(x)), _together, *how)
    if function is AutoencoderModule.decode:
        return Bare(lengthened if n_at_once else filled, lambda h: of_outputs(decode(h)), _together, *how)

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        h = of_code(encode(x))
        return h, decode(h)

    if isinstance(function, OfPass):
        return Bare(ready, both, partial(_of_passes, module, function), *how)
    return Bare(ready, lambda x: of_outputs(both(x)[1]), _together, *how)


def _together(x: Tensor, found: Sequence[Tensor]) -> Tensor:
    return _joined(found)[: x.shape[0]]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _of_passes(
    module: AutoencoderModule, of: OfPass, x: Tensor, found: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    code, outputs = map(_joined, zip(*found, strict=True))
    n_rows = x.shape[0]
    # Of what is left over, vector instructions would leave numbers to others, which round otherwise.
    x = lengthened(x, outputs.shape[0] - n_rows)
    return of.function(module, Pass(x, code, outputs))[:n_rows]


@cache
def _on_one_thread(
    n_rows: int,
    sizes: tuple[int, int],
    ways: Sequence[_Way],
    of_batch: Product,
    threads: int,
    *,
    has_bias: bool,
) -> _Way | None:
    """Which way gives many rows on one thread the bits that a batch of filled rows has on ``threads``, or None.

    A product of more rows might be cut up otherwise, and its sums be taken in another order: whether they are, is
    tried.
    """
    n_in, n_out = sizes
    chance = Randomness(n_in, "products", n_out, threads)
    x, weight, some = (
        chance.at(i).normal(shape) for i, shape in enumerate([(n_rows, n_in), (n_out, n_in), (n_out,)])
    )
    bias, full, full_weight = some if has_bias else None, filled(x), filled(weight)

    def by_batch() -> Tensor:
        return torch.cat([of_batch(part, full_weight, bias) for part in full.split(BATCH)])

    def many(way: _Way) -> Tensor:
        return way.product(*((full, full_weight) if way.is_filled else (x, weight)), bias)

    batches = by_batch()
    with torch_threads(1):
        if not torch.equal(by_batch(), batches):
            return None
        return next((way for way in ways if torch.equal(many(way), batches)), None)


def _is_plain(part: nn.Module) -> bool:
    """Whether a part is isthmus's own, which multiplies no matrices; nobody listens to it, and it does not train."""
    return type(part).__module__.startswith("isthmus.") and not (part.training or _is_hooked(part))


def _half(half: nn.Module) -> _Half | None:
    """What is called of an encoder or a decoder; None if a layer is of another kind."""
    if type(half) not in (DenseEncoder, DenseDecoder):
        return None
    assert isinstance(half, DenseEncoder | DenseDecoder)
    activation, layers = half.activation, list[_Layer]()
    if _is_hooked(half) or _is_hooked(activation):
        return None
    for layer in half.layers:
        if type(layer) not in (Linear, TiedLinear) or _is_hooked(layer):
            return None
        held = layer._parameters if type(layer) is Linear else {"weight": layer.weight, "bias": layer.bias}  # pyright: ignore[reportPrivateUsage]
        weight, bias = held["weight"], held["bias"]
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
            return None
        n_out, n_in = weight.shape
        if is_large(BATCH, n_in, n_out):
            layers.append(_Layer(n_in, filled(weight), bias, False, True))
        else:
            layers.append(_Layer(n_in, filled_weight(weight), bias, n_out in FEW, False))
    known = ACTIVATIONS[activation.name]
    bend = known.in_place if activation.function is known.function else None
    return _Half(
        layers, bend or activation.function, None if isinstance(half, DenseEncoder) else half.output_shape
    )


def _rows_at_once(layers: Sequence[_Layer], n_rows: int) -> int | None:
    """How many of ``n_rows`` may be multiplied at once, on one thread; None if they are batches of all threads."""
    if n_rows < FEW_AT_ONCE:
        return None
    widest = max(max(layer.weight.shape) for layer in layers)
    if any(layer.is_large for layer in layers):
        choices = [LARGE_AT_ONCE, BATCH]
    elif n_rows >= PIECES * torch.get_num_threads() * MANY_AT_ONCE:
        choices = [MANY_AT_ONCE, FEW_AT_ONCE]
    else:
        choices = [FEW_AT_ONCE]
    for n_at_once in choices:
        fits = n_at_once * widest <= VALUES_AT_ONCE
        if fits and all(_way(layer, n_at_once) for layer in layers):
            return n_at_once
    return None


def _way(layer: _Layer, n_rows: int) -> _Way | None:
    """How so many rows are multiplied on one thread, with a batch's bits; None where nothing gives them."""
    n_out, n_in = layer.weight.shape[0], layer.n_in
    ways = [_Way(linear, True)]
    if is_large(n_rows, n_in, n_out):  # oneDNN does not mind where rows begin
        ways = [_Way(large_product, False), _Way(large_product, True), *ways]
    threads, has_bias = torch.get_num_threads(), not layer.is_wider
    return _on_one_thread(
        n_rows, (n_in, n_out), tuple(ways), _of_batch(layer).product, threads, has_bias=has_bias
    )


def _of_batch(layer: _Layer) -> _Way:
    return _Way(large_product if layer.is_large else linear, True)


def _run(half: _Half, n_at_once: int | None) -> Step:
    """The pass of :data:`BATCH` rows, and of ``n_at_once`` on one thread."""
    bend, shape = half.bend, half.output_shape

    def multiplied(layer: _Layer, n_rows: int) -> tuple[Product, bool, Tensor, Tensor, bool]:
        way = _of_batch(layer) if n_at_once is None else _way(layer, n_rows)
        assert way is not None
        weight = layer.weight if way.is_filled else layer.weight[:, : layer.n_in].contiguous()
        return way.product, way.is_filled, weight, layer.bias, layer.is_wider

    ways = {n: [multiplied(layer, n) for layer in half.layers] for n in {BATCH, n_at_once or BATCH}}

    def run(a: Tensor) -> Tensor:
        is_first = True
        for product, is_filled, weight, bias, is_wider in ways[a.shape[0]]:
            if not is_first:
                a = bend(a)
            if is_filled:
                a = filled(a)
            a = product(a, weight, None)[:, : bias.shape[0]] + bias if is_wider else product(a, weight, bias)
            is_first = False
        return a if shape is None else a.unflatten(1, shape)

    return run


def _is_hooked(module: nn.Module) -> bool:
    """Whether somebody wants to know when a module is called, or to change what it gives."""
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]

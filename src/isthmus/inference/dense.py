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
from isthmus.numerics.products import is_large, large_product
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads
from isthmus.shapes import Shape

BATCH = 128
"""Rows a batch, always: a shorter batch would compute other last bits. The last one is padded."""
FEW_AT_ONCE, MANY_AT_ONCE = 2048, 8192
"""Rows that are multiplied at once where that gives the bits of their batches, of some rows and of many."""
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


class _Layer(NamedTuple):
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
    activation: Step
    output_shape: Shape | None = None
    """Of a decoder."""


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
        return filled(x.flatten(1) if gaps is None else gaps(x), more_rows)

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
    encode, decode = runs[0], runs[-1]
    if function is AutoencoderModule.encode:
        return Bare(ready, lambda x: of_code(encode(x)), _together, n_at_once)
    if function is AutoencoderModule.decode:
        return Bare(filled, lambda h: of_outputs(decode(h)), _together, n_at_once)

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        h = of_code(encode(x))
        return h, decode(h)

    if isinstance(function, OfPass):
        return Bare(ready, both, partial(_of_passes, module, function), n_at_once)
    return Bare(ready, lambda x: of_outputs(both(x)[1]), _together, n_at_once)


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
def _at_once(
    n_rows: int, n_in: int, n_out: int, threads: int, *, is_large: bool, has_bias: bool
) -> Product | None:
    """What multiplies many rows at once on one thread with the bits that a batch has on ``threads``, or None.

    A product of more rows might be cut up otherwise, and its sums be taken in another order: whether they are, is
    tried. A batch is no large product here; ``is_large`` says whether so many rows are.
    """
    chance = Randomness(n_in, "products", n_out, threads)
    x, weight, some = (
        chance.at(i).normal(shape) for i, shape in enumerate([(n_rows, n_in), (n_out, n_in), (n_out,)])
    )
    bias = some if has_bias else None

    def by_batch() -> Tensor:
        return torch.cat([linear(part, weight, bias) for part in x.split(BATCH)])

    batches = by_batch()
    with torch_threads(1):
        if not torch.equal(by_batch(), batches):
            return None
        products: list[Product] = [large_product, linear] if is_large else [linear]
        return next((each for each in products if torch.equal(each(x, weight, bias), batches)), None)


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
            layers.append(_Layer(filled(weight), bias, False, True))
        else:
            layers.append(_Layer(filled_weight(weight), bias, n_out in FEW, False))
    return _Half(layers, activation.function, None if isinstance(half, DenseEncoder) else half.output_shape)


def _rows_at_once(layers: Sequence[_Layer], n_rows: int) -> int:
    """How many of ``n_rows`` may be multiplied at once."""
    # More rows of a large layer would take memory and gain nothing.
    if n_rows < FEW_AT_ONCE or any(layer.is_large for layer in layers):
        return BATCH
    widest = max(max(layer.weight.shape) for layer in layers)
    are_many = n_rows >= PIECES * torch.get_num_threads() * MANY_AT_ONCE
    for n_at_once in (MANY_AT_ONCE, FEW_AT_ONCE) if are_many else (FEW_AT_ONCE,):
        fits = n_at_once * widest <= VALUES_AT_ONCE
        if fits and all(_product(layer, n_at_once) for layer in layers):
            return n_at_once
    return BATCH


def _product(layer: _Layer, n_rows: int) -> Product | None:
    """What multiplies so many rows, a batch or many at once."""
    if n_rows == BATCH:
        return large_product if layer.is_large else linear
    n_out, n_in = layer.weight.shape
    threads, large = torch.get_num_threads(), is_large(n_rows, n_in, n_out)
    return _at_once(n_rows, n_in, n_out, threads, is_large=large, has_bias=not layer.is_wider)


def _run(half: _Half, n_at_once: int) -> Step:
    """The pass of :data:`BATCH` rows or of ``n_at_once``."""
    bent, shape = half.activation, half.output_shape
    layers = half.layers
    products = {n: [_product(layer, n) for layer in layers] for n in {BATCH, n_at_once}}

    def run(a: Tensor) -> Tensor:
        is_first = True
        for (weight, bias, is_wider, _), product in zip(layers, products[a.shape[0]], strict=True):
            assert product is not None
            a = filled(a if is_first else bent(a))
            a = product(a, weight, None)[:, : bias.shape[0]] + bias if is_wider else product(a, weight, bias)
            is_first = False
        return a if shape is None else a.unflatten(1, shape)

    return run


def _is_hooked(module: nn.Module) -> bool:
    """Whether somebody wants to know when a module is called, or to change what it gives."""
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]

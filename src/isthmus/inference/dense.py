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

from isthmus.inference.aligned import filled
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import DenseDecoder, DenseEncoder, TiedLinear
from isthmus.networks.linear import Linear
from isthmus.numerics.products import is_large, large_product
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads

BATCH = 128
"""Rows a batch, always: a shorter batch would compute other last bits. The last one is padded."""
AT_ONCE = 2048
"""Rows that are multiplied at once where that gives the bits of their batches: what a cache holds of a narrow layer."""

Step = Callable[[Tensor], Tensor]
Product = Callable[[Tensor, Tensor, Tensor], Tensor]


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

    ready: Step
    """Of any number of rows: no sums, so that it may be taken of many batches at once."""
    run: Callable[[Tensor], Any]
    """Of :data:`BATCH` rows that are ready, or of as many as may be multiplied at once."""
    end: Callable[[Tensor, Sequence[Any]], Tensor]
    """Of rows and of all that was run of them: the result, ``(rows, ...)``."""
    n_at_once: int
    """How many rows may be multiplied at once."""


class _Half(NamedTuple):
    """Encoder or decoder."""

    run: Step
    n_at_once: int


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

    def ready(x: Tensor) -> Tensor:
        return filled(x.flatten(1) if gaps is None else gaps(x))

    if function is AutoencoderModule.encode:
        half = _half(encoder, n_rows)
        return half and Bare(ready, lambda x: of_code(half.run(x)), _together, half.n_at_once)
    if function is AutoencoderModule.decode:
        half = _half(decoder, n_rows)
        return half and Bare(filled, lambda h: of_outputs(half.run(h)), _together, half.n_at_once)
    if function is not AutoencoderModule.reconstruct and not isinstance(function, OfPass):
        return None
    first, last = _half(encoder, n_rows), _half(decoder, n_rows)
    if first is None or last is None:
        return None

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        h = of_code(first.run(x))
        return h, last.run(h)

    n_at_once = min(first.n_at_once, last.n_at_once)
    if isinstance(function, OfPass):
        return Bare(ready, both, partial(_of_passes, module, function), n_at_once)
    return Bare(ready, lambda x: of_outputs(both(x)[1]), _together, n_at_once)


def _together(_: Tensor, found: Sequence[Tensor]) -> Tensor:
    return found[0] if len(found) == 1 else torch.cat(list(found))


def _of_passes(
    module: AutoencoderModule, of: OfPass, x: Tensor, found: Sequence[tuple[Tensor, Tensor]]
) -> Tensor:
    code, outputs = (_together(x, part) for part in zip(*found, strict=True))
    return of.function(module, Pass(x, code, outputs))


@cache
def _at_once(n_in: int, n_out: int, threads: int, *, many_are_large: bool) -> Product | None:
    """What multiplies many rows at once on one thread with the bits that a batch has on ``threads``, or None.

    A product of more rows might be cut up otherwise, and its sums be taken in another order: whether they are, is
    tried. A batch is no large product here; ``many_are_large`` says whether many rows are.
    """
    chance = Randomness(n_in, "products", n_out, threads)
    x, weight, bias = (
        chance.at(i).normal(shape) for i, shape in enumerate([(AT_ONCE, n_in), (n_out, n_in), (n_out,)])
    )

    def by_batch() -> Tensor:
        return torch.cat([linear(part, weight, bias) for part in x.split(BATCH)])

    batches = by_batch()
    with torch_threads(1):
        if not torch.equal(by_batch(), batches):
            return None
        products: list[Product] = [large_product, linear] if many_are_large else [linear]
        return next((each for each in products if torch.equal(each(x, weight, bias), batches)), None)


def _is_plain(part: nn.Module) -> bool:
    """Whether a part is isthmus's own, which multiplies no matrices; nobody listens to it, and it does not train."""
    return type(part).__module__.startswith("isthmus.") and not (part.training or _is_hooked(part))


def _half(half: nn.Module, n_rows: int) -> _Half | None:
    """``W_n act(.. act(W_1 a + b_1) ..) + b_n``, all lengths filled up; None if a layer is of another kind."""
    if type(half) not in (DenseEncoder, DenseDecoder):
        return None
    assert isinstance(half, DenseEncoder | DenseDecoder)
    activation = half.activation
    if _is_hooked(half) or _is_hooked(activation):
        return None
    bent, layers = activation.function, list[tuple[Product, Product, Tensor, Tensor]]()
    is_many, threads = n_rows >= AT_ONCE, torch.get_num_threads()
    for layer in half.layers:
        if type(layer) not in (Linear, TiedLinear) or _is_hooked(layer):
            return None
        held = layer._parameters if type(layer) is Linear else {"weight": layer.weight, "bias": layer.bias}  # pyright: ignore[reportPrivateUsage]
        weight, bias = held["weight"], held["bias"]
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
            return None
        weight = filled(weight)
        n_out, n_in = weight.shape
        if is_large(BATCH, n_in, n_out):  # more rows would take memory and gain nothing
            is_many, of_batch, of_many = False, large_product, None
        else:
            of_batch = linear
            many_are_large = is_large(AT_ONCE, n_in, n_out)
            of_many = _at_once(n_in, n_out, threads, many_are_large=many_are_large) if is_many else None
            is_many = of_many is not None
        layers.append((of_batch, of_many or of_batch, weight, bias))
    *hidden, last = layers

    def run(a: Tensor) -> Tensor:
        which = int(a.shape[0] == AT_ONCE)
        for *products, weight, bias in hidden:
            a = bent(products[which](filled(a), weight, bias))
        *products, weight, bias = last
        return products[which](filled(a), weight, bias)

    n_at_once = AT_ONCE if is_many else BATCH
    if isinstance(half, DenseEncoder):
        return _Half(run, n_at_once)
    shape = half.output_shape
    return _Half(lambda h: run(h).unflatten(1, shape), n_at_once)


def _is_hooked(module: nn.Module) -> bool:
    """Whether somebody wants to know when a module is called, or to change what it gives."""
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]

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
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from isthmus.inference.aligned import ALIGNED, ENOUGH, FEW, filled, lengthened
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.base import Activated
from isthmus.networks.dense import DenseDecoder, DenseEncoder, TiedLinear
from isthmus.networks.linear import Linear
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.products import is_large, large_product
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads
from isthmus.shapes import Shape

BATCH = 128
"""Rows a batch: a shorter one might compute other last bits. The last one is padded."""
FEWEST_AT_ONCE = 16
"""Rows of a batch where there are no more, and their bits are those of a whole one."""
FEW_AT_ONCE, MANY_AT_ONCE = 2048, 8192
"""Rows that are multiplied at once where that gives the bits of their batches, of some rows and of many."""
HUGE = (1 << 20, 1 << 10, 1 << 10)
"""A product that is large wherever one can be."""
VALUES_AT_ONCE = 1 << 21
"""Of the widest layer, at most."""
MOST_TRIED = 1 << 21
"""Weights of a layer of which ways are tried, at most: with more the trial would take longer than it spares."""
PIECES = 4
"""Of as many rows at once, for each thread, before they are taken: so that none waits long for the last."""

KNOWN = (DenseEncoder, DenseDecoder, nn.ModuleList, Linear, TiedLinear, Activated)
"""Modules that a half is made of."""

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
    """Of :data:`BATCH` rows that are ready, or of ``n_at_once``."""
    end: Callable[[Tensor, Sequence[Any]], Tensor]
    """Of rows and of all that was run of them and of those behind them: the result, ``(rows, ...)``."""
    n_at_once: int
    """How many rows may be multiplied at once: fewer than a batch has where there are no more."""
    is_alone: bool
    """Whether that is done on one thread, so that others may run others."""


class _Size(NamedTuple):
    """Of a layer whose weight is filled up."""

    n_in: int
    n_out: int
    """More than its own where it is made wider."""
    is_large: bool
    """Whether a batch's product is."""
    has_bias: bool
    """Or it is added to the outputs that are its own."""


class _Layer(NamedTuple):
    size: _Size
    weight: Tensor
    """Its own."""
    bias: Tensor


class _Half(NamedTuple):
    """Encoder or decoder: ``W_n act(.. act(W_1 a + b_1) ..) + b_n``."""

    layers: list[_Layer]
    bend: Step
    """The activation, written over what it is of where it can be."""
    output_shape: Shape | None = None
    """Of a decoder."""


class _AtOnce(NamedTuple):
    """How many rows are multiplied at once."""

    n_rows: int
    is_alone: bool
    """Whether that is done on one thread, so that others may multiply others."""


class _Way(NamedTuple):
    """How rows are multiplied with a layer's weight."""

    product: Product
    is_filled: bool
    """Whether both are filled up for it."""


_Ways = dict[_Size, _Way]


def bare(  # noqa: PLR0911
    module: AutoencoderModule, function: object, n_rows: int = BATCH
) -> Bare | None:
    """What gives of rows the bits that ``function(module, x)`` gives, where that is dense layers; else None.

    ``function`` is one of :class:`AutoencoderModule`'s own, encode, decode or reconstruct, or :class:`OfPass`.
    Gaps count as dense, labels do not. ``n_rows`` is how many there will be, for which as many are multiplied at once
    as is fast.
    """
    code, likelihood, gaps = module.code, module.likelihood, module.gaps
    parts = (code, likelihood) if gaps is None else (code, likelihood, gaps)
    if module.condition is not None or not all(map(_is_plain, parts)):
        return None
    network = module.network
    encoder, decoder, of_code, of_outputs = network.encoder, network.decoder, code.mean, likelihood.mean

    def ready(x: Tensor, more_rows: int) -> Tensor:
        x = x.flatten(1) if gaps is None else gaps(x)
        return fill(x, more_rows)

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
    how, ways = _ways_of([layer.size for half in halves for layer in half.layers], n_rows)
    fill = lengthened if how.is_alone else filled
    runs = [_run(half, ways) for half in halves]
    encode, decode = runs[0], runs[-1]
    if function is AutoencoderModule.encode:
        return Bare(ready, lambda x: of_code(encode(x)), _together, *how)
    if function is AutoencoderModule.decode:
        return Bare(fill, lambda h: of_outputs(decode(h)), _together, *how)

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
def _ways(at_once: _AtOnce, sizes: Sequence[_Size], threads: int, has_two: bool) -> _Ways | None:
    """How layers multiply so many rows with the bits that batches have on ``threads``; None where one has no way.

    ``has_two``: of PyTorch's libraries for products there are two, see :func:`is_large`.
    """
    if at_once == (BATCH, False):
        return {size: _of_batch(size) for size in sizes}
    widest, largest = max(max(size[:2]) for size in sizes), max(size.n_in * size.n_out for size in sizes)
    if at_once.n_rows * widest > VALUES_AT_ONCE or largest > MOST_TRIED:
        return None
    found = _Ways()
    for size in sizes:
        ways = [_Way(linear, True)]
        if has_two and at_once.is_alone and is_large(at_once.n_rows, size.n_in, size.n_out):
            # This one does not mind where rows begin.
            ways = [_Way(large_product, False), _Way(large_product, True), *ways]
        elif size.is_large:
            ways.append(_of_batch(size))
        way = _tried(at_once, size, ways, threads)
        if way is None:
            return None
        found[size] = way
    return found


def _of_batch(size: _Size) -> _Way:
    return _Way(large_product if size.is_large else linear, True)


def _tried(at_once: _AtOnce, size: _Size, ways: Sequence[_Way], threads: int) -> _Way | None:
    """Which way gives so many rows the bits that a batch of filled rows has on ``threads``, or None.

    Fewer rows or more might be cut up otherwise, and their sums be taken in another order: whether they are, is tried.
    Where they are multiplied on one thread, so are batches behind them.
    """
    n_rows, is_alone = at_once
    chance, of_batch = Randomness(size.n_in, "products", size.n_out, threads), _of_batch(size)
    shapes = (max(n_rows, BATCH), size.n_in), (size.n_out, size.n_in), (size.n_out,)
    x, weight, some = (chance.at(i).normal(shape) for i, shape in enumerate(shapes))
    bias, full, full_weight = some if size.has_bias else None, filled(x), filled(weight)

    def in_parts(way: _Way, n: int) -> Tensor:
        rows, by = (full, full_weight) if way.is_filled else (x, weight)
        return torch.cat([way.product(part, by, bias) for part in rows.split(n)])

    expected = in_parts(of_batch, BATCH)
    with torch_threads(1 if is_alone else threads):
        if is_alone and not torch.equal(in_parts(of_batch, BATCH), expected):
            return None
        return next((way for way in ways if torch.equal(in_parts(way, n_rows), expected)), None)


def _is_plain(part: nn.Module) -> bool:
    """Whether a part is isthmus's own, which multiplies no matrices; nobody listens to it, and it does not train."""
    return type(part).__module__.startswith("isthmus.") and not (part.training or _is_hooked(part))


class _Kept(NamedTuple):
    """What is called of a half, and how to tell that nobody has changed that: looking anew takes as long as a row."""

    half: _Half
    hooks: tuple[dict[Any, Any], ...]
    """Empty ones of the half and all in it."""
    holders: tuple[dict[str, Any], ...]
    """Of modules and parameters."""
    n_held: int
    """How much is in them in all."""
    held: tuple[tuple[dict[str, Any], str, Any], ...]
    """They, what is in them and what bends: where, under which name, and which."""
    has_two: bool
    """Whether there were two libraries for products."""

    def is_as_it_was(self) -> bool:
        return (
            not any(self.hooks)
            and sum(map(len, self.holders)) == self.n_held
            and all(where.get(name) is part for where, name, part in self.held)
            and is_large(*HUGE) is self.has_two
        )


_kept: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()


def _half(half: nn.Module) -> _Half | None:
    """What is called of an encoder or a decoder, with weights as they are then; None if a layer is of another kind."""
    kept = _kept.get(half)
    if kept is not None and kept.is_as_it_was():
        return kept.half
    if type(half) not in (DenseEncoder, DenseDecoder):
        return None
    assert isinstance(half, DenseEncoder | DenseDecoder)
    activation, layers = half.activation, list[_Layer]()
    if any(_is_hooked(each) or type(each) not in KNOWN for each in half.modules()):
        return None
    for layer in half.layers:
        weight, bias = layer.weight, layer.bias
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
            return None
        n_out, n_in = weight.shape
        large = is_large(BATCH, n_in, n_out)
        is_wider = not large and n_out in FEW
        layers.append(_Layer(_Size(n_in, ENOUGH if is_wider else n_out, large, not is_wider), weight, bias))
    known = ACTIVATIONS[activation.name]
    bend = known.in_place if activation.function is known.function else None
    found = _Half(
        layers, bend or activation.function, None if isinstance(half, DenseEncoder) else half.output_shape
    )
    if all(type(layer) is Linear for layer in half.layers):  # else a weight is made when it is asked for
        _kept[half] = _kept_of(half, found)
    return found


def _kept_of(half: DenseEncoder | DenseDecoder, found: _Half) -> _Kept:
    hooks, holders, held = (
        list[dict[Any, Any]](),
        list[dict[str, Any]](),
        list[tuple[dict[str, Any], str, Any]](),
    )
    for each in half.modules():
        own = vars(each)
        hooks += [own["_forward_hooks"], own["_forward_pre_hooks"]]
        for name in ("_modules", "_parameters"):
            held.append((own, name, own[name]))
            if own[name]:
                holders.append(own[name])
                held += [(own[name], part_name, part) for part_name, part in own[name].items()]
    activation = half.activation
    held.append((vars(activation), "function", activation.function))
    return _Kept(found, tuple(hooks), tuple(holders), sum(map(len, holders)), tuple(held), is_large(*HUGE))


def _ways_of(sizes: Sequence[_Size], n_rows: int) -> tuple[_AtOnce, dict[int, _Ways]]:
    """How many of ``n_rows`` may be multiplied at once; and how layers do it, by the number of rows."""
    if n_rows <= FEWEST_AT_ONCE:
        choices = [_AtOnce(FEWEST_AT_ONCE, False)]
    elif n_rows < FEW_AT_ONCE:
        choices = []
    elif any(size.is_large for size in sizes):
        choices = [_AtOnce(BATCH, True)]  # of which more would be no faster, and take memory
    elif n_rows < PIECES * torch.get_num_threads() * MANY_AT_ONCE:
        choices = [_AtOnce(FEW_AT_ONCE, True)]
    else:
        choices = [_AtOnce(MANY_AT_ONCE, True), _AtOnce(FEW_AT_ONCE, True)]
    key, threads, has_two = tuple(sizes), torch.get_num_threads(), is_large(*HUGE)
    for at_once in choices:
        own, of_batches = (
            _ways(each, key, threads, has_two)
            for each in (at_once, at_once._replace(n_rows=BATCH) if at_once.is_alone else at_once)
        )
        if own is not None and of_batches is not None:
            return at_once, {at_once.n_rows: own} | ({BATCH: of_batches} if at_once.is_alone else {})
    batch = _AtOnce(BATCH, False)
    own = _ways(batch, key, threads, has_two)
    assert own is not None
    return batch, {BATCH: own}


def _run(half: _Half, ways: dict[int, _Ways]) -> Step:
    """The pass of so many rows as there are ways for."""
    bend, shape = half.bend, half.output_shape
    calls = {n: [_multiplied(layer, own[layer.size]) for layer in half.layers] for n, own in ways.items()}

    def run(a: Tensor) -> Tensor:
        is_first = True
        for product, is_filled, weight, missing, bias, is_wider in calls[a.shape[0]]:
            if not is_first:
                a = bend(a)
            if is_filled:
                a = filled(a)
            by = weight if missing is None else torch.constant_pad_nd(weight, missing)
            a = product(a, by, None)[:, : bias.shape[0]] + bias if is_wider else product(a, by, bias)
            is_first = False
        return a if shape is None else a.unflatten(1, shape)

    return run


def _multiplied(
    layer: _Layer, way: _Way
) -> tuple[Product, bool, Tensor, tuple[int, ...] | None, Tensor, bool]:
    """A product, whether its rows are filled up, the weight and what is missing of it, the bias, and if it is apart."""
    size, weight, bias = layer
    missing = (0, -size.n_in % ALIGNED if way.is_filled else 0, 0, size.n_out - weight.shape[0])
    return way.product, way.is_filled, weight, missing if any(missing) else None, bias, not size.has_bias


def _is_hooked(module: nn.Module) -> bool:
    """Whether somebody wants to know when a module is called, or to change what it gives."""
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]

"""Dense layers called one after the other, without what a module's call costs.

A batch of a small network is almost all overhead: of modules that call modules, of a mode that looks at
every call of torch, of weights that are filled up again for each batch. Where an autoencoder is dense layers,
its results have the same bits from bare calls of them, in a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from isthmus.inference.aligned import ALIGNED, ENOUGH, FEW, filled, lengthened
from isthmus.inference.ways import BATCH, HUGE, Product, Size, Way, Ways, ways_of
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.base import Activated
from isthmus.networks.dense import DenseDecoder, DenseEncoder, TiedLinear
from isthmus.networks.linear import Linear
from isthmus.numerics.activations import ACTIVATIONS
from isthmus.numerics.products import is_large
from isthmus.shapes import Shape

KNOWN = (DenseEncoder, DenseDecoder, nn.ModuleList, Linear, TiedLinear, Activated)
"""Modules that a half is made of."""

Step = Callable[[Tensor], Tensor]


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


class _Layer(NamedTuple):
    size: Size
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
    how, ways = ways_of([layer.size for half in halves for layer in half.layers], n_rows)
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
        layers.append(_Layer(Size(n_in, ENOUGH if is_wider else n_out, large, not is_wider), weight, bias))
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


def _run(half: _Half, ways: dict[int, Ways]) -> Step:
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
    layer: _Layer, way: Way
) -> tuple[Product, bool, Tensor, tuple[int, ...] | None, Tensor, bool]:
    """A product, whether its rows are filled up, the weight and what is missing of it, the bias, and if it is apart."""
    size, weight, bias = layer
    missing = (0, -size.n_in % ALIGNED if way.is_filled else 0, 0, size.n_out - weight.shape[0])
    return way.product, way.is_filled, weight, missing if any(missing) else None, bias, not size.has_bias


def _is_hooked(module: nn.Module) -> bool:
    """Whether somebody wants to know when a module is called, or to change what it gives."""
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]

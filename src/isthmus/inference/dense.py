"""Dense layers called one after the other, without what a module's call costs.

A batch of a small network is almost all overhead: of modules that call modules, of a mode that looks at
every call of torch, of weights that are filled up again for each batch. Where an autoencoder is dense layers,
its results have the same bits from bare calls of them, in a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from isthmus.inference.aligned import filled
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import DenseDecoder, DenseEncoder, TiedLinear
from isthmus.networks.linear import Linear
from isthmus.numerics.products import linear

Step = Callable[[Tensor], Tensor]


class Bare(NamedTuple):
    """Two steps whose results are those of a function of the module, bit for bit."""

    ready: Step
    """Of any number of rows: no sums, so that it may be taken of many batches at once."""
    run: Step
    """Of a batch of rows that are ready."""


def bare(module: AutoencoderModule, function: object) -> Bare | None:
    """What gives of rows the bits that ``function(module, x)`` gives, where that is dense layers; else None.

    ``function`` is one of :class:`AutoencoderModule`'s own: encode, decode or reconstruct. Gaps count as
    dense, labels do not. Weights are taken as they are now: one that is kept would not see them move.
    """
    if module.condition is not None or not _is_plain(module):
        return None
    if function is AutoencoderModule.decode:
        decode = _decode(module)
        return decode and Bare(filled, decode)
    if function not in (AutoencoderModule.encode, AutoencoderModule.reconstruct):
        return None
    encode, gaps = _encode(module), module.gaps
    if encode is None:
        return None

    def ready(x: Tensor) -> Tensor:
        return filled(x.flatten(1) if gaps is None else gaps(x))

    if function is AutoencoderModule.encode:
        return Bare(ready, encode)
    decode = _decode(module)
    return decode and Bare(ready, lambda x: decode(encode(x)))


def _is_plain(module: AutoencoderModule) -> bool:
    """Whether code, likelihood and gaps are parts of isthmus: they multiply no matrices."""
    gaps = module.gaps
    parts = (module.code, module.likelihood) if gaps is None else (module.code, module.likelihood, gaps)
    return all(type(part).__module__.startswith("isthmus.") for part in parts) and not _is_hooked(gaps)


def _encode(module: AutoencoderModule) -> Step | None:
    encoder = module.network.encoder
    if type(encoder) is not DenseEncoder:
        return None
    layers = _chain(encoder)
    if layers is None:
        return None
    mean = module.code.mean
    return lambda x: mean(layers(x))


def _decode(module: AutoencoderModule) -> Step | None:
    decoder = module.network.decoder
    if type(decoder) is not DenseDecoder:
        return None
    layers = _chain(decoder)
    if layers is None:
        return None
    mean, shape = module.likelihood.mean, decoder.output_shape
    return lambda h: mean(layers(h).unflatten(1, shape))


def _chain(half: DenseEncoder | DenseDecoder) -> Step | None:
    """``W_n act(.. act(W_1 a + b_1) ..) + b_n``, all lengths filled up; None if a layer is of another kind."""
    bent = half.activation.function
    if _is_hooked(half) or _is_hooked(half.activation):
        return None
    held: list[tuple[Tensor, Tensor]] = []
    for layer in half.layers:
        if type(layer) not in (Linear, TiedLinear) or _is_hooked(layer):
            return None
        weight, bias = layer.weight, layer.bias
        if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
            return None
        held.append((filled(weight), bias))
    *hidden, (last, end) = held

    def run(a: Tensor) -> Tensor:
        for weight, bias in hidden:
            a = bent(linear(filled(a), weight, bias))
        return linear(filled(a), last, end)

    return run


def _is_hooked(module: nn.Module | None) -> bool:
    """Whether somebody wants to know when a module is called, or to change what it gives."""
    if module is None:
        return False
    return bool(module._forward_hooks or module._forward_pre_hooks)  # pyright: ignore[reportPrivateUsage]

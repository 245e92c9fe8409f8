"""Code units that carry nothing, found after an epoch and given something to say.

Source: Bricken et al. (2023), Towards monosemanticity, appendix "Neuron resampling".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isthmus.codes.batch_top_k import BatchTopK
from isthmus.codes.top_k import TopK
from isthmus.errors import ParameterError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.networks.dense import DenseDecoder, DenseEncoder, TiedLinear
from isthmus.numerics.randomness import Randomness
from isthmus.training.rows import Rows

MOST_ROWS, BLOCK = 2**14, 1024
"""Rows that are looked at after an epoch, and rows at a time."""
STRENGTH = 0.2
"""Length of a new unit's encoder weights, as a share of the live units': it begins softly."""
STRENGTH_IF_RANKED = 1.0
"""Where only the largest units are kept a soft one would never be heard."""
DEAD_VARIANCE = 1e-4
"""A unit that is never exactly 0 is dead if it varies by less than this share of the units' mean variance."""
LAST_SHARE = 0.5
"""Units are revived over this share of the training, so that the new ones have the rest of it to learn in."""


def check_can_revive(module: AutoencoderModule) -> None:
    """Refuse a model whose units cannot be given new weights one by one."""
    code = module.code
    if not (isinstance(module.encoder, DenseEncoder) and isinstance(module.decoder, DenseDecoder)):
        got = f"{type(module.network).__name__}"
    elif code.n_inputs(code.size) != code.size:
        got = f"{type(code).__name__}, whose unused units rest at their prior"
    else:
        return
    raise ParameterError(
        f"training: dead_units = 'revived' needs a dense network and a code of one number a unit, got {got}. "
        "Set dead_units = 'left'."
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """A model's code on some rows of the data."""

    x: Tensor
    before: Tensor
    """What the encoder's last layer is given, ``(rows, n)``."""
    h: Tensor
    losses: Tensor


def revive_dead_units(
    module: AutoencoderModule,
    optimiser: torch.optim.Optimizer,
    rows: Rows[Tensor],
    randomness: Randomness,
    device: torch.device,
) -> int:
    """Give each dead unit weights towards a badly rebuilt row; how many there were.

    A row is chosen with a probability that grows with the square of its loss. The unit's encoder
    weights point from the mean to it, its decoder weights down the row's loss: for linear outputs
    under squared error that is the residual. The optimiser forgets the old weights.
    """
    module.eval()
    with torch.no_grad():
        seen = _look(module, rows, randomness, device)
    dead = dead_in(seen.h).nonzero().flatten()
    if len(dead):
        worst = _badly_rebuilt(seen.losses, len(dead), randomness)
        _give(module, seen, dead, worst, optimiser)
    return len(dead)


def dead_in(h: Tensor) -> Tensor:
    """Which units carry nothing over the rows of ``h``, ``(size,)``.

    A unit that is exactly 0 somewhere (rectified, top-k) is dead if it is so in every row; any other
    if it hardly varies.
    """
    zero = h == 0
    variance = h.double().var(dim=0, unbiased=False)
    return torch.where(zero.any(dim=0), zero.all(dim=0), variance <= DEAD_VARIANCE * variance.mean())


def _look(
    module: AutoencoderModule, rows: Rows[Tensor], randomness: Randomness, device: torch.device
) -> _Seen:
    chosen = torch.arange(len(rows))
    if len(rows) > MOST_ROWS:
        chosen = randomness.at("rows").permutation(len(rows))[:MOST_ROWS]
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for indices in chosen.split(BLOCK):
        x = rows.gather(indices).to(device)
        before = _before_last(module.encoder, x)
        h = module.code.mean(module.encoder(x)[0])
        found.append((x, before, h, module.distortion(module.decoder(h), x)))
    x, before, h, losses = (torch.cat(parts) for parts in zip(*found, strict=True))
    return _Seen(x, before, h, losses)


def _before_last(encoder: nn.Module, x: Tensor) -> Tensor:
    a = x.flatten(1)
    if isinstance(encoder, DenseEncoder):
        for layer in encoder.layers[:-1]:
            a = encoder.activation(layer(a))
    return a


def _badly_rebuilt(losses: Tensor, n: int, randomness: Randomness) -> Tensor:
    """``n`` rows drawn by the squares of their losses, none twice before all were drawn once.

    Source: Efraimidis and Spirakis (2006): the n largest of ``u^(1/w)``.
    """
    weight = (losses - losses.min()).double().square().cpu()
    u = randomness.at("worst").uniform((len(losses),)).double()
    order = (u.log() / weight.clamp(min=1e-300)).argsort(descending=True, stable=True)
    return order[torch.arange(n) % len(order)].to(losses.device)


def _give(
    module: AutoencoderModule, seen: _Seen, dead: Tensor, worst: Tensor, optimiser: torch.optim.Optimizer
) -> None:
    encoder, decoder = module.encoder, module.decoder
    if not (isinstance(encoder, DenseEncoder) and isinstance(decoder, DenseDecoder)):
        return
    last, first = encoder.layers[-1], decoder.layers[0]
    weight, bias = last.get_parameter("weight"), last.get_parameter("bias")
    live = torch.ones(module.code.size, dtype=torch.bool, device=dead.device)
    live[dead] = False
    if not live.any():
        live[:] = True
    ranked = isinstance(module.code, (TopK, BatchTopK))
    mean = seen.before.mean(dim=0)
    columns = _downwards(module, first, seen, worst)
    with torch.no_grad():
        length = (STRENGTH_IF_RANKED if ranked else STRENGTH) * weight[live].norm(dim=1).mean()
        new = length * nn.functional.normalize(seen.before[worst] - mean, dim=1)
        weight[dead], bias[dead] = new, -(new @ mean)
        _forget(optimiser, weight, dead)
        _forget(optimiser, bias, dead)
        if not isinstance(first, TiedLinear):  # a tied column is the encoder's row
            into = first.get_parameter("weight")
            size = into[:, live].norm(dim=0).mean()
            into[:, dead] = size * nn.functional.normalize(columns, dim=1).T
            _forget(optimiser, into, (slice(None), dead))


def _downwards(module: AutoencoderModule, first: nn.Module, seen: _Seen, worst: Tensor) -> Tensor:
    """Minus the gradient of each row's loss by what the decoder's first layer gives, ``(n, n_first)``."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        kept.append(output)

    handle = first.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            h = seen.h[worst].detach().requires_grad_()
            loss = module.distortion(module.decoder(h), seen.x[worst]).sum()
            (gradient,) = torch.autograd.grad(loss, kept[0])
    finally:
        handle.remove()
    return -gradient


def _forget(
    optimiser: torch.optim.Optimizer, parameter: Tensor, where: Tensor | tuple[slice, Tensor]
) -> None:
    for name, moment in optimiser.state[parameter].items():
        if name.startswith("exp_avg"):
            moment[where] = 0

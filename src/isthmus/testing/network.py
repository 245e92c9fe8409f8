"""The laws of a network."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.networks.base import Decoder, Encoder, Ends, Network
from isthmus.testing.laws import (
    CHANCE,
    N_DRAWS,
    check_gradients,
    check_repeatable,
    check_rows_apart,
    double,
    redraw,
    require,
    require_close,
    require_shape,
)


def check_network(network: Network, ends: Ends, x: Tensor) -> None:
    """Check that ``network`` obeys the laws of encoder f and decoder g.

    Shapes at both ends; nothing left to chance; rows stand apart; gradients reach every parameter
    and are the slope by central differences; every value of x matters to the code and every output
    depends on it; a ``dense_trace`` multiplies out to the encoder's Jacobian.

    Parameters
    ----------
    network
        The network.
    ends
        What it was built between.
    x
        A batch to try it on, ``(rows, *sample_shape)`` in model units, of at least two rows.

    Raises
    ------
    LawBroken
        If a law does not hold; the message names it.

    Examples
    --------
    >>> import torch
    >>> from isthmus.networks.dense import Dense
    >>> ends = Ends((6,), pre_code_size=2, code_size=2, output_shape=(6,))
    >>> check_network(Dense(ends, (4,), "tanh"), ends, torch.rand(3, 6))
    """
    original, network, x = network, double(network), x.double()
    encoder, decoder = network.encoder, network.decoder
    rows = len(x)
    h = CHANCE.at("h").normal((rows, ends.code_size)).double()
    require_shape(network, "pre_code", encoder(x)[0], (rows, ends.pre_code_size))
    require_shape(network, "outputs", decoder(h), (rows, *ends.output_shape))
    check_repeatable(network, "pre_code", lambda: encoder(x)[0])
    check_repeatable(network, "outputs", lambda: decoder(h))
    check_rows_apart(network, "pre_code", lambda batch: encoder(batch)[0], x)
    check_rows_apart(network, "outputs", decoder, h)
    if isinstance(encoder, Encoder):
        _check_dense_trace(encoder, x)
    check_gradients(
        original, original, lambda made, _: made.encoder(x)[0].square().sum() + made.decoder(h).square().sum()
    )
    _check_reach(network, encoder, x, "every value of x must matter to the code")
    _check_coverage(network, decoder, h)


def _check_dense_trace(encoder: Encoder, x: Tensor) -> None:
    trace = encoder.dense_trace(x)
    if trace is None:
        return
    weights, slopes, pre_code = trace
    require_close(encoder, "dense_trace must give the encoder's own pre_code.", pre_code, encoder(x)[0])
    require(len(slopes) == len(weights) - 1, encoder, "dense_trace must give a slope for each hidden layer.")
    product = weights[0].expand(len(x), *weights[0].shape)
    for weight, slope in zip(weights[1:], slopes, strict=True):
        product = weight @ (slope.unsqueeze(-1) * product)
    start = x.clone().requires_grad_()
    pre = encoder(start)[0]
    for unit in range(pre.shape[1]):
        (row,) = torch.autograd.grad(pre[:, unit].sum(), start, retain_graph=True)
        law = "dense_trace must multiply out to the encoder's Jacobian."
        require_close(encoder, law, product[:, unit], row.flatten(1))


def _check_reach(network: Network, encoder: torch.nn.Module, x: Tensor, law: str) -> None:
    seen = torch.zeros(x[0].numel(), dtype=torch.bool)
    for draw in range(N_DRAWS):
        redraw(network, draw)
        start = x.clone().requires_grad_()
        pre_code = encoder(start)[0]
        probe = CHANCE.at("probe", draw).normal(pre_code.shape, like=pre_code)
        (gradient,) = torch.autograd.grad((pre_code * probe).sum(), start)
        seen |= (gradient != 0).any(dim=0).flatten()
        if bool(seen.all()):
            return
    require(False, network, f"{law}, but {int((~seen).sum())} of {len(seen)} never do.")


def _check_coverage(network: Network, decoder: Decoder | torch.nn.Module, h: Tensor) -> None:
    moved = torch.zeros(0, dtype=torch.bool)
    for draw in range(N_DRAWS):
        redraw(network, draw)
        with torch.no_grad():
            change = (decoder(h) != decoder(h.roll(1, dims=0))).any(dim=0).flatten()
        moved = moved | change if len(moved) else change
        if bool(moved.all()):
            return
    law = f"every output must depend on the code, but {int((~moved).sum())} of {len(moved)} never do."
    require(False, network, law)

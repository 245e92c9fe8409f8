"""The laws of a penalty."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.penalties.base import DenseTrace, Penalty, View
from isthmus.testing.laws import (
    CHANCE,
    check_gradients,
    check_repeatable,
    check_rows_apart,
    double,
    require,
    require_shape,
)

N_SAMPLES = 512


def view_of(module: AutoencoderModule, x: Tensor, randomness: Randomness) -> View:
    """What a penalty sees when the encoder of ``module`` is shown ``x`` and h is the code's mean."""
    return View(x, module.encode(x), module.encode, module.dense_trace, module.weights, randomness)


def check_penalty(penalty: Penalty, module: AutoencoderModule, x: Tensor, *, additive: bool = True) -> None:
    """Check that ``penalty`` obeys the laws of Omega.

    One number an example, or one in all, as its scope says; all chance from ``randomness``; summed
    over units and weights, not averaged; rows stand apart at scope ``example``; its gradient is
    its slope by central differences.

    Parameters
    ----------
    penalty
        The penalty.
    module
        A module whose code and weights it looks at.
    x
        A batch to try it on, ``(rows, *sample_shape)`` in model units, of at least two rows.
    additive
        Whether twice the units make twice Omega: true for sums over units, false for terms about
        pairs of units.

    Raises
    ------
    LawBroken
        If a law does not hold; the message names it.

    Examples
    --------
    >>> import torch
    >>> from isthmus.config import Model
    >>> from isthmus.model.build import build
    >>> from isthmus.penalties.l1 import L1
    >>> model = Model(code_size=2, network={"type": "dense", "hidden_sizes": []}, likelihood="squared_error")
    >>> check_penalty(L1(0.1), build(model, (5,), seed=0), torch.rand(3, 5))
    """
    original, module, penalty, x = module, double(module), double(penalty), x.double()
    one = CHANCE.at("one")
    omega = penalty(view_of(module, x, one))
    require_shape(penalty, "Omega", omega, (len(x),) if penalty.scope == "example" else ())
    check_repeatable(penalty, "Omega from the same randomness", lambda: penalty(view_of(module, x, one)))
    if penalty.scope == "example":
        check_rows_apart(penalty, "Omega", lambda batch: penalty(view_of(module, batch, one)), x)
    if additive:
        _check_sum(penalty, view_of(module, x, one))
    _check_slopes(penalty, original, x)


def _check_sum(penalty: Penalty, view: View) -> None:
    """Every unit and every weight twice must make twice Omega; in expectation where there is chance."""

    def encode_twice(x: Tensor) -> Tensor:
        h = view.encode(x)
        return torch.cat([h, h], dim=1)

    def trace_twice(x: Tensor) -> DenseTrace | None:
        trace = view.dense_trace(x)
        if trace is None:
            return None
        weights, slopes = trace
        last, slope = torch.cat([weights[-1], weights[-1]]), torch.cat([slopes[-1], slopes[-1]], dim=1)
        return [*weights[:-1], last], [*slopes[:-1], slope]

    twice = replace(
        view,
        h=torch.cat([view.h, view.h], dim=1),
        encode=encode_twice,
        dense_trace=trace_twice,
        find_weights=lambda: [*view.weights, *view.weights],
    )
    by_chance = not torch.equal(penalty(view), penalty(replace(view, randomness=CHANCE.at("two"))))
    n = N_SAMPLES if by_chance else 1

    def sample(seen: View, name: str) -> Tensor:
        return torch.stack([penalty(replace(seen, randomness=CHANCE.at(name, i))).detach() for i in range(n)])

    once, both = sample(view, "once"), sample(twice, "twice")
    error = (both.mean(dim=0) - 2 * once.mean(dim=0)).abs()
    allowed = 1e-9 * (1 + both.mean(dim=0).abs())
    if by_chance:
        allowed = 5 * torch.sqrt((both.var(dim=0) + 4 * once.var(dim=0)) / n) + 1e-9
    law = "Omega must be summed, not averaged: twice the units and weights, twice Omega."
    require(bool((error <= allowed).all()), penalty, law)


def _check_slopes(penalty: Penalty, module: AutoencoderModule, x: Tensor) -> None:
    class Held(torch.nn.Module):
        """Module and penalty together; h as a parameter, since a penalty need not look at it."""

        def __init__(self) -> None:
            super().__init__()
            self.module, self.penalty = module, penalty

    def omega(held: Held, _: int) -> Tensor:
        seen = held.penalty(view_of(held.module, x, CHANCE.at("one"))).sum()
        # Every parameter is touched, so that the only law left is that the slope is right.
        return seen + sum(p.square().sum() for p in held.parameters())

    check_gradients(penalty, Held(), omega)

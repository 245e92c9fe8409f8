"""What the checks of all families share: one error, and laws about chance, rows and gradients."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from isthmus.numerics.randomness import Randomness

M = TypeVar("M", bound=nn.Module)

CHANCE = Randomness(20_260, "laws")
"""Where the checks' own random numbers come from: the same ones at every run."""
N_DRAWS = 64
"""Points in the space of weights at which a gradient may be found; at one of them it must be."""
STEP = 1e-5
"""Of central differences in float64."""


class LawBroken(AssertionError):  # noqa: N818
    """A part does not do what its contract says; the message names the law and the part."""


def require(holds: bool, who: object, law: str) -> None:
    """Raise :class:`LawBroken` unless the law holds for ``who``."""
    if not holds:
        raise LawBroken(f"{type(who).__name__}: {law}")


def require_shape(who: object, what: str, got: object, expected: tuple[int, ...]) -> None:
    """``got`` must be a tensor of the expected shape, without NaN or infinity."""
    require(isinstance(got, Tensor), who, f"{what} must be a tensor, got {type(got).__name__}.")
    if isinstance(got, Tensor):
        shape = tuple(got.shape)
        require(shape == expected, who, f"{what} must have shape {expected}, got {shape}.")
        require(bool(got.isfinite().all()), who, f"{what} must be finite, got NaN or infinity.")


def require_close(who: object, law: str, got: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    """Both must agree to ``tolerance``, relative to the largest number in ``expected`` (at least 1)."""
    error = float((got - expected).detach().abs().max()) if got.numel() else 0.0
    size = max(1.0, float(expected.detach().abs().max())) if expected.numel() else 1.0
    require(error <= tolerance * size, who, f"{law} They differ by {error:.3g}.")


@contextmanager
def global_chance_untouched(who: object) -> Generator[None, None, None]:
    """Inside, nobody may draw from or reseed torch's, NumPy's or Python's global generator."""
    before = _global_states()
    yield
    for (name, was), (_, now) in zip(before, _global_states(), strict=True):
        require(
            was == now, who, f"all chance must come from `randomness`, but {name} global generator was used."
        )


def _global_states() -> list[tuple[str, object]]:
    legacy = np.random.get_state(legacy=False)
    return [
        ("torch's", bytes(torch.get_rng_state().numpy())),
        ("NumPy's", repr(legacy["state"]["pos"]) + str(bytes(legacy["state"]["key"]))),  # type: ignore[index, call-overload]
        ("Python's", random.getstate()),
    ]


def double(module: M) -> M:
    """A copy in float64, the original left as it is."""
    return copy.deepcopy(module).double()


def other_neighbours(x: Tensor, row: int) -> Iterator[Tensor]:
    """Batches of x's size whose ``row`` is the same, and whose other rows are not."""
    others = [index for index in range(len(x)) if index != row]
    turned = x.clone()
    turned[others] = x[others].roll(1, dims=0)
    yield turned
    yield x[row].expand_as(x).contiguous()


def check_rows_apart(who: object, what: str, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """A row's result must not depend, bit for bit, on the rows beside it."""
    require(len(x) > 1, who, "the checks need at least two rows, got one.")
    with torch.no_grad():
        result = function(x)
        for row in {0, len(x) - 1}:
            for batch in other_neighbours(x, row):
                same = torch.equal(function(batch)[row], result[row])
                require(same, who, f"{what} of a row must not depend on the rows beside it, bit for bit.")


def check_repeatable(who: object, what: str, function: Callable[[], Tensor]) -> None:
    """The same call must give the same bits, and leave the global generators alone."""
    with torch.no_grad(), global_chance_untouched(who):
        first = function()
        require(torch.equal(first, function()), who, f"{what} must be the same, bit for bit, at every call.")


def redraw(module: nn.Module, draw: int) -> None:
    """Other weights at every draw but the first, so that no unit is dead at all of several draws."""
    if draw == 0:
        return
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(CHANCE.at("weights", draw, name).normal(parameter.shape, like=parameter))


def check_gradients(who: object, module: M, loss: Callable[[M, int], Tensor]) -> None:
    """Every parameter must receive a gradient, equal to the loss's slope by central differences.

    ``loss`` gives one number from a module and the draw's number; the module is copied, and brought to float64. What
    it remembers of batches (a threshold that follows them) is the same before each call: else two of them would have
    two functions.
    """
    module = double(module)
    remembered = [(buffer, buffer.clone()) for buffer in module.buffers()]

    def again(draw: int) -> Tensor:
        with torch.no_grad():
            for buffer, before in remembered:
                buffer.copy_(before)
        return loss(module, draw)

    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    waiting = set(parameters)
    for draw in range(N_DRAWS):
        redraw(module, draw)
        if draw and not waiting:
            break
        module.zero_grad(set_to_none=True)
        again(draw).backward()
        for name, parameter in parameters.items():
            gradient = parameter.grad
            require(
                gradient is not None, who, f"every parameter must receive a gradient, but {name} got none."
            )
            if gradient is not None and bool(gradient.abs().max() > 0):
                waiting.discard(name)
            if draw == 0 and gradient is not None:
                _check_slope(who, name, parameter, gradient, lambda: again(0))
    names = ", ".join(sorted(waiting))
    require(not waiting, who, f"every parameter must receive a gradient, but that of {names} is always 0.")


def _check_slope(
    who: object, name: str, parameter: Tensor, gradient: Tensor, loss: Callable[[], Tensor]
) -> None:
    direction = CHANCE.at("direction", name).normal(parameter.shape, like=parameter)
    start = parameter.detach().clone()

    def at(step: float) -> Tensor:
        with torch.no_grad():
            parameter.copy_(start + step * direction)
        return loss().detach()

    slopes = [(at(h) - at(-h)) / (2 * h) for h in (STEP, STEP / 8, STEP / 64)]
    # The error of a central difference falls with the square of its step, until two of them leave none.
    slopes.append((64 * slopes[2] - slopes[1]) / 63)
    with torch.no_grad():
        parameter.copy_(start)
    expected = (gradient * direction).sum()
    # A kink (relu) or a sharp bend (the norm of a short token) may lie within a step; a wrong gradient fails all.
    errors = [float((slope - expected).abs()) for slope in slopes]
    size = max(1.0, float(expected.abs()), float(slopes[0].abs()))
    require(
        min(errors) <= 1e-6 * size,
        who,
        f"the gradient of {name} must be the loss's slope, but along a direction it is {float(expected):.8g} "
        f"and central differences give {float(slopes[0]):.8g}.",
    )

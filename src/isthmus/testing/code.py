"""The laws of a code."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isthmus.codes.base import Code
from isthmus.testing.laws import (
    CHANCE,
    check_repeatable,
    check_rows_apart,
    double,
    require,
    require_close,
    require_shape,
)

N_SAMPLES = 4096


def check_code(code: Code, rows: int = 5) -> None:
    """Check that ``code`` obeys the laws of ``h = code(f(x~))``.

    Shapes; all chance from ``randomness``; the mean is the same at every call; rows stand apart;
    ``slope`` is the mean's derivative and the mean reads the first ``size`` inputs; the rates are
    those of ``rate_per_unit`` and not negative; draws have the mean and scale that the code states (4
    standard errors); gradients reach every input.

    Parameters
    ----------
    code
        The code.
    rows
        How many rows to try it on, at least 2.

    Raises
    ------
    LawBroken
        If a law does not hold; the message names it.

    Examples
    --------
    >>> from isthmus.codes.gaussian import Gaussian
    >>> check_code(Gaussian(3, beta=1.0))
    """
    code = double(code)
    n_inputs = code.n_inputs(code.size)
    pre_code = CHANCE.at("pre_code").normal((rows, n_inputs)).double()
    one = CHANCE.at("one")
    check_repeatable(code, "h from the same randomness", lambda: code(pre_code, one).value)
    check_repeatable(code, "the mean", lambda: code.mean(pre_code))
    require_shape(code, "h", code(pre_code, one).value, (rows, code.size))
    require_shape(code, "the mean", code.mean(pre_code), (rows, code.size))
    stored = code.mean(pre_code).is_contiguous()
    require(stored, code, "the mean must be contiguous, so that a stored code decodes to the same bits.")
    check_rows_apart(code, "h", lambda batch: code(batch, one).value, pre_code)
    check_rows_apart(code, "the mean", code.mean, pre_code)
    _check_slope(code, pre_code)
    _check_rate(code, pre_code)
    _check_scale(code, pre_code)
    _check_reach(code, pre_code)


def _check_slope(code: Code, pre_code: Tensor) -> None:
    x = pre_code.clone().requires_grad_()
    slope = code.slope(pre_code)
    require_shape(code, "the slope", slope, (len(x), code.size))
    expected = torch.zeros(len(x), code.size, x.shape[1], dtype=x.dtype)
    expected[:, range(code.size), range(code.size)] = slope
    mean = code.mean(x)
    for unit in range(code.size):
        (row,) = torch.autograd.grad(mean[:, unit].sum(), x, retain_graph=True)
        require_close(code, "slope must be the mean's derivative, unit by unit.", row, expected[:, unit])


def _check_rate(code: Code, pre_code: Tensor) -> None:
    rates, per_unit = code(pre_code, CHANCE.at("one")).rates, code.rate_per_unit(pre_code)
    require(
        (rates is None) == (per_unit is None), code, "rates and rate_per_unit must both be there, or neither."
    )
    if rates is None or per_unit is None:
        return
    require_shape(code, "rate_per_unit", per_unit, (len(pre_code), code.size))
    require_close(code, "the rates must be those of rate_per_unit.", rates, per_unit)
    require(bool((per_unit >= 0).all()), code, "a rate must not be negative.")
    check_rows_apart(code, "the rates", lambda batch: code(batch, CHANCE.at("one")).rates, pre_code)  # type: ignore[arg-type, return-value]


def _check_scale(code: Code, pre_code: Tensor) -> None:
    scale, mean = code.scale(pre_code), code.mean(pre_code)
    if scale is None:
        return
    require_shape(code, "the scale", scale, (len(pre_code), code.size))
    require(bool((scale > 0).all()), code, "a scale must be above 0.")
    draws = torch.stack([code(pre_code, CHANCE.at("draw", i)).value for i in range(N_SAMPLES)]).detach()
    off = (draws.mean(dim=0) - mean).abs() / (scale / math.sqrt(N_SAMPLES))
    require(bool((off < 5).all()), code, "draws of h must have the mean that the code states.")
    ratio = draws.var(dim=0) / scale.square()
    wide = 5 * math.sqrt(2 / N_SAMPLES)
    require(
        bool(((ratio - 1).abs() < wide).all()), code, "draws of h must have the scale that the code states."
    )
    other = code(pre_code, CHANCE.at("two")).value
    require(
        not torch.equal(other, code(pre_code, CHANCE.at("one")).value),
        code,
        "another randomness must give another h.",
    )


def _check_reach(code: Code, pre_code: Tensor) -> None:
    x = pre_code.clone().requires_grad_()
    output = code(x, CHANCE.at("one"))
    total = output.value.square().sum() + (0 if output.rates is None else output.rates.sum())
    (gradient,) = torch.autograd.grad(total, x)
    dead = (gradient == 0).all(dim=0).nonzero().flatten().tolist()
    require(len(dead) < x.shape[1], code, "gradients must reach the encoder through h.")

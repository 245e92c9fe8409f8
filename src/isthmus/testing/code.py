"""The laws of a code."""

from __future__ import annotations

import copy
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
    not negative, and in evaluation those of ``rate_per_unit``; in evaluation the cost of a row is a row's own; draws
    have the mean and scale that the code states (4 standard errors), those of one row stand together,
    and their log ratio is that of the densities; gradients reach every input. What a code of scope
    ``batch`` may mix in training, it may not in evaluation.

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
    require(code.n_draws >= 1, code, f"n_draws must be at least 1, got {code.n_draws}.")
    require_shape(code, "h", code(pre_code, one).value, (rows * code.n_draws, code.size))
    require_shape(code, "the mean", code.mean(pre_code), (rows, code.size))
    stored = code.mean(pre_code).is_contiguous()
    require(stored, code, "the mean must be contiguous, so that a stored code decodes to the same bits.")
    if code.scope == "batch":
        code = code.eval()
    check_rows_apart(code, "h", lambda batch: _by_row(code, code(batch, one).value), pre_code)
    check_rows_apart(code, "the mean", code.mean, pre_code)
    _check_slope(code, pre_code)
    _check_rate(code, pre_code)
    _check_scale(code, pre_code)
    _check_draws(code, pre_code)
    _check_reach(code.train(), pre_code)


def _by_row(code: Code, value: Tensor) -> Tensor:
    """All draws of a row beside each other."""
    return value.unflatten(0, (-1, code.n_draws))


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
    training, evaluation = copy.deepcopy(code).train(), copy.deepcopy(code).eval()
    rates, per_unit = evaluation(pre_code, CHANCE.at("one")).rates, code.rate_per_unit(pre_code)
    require(
        (rates is None) == (per_unit is None), code, "rates and rate_per_unit must both be there, or neither."
    )
    if rates is None or per_unit is None:
        return
    require_shape(code, "rate_per_unit", per_unit, (len(pre_code), code.size))
    require_close(code, "in evaluation the rates must be those of rate_per_unit.", rates, per_unit)
    require(bool((per_unit >= 0).all()), code, "a rate must not be negative.")
    check_rows_apart(code, "the rates", lambda batch: code(batch, CHANCE.at("one")).rates, pre_code)  # type: ignore[arg-type, return-value]
    drawn = training(pre_code, CHANCE.at("one")).rates
    require_shape(code, "the rates in training", drawn, (len(pre_code), code.size))
    require(bool((drawn >= 0).all()), code, "a rate must not be negative.")  # type: ignore[operator]
    for progress in (0.0, 0.5, 1.0):
        cost = evaluation.cost(per_unit, progress)
        require_shape(code, "the cost in evaluation", cost, (len(pre_code),))
        check_rows_apart(
            code, "the cost in evaluation", lambda r, at=progress: evaluation.cost(r, at), per_unit
        )
        shape = () if code.scope == "batch" else (len(pre_code),)
        require_shape(code, "the cost in training", training.cost(per_unit, progress), shape)
        alone = torch.stack([training.cost(row.unsqueeze(0), progress).reshape(()) for row in per_unit])
        require_close(
            code, "the cost of a row in evaluation must be that of a batch of it alone.", cost, alone
        )


def _check_scale(code: Code, pre_code: Tensor) -> None:
    scale, mean = code.scale(pre_code), code.mean(pre_code)
    if scale is None:
        return
    require_shape(code, "the scale", scale, (len(pre_code), code.size))
    require(bool((scale > 0).all()), code, "a scale must be above 0.")
    drawn = [code(pre_code, CHANCE.at("draw", i)).value.detach() for i in range(N_SAMPLES // code.n_draws)]
    draws = torch.cat([_by_row(code, value).transpose(0, 1) for value in drawn])
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


def _check_draws(code: Code, pre_code: Tensor) -> None:
    """The log ratio is that of the density that ``draw`` transforms the noise's into."""
    log_ratio = code(pre_code, CHANCE.at("one")).log_ratio
    require(
        (log_ratio is None) == (code.n_draws == 1), code, "log_ratio must be there for several draws alone."
    )
    if log_ratio is not None:
        require_shape(code, "log_ratio", log_ratio, (len(pre_code) * code.n_draws,))
    noise = CHANCE.at("noise").normal((len(pre_code), code.size)).double()
    drawn = code.draw(pre_code, noise)
    if drawn is None:
        require(log_ratio is None, code, "a code that draws several h must have draw().")
        return
    scale = code.scale(pre_code)
    if scale is None:
        return
    value = code.mean(pre_code) + scale * noise
    require_close(code, "draw must be mean + scale * noise.", drawn[0], value)
    expected = (value.square() - noise.square()).sum(dim=1) / 2 - scale.log().sum(dim=1)
    require_close(code, "draw's log ratio must be ln q(h given x) - ln p(h).", drawn[1], expected)


def _check_reach(code: Code, pre_code: Tensor) -> None:
    x = pre_code.clone().requires_grad_()
    output = code(x, CHANCE.at("one"))
    total = output.value.square().sum() + (0 if output.rates is None else output.rates.sum())
    (gradient,) = torch.autograd.grad(total, x)
    dead = (gradient == 0).all(dim=0).nonzero().flatten().tolist()
    require(len(dead) < x.shape[1], code, "gradients must reach the encoder through h.")

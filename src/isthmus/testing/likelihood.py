"""The laws of a likelihood."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from isthmus.likelihoods.base import Likelihood
from isthmus.shapes import Shape
from isthmus.testing.laws import (
    CHANCE,
    check_gradients,
    check_repeatable,
    check_rows_apart,
    double,
    require,
    require_close,
    require_shape,
)

Support = Literal["real", "binary", "one_hot", "levels"]
N_DRAWS = 10_000


def check_likelihood(
    likelihood: Likelihood,
    sample_shape: Shape,
    *,
    support: Support = "real",
    rows: int = 4,
    n_levels: int = 256,
) -> None:
    """Check that ``likelihood`` obeys the laws of ``L(x, g(h))``.

    One number an example, summed over values and not averaged; ``value_weight`` weighs each value
    and a 0 leaves it out; the reconstruction of ``outputs_at(mean)`` is ``mean``; in nats, the
    density of one value integrates (or sums) to 1, has ``mean(outputs)`` as its mean, and is what
    ``draw`` draws from (5 standard errors); gradients are the loss's slope; rows stand apart; nothing
    is left to chance.

    Parameters
    ----------
    likelihood
        The likelihood.
    sample_shape
        Shape of one example, torch side.
    support
        Where its values live: any real number; 0 and 1 alone; 0 and 1 with a single 1 along the first
        axis of an example, a category; or levels, evenly spaced from 0 to 1.
    rows
        How many rows to try it on, at least 2.
    n_levels
        How many levels there are, at least 2, where support is levels.

    Raises
    ------
    LawBroken
        If a law does not hold; the message names it.

    Examples
    --------
    >>> from isthmus.likelihoods.bernoulli import Bernoulli
    >>> check_likelihood(Bernoulli(), (3,), support="binary")
    """
    original, likelihood = likelihood, double(likelihood)
    output_shape = likelihood.output_shape(sample_shape)
    outputs = CHANCE.at("outputs").normal((rows, *output_shape)).double()
    x = CHANCE.at("x").uniform((rows, *sample_shape)).double()
    n_values = {"binary": 2, "levels": n_levels}.get(support)
    x = _one_hot(x) if support == "one_hot" else x if n_values is None else _nearest(x, n_values)
    loss = likelihood(outputs, x)
    require_shape(likelihood, "L", loss, (rows,))
    require_shape(likelihood, "the reconstruction", likelihood.mean(outputs), tuple(x.shape))
    check_repeatable(likelihood, "L", lambda: likelihood(outputs, x))
    check_rows_apart(likelihood, "L", lambda both: likelihood(*_split(both, outputs, x)), _join(outputs, x))
    _check_value_weight(likelihood, outputs, x)
    _check_sum(likelihood, outputs, x)
    mean = 0.05 + 0.9 * CHANCE.at("mean").uniform((rows, *sample_shape)).double()
    mean = mean / mean.sum(dim=1, keepdim=True) if support == "one_hot" else mean
    at_mean = likelihood.outputs_at(mean)
    require_shape(likelihood, "outputs_at(mean)", at_mean, (rows, *output_shape))
    require_close(
        likelihood, "the reconstruction of outputs_at(mean) must be mean.", likelihood.mean(at_mean), mean
    )
    if likelihood.unit == "nats" and support == "one_hot":
        _check_categories(likelihood, sample_shape[0])
    elif likelihood.unit == "nats":
        _check_density(likelihood, n_values)
    _check_slopes(original, outputs, x)


def _join(outputs: Tensor, x: Tensor) -> Tensor:
    return torch.cat([outputs.flatten(1), x.flatten(1)], dim=1)


def _split(both: Tensor, outputs: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    n = outputs[0].numel()
    return both[:, :n].reshape(outputs.shape), both[:, n:].reshape(x.shape)


def _check_value_weight(likelihood: Likelihood, outputs: Tensor, x: Tensor) -> None:
    loss = likelihood(outputs, x)
    ones = torch.ones_like(x)
    require_close(likelihood, "a value_weight of 1 must change nothing.", likelihood(outputs, x, ones), loss)
    require_close(likelihood, "value_weight must scale L.", likelihood(outputs, x, 3 * ones), 3 * loss)
    zero = likelihood(outputs, x, 0 * ones)
    require(bool((zero == 0).all()), likelihood, "a value_weight of 0 must leave every value out.")
    seen = torch.zeros_like(x)
    seen.flatten(1)[:, 0] = 1
    changed = x.clone()
    changed.flatten(1)[:, 1:] = 1 - changed.flatten(1)[:, 1:]
    law = "a value with value_weight 0 must not matter."
    require_close(likelihood, law, likelihood(outputs, changed, seen), likelihood(outputs, x, seen))
    law = "L must be the sum of its values' losses."
    both = likelihood(outputs, x, seen) + likelihood(outputs, x, 1 - seen)
    require_close(likelihood, law, both, loss)


def _check_sum(likelihood: Likelihood, outputs: Tensor, x: Tensor) -> None:
    if likelihood.sample_shape is not None:
        return
    twice_x, twice_outputs = torch.cat([x, x], dim=-1), torch.cat([outputs, outputs], dim=-1)
    if likelihood.output_shape(tuple(twice_x.shape[1:])) == tuple(twice_outputs.shape[1:]):
        twice = likelihood(twice_outputs, twice_x)
        law = "L must be summed over values, not averaged: twice the values, twice the loss."
        require_close(likelihood, law, twice, 2 * likelihood(outputs, x))


def _nearest(x: Tensor, n: int) -> Tensor:
    """The nearest of n values, evenly spaced from 0 to 1."""
    return (x * (n - 1)).round() / (n - 1)


def _check_density(likelihood: Likelihood, n_values: int | None) -> None:
    """The density of one value, for a few outputs; or the probabilities of n values from 0 to 1."""
    output_shape = likelihood.output_shape((1,))
    for outputs in CHANCE.at("density").normal((3, 1, *output_shape)).double():
        mean = likelihood.mean(outputs).flatten()
        if n_values is not None:
            values = torch.linspace(0, 1, n_values, dtype=torch.float64)
            widths = torch.ones_like(values)
        else:
            u = torch.linspace(-12, 12, 4001, dtype=torch.float64)
            values, widths = mean + torch.sinh(u), torch.cosh(u) * (u[1] - u[0])
        loss = likelihood(outputs.expand(len(values), *output_shape), values.unsqueeze(1))
        shares = torch.exp(-loss) * widths
        total, centre = shares.sum(), (shares * values).sum()
        require_close(likelihood, "in nats, the density must sum to 1.", total, torch.ones_like(total), 1e-6)
        law = "the reconstruction must be the density's mean."
        require_close(likelihood, law, centre, mean.squeeze(), 1e-6)
        variance = (shares * (values - centre).square()).sum()
        _check_noise(likelihood, outputs, centre.detach(), variance.detach())


def _one_hot(x: Tensor) -> Tensor:
    """1 at the largest along the first axis of an example, 0 elsewhere."""
    return torch.zeros_like(x).scatter(1, x.argmax(dim=1, keepdim=True), 1.0)


def _check_categories(likelihood: Likelihood, n: int) -> None:
    """The probabilities of one category among n, and draws of it."""
    every = torch.eye(n, dtype=torch.float64)
    for outputs in CHANCE.at("density").normal((3, 1, *likelihood.output_shape((n,)))).double():
        shares = torch.exp(-likelihood(outputs.expand(n, n), every))
        law = "in nats, the probabilities of all categories must sum to 1."
        require_close(likelihood, law, shares.sum(), torch.ones_like(shares.sum()), 1e-9)
        law = "the reconstruction must be the categories' probabilities."
        require_close(likelihood, law, shares, likelihood.mean(outputs)[0], 1e-9)
        many = outputs.expand(N_DRAWS, n)
        draws = likelihood.draw(many, CHANCE.at("noise"))
        require_shape(likelihood, "a draw", draws, (N_DRAWS, n))
        whole = bool(((draws == 0) | (draws == 1)).all() and (draws.sum(dim=1) == 1).all())
        require(whole, likelihood, "a draw must be one category.")
        check_repeatable(likelihood, "a draw", partial(likelihood.draw, many, CHANCE.at("noise")))
        error = (shares * (1 - shares) / N_DRAWS).sqrt()
        near = bool(((draws.mean(dim=0) - shares).abs() <= 5 * error + 1e-9).all())
        require(near, likelihood, "draws must have the probabilities that L states.")


def _check_noise(likelihood: Likelihood, outputs: Tensor, centre: Tensor, variance: Tensor) -> None:
    """Draws of one value have the mean and the variance of its density."""
    if type(likelihood).draw is Likelihood.draw:
        return
    many = outputs.expand(N_DRAWS, *outputs.shape[1:])
    draws = likelihood.draw(many, CHANCE.at("noise"))
    require_shape(likelihood, "a draw", draws, (N_DRAWS, 1))
    check_repeatable(likelihood, "a draw", lambda: likelihood.draw(many, CHANCE.at("noise")))
    for what, found, expected in (
        ("mean", draws, centre),
        ("variance", (draws - centre).square(), variance),
    ):
        error = found.std() / math.sqrt(N_DRAWS)
        near = bool((found.mean() - expected).abs() <= 5 * error + 1e-9)
        require(near, likelihood, f"draws must have the {what} of the density that L states.")


def _check_slopes(likelihood: Likelihood, outputs: Tensor, x: Tensor) -> None:
    class Held(torch.nn.Module):
        """The outputs as parameters, so that their gradient is checked with the likelihood's own."""

        def __init__(self) -> None:
            super().__init__()
            self.likelihood, self.outputs = likelihood, torch.nn.Parameter(outputs.clone())

    check_gradients(likelihood, Held(), lambda held, _: held.likelihood(held.outputs, x).sum())

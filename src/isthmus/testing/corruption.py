"""The laws of a corruption."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.corruptions.base import Corruption
from isthmus.testing.laws import CHANCE, check_repeatable, check_rows_apart, require, require_shape


def check_corruption(part: Corruption, x: Tensor) -> None:
    """Check that ``part`` obeys the laws of ``x~ = corruption(x)``.

    From the beginning of a training to its end it gives x's shape and type and leaves x itself
    alone; all chance comes from ``randomness``; a row's damage depends on its place, not on the rows
    beside it; each row has damage of its own; values that it says it does not touch stay as they were.

    Parameters
    ----------
    part
        The corruption. One that never changes anything (a share or scale of 0) passes.
    x
        A batch to try it on, ``(rows, *sample_shape)`` in model units, of at least two rows, with
        at least a few dozen values that are not 0.

    Raises
    ------
    LawBroken
        If a law does not hold; the message names it.

    Examples
    --------
    >>> import torch
    >>> from isthmus.corruptions.masking import Masking
    >>> check_corruption(Masking(0.5), torch.ones(4, 20))
    """
    part.check_sample_shape(tuple(x.shape[1:]))
    require(0 <= part.emphasis <= 1, part, f"emphasis must be in [0, 1], got {part.emphasis}.")
    for progress in (0.0, 0.5, 1.0):
        _check_damage(part, x, progress)
        _check_touched(part, x, progress)


def _check_damage(part: Corruption, x: Tensor, progress: float) -> None:
    one, two = CHANCE.at("one"), CHANCE.at("two")
    before = x.clone()
    check_repeatable(part, "x~ from the same randomness", lambda: part(x, one, progress))
    damaged = part(x, one, progress)
    require_shape(part, "x~", damaged, tuple(x.shape))
    require(damaged.dtype == x.dtype, part, f"x~ must be of x's type {x.dtype}, got {damaged.dtype}.")
    require(torch.equal(x, before), part, "x itself must stay clean: it is the target.")
    check_rows_apart(part, "x~", lambda batch: part(batch, one, progress), x)
    if torch.equal(damaged, x) and torch.equal(part(x, two, progress), x):
        return
    require(
        not torch.equal(damaged, part(x, two, progress)), part, "another randomness must give another x~."
    )
    alike = x[:1].expand_as(x).contiguous()
    twins = part(alike, one, progress)
    require(not torch.equal(twins, twins[:1].expand_as(twins)), part, "each row must have damage of its own.")


def _check_touched(part: Corruption, x: Tensor, progress: float) -> None:
    one = CHANCE.at("one")
    touched = part.touched(x, one, progress)
    if touched is None:
        require(part.emphasis == 0, part, "emphasis wants to know which values are touched, got None.")
        return
    require_shape(part, "touched", touched, tuple(x.shape))
    require(touched.dtype == torch.bool, part, f"touched must be of type torch.bool, got {touched.dtype}.")

    def known() -> Tensor:
        again = part.touched(x, one, progress)
        return touched.logical_not() if again is None else again

    check_repeatable(part, "what is touched by the same randomness", known)
    kept = part(x, one, progress)[~touched]
    require(torch.equal(kept, x[~touched]), part, "values that are not touched must stay as they were.")

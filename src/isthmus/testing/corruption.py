"""The laws of a corruption."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.corruptions.base import Corruption
from isthmus.testing.laws import CHANCE, check_repeatable, check_rows_apart, require, require_shape


def check_corruption(part: Corruption, x: Tensor) -> None:
    """Check that ``part`` obeys the laws of ``x~ = corruption(x)``.

    It gives x's shape and type and leaves x itself alone; all chance comes from ``randomness``;
    a row's damage depends on its place, not on the rows beside it; each row has damage of its own.

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
    one, two = CHANCE.at("one"), CHANCE.at("two")
    before = x.clone()
    check_repeatable(part, "x~ from the same randomness", lambda: part(x, one))
    damaged = part(x, one)
    require_shape(part, "x~", damaged, tuple(x.shape))
    require(damaged.dtype == x.dtype, part, f"x~ must be of x's type {x.dtype}, got {damaged.dtype}.")
    require(torch.equal(x, before), part, "x itself must stay clean: it is the target.")
    check_rows_apart(part, "x~", lambda batch: part(batch, one), x)
    if torch.equal(damaged, x) and torch.equal(part(x, two), x):
        return
    require(not torch.equal(damaged, part(x, two)), part, "another randomness must give another x~.")
    alike = x[:1].expand_as(x).contiguous()
    twins = part(alike, one)
    require(not torch.equal(twins[0], twins[1]), part, "each row must have damage of its own.")

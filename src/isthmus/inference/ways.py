"""How many rows a dense layer multiplies at once with the bits that a batch of them has: what is seen in a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from isthmus.inference.aligned import filled
from isthmus.numerics.products import is_large, large_product
from isthmus.numerics.randomness import Randomness
from isthmus.numerics.threads import torch_threads

BATCH = 128
"""Rows a batch: a shorter one might compute other last bits. The last one is padded."""
FEWEST_AT_ONCE = 16
"""Rows of a batch where there are no more, and their bits are those of a whole one."""
FEW_AT_ONCE, MANY_AT_ONCE = 2048, 8192
"""Rows that are multiplied at once where that gives the bits of their batches, of some rows and of many."""
HUGE = (1 << 20, 1 << 10, 1 << 10)
"""A product that is large wherever one can be."""
VALUES_AT_ONCE = 1 << 21
"""Of the widest layer, at most."""
MOST_TRIED = 1 << 21
"""Weights of a layer of which ways are tried, at most: with more the trial would take longer than it spares."""
PIECES = 4
"""Of as many rows at once, for each thread, before they are taken: so that none waits long for the last."""

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Size(NamedTuple):
    """Of a layer whose weight is filled up."""

    n_in: int
    n_out: int
    """More than its own where it is made wider."""
    is_large: bool
    """Whether a batch's product is."""
    has_bias: bool
    """Or it is added to the outputs that are its own."""


class AtOnce(NamedTuple):
    """How many rows are multiplied at once."""

    n_rows: int
    is_alone: bool
    """Whether that is done on one thread, so that others may multiply others."""


class Way(NamedTuple):
    """How rows are multiplied with a layer's weight."""

    product: Product
    is_filled: bool
    """Whether both are filled up for it."""


Ways = dict[Size, Way]


def ways_of(sizes: Sequence[Size], n_rows: int) -> tuple[AtOnce, dict[int, Ways]]:
    """How many of ``n_rows`` may be multiplied at once; and how layers do it, by the number of rows."""
    if n_rows <= FEWEST_AT_ONCE:
        choices = [AtOnce(FEWEST_AT_ONCE, False)]
    elif n_rows < FEW_AT_ONCE:
        choices = []
    elif any(size.is_large for size in sizes):
        choices = [AtOnce(BATCH, True)]  # of which more would be no faster, and take memory
    elif n_rows < PIECES * torch.get_num_threads() * MANY_AT_ONCE:
        choices = [AtOnce(FEW_AT_ONCE, True)]
    else:
        choices = [AtOnce(MANY_AT_ONCE, True), AtOnce(FEW_AT_ONCE, True)]
    key, threads, has_two = tuple(sizes), torch.get_num_threads(), is_large(*HUGE)
    for at_once in choices:
        own, of_batches = (
            _ways(each, key, threads, has_two)
            for each in (at_once, at_once._replace(n_rows=BATCH) if at_once.is_alone else at_once)
        )
        if own is not None and of_batches is not None:
            return at_once, {at_once.n_rows: own} | ({BATCH: of_batches} if at_once.is_alone else {})
    batch = AtOnce(BATCH, False)
    own = _ways(batch, key, threads, has_two)
    assert own is not None
    return batch, {BATCH: own}


@cache
def _ways(at_once: AtOnce, sizes: Sequence[Size], threads: int, has_two: bool) -> Ways | None:
    """How layers multiply so many rows with the bits that batches have on ``threads``; None where one has no way.

    ``has_two``: of PyTorch's libraries for products there are two, see :func:`is_large`.
    """
    if at_once == (BATCH, False):
        return {size: _of_batch(size) for size in sizes}
    widest, largest = max(max(size[:2]) for size in sizes), max(size.n_in * size.n_out for size in sizes)
    if at_once.n_rows * widest > VALUES_AT_ONCE or largest > MOST_TRIED:
        return None
    found = Ways()
    for size in sizes:
        ways = [Way(linear, True)]
        if has_two and at_once.is_alone and is_large(at_once.n_rows, size.n_in, size.n_out):
            # This one does not mind where rows begin.
            ways = [Way(large_product, False), Way(large_product, True), *ways]
        elif size.is_large:
            ways.append(_of_batch(size))
        way = _tried(at_once, size, ways, threads)
        if way is None:
            return None
        found[size] = way
    return found


def _of_batch(size: Size) -> Way:
    return Way(large_product if size.is_large else linear, True)


def _tried(at_once: AtOnce, size: Size, ways: Sequence[Way], threads: int) -> Way | None:
    """Which way gives so many rows the bits that a batch of filled rows has on ``threads``, or None.

    Fewer rows or more might be cut up otherwise, and their sums be taken in another order: whether they are, is tried.
    Where they are multiplied on one thread, so are batches behind them.
    """
    n_rows, is_alone = at_once
    chance, of_batch = Randomness(size.n_in, "products", size.n_out, threads), _of_batch(size)
    shapes = (max(n_rows, BATCH), size.n_in), (size.n_out, size.n_in), (size.n_out,)
    x, weight, some = (chance.at(i).normal(shape) for i, shape in enumerate(shapes))
    bias, full, full_weight = some if size.has_bias else None, filled(x), filled(weight)

    def in_parts(way: Way, n: int) -> Tensor:
        rows, by = (full, full_weight) if way.is_filled else (x, weight)
        return torch.cat([way.product(part, by, bias) for part in rows.split(n)])

    expected = in_parts(of_batch, BATCH)
    with torch_threads(1 if is_alone else threads):
        if is_alone and not torch.equal(in_parts(of_batch, BATCH), expected):
            return None
        return next((way for way in ways if torch.equal(in_parts(way, n_rows), expected)), None)

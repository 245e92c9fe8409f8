"""Which likelihood the data ask for: log loss for black and white, else squared error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.preprocessing.base import Preprocessing
from isthmus.sources.base import Source

LOOKED_AT = 10_000
"""Rows that are looked at, at most, evenly spaced."""
NEAR_END = 0.02
SHARE_NEEDED = 0.75
_BLOCK_VALUES = 1 << 15


@dataclass(frozen=True, slots=True)
class LikelihoodChoice:
    """A likelihood's name, and in one line why it was chosen."""

    name: Literal["bernoulli", "squared_error", "mixed"]
    reason: str


def is_black_and_white(values: NDArray[Any]) -> bool:
    """Whether values of [0, 1] lie, 75 % of them at least, within 2 % of either end.

    >>> is_black_and_white(np.array([0.0, 0.01, 0.5, 0.98])), is_black_and_white(np.array([0.0, 0.5]))
    (True, False)
    """
    return _n_near_end(values) >= SHARE_NEEDED * values.size


def infer_likelihood(source: Source, scaling: Preprocessing) -> LikelihoodChoice:
    """The likelihood that suits the rows, judged in model units.

    Pictures of one channel with at least 75 % of their values within 2 % of either end of [0, 1],
    and vectors or sequences whose values are all exactly 0 or 1, take ``"bernoulli"``; tables take
    ``"mixed"``; all others ``"squared_error"``, and so do rows that leave [0, 1]. Up to 10,000 evenly
    spaced rows are read. A gap says nothing.

    Examples
    --------
    >>> from isthmus.preprocessing import Scaling
    >>> from isthmus.sources import bundled
    >>> digits = bundled("mnist-test")
    >>> print(infer_likelihood(digits, Scaling.fit(digits, np.arange(2000))).name)
    bernoulli
    """
    shape = source.schema.sample_shape
    if source.schema.kind == "tables":
        return LikelihoodChoice("mixed", "a table: each column by its type.")
    if source.schema.kind == "pictures" and shape[-1] != 1:
        return LikelihoodChoice("squared_error", f"pictures of {shape[-1]} channels: squared error.")
    if source.schema.kind == "pictures":
        return _for_pictures(source, scaling)
    if all(
        bool(((block == 0.0) | (block == 1.0) | np.isnan(block)).all())
        for block in _looked_at(source, scaling)
    ):
        return LikelihoodChoice("bernoulli", "all values are exactly 0 or 1: log loss.")
    return LikelihoodChoice("squared_error", "not all values are exactly 0 or 1: squared error.")


def _for_pictures(source: Source, scaling: Preprocessing) -> LikelihoodChoice:
    n_near = n_seen = 0
    for block in _looked_at(source, scaling):
        if block.min() < 0.0 or block.max() > 1.0:
            return LikelihoodChoice("squared_error", "values leave [0, 1] in model units: squared error.")
        n_near += _n_near_end(block)
        n_seen += block.size
    share = n_near / n_seen
    seen = f"{100 * share:.1f} % of the values lie within 2 % of black or white"
    if n_near >= SHARE_NEEDED * n_seen:
        return LikelihoodChoice("bernoulli", f"{seen}, at least 75 %: log loss.")
    return LikelihoodChoice("squared_error", f"{seen}, less than 75 %: squared error.")


def _n_near_end(values: NDArray[Any]) -> int:
    return int(np.count_nonzero((values <= NEAR_END) | (values >= 1.0 - NEAR_END)))


def _looked_at(source: Source, scaling: Preprocessing) -> Iterator[NDArray[np.float32]]:
    """The evenly spaced rows in model units, a block at a time."""
    n_rows = len(source)
    rows = np.linspace(0, n_rows - 1, min(n_rows, LOOKED_AT)).round().astype(np.int64)
    step = max(1, _BLOCK_VALUES // source.schema.n_values)
    for start in range(0, len(rows), step):
        yield scaling.to_model(source.read(rows[start : start + step]))

"""The shape vocabulary: the one place that says what the axes are called and in which order.

NumPy arrays and files are channels *last*: pictures ``(rows, height, width, channels)``,
sequences ``(rows, steps, channels)``.
Torch tensors are channels *first*: pictures ``(rows, channels, height, width)``, sequences
``(rows, channels, steps)``.
Vectors are ``(rows, features)`` on both sides, and a code is always ``(rows, size)``.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

Shape = tuple[int, ...]


class Block(NamedTuple):
    """The features in model units that one column of a table became; a row's are side by side.

    Examples
    --------
    >>> Block("category", 3).size
    3
    """

    kind: Literal["number", "category", "boolean"]
    """A number, as many as there are categories of which one is 1 and the others 0, or 0 and 1."""
    size: int
    """How many features: 1 unless it is a category."""
    constant_loss: float = 1.0
    """What the best constant loses on the training rows: the variance of a number, else the entropy in nats."""


Layout = tuple[Block, ...]
"""The blocks of a row in model units, in the order of the columns."""


def to_channels_first(sample_shape: Shape) -> Shape:
    """The torch-side shape of one example.

    >>> to_channels_first((28, 28, 1)), to_channels_first((100, 3)), to_channels_first((64,))
    ((1, 28, 28), (3, 100), (64,))
    """
    return (sample_shape[-1], *sample_shape[:-1])


def n_values(sample_shape: Shape) -> int:
    """How many numbers one example holds.

    >>> n_values((28, 28, 1))
    784
    """
    return math.prod(sample_shape)


def shape_text(sample_shape: Shape) -> str:
    """A shape as people write it.

    >>> shape_text((28, 28, 1)), shape_text((64,))
    ('28 x 28 x 1', '64')
    """
    return " x ".join(str(side) for side in sample_shape)

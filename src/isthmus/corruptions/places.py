"""Where a corruption strikes: values one by one, or whole pixels and steps.

Examples of two axes or more have their channels first: the axes after them are places.
"""

from __future__ import annotations

from torch import Tensor

from isthmus.errors import ParameterError
from isthmus.numerics.randomness import Randomness
from isthmus.shapes import Shape, shape_text


def places_of(sample_shape: Shape) -> Shape:
    """Axes of an example without its channels: all of a vector's one axis.

    >>> places_of((3, 28, 28)), places_of((2, 100)), places_of((64,))
    ((28, 28), (100,), (64,))
    """
    return sample_shape[1:] if len(sample_shape) > 1 else sample_shape


def chance_of_places(x: Tensor, randomness: Randomness, *, whole_pixels: bool) -> Tensor:
    """A number in [0, 1) for each value, or one for all channels of a place; of x's shape."""
    if not whole_pixels:
        return randomness.uniform(x.shape, like=x)
    n_rows, _, *places = x.shape
    return randomness.uniform((n_rows, 1, *places), like=x).expand_as(x)


def check_has_channels(who: str, sample_shape: Shape) -> None:
    """Refuse whole pixels of examples that have no channels."""
    if len(sample_shape) < 2:
        raise ParameterError(
            f"{who}: whole_pixels wants pictures or sequences with channels, got rows of shape "
            f"{shape_text(sample_shape)}. Leave it out, or give the data's own shape (sample_shape)."
        )

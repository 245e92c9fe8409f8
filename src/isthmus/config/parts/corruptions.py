"""Descriptions of corruptions: x~ = corruption(x), the input that the encoder is shown."""

from __future__ import annotations

from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within
from isthmus.errors import ParameterError

Share = Annotated[float, numpy_scalars, within("[0, 1)", "To hide everything is to learn nothing; try 0.25.")]
Scale = Annotated[float, numpy_scalars, within("[0, inf)", "It is a standard deviation; try 0.3.")]
Emphasis = Annotated[
    float, numpy_scalars, within("[0, 1]", "0 counts all values alike, 1 the damaged ones alone; try 0.5.")
]
End = Annotated[
    float, numpy_scalars, within("(-inf, inf)", "It is a value in model units; try 0 and 1, or 'auto'.")
]


class Corruption(Description):
    """Family of the corruptions."""


@description
class Masking(Corruption):
    """Hide each value independently: ``x~_i = 0`` with probability ``hidden_share``.

    Hidden values become 0 in model units: black in pictures, the mean in standardised columns.
    Kept values are not rescaled. Of tables whole columns are hidden; where gaps are known
    (``data.missing="mask"``) a hidden value is shown as a gap, so that a model learns to fill gaps: an
    ``emphasis`` near 1 then serves. Source: Vincent et al. (2010), JMLR 11, section 3.3.

    Parameters
    ----------
    hidden_share
        Probability that a value is hidden, in [0, 1).
    final_hidden_share
        The probability at the end of the training, reached in a straight line; None keeps the first.
    emphasis
        How much less the loss of the values that were not hidden counts, in [0, 1]: 0 counts all
        alike, 1 the hidden ones alone (Vincent et al. 2010, section 5.2: alpha = 1, beta = 1 - emphasis).
    whole_pixels
        Whether the channels of a pixel, or of a step of a sequence, are hidden together.

    Examples
    --------
    >>> Masking(0.25).hidden_share
    0.25
    """

    hidden_share: Share = 0.25
    final_hidden_share: Share | None = None
    emphasis: Emphasis = 0.0
    whole_pixels: bool = False

    def __post_init__(self) -> None:
        _check_counts(self, "hidden_share", self.hidden_share, self.final_hidden_share, self.emphasis)


@description
class GaussianNoise(Corruption):
    """Add independent normal noise: ``x~ = x + scale * e``, ``e ~ N(0, I)``.

    Under squared error the best reconstruction then knows the slope of the data's log density
    (see :func:`isthmus.exploration.score.score`). Source: Vincent et al. (2010), JMLR 11, section 3.3.

    Parameters
    ----------
    scale
        Standard deviation of the noise in model units (pixels in [0, 1], standardised columns),
        at least 0; 0 leaves the input as it is.
    final_scale
        The standard deviation at the end of the training, reached in a straight line; None keeps
        the first.

    Examples
    --------
    >>> GaussianNoise(0.1).scale
    0.1
    """

    scale: Scale = 0.3
    final_scale: Scale | None = None


@description
class SaltAndPepper(Corruption):
    """Set a share of the values to the lowest or the highest there is, half of them each.

    Source: Vincent et al. (2010), JMLR 11, section 3.3.

    Parameters
    ----------
    replaced_share
        Probability that a value is replaced, in [0, 1).
    final_replaced_share
        The probability at the end of the training, reached in a straight line; None keeps the first.
    low, high
        The two ends in model units; ``"auto"``: 0 and 1, where the data are scaled to a range or the
        likelihood is meant for values in [0, 1]. Standardised columns have no ends: give both, in
        standard deviations.
    emphasis
        How much less the loss of the values that were not replaced counts, in [0, 1].
    whole_pixels
        Whether the channels of a pixel, or of a step of a sequence, are replaced together.

    Examples
    --------
    >>> SaltAndPepper(0.2, low=-2, high=2).high
    2.0
    """

    replaced_share: Share = 0.25
    final_replaced_share: Share | None = None
    low: End | Literal["auto"] = "auto"
    high: End | Literal["auto"] = "auto"
    emphasis: Emphasis = 0.0
    whole_pixels: bool = False

    def __post_init__(self) -> None:
        shares = self.replaced_share, self.final_replaced_share
        _check_counts(self, "replaced_share", *shares, self.emphasis)
        low, high = self.low, self.high
        if isinstance(low, str) != isinstance(high, str):
            raise ParameterError(
                f"SaltAndPepper: low and high must both be numbers or both 'auto', got {low!r} and {high!r}. "
                "Give both."
            )
        if not isinstance(low, str) and not isinstance(high, str) and low >= high:
            raise ParameterError(
                f"SaltAndPepper: low must be under high, got {low!r} and {high!r}. Exchange them."
            )


@description
class Block(Corruption):
    """Hide one block of each example: a patch of a picture, a stretch of a sequence or of columns.

    ``x~_i = 0`` for i in a block of the example's own proportions, its sides rounded to whole
    places, all of which are equally likely; all channels of a place are hidden. At least one place
    is. Hidden values become 0 in model units. Source: Pathak et al. (2016), CVPR, section 3.2.

    Parameters
    ----------
    hidden_share
        Share of a picture's area, or of a row's length, that is hidden, in [0, 1).
    final_hidden_share
        The share at the end of the training, reached in a straight line; None keeps the first.
    emphasis
        How much less the loss of the values that were not hidden counts, in [0, 1].

    Examples
    --------
    >>> Block(0.1, emphasis=0.5).emphasis
    0.5
    """

    hidden_share: Share = 0.25
    final_hidden_share: Share | None = None
    emphasis: Emphasis = 0.0

    def __post_init__(self) -> None:
        _check_counts(self, "hidden_share", self.hidden_share, self.final_hidden_share, self.emphasis)


def _check_counts(part: Corruption, name: str, first: float, last: float | None, emphasis: float) -> None:
    """Where damaged values alone count, there must be some, at the end of the training as well."""
    if emphasis == 1 and 0 in (first, last):
        raise ParameterError(
            f"{type(part).__name__}: {name} must be above 0 from first to last where emphasis is 1, got "
            f"{first:g} and {'none' if last is None else f'{last:g}'}. Nothing would count; lower emphasis."
        )

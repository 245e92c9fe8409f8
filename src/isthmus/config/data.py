"""Description of the data: how rows are read and brought to model units."""

from __future__ import annotations

from typing import Annotated, Literal

from isthmus.config.description import Description, description, numpy_scalars, within

Side = Annotated[int, numpy_scalars, within("[1, inf)", "It is a side in pixels or a count.")]


@description
class Data(Description):
    """How rows become model units.

    Parameters
    ----------
    scaling
        ``"standardise"``: each column to mean 0 and deviation 1; ``"range"``: all columns jointly,
        or pixels, to [0, 1]; ``"raw"``: as they are; ``"auto"``: pictures, bytes and columns that
        share one bounded unit by range, other columns standardised; all columns by range where
        the likelihood is chosen to be Bernoulli, which wants [0, 1].
    sample_shape
        Shape of one row, ``(height, width)`` or ``(height, width, channels)``, where flat rows are
        pictures; None takes rows as they come.
    resize
        ``(height, width)`` to which pictures of mixed sizes are brought, or None to refuse them.

    Examples
    --------
    >>> Data(scaling="standardise").to_dict()
    {'scaling': 'standardise', 'sample_shape': 'none', 'resize': 'none'}
    """

    scaling: Literal["auto", "standardise", "range", "raw"] = "auto"
    sample_shape: tuple[Side, ...] | None = None
    resize: tuple[Side, Side] | None = None

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
        the likelihood is chosen to be Bernoulli, which wants [0, 1]. A channel of sequences is
        scaled by its own mean and deviation, or its own range, over all rows and steps.
        ``"quantile"``: each column of tables or vectors to normal scores by its own distribution
        function, so that neither long tails nor outliers count for more; what ``"auto"`` is for the
        numbers of tables. Categories are one of several zeros and ones under every scaling.
    missing
        What NaN is in tables and vectors: ``"mask"``: a gap, of which the encoder is told and no loss
        knows; ``"refuse"``: an error; ``"auto"``: mask for tables, else refuse.
    sample_shape
        Shape of one row, ``(height, width)`` or ``(height, width, channels)``, where flat rows are
        pictures, ``(steps,)`` or ``(steps, channels)`` where they are sequences; None takes rows as
        they come.
    row_kind
        What the rows of an array are: ``"vectors"`` (features), ``"sequences"`` (steps, channels) or
        ``"pictures"`` (height, width, channels). ``"auto"``: sequences where the network is ``conv1d``,
        else by the number of axes alone, and three of them are pictures of one channel.
    resize
        ``(height, width)`` to which pictures of mixed sizes are brought, or None to refuse them.

    Examples
    --------
    >>> Data(scaling="standardise").to_dict()
    {'scaling': 'standardise', 'missing': 'auto', 'sample_shape': 'none', 'row_kind': 'auto', 'resize': 'none'}
    """

    scaling: Literal["auto", "standardise", "range", "raw", "quantile"] = "auto"
    missing: Literal["auto", "refuse", "mask"] = "auto"
    sample_shape: tuple[Side, ...] | None = None
    row_kind: Literal["auto", "vectors", "sequences", "pictures"] = "auto"
    resize: tuple[Side, Side] | None = None

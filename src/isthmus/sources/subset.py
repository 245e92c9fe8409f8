"""Some rows of a source, as a source."""

from __future__ import annotations

from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from isthmus.sources.base import Indices, Rows, Source


@final
class Subset(Source):
    """A view of some rows of a source, in a given order.

    Parameters
    ----------
    source
        Where the rows are.
    rows
        Their positions there, ``(n,)``.

    Examples
    --------
    >>> import numpy as np
    >>> from isthmus.sources import ArraySource
    >>> part = Subset(ArraySource(np.array([[0.0], [1.0], [2.0]])), np.array([2, 0]))
    >>> part.read(slice(0, 2)).ravel()
    array([2., 0.])
    """

    def __init__(self, source: Source, rows: Indices) -> None:
        self.name, self.schema = source.name, source.schema
        self.labels = None if source.labels is None else source.labels[rows]
        self.notes = source.notes
        self._source, self._rows = source, rows

    @cached_property
    def row_names(self) -> NDArray[Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What each row is called where it comes from; looked up when first asked for."""
        names = self._source.row_names
        return None if names is None else names[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def given(self, rows: Indices) -> Indices:
        """Numbers of the rows in the source."""
        return self._source.given(self._rows[rows])

    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, counted within the subset."""
        return self._source.read(self._rows[rows])

    def sounds(self, rows: slice | Indices) -> NDArray[np.float32] | None:
        """The samples behind the rows, counted within the subset."""
        return self._source.sounds(self._rows[rows])

"""All rows of a source but some, in its own order: what is left of a file to train on."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.check import check_block


@final
class Rest(Source):
    """A source without some of its rows, of which only those that are left out are kept in mind.

    A slice is read as a slice of the source, so that a memory map is read forwards. What is read is looked
    at: a row that no model can learn from is refused by its number in the source, whenever it is met.

    Parameters
    ----------
    source
        Where the rows are.
    left_out
        Positions there, rising, ``(n,)``.
    allows_gaps
        Whether NaN is a gap.
    who
        What messages begin with; the source's name if None.

    Examples
    --------
    >>> import numpy as np
    >>> from isthmus.sources import ArraySource
    >>> rest = Rest(ArraySource(np.arange(5.0).reshape(5, 1)), np.array([1, 3]))
    >>> len(rest), rest.read(slice(1, 3)).ravel(), rest.read(np.array([2, 0])).ravel()
    (3, array([2., 4.]), array([4., 0.]))
    """

    def __init__(
        self, source: Source, left_out: Indices, *, allows_gaps: bool = False, who: str | None = None
    ) -> None:
        self.name, self.schema, self.notes = source.name, source.schema, source.notes
        if source.block_ends is not None:
            ends = source.block_ends - np.searchsorted(left_out, source.block_ends)
            self.block_ends = np.unique(ends[ends > 0])
        self.labels = None if source.labels is None else np.delete(source.labels, left_out)
        self.row_names = None if source.row_names is None else np.delete(source.row_names, left_out)
        self._who = source.name if who is None else who
        self._source, self._left_out, self._allows_gaps = source, left_out, allows_gaps
        self._before = left_out - np.arange(len(left_out))
        """How many rows that stay are before each that does not."""

    def __len__(self) -> int:
        return len(self._source) - len(self._left_out)

    def places(self, rows: Indices) -> Indices:
        """Where rows of the rest are in the source."""
        return rows + np.searchsorted(self._before, rows, side="right")

    def given(self, rows: Indices) -> Indices:
        """Numbers of the rows in the source."""
        return self._source.given(self.places(rows))

    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, counted within the rest.

        Raises
        ------
        DataError
            Infinity, or NaN where it is no gap.
        """
        if isinstance(rows, np.ndarray):
            places = self.places(rows)
            block = self._source.read(places)
            check_block(block, self._who, places, allows_gaps=self._allows_gaps)
            return block
        start, stop, step = rows.indices(len(self))
        if step != 1 or stop <= start:
            return self.read(np.arange(start, stop, step))
        first, last = self.places(np.array([start, stop - 1]))
        block = self._source.read(slice(int(first), int(last) + 1))
        check_block(block, self._who, int(first), allows_gaps=self._allows_gaps)
        low, high = np.searchsorted(self._left_out, [first, last])
        return block if low == high else np.delete(block, self._left_out[low:high] - first, axis=0)

    def sounds(self, rows: slice | Indices) -> NDArray[np.float32] | None:
        """The samples behind the rows, counted within the rest."""
        wanted = rows if isinstance(rows, np.ndarray) else np.arange(len(self))[rows]
        return self._source.sounds(self.places(wanted))

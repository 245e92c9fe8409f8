"""Arrow's columns, told by their type and brought into one piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as arrow_compute

from isthmus.cores import n_cores

T = TypeVar("T")
FEWEST, MOST_AT_ONCE = 100_000, 8
"""Cells of a table from which on threads are begun for its columns, and the most columns at once, for their memory."""

pc: Any = arrow_compute
"""Arrow's functions; most of them are made when the module is imported, where no type checker sees them."""


def plain(array: Any) -> Any:
    """A column in one piece: text as ``string``, dictionaries as their values."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(array, pa.DictionaryArray):
        words = array.dictionary
        array = pc.take(words.cast(pa.string()) if is_text(words.type) else words, array.indices)
    return array.cast(pa.string()) if is_text(array.type) else array


def by_column(work: Callable[..., T], columns: Sequence[tuple[Any, ...]], n_cells: int) -> list[T]:
    """``work`` of each column's arguments, in order; of a large table in threads, beside which Arrow lets others work.

    What the first that fails raises is raised, as if they had been done one after the other.

    >>> by_column(lambda name, array: f"{name}: {len(array)}", [("a", [1, 2]), ("b", [])], n_cells=2)
    ['a: 2', 'b: 0']
    """
    n_threads = min(n_cores(), len(columns), MOST_AT_ONCE)
    if n_threads < 2 or n_cells < FEWEST:
        return [work(*column) for column in columns]
    with ThreadPoolExecutor(n_threads, "isthmus-columns") as threads:
        return list(threads.map(lambda column: work(*column), columns))


def is_text(dtype: Any) -> bool:
    """Whether Arrow's type is one of text."""
    return pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype)


def is_number(dtype: Any) -> bool:
    """Whether Arrow's type is one of numbers."""
    return pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype)


def is_date(dtype: Any) -> bool:
    """Whether Arrow's type is one of dates, with or without a time of day."""
    return pa.types.is_date(dtype) or pa.types.is_timestamp(dtype)

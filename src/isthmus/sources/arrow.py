"""Arrow's columns, told by their type and brought into one piece."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as arrow_compute

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


def is_text(dtype: Any) -> bool:
    """Whether Arrow's type is one of text."""
    return pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype)


def is_number(dtype: Any) -> bool:
    """Whether Arrow's type is one of numbers."""
    return pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype)


def is_date(dtype: Any) -> bool:
    """Whether Arrow's type is one of dates, with or without a time of day."""
    return pa.types.is_date(dtype) or pa.types.is_timestamp(dtype)

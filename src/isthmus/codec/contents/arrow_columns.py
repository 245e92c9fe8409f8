"""Arrow arrays as columns of numbers and texts, bit for bit, and back.

An array of key ``k`` is a column ``k`` of its values; ``k?`` marks its gaps with 1 where it has any, and numbers in
gaps are as the one before. The codes of a dictionary are ``k`` and its words ``k#``; the lengths of lists are ``k``
and what they hold ``k[]``; the fields of a structure are ``k.0``, ``k.1`` and so on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.codec.columns import Columns
from isthmus.codec.contents.base import unfit

_DEEPEST = 30
_TEXTS = ("string", "large_string", "binary", "large_binary", "string_view", "binary_view")


def is_supported(dtype: Any, depth: int = 0) -> bool:
    """Whether arrays of a type become columns: all but maps, unions, run-end-encoded ones, views of lists and the like.

    >>> is_supported(pa.list_(pa.int8())), is_supported(pa.map_(pa.int8(), pa.int8()))
    (True, False)
    """
    if depth > _DEEPEST:
        return False
    dtype = _storage(dtype)
    types = pa.types
    if types.is_dictionary(dtype):
        return is_supported(dtype.value_type, depth + 1)
    if types.is_struct(dtype):
        inner = [dtype.field(place).type for place in range(dtype.num_fields)]
        return bool(inner) and all(is_supported(one, depth + 1) for one in inner)
    if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
        return is_supported(dtype.value_type, depth + 1)
    return types.is_null(dtype) or types.is_boolean(dtype) or str(dtype) in _TEXTS or _is_plain(dtype)


def encoded(key: str, array: Any, columns: Columns) -> None:
    """Add the columns of an array in one piece, of a type that is supported."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    dtype, n, types = array.type, len(array), pa.types
    gaps = np.zeros(n, bool)
    if array.null_count and not types.is_null(dtype):
        gaps = np.asarray(array.is_null())
        columns[f"{key}?"] = gaps.astype(np.uint8)
    if types.is_dictionary(dtype):
        encoded(key, _without_gaps(array.indices), columns)
        encoded(f"{key}#", array.dictionary, columns)
    elif types.is_struct(dtype):
        for place in range(dtype.num_fields):
            encoded(f"{key}.{place}", array.field(place), columns)
    elif types.is_list(dtype) or types.is_large_list(dtype):
        offsets = np.asarray(array.offsets).astype(np.int64)
        columns[key] = np.where(gaps, 0, np.diff(offsets)) if n else np.empty(0, np.int64)
        encoded(f"{key}[]", array.flatten(), columns)
    elif types.is_fixed_size_list(dtype):
        inner = array.values.slice(array.offset * dtype.list_size, n * dtype.list_size)
        columns[key] = np.zeros(n, np.uint8)
        encoded(f"{key}[]", inner, columns)
    elif types.is_null(dtype):
        columns[key] = np.zeros(n, np.uint8)
    elif types.is_boolean(dtype):
        columns[key] = np.asarray(array.fill_null(fill_value=False)).view(np.uint8)
    elif str(dtype) in _TEXTS:
        binary = array.cast(pa.binary() if "large" not in str(dtype) else pa.large_binary())
        columns[key] = [b"" if text is None else text for text in binary.to_pylist()]
    else:
        columns[key] = _filled(_values(array), gaps)


def decoded(key: str, dtype: Any, columns: Columns) -> Any:
    """The array of a key, of a type that is supported.

    Raises
    ------
    ArtifactError
        Columns that make none.
    """
    try:
        array = _decoded(key, dtype, columns)
        array.validate(full=True)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise unfit(f"columns that are no {str(dtype)[:60]} ({reason})") from None
    return array


def _decoded(key: str, dtype: Any, columns: Columns) -> Any:
    types = pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        array = dtype.wrap_array(_decoded(key, dtype.storage_type, columns))
    elif types.is_struct(dtype):
        fields = [dtype.field(place) for place in range(dtype.num_fields)]
        inner = [_decoded(f"{key}.{place}", field.type, columns) for place, field in enumerate(fields)]
        array = pa.StructArray.from_arrays(inner, fields=fields, mask=_mask(key, len(inner[0]), columns))
    elif key not in columns:
        raise unfit(f"no column {key!r}")
    elif types.is_dictionary(dtype):
        codes = _plain(columns[key], dtype.index_type, _gaps(key, len(columns[key]), columns))
        words = _decoded(f"{key}#", dtype.value_type, columns)
        array = pa.DictionaryArray.from_arrays(codes, words, ordered=dtype.ordered)
    elif types.is_nested(dtype):
        array = _lists(key, dtype, columns)
    else:
        array = _leaf(columns[key], dtype, _gaps(key, len(columns[key]), columns))
    return array


def _lists(key: str, dtype: Any, columns: Columns) -> Any:
    """Lists of any or of one length."""
    values, mask = columns[key], _mask(key, len(columns[key]), columns)
    inner = _decoded(f"{key}[]", dtype.value_type, columns)
    if pa.types.is_fixed_size_list(dtype):
        if len(inner) != len(values) * dtype.list_size:
            raise ValueError("lists of other lengths")
        return pa.FixedSizeListArray.from_arrays(inner, type=dtype, mask=mask)
    offsets = np.concatenate([[0], np.cumsum(_numbers(values, np.int64))])
    if (np.diff(offsets) < 0).any() or offsets[-1] != len(inner):
        raise ValueError("lists of other lengths")
    if pa.types.is_large_list(dtype):
        return pa.LargeListArray.from_arrays(pa.array(offsets), inner, type=dtype, mask=mask)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), inner, type=dtype, mask=mask)


def _leaf(values: Any, dtype: Any, gaps: NDArray[np.bool_] | None) -> Any:
    """Values that hold no others."""
    if pa.types.is_null(dtype):
        return pa.nulls(len(values))
    if pa.types.is_boolean(dtype):
        return pa.array(_numbers(values, np.uint8).astype(bool), mask=gaps)
    if str(dtype) not in _TEXTS:
        return _plain(values, dtype, gaps)
    if not isinstance(values, list):
        raise ValueError("numbers for texts")
    texts: list[bytes | None] = list(values)  # pyright: ignore[reportUnknownArgumentType]
    for place in [] if gaps is None else np.flatnonzero(gaps).tolist():
        texts[place] = None
    binary = pa.array(texts, pa.large_binary() if "large" in str(dtype) else pa.binary())
    return binary if binary.type == dtype else binary.cast(dtype)


def _storage(dtype: Any) -> Any:
    return dtype.storage_type if isinstance(dtype, pa.BaseExtensionType) else dtype


def _is_plain(dtype: Any) -> bool:
    """Whether all values of a type take the same whole number of bytes."""
    try:
        return dtype.bit_width % 8 == 0 and dtype.bit_width > 0 and dtype.num_fields == 0
    except ValueError:
        return False


def _number_type(dtype: Any) -> np.dtype[Any] | None:
    """The type of numbers that a value of Arrow's type is; None of those of other widths, which are kept as bytes."""
    if pa.types.is_floating(dtype):
        return np.dtype(f"f{dtype.bit_width // 8}")
    if dtype.bit_width in (8, 16, 32, 64):
        sign = "u" if pa.types.is_unsigned_integer(dtype) else "i"
        return np.dtype(f"{sign}{dtype.bit_width // 8}") if not pa.types.is_fixed_size_binary(dtype) else None
    return None


def _values(array: Any) -> NDArray[Any]:
    """The buffer of an array, a value a row; of decimals that fit the lower half of 128 bits, else its bytes."""
    dtype, n = array.type, len(array)
    width = dtype.bit_width // 8
    data = array.buffers()[1]
    octets = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    octets = octets[array.offset * width : (array.offset + n) * width]
    kind = _number_type(dtype)
    if kind is not None:
        return octets.view(kind.newbyteorder("<")).astype(kind)
    if pa.types.is_decimal128(dtype):
        halves = octets.view("<i8").reshape(n, 2)
        if (halves[:, 1] == halves[:, 0] >> 63).all():
            return halves[:, 0].astype(np.int64)
    return octets.reshape(n, width).copy()


def _plain(values: Any, dtype: Any, gaps: NDArray[np.bool_] | None) -> Any:
    """An array whose buffer is these values."""
    n, width = len(values), dtype.bit_width // 8
    kind = _number_type(dtype)
    if kind is not None:
        data = _numbers(values, kind).astype(kind.newbyteorder("<"))
    elif pa.types.is_decimal128(dtype) and isinstance(values, np.ndarray) and values.dtype == np.int64:
        data = np.stack([_numbers(values, np.int64), values >> 63], axis=1).astype("<i8")
    else:
        data = np.ascontiguousarray(_numbers(values, np.uint8, width))
    bits = None if gaps is None else pa.py_buffer(np.packbits(~gaps, bitorder="little").tobytes())
    return pa.Array.from_buffers(dtype, n, [bits, pa.py_buffer(data.tobytes())])


def _numbers(values: Any, dtype: Any, *shape: int) -> NDArray[Any]:
    if not isinstance(values, np.ndarray) or values.dtype != dtype or values.shape[1:] != shape:
        raise ValueError(f"values that are no {np.dtype(dtype)}")
    return values


def _mask(key: str, n: int, columns: Columns) -> Any:
    gaps = _gaps(key, n, columns)
    return None if gaps is None else pa.array(gaps)


def _gaps(key: str, n: int, columns: Columns) -> NDArray[np.bool_] | None:
    marks = columns.get(f"{key}?")
    if marks is None:
        return None
    if not isinstance(marks, np.ndarray) or marks.shape != (n,):
        raise unfit("marks of gaps that are none")
    return marks.astype(bool)


def _without_gaps(codes: Any) -> Any:
    """Codes as numbers alone: gaps are those of the whole array."""
    values = _filled(_values(codes), np.asarray(codes.is_null()))
    return pa.Array.from_buffers(codes.type, len(codes), [None, pa.py_buffer(values.tobytes())])


def _filled(values: NDArray[Any], gaps: NDArray[np.bool_]) -> NDArray[Any]:
    """Values in gaps as the one before; those before the first as 0."""
    if not gaps.any():
        return values
    last = np.maximum.accumulate(np.where(gaps, -1, np.arange(len(values))))
    found = values[last]
    found[last < 0] = 0
    return found

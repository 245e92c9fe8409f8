"""Columns of exact values as few bytes, and back: what a block is where no model knows better.

A column is an array of numbers, one entry a row, or a list of texts (bytes). Numbers become whole numbers first:
floats by their bits, or where all but a few are decimals of few digits by these, ``x = q / 10**k``; then, whichever
comes out smallest, as they are or as differences along the rows or the last axis; then planes of bytes, the lowest
first, each packed by the best general coder. What may be sound is one FLAC stream where that is smaller.
``docs/archive.md`` gives every byte.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any, TypeAlias, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.codec.container import general
from isthmus.errors import ArtifactError, DataError

Column: TypeAlias = NDArray[Any] | list[bytes]
Columns: TypeAlias = dict[str, Column]
"""Columns by name, in order."""

MOST = 1 << 32
"""Bytes (4 GiB) that the columns of one block may take."""
DTYPES = ("b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
"""Types of values by their number, all little-endian."""
_TEXT = len(DTYPES)
_PLAIN, _PLANES, _BITS, _DECIMAL, _SOUND, _PREDICTED = range(6)
"""How an array is stored."""
_ALL, _WORDS, _LINES = range(3)
"""How texts are: one after the other, as words and which of them each is, or as lines that all end with one byte."""
_AXES = ((), (0,), (1,), (1,), (2,), (1, 2))
"""Along which axes differences are taken, one after the other: of rows of values up to the third, else of the array."""
_MOST_AXES = 32
MOST_DIGITS = 9
"""Behind the point of decimals."""
_LARGEST_WHOLE = 2**53
_MOST_ODD = 8
"""Of decimals one in so many may be none."""
_MOST_CHANNELS, _LEAST_FRAMES = 8, 4096
"""Of whole numbers that may be sound."""
_LOOKED_AT = 1 << 19
"""Values by which the way is chosen."""


def packed(columns: Mapping[str, Column]) -> bytes:
    """Columns as bytes that tell of themselves.

    Parameters
    ----------
    columns
        Arrays of booleans, integers or floats of 16 to 64 bits, of any shape and byte order, or lists of bytes. They
        may be of different lengths.

    Raises
    ------
    DataError
        Values of another type.

    Examples
    --------
    >>> data = packed({"age": np.array([63, 41, 35]), "name": [b"Eve", b"", b"Bob"]})
    >>> unpacked(data)
    {'age': array([63, 41, 35]), 'name': [b'Eve', b'', b'Bob']}
    """
    parts = [_number(len(columns))]
    for name, column in columns.items():
        said = name.encode()
        parts += [_number(len(said)), said]
        parts.append(_texts_packed(column) if isinstance(column, list) else _array_packed(name, column))
    return b"".join(parts)


def unpacked(data: bytes, most: int = MOST) -> Columns:
    """The columns that :func:`packed` got, of little-endian or native types.

    Parameters
    ----------
    data
        Its bytes.
    most
        Bytes that all columns together may take.

    Raises
    ------
    ArtifactError
        Bytes that are none, or that promise more.
    """
    taken = _Taken(data, most)
    try:
        found = Columns()
        for _ in range(taken.number(len(data))):
            name = taken.bytes(taken.number(len(data))).decode()
            kind = taken.byte()
            if name in found:
                raise _damaged(f"two columns {name!r}")
            found[name] = _texts_unpacked(taken) if kind == _TEXT else _array_unpacked(taken, kind)
        taken.end()
    except UnicodeDecodeError:
        raise _damaged("a name that is no text") from None
    return found


# ---------------------------------------------------------------- arrays


def _array_packed(name: str, column: NDArray[Any]) -> bytes:
    column = np.asarray(column)
    kind = column.dtype.newbyteorder("<").str[1:]
    if kind not in DTYPES or column.ndim < 1 or column.ndim > _MOST_AXES:
        raise DataError(
            f"columns: expected booleans, integers or floats of 16 to 64 bits with 1 to {_MOST_AXES} axes, got "
            f"{column.dtype} with {column.ndim} in {name!r}; keep it as bytes."
        )
    head = bytes([DTYPES.index(kind), column.ndim]) + b"".join(map(_number, column.shape))
    return head + _values_packed(_native(column))


def _array_unpacked(taken: _Taken, kind: int) -> NDArray[Any]:
    if kind >= len(DTYPES):
        raise _damaged(f"a column of type {kind}")
    dtype = np.dtype(DTYPES[kind])
    n_axes = taken.byte()
    if not 1 <= n_axes <= _MOST_AXES:
        raise _damaged(f"a column of {n_axes} axes")
    shape = tuple(taken.number() for _ in range(n_axes))
    flat = _values_unpacked(taken, dtype, shape)
    if dtype == np.bool_ and flat.view(np.uint8).max(initial=0) > 1:
        raise _damaged("a truth value that is neither 0 nor 1")
    return flat.reshape(shape)


def _native(column: NDArray[Any]) -> NDArray[Any]:
    """The same values in this machine's byte order; bits of floats stay as they are."""
    if column.dtype.isnative:
        return column
    return column.byteswap().view(column.dtype.newbyteorder("="))


def _values_packed(values: NDArray[Any]) -> bytes:
    """The smallest of the ways; the plain one is always among them, so that no column is larger than packed whole."""
    values = np.ascontiguousarray(values)
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    bits = values.view(f"u{values.itemsize}") if values.dtype.kind == "f" else values
    plain = bits.astype(bits.dtype.newbyteorder("<"), copy=False).tobytes()
    found = [bytes([_PLAIN]) + _part(plain)]
    if bits.size > 1:
        found += _whole_packed(bits, plain)
        if values.dtype.kind == "f" and (decimal := _decimal_packed(values, bits)) is not None:
            found.append(decimal)
        if values.dtype.kind == "i" and (sound := _sound_packed(values)) is not None:
            found.append(sound)
            if min(found, key=len) is sound and (filtered := _predicted_packed(values)) is not None:
                found.append(filtered)
    return min(found, key=len)


def _values_unpacked(taken: _Taken, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    n = math.prod(shape)
    if math.prod(max(1, side) for side in shape) * dtype.itemsize > taken.most:
        raise _damaged(f"a shape of {shape} where {taken.most:,} bytes are left")
    taken.take(n * dtype.itemsize)
    way = taken.byte()
    if way == _DECIMAL and dtype.kind == "f":
        return _decimal_unpacked(taken, dtype, shape)
    if way == _SOUND and dtype.kind == "i":
        return _sound_unpacked(taken, dtype, shape)
    if way == _PREDICTED and dtype.kind == "i":
        return _predicted_unpacked(taken, dtype, shape)
    whole = np.dtype(f"u{dtype.itemsize}") if dtype.kind in "fb" else dtype
    return _whole_unpacked(taken, way, whole, shape).view(dtype)


def _whole_packed(whole: NDArray[Any], plain: bytes) -> list[bytes]:
    """Whole numbers in the way whose planes look smallest, and as bits where they have one each; not the plain one."""
    head = _head(whole)
    best = min(_ways(whole), key=lambda way: sum(map(_quick, _planes(head, *way)[1])))
    base, planes = _planes(whole, *best)
    how, found = best[0] | best[1] << 1, list[bytes]()
    if planes != [plain]:
        parts = b"".join(map(_part, planes))
        found.append(bytes([_PLANES, how, len(planes)]) + base.to_bytes(8, "little") + parts)
    first = np.frombuffer(planes[0], np.uint8)
    if len(planes) == 1 and int(first.max(initial=0)) <= 1:
        found.append(bytes([_BITS, how]) + base.to_bytes(8, "little") + _part(np.packbits(first).tobytes()))
    return found


def _head(values: NDArray[Any]) -> NDArray[Any]:
    """The first rows, by which a way is chosen."""
    return values[: max(1, _LOOKED_AT * len(values) // values.size)]


def _ways(whole: NDArray[Any]) -> list[tuple[int, int]]:
    """Whether an array is turned, and along what differences are taken, see ``_AXES``."""
    if whole.size == len(whole):
        return [(0, 0), (0, 1)]
    steps = [0, 1, 2, 3, 4, 5] if whole.ndim > 2 else [0, 1, 2]
    if len(whole) == 1:
        return [(0, along) for along in steps if along != 1]
    return [(turned, along) for turned in (0, 1) for along in steps]


def _viewed(values: NDArray[Any], along: int) -> NDArray[Any]:
    """An array as differences see it: its own axes, or as rows of values."""
    return values if along > 2 else values.reshape(len(values), -1)


def _planes(whole: NDArray[Any], turned: int, along: int) -> tuple[int, list[bytes]]:
    """The lowest value (0 of differences) and planes of bytes of what lies above it, the lowest plane first."""
    unsigned = f"u{whole.itemsize}"
    if along:
        steps = np.array(_viewed(whole.view(unsigned), along))
        for axis in _AXES[along]:
            moved = np.moveaxis(steps, axis, 0)
            moved[1:] -= moved[:-1].copy()
        signed = steps.view(f"i{whole.itemsize}")
        values = ((signed << 1) ^ (signed >> (8 * whole.itemsize - 1))).view(unsigned)
        base = 0
    else:
        lowest = whole.min()
        values = whole.view(unsigned) - lowest.view(unsigned)
        base = int(lowest) % 2**64
    values = values.reshape(len(values), -1)
    n_planes = max(1, (int(values.max()).bit_length() + 7) // 8)
    values = np.ascontiguousarray(values.T if turned else values)
    octets = values.astype(f"<u{whole.itemsize}", copy=False).view(np.uint8).reshape(-1, whole.itemsize)
    return base, [octets[:, place].tobytes() for place in range(n_planes)]


def _whole_unpacked(taken: _Taken, way: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    n = math.prod(shape)
    if way == _PLAIN:
        return np.frombuffer(taken.part(n * dtype.itemsize), dtype.newbyteorder("<")).astype(dtype)
    if way not in (_PLANES, _BITS) or not n:
        raise _damaged(f"values stored in way {way}")
    how = taken.byte()
    turned, along = how & 1, how >> 1
    n_planes = taken.byte() if way == _PLANES else 1
    if along >= len(_AXES) or (along > 2 and len(shape) < 3) or not 1 <= n_planes <= dtype.itemsize:
        raise _damaged(f"values in way {how} of {n_planes} bytes")
    base = int.from_bytes(taken.bytes(8), "little")
    octets = np.zeros((n, dtype.itemsize), np.uint8)
    for place in range(n_planes):
        if way == _BITS:
            bits = np.frombuffer(taken.part(-(-n // 8)), np.uint8)
            octets[:, 0] = np.unpackbits(bits, count=n)
        else:
            octets[:, place] = np.frombuffer(taken.part(n), np.uint8)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    values = octets.reshape(-1).view(unsigned.newbyteorder("<")).astype(unsigned)
    values = values.reshape(-1, shape[0]).T if turned else values
    if along:
        half = values >> 1
        steps = np.where(values & 1, ~half, half)
        values = _viewed(steps.reshape(shape), along)
        for axis in _AXES[along]:
            values = np.cumsum(values, axis=axis, dtype=unsigned)
    else:
        values = values + unsigned.type(base % 2 ** (8 * dtype.itemsize))
    return np.ascontiguousarray(values).reshape(-1).view(dtype)


def _decimal_packed(table: NDArray[Any], bits: NDArray[Any]) -> bytes | None:
    """Floats as decimals of few digits, those that are none beside them; None where too many are none."""
    digits = digits_of(_head(table))
    if digits is None:
        return None
    whole, good = as_decimals(table, digits)
    odd = np.flatnonzero(~good)
    if len(odd) * _MOST_ODD > table.size:
        return None
    last = np.maximum.accumulate(np.where(good.ravel(), np.arange(table.size), 0))
    whole = whole.ravel()[last].reshape(whole.shape)  # an odd one is like the one before
    inner = _whole_of(whole) + _number(len(odd))
    if len(odd):
        steps = np.diff(odd, prepend=0).astype(np.int64)
        inner += _whole_of(steps) + _whole_of(bits.ravel()[odd])
    return bytes([_DECIMAL, digits]) + inner


def _whole_of(whole: NDArray[Any]) -> bytes:
    plain = whole.astype(whole.dtype.newbyteorder("<"), copy=False).tobytes()
    return min(bytes([_PLAIN]) + _part(plain), *_whole_packed(whole, plain), key=len)


def digits_of(values: NDArray[Any]) -> int | None:
    """The fewest digits behind the point that all but a few floats have; None of floats that are no decimals.

    >>> digits_of(np.array([0.25, 1.5])), digits_of(np.array([np.pi]))
    (2, None)
    """
    least = 1 - 1 / _MOST_ODD
    return next((k for k in range(MOST_DIGITS + 1) if as_decimals(values, k)[1].mean() > least), None)


def as_decimals(table: NDArray[Any], digits: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Values times a power of ten as whole numbers, and which of them give their value back, bit for bit."""
    with np.errstate(all="ignore"):
        scaled = np.rint(table.astype(np.float64) * 10.0**digits)
        small = np.abs(scaled) < _LARGEST_WHOLE  # NaN and infinity are not
        whole = np.where(small, scaled, 0).astype(np.int64)
        back = from_decimals(whole, digits, table.dtype)
    unsigned = f"u{table.itemsize}"
    return whole, small & (back.view(unsigned) == np.ascontiguousarray(table).view(unsigned))


def from_decimals(whole: NDArray[np.int64], digits: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Floats of whole numbers of the last digit's unit."""
    with np.errstate(over="ignore"):
        return (whole.astype(np.float64) / 10.0**digits).astype(dtype)


def _decimal_unpacked(taken: _Taken, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    digits = taken.byte()
    n = math.prod(shape)
    if digits > MOST_DIGITS or not n:
        raise _damaged(f"decimals of {digits} digits")
    whole = _whole_unpacked(taken, taken.byte(), np.dtype(np.int64), shape)
    values = from_decimals(whole.reshape(-1), digits, dtype)
    n_odd = taken.number(n)
    if n_odd:
        steps = _whole_unpacked(taken, taken.byte(), np.dtype(np.int64), (n_odd,)).reshape(-1)
        bits = _whole_unpacked(taken, taken.byte(), np.dtype(f"u{dtype.itemsize}"), (n_odd,)).reshape(-1)
        places = np.cumsum(steps)
        if places.min() < 0 or places.max() >= n:
            raise _damaged("a value beyond the last")
        values.view(f"u{dtype.itemsize}")[places] = bits
    return values


def _sound_packed(values: NDArray[Any]) -> bytes | None:
    """Whole numbers of 16 or 24 bits as one FLAC stream, the last axis its channels; None of what cannot be sound."""
    if values.ndim < 2 or values.shape[-1] > _MOST_CHANNELS or values.size < _LEAST_FRAMES * values.shape[-1]:
        return None
    n_bits = _sample_bits(values)
    if not (int(values.min()) >= -(1 << 23) and int(values.max()) < 1 << 23):
        return None
    import soundfile  # heavy, and for sound alone

    frames = values.reshape(-1, values.shape[-1]).astype(np.int32) << (32 - n_bits)
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, "w", 44100, frames.shape[1], f"PCM_{n_bits}", format="FLAC", compression_level=1.0
    ) as made:
        made.write(frames)
    stream = file.getvalue()
    return bytes([_SOUND, n_bits]) + _number(len(stream)) + stream


def _sound_unpacked(taken: _Taken, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    import soundfile

    n_bits, stream = taken.byte(), taken.bytes(taken.number())
    n_frames = math.prod(shape[:-1])
    if n_bits not in (16, 24) or n_bits > 8 * dtype.itemsize or stream[:4] != b"fLaC":
        raise _damaged(f"sound of {n_bits} bits")
    try:
        with soundfile.SoundFile(io.BytesIO(stream)) as file:
            if (file.frames, file.channels) != (n_frames, shape[-1]):
                raise _damaged(f"sound of {file.frames:,} frames")
            frames = np.asarray(file.read(n_frames, dtype="int32", always_2d=True), np.int32)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise _damaged(f"sound that is none ({str(error)[:100]})") from None
    if len(frames) != n_frames:
        raise _damaged(f"sound of {len(frames):,} frames")
    return (frames >> (32 - n_bits)).astype(dtype).reshape(-1)


def _predicted_packed(values: NDArray[Any]) -> bytes | None:
    """Sound by filters that travel along, ``(..., frames, channels)``; None of what they do not suit."""
    from isthmus.codec.coding.prediction import predicted

    n_frames, n_channels = values.shape[-2:]
    stored = predicted(values.reshape(-1, n_frames, n_channels), _sample_bits(values))
    if stored is None:
        return None
    order = stored.coefficients.shape[2] - 1
    coefficients = stored.coefficients.reshape(len(stored.coefficients), -1).astype(np.int32)
    scales = stored.scales.reshape(len(stored.scales), -1).astype(np.uint8)
    low, words = stored.low.tobytes(), stored.words.astype("<u4").tobytes()
    return b"".join(
        (
            bytes([_PREDICTED, stored.sample_bits, stored.number_bits, order]),
            *map(_whole_of, (coefficients, scales)),
            *(_number(len(data)) + data for data in (low, words)),
        )
    )


def _predicted_unpacked(taken: _Taken, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    from isthmus.codec.coding import prediction

    sample_bits, number_bits, order = taken.byte(), taken.byte(), taken.byte()
    n_frames, n_channels = shape[-2:] if len(shape) > 1 else (0, 0)
    n_pieces = math.prod(shape[:-2])
    if sample_bits not in (16, 24) or sample_bits > 8 * dtype.itemsize:
        raise _damaged(f"sound of {sample_bits} bits")
    if not prediction.is_suited(n_pieces, n_frames, n_channels, order) or not 1 <= number_bits <= 17:
        raise _damaged(f"sound of shape {shape} with filters of {order} frames")
    n = prediction.n_stretches(n_pieces, n_frames)
    own, spans = (n_channels, order + 1, n_channels), (prediction.n_spans(n_frames), n_channels)
    taken.take(8 * n * (math.prod(own) + math.prod(spans)))
    coefficients = _whole_unpacked(taken, taken.byte(), np.dtype(np.int32), (n, math.prod(own)))
    scales = _whole_unpacked(taken, taken.byte(), np.dtype(np.uint8), (n, math.prod(spans)))
    low, words = (taken.bytes(taken.number()) for _ in range(2))
    if len(words) % 4:
        raise _damaged("a stack that is none")
    stored = prediction.Predicted(
        sample_bits,
        number_bits,
        coefficients.reshape(n, *own).astype(np.int64),
        scales.reshape(n, *spans).astype(np.int64),
        np.frombuffer(low, np.uint8),
        np.frombuffer(words, "<u4").astype(np.uint32),
    )
    try:
        return prediction.restored(stored, n_pieces, n_frames, n_channels).astype(dtype).reshape(-1)
    except ValueError as error:
        raise _damaged(str(error)) from None


def _sample_bits(values: NDArray[Any]) -> int:
    """Of sound of 16 or 24 bits."""
    return 16 if int(values.min()) >= -(1 << 15) and int(values.max()) < 1 << 15 else 24


# ---------------------------------------------------------------- texts


def _texts_packed(texts: list[bytes]) -> bytes:
    head = bytes([_TEXT]) + _number(len(texts))
    joined, last = b"".join(texts), texts[0][-1:] if texts else b""
    if last and joined.count(last) == len(texts) and all(map(last.__eq__, (text[-1:] for text in texts))):
        return head + bytes([_LINES]) + last + _number(len(joined)) + _part(joined)
    found = bytes([_ALL]) + _joined(texts)
    places = {word: place for place, word in enumerate(dict.fromkeys(texts))}
    if 0 < len(places) * 2 <= len(texts):
        which = np.array([places[text] for text in texts], np.uint32)
        words = bytes([_WORDS]) + _number(len(places)) + _joined(list(places)) + _whole_of(which)
        found = min(found, words, key=len)
    return head + found


def _joined(texts: list[bytes]) -> bytes:
    if not texts:
        return b""
    lengths = np.array([len(text) for text in texts], np.uint64)
    return _whole_of(lengths) + _part(b"".join(texts))


def _texts_unpacked(taken: _Taken) -> list[bytes]:
    n = taken.number()
    taken.take(8 * n)
    way = taken.byte()
    if way == _ALL:
        return _parted(taken, n)
    if way == _LINES:
        last, n_bytes = taken.bytes(1), taken.number()
        taken.take(n_bytes)
        joined = taken.part(n_bytes)
        if joined.count(last) != n or not joined.endswith(last):  # before they take memory
            raise _damaged("other lines than were promised")
        return [line + last for line in joined[:-1].split(last)]
    if way != _WORDS:
        raise _damaged(f"texts stored in way {way}")
    n_words = taken.number(n)
    words = _parted(taken, n_words)
    which = _whole_unpacked(taken, taken.byte(), np.dtype(np.uint32), (n,)).reshape(-1)
    if not n or which.max() >= n_words:
        raise _damaged("a word that is not there")
    lengths = np.array([len(word) for word in words], np.uint64)
    taken.take(int(lengths[which].sum()))
    return [words[place] for place in which.tolist()]


def _parted(taken: _Taken, n: int) -> list[bytes]:
    if not n:
        return []
    lengths = _whole_unpacked(taken, taken.byte(), np.dtype(np.uint64), (n,)).reshape(-1).tolist()
    total = sum(lengths)
    taken.take(total)
    data, texts, start = taken.part(total), list[bytes](), 0
    for length in lengths:
        texts.append(data[start : start + length])
        start += length
    return texts


# ---------------------------------------------------------------- bytes


def _number(value: int) -> bytes:
    """A count in as few bytes as it needs: seven bits each, the lowest first, the eighth set where more follow."""
    octets = bytearray()
    while value >= 128:
        octets.append(value & 127 | 128)
        value >>= 7
    return bytes([*octets, value])


def _part(data: bytes) -> bytes:
    small = general.packed(data)
    return _number(len(small)) + small


def _quick(data: bytes) -> int:
    """About how small bytes become."""
    return pa.Codec("zstd", compression_level=3).compress(data).size


@final
class _Taken:
    """Bytes that are taken one after the other, and what may still become of them."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data, self._at, self.most = data, 0, most

    def bytes(self, n: int) -> bytes:
        """The next bytes."""
        if n > len(self._data) - self._at:
            raise _damaged("an end before its time")
        self._at += n
        return self._data[self._at - n : self._at]

    def byte(self) -> int:
        """The next byte."""
        return self.bytes(1)[0]

    def number(self, most: int = 2**63 - 1) -> int:
        """The next count."""
        value = 0
        for shift in range(0, 63, 7):
            octet = self.byte()
            value |= (octet & 127) << shift
            if octet < 128:
                if value > most:
                    break
                return value
        raise _damaged("a count beyond its bound")

    def take(self, n_bytes: int) -> None:
        """Count bytes of memory."""
        if n_bytes > self.most:
            raise _damaged(f"{n_bytes:,} bytes of values where {self.most:,} are left")
        self.most -= n_bytes

    def part(self, n_bytes: int) -> bytes:
        """The next packed part, which unpacks to so many bytes."""
        data = general.unpacked(self.bytes(self.number(len(self._data))), n_bytes)
        if len(data) != n_bytes:
            raise _damaged(f"{len(data):,} bytes where {n_bytes:,} were promised")
        return data

    def end(self) -> None:
        """Refuse what follows."""
        if self._at != len(self._data):
            raise _damaged("more than its columns")


def _damaged(what: str) -> ArtifactError:
    return ArtifactError(f"columns: expected packed columns, got {what}; take another copy of the archive.")

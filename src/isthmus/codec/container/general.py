"""Bytes made small without a model: the smallest of what zstd, LZMA and bzip2 make of them, and of themselves.

    packed = method (1 byte) | size (LEB128, absent for method 0) | what the method made

    0  the bytes themselves
    1  a Zstandard frame (RFC 8878)
    2  one byte of properties, (pb * 5 + lp) * 9 + lc, and a raw LZMA2 stream; its dictionary has the smallest power
       of two that is no less than the size, and is neither under 4 KiB nor over 64 MiB
    3  a bzip2 stream

Nothing is checked but that the bytes unpack to their size: whoever stores them keeps a digest.
"""

from __future__ import annotations

import bz2
import lzma
from functools import lru_cache
from typing import Any

from isthmus.errors import ArtifactError

RAW, ZSTD, LZMA, BZIP2 = range(4)
_LEVEL = 19
_PROPERTIES = 3
"""lc = 3, lp = pb = 0: for bytes, which columns are taken apart into. Some 1 % under xz's own for pixels and text."""
_SMALLEST_DICTIONARY, _LARGEST_DICTIONARY = 1 << 12, 1 << 26
_LARGEST_VARINT = 9
"""Bytes of a size: 63 bits."""


def packed(data: bytes) -> bytes:
    """The smallest form of ``data``, never more than a byte longer; a function of the bytes alone.

    Parameters
    ----------
    data
        Any bytes. All methods are tried, which takes about a second for a million of them.

    Returns
    -------
    bytes
        What `unpacked` takes.

    Examples
    --------
    >>> len(packed(b"isthmus " * 1000)) < 50, len(packed(b"isthmus"))
    (True, 8)
    """
    raw = bytes([RAW]) + data
    if len(data) < 16:  # no method's own head is shorter
        return raw
    size = _varint(len(data))
    return min(
        raw,
        bytes([ZSTD]) + size + _zstd().compress(data, asbytes=True),
        bytes([LZMA]) + size + bytes([_PROPERTIES]) + _lzma(data),
        bytes([BZIP2]) + size + bz2.compress(data, 9),
        key=len,
    )


def unpacked(data: bytes, most: int) -> bytes:
    """The bytes that `packed` was given.

    Parameters
    ----------
    data
        Packed bytes, of anybody.
    most
        How many bytes they may become: no more is ever unpacked.

    Raises
    ------
    ArtifactError
        They are more, or no packed bytes.

    Examples
    --------
    >>> unpacked(packed(b"isthmus"), 100)
    b'isthmus'
    """
    if not data:
        raise _foreign("nothing")
    method = data[0]
    if method == RAW:
        _check(len(data) - 1, most)
        return data[1:]
    size, start = _read_varint(data)
    _check(size, most)
    if method == ZSTD:
        return _from_zstd(data[start:], size)
    if method == LZMA:
        return _from_lzma(data[start:], size)
    if method == BZIP2:
        return _whole(bz2.BZ2Decompressor(), data[start:], size)
    raise _foreign(f"method {method}")


@lru_cache(maxsize=1)
def _zstd() -> Any:
    from pyarrow import Codec  # a heavy library, which a file's header does without

    return Codec("zstd", compression_level=_LEVEL)


def _from_zstd(stream: bytes, size: int) -> bytes:
    try:
        return _zstd().decompress(stream, size, asbytes=True)  # into a buffer of this size: more is an error
    except (OSError, ValueError) as error:
        raise _foreign(f"a Zstandard frame that is none ({error})") from None


def _lzma(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[_filter(_PROPERTIES, len(data))])


def _filter(properties: int, size: int) -> dict[str, int]:
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    dictionary = 1 << max(0, size - 1).bit_length()
    return {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": min(max(dictionary, _SMALLEST_DICTIONARY), _LARGEST_DICTIONARY),
        "lc": lc,
        "lp": lp,
        "pb": pb,
    }


def _from_lzma(stream: bytes, size: int) -> bytes:
    if not stream:
        raise _foreign("an LZMA stream without properties")
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_filter(stream[0], size)])
    except (lzma.LZMAError, ValueError):
        raise _foreign(f"LZMA properties {stream[0]}") from None
    return _whole(reader, stream[1:], size)


def _whole(reader: bz2.BZ2Decompressor | lzma.LZMADecompressor, stream: bytes, size: int) -> bytes:
    """All of a stream, which must be ``size`` bytes and nothing after."""
    try:
        data = reader.decompress(stream, size + 1)
        while not reader.eof and not reader.needs_input and len(data) <= size:
            data += reader.decompress(b"", size + 1 - len(data))
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise _foreign(f"a stream that is none ({error})") from None
    if len(data) != size or not reader.eof or reader.unused_data:
        raise _foreign("a stream of another size")
    return data


def _check(size: int, most: int) -> None:
    if size > most:
        raise ArtifactError(
            f"archive: expected packed bytes that become at most {most:,}, got some that become {size:,}. "
            "It is damaged, or made to fill memory; take another copy of the file."
        )


def _foreign(what: str) -> ArtifactError:
    return ArtifactError(
        f"archive: expected packed bytes, got {what}. It is damaged; take another copy of the file."
    )


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _read_varint(data: bytes) -> tuple[int, int]:
    """A size that begins after the first byte, and where what follows it begins."""
    size = 0
    for place in range(_LARGEST_VARINT):
        if place + 1 >= len(data):
            break
        byte = data[place + 1]
        size |= (byte & 127) << 7 * place
        if byte < 128:
            return size, place + 2
    raise _foreign("a size without an end")

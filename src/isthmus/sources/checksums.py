"""What PNG and FLAC files tell of themselves twice, held against itself: their decoders go on where it differs."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PNG = b"\x89PNG\r\n\x1a\n"
FLAC = b"fLaC"
_CHUNK = struct.Struct(">I4s")
_CHECKED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""Chunks that decide what the pixels are."""
_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
"""Hz by their number in the header of a frame; 0 says nothing."""
_HEADING = 34
_SAMPLES_A_BYTE = 6000
"""A frame has at most 65,535 samples, and at least 11 bytes."""


def check_png(path: Path) -> None:
    """Raise if a checksum of a PNG file is not that of its chunk; other files are no matter of this.

    Raises
    ------
    ValueError
        Which chunk is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(PNG)) != PNG:
            return
        while len(head := file.read(_CHUNK.size)) == _CHUNK.size:
            length, kind = _CHUNK.unpack(head)
            if kind not in _CHECKED:
                file.seek(length + 4, 1)
                continue
            data, checksum = file.read(length), file.read(4)
            if len(checksum) < 4:  # cut short, which the decoder tells
                return
            if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
                raise ValueError(f"the checksum of its chunk {kind.decode()} does not match")
            if kind == b"IEND":
                return


def check_flac(path: Path) -> None:
    """Raise if the heading of a FLAC file, which has no checksum, cannot be that of what follows.

    Raises
    ------
    ValueError
        Its rate is not that of the first frame, or so few bytes cannot hold so many samples.
    """
    found = _flac_heading(path)
    if found is None:
        return
    heading, frame = found
    rate = int.from_bytes(heading[10:13], "big") >> 4
    n_samples = int.from_bytes(heading[13:18], "big") & 0xFFFFFFFFF
    if n_samples > path.stat().st_size * _SAMPLES_A_BYTE:
        raise ValueError(f"it tells of {n_samples:,} samples, more than its bytes can hold")
    number = frame[2] & 15
    if 0 < number < len(_RATES) and _RATES[number] != rate:
        raise ValueError(f"it tells of {rate} Hz, and its first frame of {_RATES[number]} Hz")


def check_flac_samples(path: Path, samples: NDArray[np.int32]) -> None:
    """Raise if the samples of a FLAC file are not those that its digest was made of; some files have none.

    Parameters
    ----------
    samples
        ``(samples, channels)``, in the upper bits.

    Raises
    ------
    ValueError
        They are others, or fewer.
    """
    found = _flac_heading(path)
    if found is None or not any(found[0][18:34]):
        return
    n_bits = ((int.from_bytes(found[0][12:14], "big") >> 4) & 31) + 1
    n_bytes = -(-n_bits // 8)
    values = np.ascontiguousarray(samples >> (32 - n_bits), "<i4").view(np.uint8).reshape(-1, 4)[:, :n_bytes]
    digest = hashlib.md5(np.ascontiguousarray(values).data, usedforsecurity=False)
    if digest.digest() != found[0][18:34]:
        raise ValueError("its samples do not match its digest")


def _flac_heading(path: Path) -> tuple[bytes, bytes] | None:
    """The heading of a FLAC file, and how its first frame begins; None of what else it may be."""
    with path.open("rb") as file:
        if file.read(len(FLAC)) != FLAC:
            return None
        heading, is_last = b"", False
        while not is_last and len(head := file.read(4)) == 4:
            is_last, kind, length = head[0] >= 128, head[0] & 127, int.from_bytes(head[1:], "big")
            if kind == 0:
                heading = file.read(length)
            else:
                file.seek(length, 1)
        frame = file.read(3)
    return (heading, frame) if len(heading) == _HEADING and len(frame) == 3 else None

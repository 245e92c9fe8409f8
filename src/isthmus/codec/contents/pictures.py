"""PNG files: pixels exactly, and every piece of the file beside them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isthmus.codec.contents.base import unfit
from isthmus.errors import SourceError
from isthmus.sources.checksums import PNG, check_png
from isthmus.sources.image_file import read_header

_MOST_BESIDE = 1 << 20
_AT_A_TIME = 1 << 20
"""Bytes of lines that are filtered at a time."""
_HEADING = struct.Struct(">IIBBBBB")
_CHANNELS = {(0, 8): 1, (2, 8): 3, (3, 8): 1, (4, 8): 2, (6, 8): 4, (0, 16): 1}
"""By colour type and bits of a sample."""
_MODES = {(0, 8): "L", (2, 8): "RGB", (3, 8): "P", (4, 8): "LA", (6, 8): "RGBA", (0, 16): "I;16"}


@dataclass(frozen=True, slots=True)
class PictureKind:
    """Sides in pixels, PNG's colour type and bits of a sample."""

    height: int
    width: int
    colour: int
    bits: int

    def __str__(self) -> str:
        return f"{self.height} {self.width} {self.colour} {self.bits}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the pixels."""
        return self.height, self.width, _CHANNELS[self.colour, self.bits]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return np.dtype(np.uint16 if self.bits == 16 else np.uint8)

    @classmethod
    def parse(cls, text: str) -> PictureKind:
        """The kind that is written so.

        Raises
        ------
        ArtifactError
            None is.

        Examples
        --------
        >>> PictureKind.parse("28 28 0 8").shape
        (28, 28, 1)
        """
        parts = text.split(" ")
        if len(parts) == 4 and len(text) < 60 and all(part.isascii() and part.isdecimal() for part in parts):
            kind = cls(*map(int, parts))
            if (
                (kind.colour, kind.bits) in _CHANNELS
                and 0 < kind.height < 1 << 31
                and 0 < kind.width < 1 << 31
            ):
                return kind
        raise unfit(f"a picture of kind {text[:60]!r}")


def picture_kind(path: Path) -> PictureKind | None:
    """What the pixels of a PNG file are; None of other files, interlaced ones, and samples of 1, 2 or 4 bits."""
    try:
        with path.open("rb") as file:
            start = file.read(33)
        if start[:8] != PNG or start[12:16] != b"IHDR":
            return None
        width, height, bits, colour, _, _, interlace = _HEADING.unpack_from(start, 16)
        if (colour, bits) not in _CHANNELS or interlace:
            return None
        header = read_header(path)
    except (OSError, struct.error):
        return None
    return PictureKind(height, width, colour, bits) if header.sides == (height, width) else None


def read_picture(path: Path, kind: PictureKind) -> tuple[NDArray[Any], bytes, bytes] | None:
    """The pixels of a PNG file, ``kind.shape``, and its chunks before and behind them; None where it is damaged."""
    try:
        read_header(path)  # checks its size
        check_png(path)
        head, tail = _chunks(path.read_bytes())
        with Image.open(path, formats=["PNG"]) as image:
            is_one = image.mode == _MODES[kind.colour, kind.bits] and getattr(image, "n_frames", 1) == 1
            pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, SourceError):
        return None
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    if not is_one or pixels.shape != kind.shape or head[8:16] != struct.pack(">II", kind.width, kind.height):
        return None
    return (pixels.astype(kind.dtype), head, tail) if len(head) + len(tail) <= _MOST_BESIDE else None


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    """What stands before and behind the pixels of a PNG file, chunk by chunk with their checksums."""
    at, ends, name = len(PNG), list[int](), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            ends += [at, at + length + 12]
        at += length + 12
    if at > len(data):
        raise ValueError("a file that ends in a chunk")
    if not ends or any(one != other for one, other in zip(ends[1:-1:2], ends[2::2], strict=True)):
        raise ValueError("pixels in no or in several places")
    return data[len(PNG) : ends[0]], data[ends[-1] :]


def png_bytes(pixels: NDArray[Any], kind: PictureKind, head: bytes, tail: bytes) -> bytes:
    """A PNG file of pixels and chunks.

    Raises
    ------
    ArtifactError
        Pixels of another kind, or chunks that do not begin with the heading of theirs.
    """
    heading = struct.pack(">I4sIIBB", 13, b"IHDR", kind.width, kind.height, kind.bits, kind.colour)
    if not isinstance(pixels, np.ndarray) or pixels.shape != kind.shape or pixels.dtype != kind.dtype:
        raise unfit(f"pixels that are no picture of kind {str(kind)!r}")
    if not head.startswith(heading):
        raise unfit("a picture with the heading of another")
    lines = _filtered(pixels)
    body = b"IDAT" + min(
        _deflated(lines, zlib.Z_DEFAULT_STRATEGY), _deflated(lines, zlib.Z_FILTERED), key=len
    )
    return PNG + head + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + tail


def _deflated(data: bytes, strategy: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9, strategy)
    return packer.compress(data) + packer.flush()


def _filtered(pixels: NDArray[Any]) -> bytes:
    """Lines of a PNG file, each as the difference to its neighbours that has the smallest sum."""
    lines = (
        np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(len(pixels), -1)
    )
    step = pixels.shape[2] * pixels.itemsize
    found = np.empty((len(lines), 1 + lines.shape[1]), np.uint8)
    some = max(1, _AT_A_TIME // lines.shape[1])
    for start in range(0, len(lines), some):
        above = lines[start - 1] if start else np.zeros_like(lines[0])
        found[start : start + some] = _filtered_lines(lines[start : start + some], above, step)
    return found.tobytes()


def _filtered_lines(lines: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Some lines, of which the line above the first is known; PNG's five filters, numbered as there."""
    left, up, corner = np.zeros_like(lines), np.empty_like(lines), np.zeros_like(lines)
    up[0], up[1:], left[:, step:] = above, lines[:-1], lines[:, :-step]
    corner[:, step:] = up[:, :-step]
    a, b, c = (one.astype(np.int16) for one in (left, up, corner))
    near = [np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)]
    paeth = np.where(
        (near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], up, corner)
    )
    guesses = [np.zeros_like(lines), left, up, ((a + b) >> 1).astype(np.uint8), paeth]
    rests = np.stack([lines - guess for guess in guesses])
    best = np.abs(rests.view(np.int8).astype(np.int32)).sum(axis=2).argmin(axis=0)
    return np.concatenate([best[:, None].astype(np.uint8), rests[best, np.arange(len(lines))]], axis=1)

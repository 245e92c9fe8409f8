"""Arrays as pictures inside a page: PNG data URIs, one pixel a value.

A PNG is written here in a dozen lines rather than by an imaging library, so that the same array
gives the same bytes and nothing else is stored beside the pixels.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt

from isthmus.evaluation.report_data import Numbers

_NEGATIVE, _MIDDLE, _POSITIVE = (0.0, 0.36, 0.65), (0.97, 0.97, 0.97), (0.76, 0.27, 0.0)


def png_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """A data URI of a grey ``(h, w)`` or colour ``(h, w, 3)`` picture."""
    height, width = pixels.shape[:2]
    colour_type = 2 if pixels.ndim == 3 else 0
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    chunks = (
        _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + _chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunks).decode("ascii")


def picture_uri(picture: Numbers, most_pixels: int | None = None) -> str:
    """A data URI of one picture ``(h, w, c)`` in [0, 1]; what lies outside is clipped.

    One or two channels are shown as the grey of their mean, more as the colours of the first three.
    ``most_pixels`` is the longest side; a larger picture is averaged over square blocks.
    """
    shown = reduced(picture, most_pixels)
    plain = shown[..., :3] if shown.shape[-1] >= 3 else shown.mean(axis=-1)
    return png_uri(np.rint(np.clip(plain, 0.0, 1.0) * 255.0).astype(np.uint8))


def filter_uri(weights: Numbers, most_pixels: int | None = None) -> str:
    """A data URI of one learned filter ``(h, w, c)``, scaled by its own largest weight.

    One channel goes from blue (negative) through white (0) to orange (positive); three are shown as
    colours around a middle grey.
    """
    weights = reduced(weights, most_pixels)
    plain = weights[..., :3] if weights.shape[-1] >= 3 else weights.mean(axis=-1)
    largest = float(np.abs(plain).max())
    signed = plain / largest if largest > 0 else np.zeros_like(plain)
    coloured = (signed + 1.0) / 2.0 if signed.ndim == 3 else diverging(signed)
    return png_uri(np.rint(coloured * 255.0).astype(np.uint8))


def diverging(signed: Numbers) -> Numbers:
    """Colours ``(..., 3)`` of numbers in [-1, 1]: blue, white at 0, orange."""
    share = np.abs(signed)[..., None]
    end = np.where(signed[..., None] < 0, np.array(_NEGATIVE), np.array(_POSITIVE))
    return np.array(_MIDDLE) * (1.0 - share) + end * share


def reduced(picture: Numbers, most_pixels: int | None) -> Numbers:
    """The picture averaged over the smallest square blocks that bring it below ``most_pixels`` a side."""
    height, width, channels = picture.shape
    block = 1 if most_pixels is None else -(-max(height, width) // most_pixels)
    if block <= 1:
        return picture
    height, width = max(height // block, 1), max(width // block, 1)
    cropped = picture[: height * block, : width * block]
    rows, columns = min(block, cropped.shape[0]), min(block, cropped.shape[1])
    return cropped.reshape(height, rows, width, columns, channels).mean(axis=(1, 3))


def longest_side(n_pictures: int, channels: int, n_bytes: int = 400_000) -> int:
    """The side at which ``n_pictures`` stay within ``n_bytes``, were they not compressible at all."""
    shown = 3 if channels >= 3 else 1
    return max(int((n_bytes / max(n_pictures, 1) / shown) ** 0.5), 8)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

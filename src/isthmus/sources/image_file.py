"""One image file: what its header says, and its pixels as grey or colour."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from isthmus.cores import n_cores
from isthmus.errors import SourceError
from isthmus.sources.checksums import check_png

ResizeBy = Literal["stretch", "crop", "pad"]
"""How a picture of other proportions is brought to a size."""
MAX_PIXELS = 1 << 26
"""No file of more pixels is decoded: 64 megapixels, checked in the header."""
MOST_SCANNED = 1 << 30
"""Pixels that all scans of a JPEG may go over; of an honest one there are a dozen."""
_PIECE = 4096
"""Pixels of a side of the pieces that are freed of transparency."""
MAX_SIDE = 1 << 16
"""No picture of a longer side is decoded: a decoder holds several of its lines."""
MOST_AT_ONCE = 1 << 24
"""Pixels of pictures that are decoded at a time, but for a single one that has more."""
FEWEST, SMALLEST = 16, 10_000
"""Files from which on threads are begun for them, and pixels of the largest: of small ones most is Python's work, which
threads do in turns and not at the same time, a third slower (pictures of 32 x 32)."""
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP")
_GREY = ("1", "L", "LA", "La")
_ORIENTATION = 0x0112
"""EXIF's number of the tag that says how a picture is to be turned."""
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AssertionError,
    OverflowError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the first bytes of an image file say.

    Parameters
    ----------
    sides
        Height and width as stored; an EXIF rotation may exchange them.
    grey
        Whether the pixels have one channel (transparency aside). A palette counts as colour.
    deep
        Whether they are grey of 16 bits.
    traits
        What else happens to the pixels on the way in: ``"animated"``, ``"turned"``, ``"transparent"``, ``"cmyk"``.
    """

    sides: tuple[int, int]
    grey: bool
    deep: bool
    traits: frozenset[str] = frozenset()


def read_header(path: Path) -> ImageHeader:
    """Size and kind of the pixels, without decoding them.

    Raises
    ------
    SourceError
        Not an image, damaged, more than 64 megapixels, or a number type that has no 8- or 16-bit form.
    """
    with _quiet(), _opened(path) as image:
        deep = image.mode in _DEEP or (image.mode == "I" and image.format == "PNG")
        if image.mode == "F" or (image.mode == "I" and not deep):
            raise SourceError(
                f"{path}: expected pixels of 8 or 16 bits, got 32; save it as an 8- or 16-bit image, "
                f"or all of them as one .npy array."
            )
        traits = {
            "animated": getattr(image, "is_animated", False),
            "turned": _orientation(image) not in (0, 1),
            "transparent": image.has_transparency_data,
            "cmyk": image.mode == "CMYK",
        }
        found = frozenset(name for name, is_so in traits.items() if is_so)
        return ImageHeader((image.height, image.width), deep or image.mode in _GREY, deep, found)


def _orientation(image: Image.Image) -> int:
    """EXIF's number of how the picture is to be turned; a PNG that says so behind its pixels is not decoded for it."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return image.getexif().get(_ORIENTATION, 1)


def read_pixels(
    path: Path,
    grey: bool,
    deep: bool,
    resize: tuple[int, int] | None = None,
    by: ResizeBy = "stretch",
) -> NDArray[Any]:
    """The pixels as ``(height, width, channels)``: 1 channel if grey, else 3; uint16 if deep, else uint8.

    The first frame, turned as its EXIF tag says, transparency laid over white, then resized with an
    antialiasing bicubic filter: ``"stretch"`` does not keep the proportions; ``"crop"`` does, fills the
    size and cuts off what stands over, evenly on both sides; ``"pad"`` does, shows all of the picture
    in the middle and fills the rest with the median colour of the picture's border.

    Raises
    ------
    SourceError
        The pixels cannot be decoded.
    """
    with _quiet():
        return _pixels(path, grey, deep, resize, by)


def read_all(
    files: Sequence[Path],
    grey: bool,
    deep: bool,
    resize: tuple[int, int] | None = None,
    by: ResizeBy = "stretch",
    *,
    largest: int = MAX_PIXELS,
) -> Generator[NDArray[Any] | SourceError]:
    """What :func:`read_pixels` gives of each file in order, or raises: the next ones are decoded in threads meanwhile.

    ``largest`` is how many pixels the largest has: as many threads as there are cores, but of large pictures fewer, of
    small ones none.
    """

    def one(file: Path) -> NDArray[Any] | SourceError:
        try:
            return _pixels(file, grey, deep, resize, by)
        except SourceError as error:
            return error

    n_threads = max(1, min(n_cores(), MOST_AT_ONCE // max(1, largest)))
    if n_threads == 1 or len(files) < FEWEST or largest < SMALLEST:
        for file in files:
            with _quiet():
                found = one(file)
            yield found
        return
    with _quiet(), ThreadPoolExecutor(n_threads, "isthmus-pictures") as threads:
        coming, rest = deque[Future[NDArray[Any] | SourceError]](), iter(files)
        try:
            for file in islice(rest, 2 * n_threads):
                coming.append(threads.submit(one, file))
            while coming:
                yield coming.popleft().result()
                coming.extend(threads.submit(one, file) for file in islice(rest, 1))
        finally:
            threads.shutdown(cancel_futures=True)


def _pixels(path: Path, grey: bool, deep: bool, resize: tuple[int, int] | None, by: ResizeBy) -> NDArray[Any]:
    with _opened(path) as image:
        check_png(path)
        ImageOps.exif_transpose(image, in_place=True)
        upright = image
        if upright.mode in _DEEP or upright.mode == "I":
            pixels = _deep_pixels(upright, resize, by)
            if not deep:
                pixels = np.rint(pixels / 257.0).astype(np.uint8)
        else:
            pixels = _all_pixels(upright, grey)
            if resize is not None:
                pixels = np.asarray(_resized(Image.fromarray(pixels), resize, by))
        pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
        return pixels if grey else np.broadcast_to(pixels, (*pixels.shape[:2], 3))


@contextmanager
def _quiet() -> Generator[None]:
    """Without warnings, which are one setting for all threads: it is not for a thread among others to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _opened(path: Path) -> Generator[Image.Image]:
    """The image, its size already checked; whatever fails inside is told as one sentence."""
    try:
        _check_chunks(path)
        with Image.open(path, formats=_FORMATS) as image:
            if max(image.size) > MAX_SIDE and image.width * image.height <= MAX_PIXELS:
                raise SourceError(
                    f"{path}: an image may have sides of at most {MAX_SIDE} pixels, got "
                    f"{image.height} x {image.width}; cut it with an image editor."
                )
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.height} x {image.width}")
            if image.format == "TIFF" and _tile_pixels(image) > MAX_PIXELS:
                raise _too_large(path, f"tiles of {_tile_pixels(image)}")
            _check_places(path, image)
            if image.format == "JPEG" and image.info.get("progressive"):
                _check_scans(path, image.height * image.width)
            yield image
    except SourceError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "several times as many") from error
    except _BROKEN as error:
        raise SourceError(
            f"{path}: expected an image, got a file that cannot be decoded ({_reason(error)}); "
            f"mend it or move it away."
        ) from error


def _check_chunks(path: Path) -> None:
    """Refuse a PNG with a piece that is longer than the file: a decoder may take memory for what is promised."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if length > size:
                raise ValueError(f"a piece of {length:,} bytes in a file of {size:,}")
            file.seek(length + 4, 1)


def _check_places(path: Path, image: Image.Image) -> None:
    """Refuse pixels that begin behind the end of the file: a decoder takes memory for all from one to the next."""
    size = path.stat().st_size
    tiles: list[Any] = getattr(image, "tile", [])
    last = max((tile[2] for tile in tiles if isinstance(tile[2], int)), default=0)
    if last > size:
        raise ValueError(f"pixels from byte {last:,} on in a file of {size:,}")


def _tile_pixels(image: Image.Image) -> int:
    """Pixels of a tile of a TIFF, which is decoded whole however small the picture is."""
    tags = getattr(image, "tag_v2", {})
    sides = [tags.get(number, 1) for number in (322, 323)]
    return int(sides[0]) * int(sides[1]) if all(isinstance(side, int) for side in sides) else MAX_PIXELS + 1


def _check_scans(path: Path, n_pixels: int) -> None:
    """Refuse a JPEG of so many scans over so many pixels that it would take minutes."""
    n_scans = path.read_bytes().count(b"\xff\xda")
    if n_scans * n_pixels > MOST_SCANNED:
        raise SourceError(
            f"{path}: expected a JPEG of a dozen scans, got {n_scans:,} over {n_pixels:,} pixels; save it anew with an "
            f"image editor."
        )


def _too_large(path: Path, got: str) -> SourceError:
    return SourceError(
        f"{path}: an image may have at most {MAX_PIXELS} pixels, got {got}; "
        f"make it smaller with an image editor."
    )


def _reason(error: BaseException) -> str:
    return "no known image format" if isinstance(error, Image.UnidentifiedImageError) else str(error)


def _all_pixels(image: Image.Image, grey: bool) -> NDArray[Any]:
    """The image without transparency, a piece at a time: the largest would take memory for several copies."""
    found = np.empty((image.height, image.width, *(() if grey else (3,))), np.uint8)
    for top in range(0, image.height, _PIECE):
        for left in range(0, image.width, _PIECE):
            box = (left, top, min(left + _PIECE, image.width), min(top + _PIECE, image.height))
            found[top : box[3], left : box[2]] = np.asarray(_over_white(image.crop(box), grey))
    return found


def _over_white(image: Image.Image, grey: bool) -> Image.Image:
    """The image as L or RGB, without transparency."""
    mode = "L" if grey else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    clear = image.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert(mode)


def _deep_pixels(image: Image.Image, resize: tuple[int, int] | None, by: ResizeBy) -> NDArray[Any]:
    pixels = np.asarray(image)
    if resize is None or pixels.shape == resize:
        return pixels.astype(np.uint16)
    smooth = _resized(Image.fromarray(pixels.astype(np.float32)), resize, by)
    return np.clip(np.rint(np.asarray(smooth)), 0, 65535).astype(np.uint16)


def _resized(image: Image.Image, resize: tuple[int, int] | None, by: ResizeBy) -> Image.Image:
    if resize is None or (image.height, image.width) == resize:
        return image
    size, method = (resize[1], resize[0]), Image.Resampling.BICUBIC
    if by == "crop":
        return ImageOps.fit(image, size, method)
    if by == "pad":
        return ImageOps.pad(image, size, method, color=_border_colour(image))
    return image.resize(size, method)


def _border_colour(image: Image.Image) -> Any:
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colour = np.median(border, axis=0)
    if image.mode == "F":
        return float(colour)
    return tuple(int(one) for one in np.rint(colour)) if colour.ndim else int(np.rint(colour))

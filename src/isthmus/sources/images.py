"""A folder of image files, decoded once into one array."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.sources.arrays import ArraySource
from isthmus.sources.image_file import ImageHeader, read_header, read_pixels
from isthmus.sources.labels import as_labels, read_labels

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
MAX_BYTES = 1 << 32
"""A folder that would take more memory than this (4 GiB) is refused before it is decoded."""


def open_images(
    path: Path, *, labels: Path | None = None, resize: Sequence[int] | None = None
) -> ArraySource:  # fmt: skip
    """Open all images below a folder, in the order of their names, or one image file as one row.

    Pictures are uint8 with one channel if every image is grey, else with three; uint16 if every
    image is grey of 16 bits. A palette counts as colour. Transparency is laid over white, EXIF
    rotation is applied, an animation gives its first frame. Hidden files and folders are left out.

    Parameters
    ----------
    path
        A folder, searched to any depth, or one image file.
    labels
        A file of ``filename,label`` lines, or of one label a line in the order of the names.
        Without it the label is the first sub-folder's name, if every image lies in a sub-folder.
    resize
        ``(height, width)`` to which every image is resized, with antialiasing and without
        cropping: the aspect ratio is not kept.

    Raises
    ------
    SourceError
        No images, one that cannot be decoded, or more than 4 GiB of pixels.
    DataError
        Images of more than one size, without ``resize``.
    ParameterError
        A ``resize`` that is not two positive integers.
    """
    size = _checked_size(resize)
    names = image_names(path)
    if not names:
        raise SourceError(_nothing_found(path))
    files = [path / name for name in names] if path.is_dir() else [path]
    headers = [read_header(file) for file in files]
    if size is None:
        _refuse_mixed(files, [header.sides for header in headers])
    array = _decoded(path, files, headers, size)
    return ArraySource(array, labels=_labels_of(names, labels), who=str(path))


def _checked_size(resize: Sequence[int] | None) -> tuple[int, int] | None:
    if resize is None:
        return None
    sides = tuple(resize)
    if len(sides) != 2 or min(sides) < 1:
        raise ParameterError(
            f"data.resize: expected [height, width], two positive integers, got {list(sides)}; try [28, 28]."
        )
    return (int(sides[0]), int(sides[1]))


def image_names(path: Path) -> list[str]:
    """Names of the image files below the folder, relative to it, with forward slashes, sorted."""
    if path.is_file():
        return [path.name]
    found: list[str] = []
    for folder, inner, files in os.walk(path, onerror=_refuse_unreadable):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                found.append((Path(folder) / name).relative_to(path).as_posix())
    return sorted(found)


def _refuse_unreadable(error: OSError) -> None:
    raise SourceError(
        f"{error.filename}: expected a folder that may be read, got the answer {error.strerror!r}; "
        f"change its mode, or move it away from the others."
    ) from error


def _nothing_found(path: Path) -> str:
    inside = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    got = (
        f"a folder with {', '.join(inside[:3])}{' and more' if len(inside) > 3 else ''}"
        if inside
        else "an empty one"
    )
    return (
        f"{path}: expected a folder with images ({', '.join(IMAGE_SUFFIXES)}) or sounds "
        f"(.wav, .flac, .ogg, .mp3), got {got}; give a folder with images or sounds, or name one data file."
    )


def _decoded(
    path: Path, files: list[Path], headers: list[ImageHeader], size: tuple[int, int] | None
) -> NDArray[Any]:  # fmt: skip
    grey = all(header.grey for header in headers)
    deep = grey and all(header.deep for header in headers)
    height, width = size or headers[0].sides
    _check_memory(path, len(files) * height * width * (1 if grey else 3) * (2 if deep else 1))
    first = read_pixels(files[0], grey, deep, size)
    array = np.empty((len(files), *first.shape), first.dtype)
    array[0] = first
    for row, file in enumerate(files[1:], start=1):
        pixels = read_pixels(file, grey, deep, size)
        if pixels.shape != first.shape:
            raise _mixed(files[0], first.shape[:2], file, pixels.shape[:2])
        array[row] = pixels
    return array


def _refuse_mixed(files: list[Path], sides: list[tuple[int, int]]) -> None:
    """Refuse, before decoding, sizes that differ even if an EXIF rotation exchanged their sides."""
    for file, found in zip(files, sides, strict=True):
        if sorted(found) != sorted(sides[0]):
            raise _mixed(files[0], sides[0], file, found)


def _mixed(
    first: Path, first_sides: tuple[int, ...], second: Path, second_sides: tuple[int, ...]
) -> DataError:
    (a, b), (c, d) = first_sides, second_sides
    return DataError(
        f"{first}: expected images of one size, got {a} x {b} here and {c} x {d} in {second} "
        f"(height x width); to resize them all, set data.resize = [{a}, {b}], "
        f"at the command line --set data.resize=[{a},{b}]."
    )


def _check_memory(path: Path, n_bytes: int) -> None:
    if n_bytes > MAX_BYTES:
        raise SourceError(
            f"{path}: images may take at most {MAX_BYTES / 2**30:.3g} GiB of memory, "
            f"got {n_bytes / 2**30:.3g} GiB; "
            f"make them smaller with data.resize = [height, width], or give fewer."
        )


def _labels_of(names: list[str], labels: Path | None) -> NDArray[Any] | None:
    if labels is not None:
        return read_labels(labels, len(names), names)
    folders = [name.split("/", 1)[0] for name in names if "/" in name]
    return as_labels(folders) if len(folders) == len(names) else None

"""A folder of image files, decoded once into one array, or as they are asked for where memory does not hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.memory import budget_of, bytes_text
from isthmus.sources.arrays import ArraySource
from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.folder import file_names, links_outside
from isthmus.sources.image_file import ImageHeader, ResizeBy, read_all, read_header
from isthmus.sources.labels import as_labels, read_labels

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_NAMED = 3
"""Files that a note names."""
_CHANGES = {
    "animated": "an animation or several pages, of which the first is taken",
    "turned": "turned upright as their EXIF tag says",
    "transparent": "transparency laid over white",
    "cmyk": "CMYK brought to RGB without a colour profile",
    "grey": "grey, taken as colour like the others",
    "deep": "16 bits brought to 8",
}
_BY = {"stretch": "stretched or squeezed", "crop": "resized and cut", "pad": "fitted in, with a border,"}


@final
class ImageFiles(Source):
    """Images that are decoded as they are asked for, in every pass anew: those that memory does not hold.

    Parameters
    ----------
    files
        Images of one size, or brought to it, all of which can be decoded.
    shape, dtype
        Of the pixels: ``(height, width, channels)``, uint8 or uint16.
    size, by
        As ``resize`` and ``resize_by`` of :func:`open_images`.
    labels
        One a row, or None.
    who
        What messages begin with.
    largest
        Pixels of the largest, as its file has them.
    """

    def __init__(
        self,
        files: Sequence[Path],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        size: tuple[int, int] | None,
        by: ResizeBy,
        labels: NDArray[Any] | None,
        who: str,
        *,
        largest: int,
    ) -> None:
        self.name, self._files, self._size, self._largest = who, files, size, largest
        self._by: ResizeBy = by
        like = ArraySource(np.empty((1, *shape), dtype), who=who)
        self.schema, self._shape, self._dtype = like.schema, shape, dtype
        self.labels = labels

    def __len__(self) -> int:
        return len(self._files)

    def read(self, rows: slice | Indices) -> Rows:
        """The pixels asked for, decoded now, ``(n, height, width, channels)``.

        Raises
        ------
        SourceError
            An image that can no longer be decoded.
        DataError
            One that has another size now, or a row number that is not there.
        """
        wanted = rows if isinstance(rows, np.ndarray) else np.arange(*rows.indices(len(self)))
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise DataError(
                f"{self.name}: row numbers must be below {len(self)}, got {rows}; the first row is 0."
            )
        result = np.empty((len(wanted), *self._shape), self._dtype)
        files = [self._files[int(row)] for row in wanted]
        how = self._shape[-1] == 1, self._dtype == np.uint16, self._size, self._by
        with closing(read_all(files, *how, largest=self._largest)) as found:
            for place, pixels in enumerate(found):
                if isinstance(pixels, SourceError):
                    raise pixels
                if pixels.shape != self._shape:
                    raise _mixed(self._files[0], self._shape[:2], files[place], pixels.shape[:2])
                result[place] = pixels
        return result


def open_images(
    path: Path,
    *,
    labels: Path | None = None,
    resize: Sequence[int] | None = None,
    resize_by: ResizeBy = "stretch",
    strict: bool = False,
    budget: int | None = None,
) -> ArraySource | ImageFiles:
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
        ``(height, width)`` to which every image is resized, with antialiasing.
    resize_by
        ``"stretch"``, ``"crop"`` or ``"pad"``, see :func:`isthmus.sources.image_file.read_pixels`.
    strict
        Whether a file that cannot be decoded is refused. Otherwise it is left out, and the notes name it.
    budget
        Bytes that pixels may take; half of the free memory if None. Images that need more are decoded once to
        see that they can be, and then again whenever they are asked for, see :class:`ImageFiles`.

    Raises
    ------
    SourceError
        No images, none that can be decoded, with ``strict`` one that cannot, or any larger than the budget.
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
    label_of = _labels_of(names, labels)
    strict = strict or len(files) == 1
    broken: dict[int, SourceError] = {}
    headers: dict[int, ImageHeader] = {}
    for row, file in enumerate(files):
        try:
            headers[row] = read_header(file)
        except SourceError as error:
            broken[row] = _unless(strict, error)
    if not headers:
        raise next(iter(broken.values()))
    if size is None:
        _refuse_mixed([files[row] for row in headers], [header.sides for header in headers.values()])
    grey = all(header.grey for header in headers.values())
    deep = grey and all(header.deep for header in headers.values())
    height, width = size or next(iter(headers.values())).sides
    each = height * width * (1 if grey else 3) * (2 if deep else 1)
    n_bytes, room = len(headers) * each, budget_of("auto") if budget is None else budget
    if each > room:
        raise SourceError(
            f"{path}: expected images of which memory holds one, {bytes_text(room)}, got {height} x {width} pixels, "
            f"{bytes_text(each)}; make them smaller with data.resize = [height, width]."
        )
    is_held = n_bytes <= room
    array, kept = _decoded(files, headers, grey, deep, size, resize_by, strict, broken, is_held=is_held)
    own = None if label_of is None else label_of[kept]
    source: ArraySource | ImageFiles
    if is_held:
        source = ArraySource(array, labels=own, who=str(path))
    else:
        places = [files[row] for row in kept]
        source = ImageFiles(
            places, array.shape[1:], array.dtype, size, resize_by, own, str(path), largest=_largest(headers)
        )
    source.row_names = np.array(names)[kept]
    by_block = (
        f"Images: {len(kept):,} take {bytes_text(n_bytes)}, more than memory holds: decoded as they are read."
    )
    source.notes = (
        *_left_out(names, broken),
        *_changes([headers[row] for row in kept], size, resize_by, array),
        *([] if is_held else [by_block]),
    )
    return source


def _unless(strict: bool, error: SourceError) -> SourceError:
    """The error, raised if files that cannot be read are refused."""
    if strict:
        raise error
    return error


def _left_out(names: list[str], broken: dict[int, SourceError]) -> tuple[str, ...]:
    if not broken:
        return ()
    listed = ", ".join(names[row] for row in sorted(broken)[:_NAMED]) + ", ..." * (len(broken) > _NAMED)
    return (f"{len(broken)} of {len(names)} images cannot be decoded and are left out: {listed}.",)


def _changes(
    headers: list[ImageHeader], size: tuple[int, int] | None, by: ResizeBy, array: NDArray[Any]
) -> tuple[str, ...]:
    """What was done to the pixels, with how many images it was done to."""
    counts = Counter(trait for header in headers for trait in header.traits)
    if array.shape[-1] == 3:
        counts["grey"] = sum(header.grey for header in headers)
    if array.dtype == np.uint8:
        counts["deep"] = sum(header.deep for header in headers)
    changes = dict(_CHANGES)
    if size is not None:
        counts["size"] = sum(header.sides != size for header in headers)
        changes["size"] = f"{_BY[by]} to {size[0]} x {size[1]}"
    return tuple(
        f"{counts[trait]} of {len(headers)} images: {what}."
        for trait, what in changes.items()
        if counts[trait]
    )


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
    return sorted(file_names(path, IMAGE_SUFFIXES, refuse=_refuse_unreadable))


def _refuse_unreadable(error: OSError) -> None:
    raise SourceError(
        f"{error.filename}: expected a folder that may be read, got the answer {error.strerror!r}; "
        f"change its mode, or move it away from the others."
    ) from error


def _nothing_found(path: Path) -> str:
    if links_outside(path, IMAGE_SUFFIXES):
        return (
            f"{path}: expected a folder with images, got links that lead out of it, which are not followed; "
            f"copy the files "
            f"into it, or give the folder that they are in."
        )
    inside = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    got = (
        f"a folder with {', '.join(inside[:3])}{' and more' if len(inside) > 3 else ''}"
        if inside
        else "an empty one"
    )
    return (
        f"{path}: expected a folder with images ({', '.join(IMAGE_SUFFIXES)}) or sounds "
        f"(.wav, .flac, .ogg, .mp3), or shards of rows (.npy, .parquet, .arrow, .csv), got {got}; give a folder with "
        f"such files, or name one data file."
    )


def _decoded(
    files: list[Path],
    headers: dict[int, ImageHeader],
    grey: bool,
    deep: bool,
    size: tuple[int, int] | None,
    by: ResizeBy,
    strict: bool,
    broken: dict[int, SourceError],
    *,
    is_held: bool,
) -> tuple[NDArray[Any], list[int]]:
    """The pixels of the files that can be decoded, and the places of these files; others go to ``broken``.

    Of pixels that are not held the first ones stand for all.
    """
    array, kept = np.empty(0), list[int]()
    with closing(
        read_all([files[row] for row in headers], grey, deep, size, by, largest=_largest(headers))
    ) as found:
        for row, pixels in zip(headers, found, strict=True):
            if isinstance(pixels, SourceError):
                broken[row] = _unless(strict, pixels)
                continue
            if not kept:
                array = np.empty((len(headers) if is_held else 1, *pixels.shape), pixels.dtype)
            elif pixels.shape != array.shape[1:]:
                raise _mixed(files[kept[0]], array.shape[1:3], files[row], pixels.shape[:2])
            if is_held or not kept:
                array[len(kept)] = pixels
            kept.append(row)
    if not kept:
        raise next(iter(broken.values()))
    return array[: len(kept)], kept


def _largest(headers: Mapping[int, ImageHeader]) -> int:
    """Pixels of the largest picture."""
    return max(height * width for height, width in (header.sides for header in headers.values()))


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


def _labels_of(names: list[str], labels: Path | None) -> NDArray[Any] | None:
    if labels is not None:
        return read_labels(labels, len(names), names)
    folders = [name.split("/", 1)[0] for name in names if "/" in name]
    return as_labels(folders) if len(folders) == len(names) else None

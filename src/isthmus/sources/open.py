"""Opens whatever holds rows: tells what a path is and hands it to its reader."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.memory import budget_of
from isthmus.schema import Kind
from isthmus.sources.arrays import ArraySource
from isthmus.sources.audio import SOUND_SUFFIXES, open_audio, sound_names
from isthmus.sources.base import Source
from isthmus.sources.bundled import BUNDLED_NAMES
from isthmus.sources.files import read_npy, read_npz
from isthmus.sources.idx import GZIP_MAGIC, is_idx, labels_beside, read_idx
from isthmus.sources.image_file import ResizeBy
from isthmus.sources.images import IMAGE_SUFFIXES, image_names, open_images
from isthmus.sources.labels import read_labels
from isthmus.sources.row_groups import RowGroups, open_row_groups
from isthmus.sources.table import TABLE_SUFFIXES, open_table

READABLE = (
    "a folder of images or sounds, one image (.png, .jpg, .bmp, .gif, .tif, .webp), one sound (.wav, .flac, "
    ".ogg, .mp3), .npy, .npz, IDX (plain or .gz), or a table (.csv, .tsv, .txt, .parquet, .arrow, .feather)"
)  # fmt: skip

_SHOWN = 80
"""Characters of an impossible name that a message shows."""


def open_source(
    path: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    resize: Sequence[int] | None = None,
    resize_by: ResizeBy = "stretch",
    strict: bool = False,
    sample_shape: Sequence[int] | None = None,
    row_kind: Kind | Literal["auto"] = "auto",
    sound: Mapping[str, Any] | None = None,
    types: Mapping[str, str] | None = None,
    memory: int | str = "auto",
) -> Source:
    """Open a file or folder of data.

    Parameters
    ----------
    path
        A folder of images or of sounds (whichever are more), one image, one sound, an ``.npy`` file
        (memory-mapped), an ``.npz`` file, an IDX file, plain (memory-mapped) or gzipped, or a table:
        ``.csv``, ``.tsv``, ``.txt``, ``.parquet``, ``.arrow``, ``.feather``. NumPy and IDX files are told
        by their first bytes.
    labels
        A file with one label a row; without it, the labels that the data brings itself: sub-folders
        of images, ``y`` in an ``.npz`` file, the labels file beside IDX images.
    resize
        ``(height, width)`` for images, see :func:`isthmus.sources.images.open_images`.
    resize_by
        ``"stretch"``, ``"crop"`` or ``"pad"``.
    strict
        Whether a file that cannot be read among others is refused instead of left out with a note.
    sample_shape
        Shape of one row where rows in a file are flat; others are taken as they come.
    row_kind
        What the rows of an array are, see :class:`ArraySource`; images are pictures, sounds sequences. The
        columns of a table are one array where they shall be ``"vectors"``, ``"sequences"`` or ``"pictures"``.
    types
        Columns of a table and what they are, whatever the rules say, see :class:`TableSource`.
    memory
        What rows may take of it, ``"2GB"`` for example; ``"auto"`` is half of what is free. Of a Parquet table
        that takes more, row groups are read as they are asked for, see
        :class:`isthmus.sources.row_groups.RowGroups`, and images are decoded so.
    sound
        Options of :func:`isthmus.sources.audio.open_audio`, by name, for sounds.

    Raises
    ------
    SourceError
        Nothing there, or nothing that can be read.
    DataError
        Rows that cannot be used, for example images of several sizes.
    ParameterError
        ``resize`` with something other than images.
    """
    place = Path(path)
    if not is_there(place):
        raise SourceError(_missing(place))
    labels_path = None if labels is None else Path(labels)
    try:
        if is_sound(place):
            check_sound(place, row_kind, resize)
            return open_audio(place, labels=labels_path, strict=strict, **(sound or {}))
        if place.is_dir() or place.name.lower().endswith(IMAGE_SUFFIXES):
            check_pictures(place, row_kind)
            return open_images(
                place,
                labels=labels_path,
                resize=resize,
                resize_by=resize_by,
                strict=strict,
                budget=budget_of(memory),
            )
        if resize is not None:
            raise ParameterError(
                f"data.resize: only images can be resized, got {place}; leave data.resize out."
            )
        if types is not None and not place.name.lower().endswith(TABLE_SUFFIXES):
            raise ParameterError(f"types: only tables have columns of types, got {place}; leave types out.")
        if place.name.lower().endswith(TABLE_SUFFIXES):
            return _open_table(place, labels_path, sample_shape, row_kind, types, budget_of(memory))
        return _open_array(place, labels_path, sample_shape, row_kind)
    except PermissionError as error:
        raise SourceError(
            f"{place}: expected a file that may be read, got no permission; change its mode."
        ) from error


def is_there(path: Path) -> bool:
    """Whether there is a file or folder of that name.

    Raises
    ------
    SourceError
        A name that no file can have, or a folder on the way that may not be entered.
    """
    try:
        return path.exists()
    except OSError as error:
        text = str(path)
        name = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise SourceError(
            f"{name}: expected a file or folder, got the answer {error.strerror!r}; check the path."
        ) from error


def is_sound(path: Path) -> bool:
    """Whether a file is named as sound is, or a folder holds more files of sound than images."""
    if not path.is_dir():
        return path.name.lower().endswith(SOUND_SUFFIXES)
    sounds = len(sound_names(path))
    return sounds > 0 and sounds > len(image_names(path))


def check_sound(name: str | Path, row_kind: str, resize: Sequence[int] | None) -> None:
    """Refuse another kind than sequences for sounds, and sides of pictures.

    Raises
    ------
    ParameterError
        ``row_kind`` is neither ``"sequences"`` nor ``"auto"``, or ``resize`` is given.
    """
    if row_kind not in ("auto", "sequences"):
        raise ParameterError(
            f"data.row_kind: {name} holds sounds, which are sequences, got {row_kind!r}; leave data.row_kind out."
        )
    if resize is not None:
        raise ParameterError(f"data.resize: only images can be resized, got {name}; leave data.resize out.")


def check_pictures(name: str | Path, row_kind: str) -> None:
    """Refuse another kind for rows that are pictures and nothing else.

    Raises
    ------
    ParameterError
        ``row_kind`` is neither ``"pictures"`` nor ``"auto"``.
    """
    if row_kind not in ("auto", "pictures"):
        raise ParameterError(
            f"data.row_kind: {name} holds pictures, got {row_kind!r}; leave data.row_kind out, or give an array."
        )


def _open_array(
    path: Path, labels: Path | None, sample_shape: Sequence[int] | None, row_kind: Kind | Literal["auto"]
) -> Source:
    array, own = _array_and_labels(path)
    if array.ndim < 2:
        raise DataError(
            f"{path}: expected rows of values, got an array of shape {array.shape}; "
            f"labels belong to labels=, and one column alone is array.reshape(-1, 1)."
        )
    if labels is not None:
        own = read_labels(labels, len(array))
    shape = sample_shape if array.ndim == 2 else None
    return ArraySource(array, labels=own, sample_shape=shape, row_kind=row_kind, who=str(path))


def _open_table(
    path: Path,
    labels: Path | None,
    sample_shape: Sequence[int] | None,
    row_kind: Kind | Literal["auto"],
    types: Mapping[str, str] | None,
    budget: int,
) -> Source:
    is_table = row_kind in ("auto", "tables") and sample_shape is None
    source = open_row_groups(path, budget, types) if is_table and path.suffix.lower() == ".parquet" else None
    source = open_table(path, types=types) if source is None else source
    own = None if labels is None else read_labels(labels, len(source))
    if is_table or isinstance(source, RowGroups):
        source.labels = own
        return source
    if types is not None:
        raise ParameterError(
            f"types: columns of {path} that are one array are all numbers, got types too; leave types out, or "
            f"leave data.row_kind and data.sample_shape out."
        )
    return ArraySource(
        source.numbers(),
        labels=own,
        columns=source.column_names if row_kind == "vectors" else None,
        sample_shape=sample_shape,
        row_kind=row_kind,
        who=str(path),
    )


def _array_and_labels(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    with path.open("rb") as file:
        start = file.read(6)
    if start == b"\x93NUMPY":
        return read_npy(path), None
    if start[:4] == b"PK\x03\x04" or path.suffix.lower() == ".npz":
        return read_npz(path)
    if is_idx(start) or start[:2] == GZIP_MAGIC:
        array, beside = read_idx(path), labels_beside(path)
        return array, None if beside is None or beside == path else read_labels(beside, len(array))
    if path.suffix.lower() == ".npy":
        return read_npy(path), None
    raise SourceError(
        f"{path}: expected {READABLE}, got a file of another kind; convert it, for example to .npy."
    )


def _missing(path: Path) -> str:
    """One sentence for a path where nothing is, with what its folder holds of that kind."""
    if str(path) in BUNDLED_NAMES:
        return (
            f"{path}: expected a file or folder, got the name of data that ships with isthmus; "
            f"open it with bundled({str(path)!r})."
        )
    folder = path.parent
    if not folder.is_dir():
        return f"{path}: expected a file or folder, got nothing there: {folder} is no folder; check the path."
    names = sorted(entry.name for entry in folder.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(near)}?" if near else "check the path."
    return f"{path}: expected a file or folder, got nothing of that name in {folder}; {advice}"

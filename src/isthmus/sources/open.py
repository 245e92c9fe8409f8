"""Opens whatever holds rows: tells what a path is and hands it to its reader."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.memory import budget_of
from isthmus.schema import Kind
from isthmus.sources.arrays import ArraySource
from isthmus.sources.audio import SOUND_SUFFIXES, open_audio, sound_names
from isthmus.sources.base import Source
from isthmus.sources.bundled import BUNDLED_NAMES
from isthmus.sources.files import read_npz
from isthmus.sources.folder import links_outside
from isthmus.sources.idx import GZIP_MAGIC, is_idx, labels_beside, read_idx
from isthmus.sources.image_file import ResizeBy
from isthmus.sources.images import IMAGE_SUFFIXES, image_names, open_images
from isthmus.sources.labels import read_labels
from isthmus.sources.lists import chosen_lists, list_names, open_lists
from isthmus.sources.magic import check_named
from isthmus.sources.npy import read_npy
from isthmus.sources.row_groups import SHARE_HELD, RowGroups, open_row_groups
from isthmus.sources.shards import ShardedSource, check_one_kind, shard_names, shards_note
from isthmus.sources.sparse import SparseSource
from isthmus.sources.table import (
    ARROW_SUFFIXES,
    TABLE_SUFFIXES,
    TableSource,
    arrow_schema,
    open_table,
    open_tables,
)

READABLE = (
    "a folder of images, sounds or shards, one image (.png, .jpg, .bmp, .gif, .tif, .webp), one sound (.wav, .flac, "
    ".ogg, .mp3), .npy, .npz, IDX (plain or .gz), or a table (.csv, .tsv, .txt, .parquet, .arrow, .feather)"
)  # fmt: skip
SHARD_SUFFIXES = (".npy", ".csv", ".tsv", ".csv.gz", ".tsv.gz", *ARROW_SUFFIXES)
"""Files of which a folder may hold many as one source."""
PathKind = Literal["images", "sounds", "rows"]

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
    array: str | Sequence[str] | None = None,
) -> Source:
    """Open a file or folder of data.

    Parameters
    ----------
    path
        A folder of images, of sounds or of shards (whichever are most), one image, one sound, an ``.npy``
        file (memory-mapped), an ``.npz`` file of arrays or of a sparse matrix, an IDX file, plain
        (memory-mapped) or gzipped, or a table: ``.csv``, ``.tsv``, ``.txt``, ``.parquet``, ``.arrow``,
        ``.feather``. NumPy and IDX files are told by their first bytes. Shards are ``.npy`` files or tables
        of one kind, in natural order of their names. Tables with columns of lists of numbers are vectors,
        see :mod:`isthmus.sources.lists`.
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
    array
        Which array of an ``.npz`` file, or which list column or columns of a table, the rows are.
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
    if not (place.is_file() or place.is_dir()):
        raise SourceError(
            f"{place}: expected a file or folder, got a pipe or a device, which has no size; save what it "
            f"gives as a file."
        )
    kind = kind_of(place)
    rows = _Wanted(labels_path, sample_shape, row_kind, types, array, budget_of(memory))
    try:
        if place.is_file():
            check_named(place)
        if kind == "sounds":
            check_sound(place, row_kind, resize)
            source = open_audio(place, labels=labels_path, strict=strict, **(sound or {}))
            return _with_others(source, place, kind, strict)
        if kind == "images":
            check_pictures(place, row_kind)
            source = open_images(
                place,
                labels=labels_path,
                resize=resize,
                resize_by=resize_by,
                strict=strict,
                budget=budget_of(memory),
            )
            return _with_others(source, place, kind, strict)
        if resize is not None:
            raise ParameterError(
                f"data.resize: only images can be resized, got {place}; leave data.resize out."
            )
        if place.is_dir():
            return _with_others(_open_shards(place, rows), place, kind, strict)
        if place.name.lower().endswith(TABLE_SUFFIXES):
            return _open_table(place, rows)
        return _open_array(place, rows)
    except PermissionError as error:
        raise SourceError(
            f"{place}: expected a file that may be read, got no permission; change its mode."
        ) from error


class _Wanted(NamedTuple):
    """What is asked for of rows that are neither images nor sounds."""

    labels: Path | None
    sample_shape: Sequence[int] | None
    row_kind: Kind | Literal["auto"]
    types: Mapping[str, str] | None
    array: str | Sequence[str] | None
    budget: int
    """Bytes that rows may take."""


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


def kind_of(path: Path) -> PathKind:
    """What a path holds by its name: images, sounds, or rows in other files; of a folder what most files are."""
    if path.is_dir():
        counts = _counts(path)
        return max(counts, key=lambda kind: counts[kind])  # of equal ones images, then sounds
    name = path.name.lower()
    return (
        "sounds" if name.endswith(SOUND_SUFFIXES) else "images" if name.endswith(IMAGE_SUFFIXES) else "rows"
    )


def has_lists(path: Path) -> bool:
    """Whether a Parquet or Arrow file, or the first of a folder of such shards, has columns of lists of numbers.

    Raises
    ------
    SourceError
        A file that is damaged.
    """
    if path.is_dir():
        names = shard_names(path, SHARD_SUFFIXES)
        return kind_of(path) == "rows" and bool(names) and has_lists(path / names[0])
    return path.name.lower().endswith(ARROW_SUFFIXES) and bool(list_names(arrow_schema(path)))


def _counts(folder: Path) -> dict[PathKind, int]:
    return {
        "images": len(image_names(folder)),
        "sounds": len(sound_names(folder)),
        "rows": len(shard_names(folder, SHARD_SUFFIXES)),
    }


def _with_others(source: Source, path: Path, kind: PathKind, strict: bool) -> Source:
    """The source with a note on files of other kinds in its folder, or with ``strict`` why they are too many."""
    n_outside = (
        links_outside(path, (*IMAGE_SUFFIXES, *SOUND_SUFFIXES, *SHARD_SUFFIXES)) if path.is_dir() else 0
    )
    if n_outside:
        what = "link that leads" if n_outside == 1 else "links that lead"
        _tell(source, f"Left out: {n_outside:,} {what} out of the folder; copy such files into it.")
    counts = _counts(path) if path.is_dir() else {}
    if "rows" in counts and kind != "rows":  # labels and the like lie beside images and sounds
        counts["rows"] = len(shard_names(path, (".npy", *ARROW_SUFFIXES)))
    nouns = {"images": "image file", "sounds": "sound file", "rows": "data file"}
    words = {each: f"{n:,} {nouns[each]}{'s' * (n != 1)}" for each, n in counts.items() if n}
    others = [word for each, word in words.items() if each != kind]
    if not others:
        return source
    if strict:
        raise SourceError(
            f"{path}: expected files of one kind, got {words[kind]} beside {' and '.join(others)}; "
            f"move them apart, or leave the others out with data.strict=false."
        )
    _tell(source, f"Left out: {' and '.join(others)} in the folder.")
    return source


def _tell(source: Source, note: str) -> None:
    """Add a note to what there is to know of a source."""
    if isinstance(source, TableSource):
        source.tell(note)
    else:
        source.notes = (*source.notes, note)


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


def _open_shards(folder: Path, wanted: _Wanted) -> Source:
    """The files of a folder as one source, in natural order of their names."""
    names = shard_names(folder, SHARD_SUFFIXES)
    suffix = check_one_kind(folder, names)
    paths, note = [folder / name for name in names], shards_note(names)
    each = wanted._replace(labels=None)
    if suffix == ".npy":
        _check_no_columns(folder, wanted)
        openers = [partial(_open_array, path, each) for path in paths]
        source = ShardedSource(openers, str(folder), in_memory=False, note=note)
    elif suffix in ARROW_SUFFIXES and _lists_of(paths[0], each):
        openers = [partial(_open_table, path, each, must_be_lists=True) for path in paths]
        held = wanted.budget // SHARE_HELD
        source = ShardedSource(openers, str(folder), in_memory=True, note=note, most_bytes=held)
    else:
        return _from_table(open_tables(folder, names, types=wanted.types), wanted)
    if wanted.labels is not None:
        source.labels = read_labels(wanted.labels, len(source))
    return source


def _open_array(path: Path, wanted: _Wanted) -> Source:
    with path.open("rb") as file:
        start = file.read(6)
    notes: tuple[str, ...] = ()
    if start[:4] == b"PK\x03\x04" or (path.suffix.lower() == ".npz" and start != b"\x93NUMPY"):
        _check_no_types(path, wanted)
        array, own, notes = read_npz(path, wanted.array)
    else:
        _check_no_columns(path, wanted)
        array, own = _array_and_labels(path, start)
    if array.ndim < 2:
        raise DataError(
            f"{path}: expected rows of values, got an array of shape {array.shape}; "
            f"labels belong to labels=, and one column alone is array.reshape(-1, 1)."
        )
    if wanted.labels is not None:
        own = read_labels(wanted.labels, len(array) if isinstance(array, np.ndarray) else array.shape[0])
    if not isinstance(array, np.ndarray):
        if wanted.sample_shape is not None or wanted.row_kind not in ("auto", "vectors"):
            raise ParameterError(
                f"{path}: a sparse matrix holds vectors, got data.row_kind or data.sample_shape for another kind; "
                f"leave them out, or save the rows as a dense .npy."
            )
        source: Source = SparseSource(array, labels=own, who=str(path))
    else:
        shape = wanted.sample_shape if array.ndim == 2 else None
        source = ArraySource(array, labels=own, sample_shape=shape, row_kind=wanted.row_kind, who=str(path))
    source.notes = (*notes, *source.notes)
    return source


def _check_no_types(path: Path, wanted: _Wanted) -> None:
    if wanted.types:
        raise ParameterError(
            f"data.types: only tables have columns of types, got {path}; leave data.types out."
        )


def _check_no_columns(path: Path, wanted: _Wanted) -> None:
    """Refuse what is asked for of files with columns or several arrays."""
    _check_no_types(path, wanted)
    if wanted.array is not None:
        raise ParameterError(
            f"data.array: only .npz files and tables with columns of lists have several arrays, got {path}; "
            f"leave data.array out."
        )


def _lists_of(path: Path, wanted: _Wanted) -> list[str]:
    """The list columns of a file that are its rows; none where it is a table of single values."""
    left_out = [name for name, given in (wanted.types or {}).items() if given == "ignore"]
    found = [name for name in list_names(arrow_schema(path)) if name not in left_out]
    return chosen_lists(found, wanted.array, str(path))


def _open_table(path: Path, wanted: _Wanted, *, must_be_lists: bool = False) -> Source:
    is_text = not path.name.lower().endswith(ARROW_SUFFIXES)
    lists = [] if is_text else _lists_of(path, wanted)
    if lists:
        return open_lists(
            path,
            lists,
            labels=None if wanted.labels is None else partial(read_labels, wanted.labels),
            sample_shape=wanted.sample_shape,
            row_kind=wanted.row_kind,
            types=wanted.types,
        )
    if must_be_lists:
        raise DataError(
            f"{path}: expected columns of lists of numbers, as in the first shard, got none; move that file away."
        )
    if is_text and wanted.array is not None:
        _check_no_columns(path, wanted._replace(types=None))
    found = open_row_groups(path, wanted.budget, wanted.types) if _is_plain_table(path, wanted) else None
    return _from_table(open_table(path, types=wanted.types) if found is None else found, wanted)


def _is_plain_table(path: Path, wanted: _Wanted) -> bool:
    return (
        path.suffix.lower() == ".parquet"
        and wanted.row_kind in ("auto", "tables")
        and not wanted.sample_shape
    )


def _from_table(source: TableSource | RowGroups, wanted: _Wanted) -> Source:
    """A table as it is, or where vectors, sequences or pictures are asked for as one array of numbers."""
    own = None if wanted.labels is None else read_labels(wanted.labels, len(source))
    row_kind, sample_shape = wanted.row_kind, wanted.sample_shape
    if isinstance(source, RowGroups) or (row_kind in ("auto", "tables") and sample_shape is None):
        source.labels = own
        return source
    if wanted.types:
        raise ParameterError(
            f"data.types: columns of {source.name} that are one array are all numbers, got types too; leave "
            f"data.types out, or leave data.row_kind and data.sample_shape out."
        )
    return ArraySource(
        source.numbers(),
        labels=own,
        columns=source.column_names if row_kind == "vectors" else None,
        sample_shape=sample_shape,
        row_kind=row_kind,
        who=source.name,
    )


def _array_and_labels(path: Path, start: bytes) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if start == b"\x93NUMPY":
        return read_npy(path), None
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

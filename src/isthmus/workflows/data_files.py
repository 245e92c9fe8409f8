"""Rows in data units as files: ``.npy``, tables, pictures as PNG, sounds as WAV or FLAC."""

from __future__ import annotations

import io
import itertools
import math
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isthmus.artifact.file import write_atomically
from isthmus.errors import OutputError
from isthmus.schema import Audio, Schema
from isthmus.shapes import shape_text
from isthmus.sources import Source
from isthmus.sources.audio import AudioSource
from isthmus.sources.table_out import table_of
from isthmus.workflows.outputs import check_file, check_folder, notes_on_others
from isthmus.workflows.sound_files import (
    SOUND_FILES,
    encoded,
    files_of,
    one_after_another,
    recordings_to_write,
    sounds_to_write,
)
from isthmus.workflows.table_files import TABLE_OUTPUTS, TEXT_OUTPUTS, table_of_vectors, write_table

MOST_ON_A_SHEET = 400
"""Pictures on one sheet; the first ones."""
_GAP = 2
_NUMBERED = re.compile(r"[0-9]{6,}")
_UNFIT = re.compile(r"""[\x00-\x1f<>:"\\|?*]|(?:^|/)\.\.?(?:/|$)|[^/]{200}""")
"""What no name of a file holds that is to be written on any system."""
TOGETHER = "all"
"""Name of the file that holds all sounds of a folder in a row."""


def check_rows_output(path: Path, *, folder: bool, schema: Schema, force: bool = False) -> None:
    """Raise unless rows of this schema can be written to ``path``.

    Parameters
    ----------
    path
        ``.npy`` for any rows; for tables and vectors also what :func:`write_table` writes; for pictures also ``.png``,
        one sheet of them, or a folder; for sounds also ``.wav`` or ``.flac``, or a folder.
    folder
        Whether ``path`` is meant as a folder.
    schema
        What a row is.
    force
        Whether what is there may be overwritten.
    """
    sound = schema.audio is not None
    pictures = schema.kind == "pictures" and schema.sample_shape[-1] in (1, 3)
    if path.suffix.lower() == ".npy" and not folder:
        check_file(path, force=force)
    elif schema.kind in ("tables", "vectors"):
        if folder:
            what = "a table goes" if schema.kind == "tables" else "vectors go"
            raise OutputError(
                f"{path}: {what} into {', '.join(TABLE_OUTPUTS)} or .npy, got a folder. "
                "Give a name that ends in .csv."
            )
        check_file(path, force=force, suffixes=(*TABLE_OUTPUTS, ".npy"))
    elif sound and not folder:
        check_file(path, force=force, suffixes=(".npy", *SOUND_FILES))
    elif not (pictures or sound):
        raise OutputError(
            f"{path}: rows that are {schema.kind} {shape_text(schema.sample_shape)} go into a .npy file, "
            f"got {'a folder' if folder else path.suffix or 'no ending'!r}. Give a name that ends in .npy."
        )
    elif folder:
        check_folder(path, force=force)
    else:
        check_file(path, force=force, suffixes=(".npy", ".png"))


def check_other_folder(path: Path, source: Source) -> None:
    """Raise where a folder to write to is the one that a source was read from: its files would be lost."""
    read = Path(source.name)
    place = read if read.is_dir() else read.parent
    if path.is_dir() and read.exists() and place.resolve() == path.resolve():
        raise OutputError(
            f"{path}: expected a folder other than that of the data, got the one with {source.name}. "
            "Choose another, so that no file is lost."
        )


def means_folder(text: str) -> bool:
    """Whether an output is meant as a folder: one that is there, a name without an ending, a last slash.

    >>> means_folder("out/"), means_folder("out"), means_folder("out.png")
    (True, True, False)
    """
    return text.endswith(("/", "\\")) or not Path(text).suffix or Path(text).is_dir()


def write_rows(
    path: Path,
    rows: NDArray[Any],
    schema: Schema,
    *,
    folder: bool,
    together: bool = False,
    source: Source | None = None,
    notes: list[str] | None = None,
) -> int:
    """Write rows in data units, whole or not at all; how many were written.

    Parameters
    ----------
    path
        As :func:`check_rows_output` found it good.
    rows
        ``(rows, *sample_shape)``.
    schema
        What a row is.
    folder
        Whether ``path`` is a folder: then ``000000.png``, ``000001.png``, ..., or ``000000.wav``, ... where the
        rows are of no ``source`` of files.
    together
        Of sounds in a folder: whether ``all.wav`` holds all of them in a row too.
    source
        The rows that these are made of, one for one. Pictures and sounds in a folder then have the names of its
        files, and a sound is a recording and not its windows, each by itself; one alone is so in one file too.
    notes
        Takes what people should know about what was written, one sentence each.
    """
    if schema.audio is not None and (folder or path.suffix.lower() != ".npy"):
        said = _write_sounds(path, rows, schema.audio, folder=folder, together=together, source=source)
        earlier = path / f"{TOGETHER}.wav"
        if folder and not together and earlier.is_file():
            said = (*said, *notes_on_others([earlier]))
        if notes is not None:
            notes.extend(said)
        return len(rows)
    if folder:
        called = None if source is None or source.row_names is None else source.row_names.tolist()
        names = None if called is None else _file_names(called, ".png")
        _write_folder(path, map(_png, pixels_of(rows, schema)), ".png", names=names)
        return len(rows)
    if path.suffix.lower() == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, rows)
        write_atomically(buffer.getvalue(), path)
        return len(rows)
    if schema.kind == "tables":
        write_table(path, table_of(rows, schema))
        return len(rows)
    if schema.kind == "vectors":
        write_table(path, table_of_vectors(rows, schema, lists=path.suffix.lower() not in TEXT_OUTPUTS))
        return len(rows)
    shown = rows[:MOST_ON_A_SHEET]
    write_atomically(_png(sheet(pixels_of(shown, schema))), path)
    return len(shown)


def _write_sounds(
    path: Path, rows: NDArray[Any], audio: Audio, *, folder: bool, together: bool, source: Source | None
) -> tuple[str, ...]:
    """Sounds as one file or a folder of them, and what was done to them.

    Windows of recordings are put together where these are known, but for several that go into one file.
    """
    recordings = source.recordings() if isinstance(source, AudioSource) else []
    suffix = path.suffix.lower()
    if len(recordings) == 1 or (folder and recordings):
        whole, said = recordings_to_write(rows, audio, recordings)
        if folder:
            names = _file_names([name for name, _, _ in recordings], ".wav")
            _write_folder(path, (encoded(sound, audio.rate) for sound in whole), ".wav", names=names)
        else:
            write_atomically(encoded(whole[0], audio.rate, suffix), path)
        return said
    sounds, said = sounds_to_write(rows, audio)
    if folder:
        in_a_row = one_after_another(sounds, audio.rate) if together else None
        others = {} if in_a_row is None else {f"{TOGETHER}.wav": encoded(in_a_row, audio.rate)}
        earlier = path / f"{TOGETHER}.wav"
        if not together and earlier.is_file():
            said = (*said, *notes_on_others([earlier]))
        _write_folder(path, files_of(sounds, audio), ".wav", others)
    else:
        write_atomically(encoded(one_after_another(sounds, audio.rate), audio.rate, suffix), path)
    return said


def pixels_of(rows: NDArray[Any], schema: Schema) -> NDArray[Any]:
    """Pictures as uint8 (or uint16 where they were), from black to white over what is scaled to [0, 1].

    Parameters
    ----------
    rows
        ``(rows, *sample_shape)`` in data units.
    schema
        That of the fitted scaling.
    """
    if rows.dtype == np.uint16 and rows.shape[-1] == 1:
        return rows
    low, high = schema.value_range or _ends(rows)
    share = (rows.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.rint(np.clip(share, 0.0, 1.0) * 255.0).astype(np.uint8)


def _ends(rows: NDArray[Any]) -> tuple[float, float]:
    """[0, 1] if no value leaves it, else the lowest and the highest."""
    low, high = float(rows.min()), float(rows.max())
    return (0.0, 1.0) if low >= 0.0 and high <= 1.0 else (low, high)


def sheet(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pictures ``(n, height, width, channels)`` side by side on one, nearly square, with gaps between."""
    n, height, width, channels = pixels.shape
    n_wide = math.ceil(math.sqrt(n))
    n_high = math.ceil(n / n_wide)
    white = np.iinfo(pixels.dtype).max
    page = np.full(
        (n_high * (height + _GAP) - _GAP, n_wide * (width + _GAP) - _GAP, channels), white, pixels.dtype
    )
    for at, picture in enumerate(pixels):
        top, left = at // n_wide * (height + _GAP), at % n_wide * (width + _GAP)
        page[top : top + height, left : left + width] = picture
    return page


def _file_names(names: Sequence[Any], suffix: str) -> list[str] | None:
    """Names of files with another ending, below folders where they were; None where rows are not called like files.

    >>> _file_names(["cat/1.jpg", "cat/1.gif", "dog/1.jpg"], ".png")
    ['cat/1.jpg.png', 'cat/1.gif.png', 'dog/1.png']
    >>> _file_names(["../1.jpg"], ".png")
    """
    old = [str(name) for name in names]
    if any(_UNFIT.search(name) or name.startswith("/") or not PurePosixPath(name).name for name in old):
        return None
    new = [PurePosixPath(name).with_suffix(suffix).as_posix() for name in old]
    often = Counter(name.lower() for name in new)
    new = [
        f"{name}{suffix}" if often[other.lower()] > 1 else other for name, other in zip(old, new, strict=True)
    ]
    return new if len({name.lower() for name in new}) == len(new) else None


def _numbered_names(suffix: str) -> Iterator[str]:
    return (f"{number:06d}{suffix}" for number in itertools.count())


def _write_folder(
    path: Path,
    contents: Iterable[bytes],
    suffix: str,
    others: dict[str, bytes] | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Write into a folder of its own first: a new one takes its name in one step, an old one is filled.

    Numbered files of an earlier writing, of which there may have been more, do not stay among the new ones.
    """
    place = path if path.is_dir() else path.absolute().parent
    try:
        with tempfile.TemporaryDirectory(prefix=".isthmus-", dir=place) as beside:
            made = Path(beside) / "rows"
            made.mkdir()
            called = _numbered_names(suffix) if names is None else names
            for name, content in itertools.chain(zip(called, contents, strict=False), (others or {}).items()):
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(content)
            if path.is_dir():
                new = {file.relative_to(made) for file in made.rglob("*") if file.is_file()}
                for name in new:
                    (path / name).parent.mkdir(parents=True, exist_ok=True)
                    (made / name).replace(path / name)
                for file in _stale(path, new, suffix):
                    file.unlink()
            else:
                made.rename(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}. Choose another place.") from None


def _stale(folder: Path, new: set[Path], suffix: str) -> list[Path]:
    """Numbered files that an earlier writing left."""
    numbered = (file for file in folder.glob(f"*{suffix}") if _NUMBERED.fullmatch(file.stem))
    return [file for file in numbered if Path(file.name) not in new and file.is_file()]


def _png(picture: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(buffer, "PNG")
    return buffer.getvalue()

"""Which content a path, an array or an archive's facts are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.codec.contents.arrays import ArrayContent, ArrayForm, open_array
from isthmus.codec.contents.arrow_tables import ArrowForm, open_arrow, table_content
from isthmus.codec.contents.base import Content, Form, fact, unfit
from isthmus.codec.contents.folders import FolderContent, FolderForm
from isthmus.codec.contents.kept import KeptContent, KeptForm
from isthmus.codec.contents.npz import NpzForm, open_arrays
from isthmus.codec.contents.sounds import SoundContent, SoundForm, open_sound
from isthmus.codec.contents.text_tables import TextForm, open_text
from isthmus.errors import DataError, SourceError
from isthmus.sources.open import is_there
from isthmus.sources.table import ARROW_SUFFIXES

_FORMS: dict[str, type[Form]] = {
    form.kind: form for form in (ArrayForm, ArrowForm, FolderForm, KeptForm, NpzForm, SoundForm, TextForm)
}
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")


def content_of(source: str | os.PathLike[str] | NDArray[Any] | Any, *, as_pixels: bool = False) -> Content:
    """What a source holds, exactly.

    Parameters
    ----------
    source
        An array, an Arrow table, or a path.
    as_pixels
        Whether pictures of a folder are taken as pixels even where their files are smaller.

    Raises
    ------
    SourceError
        Nothing there.
    DataError
        An array of Python objects or with a mask, a table with columns that are not kept as values, or anything else.

    Examples
    --------
    >>> content = content_of(np.arange(6).reshape(3, 2))
    >>> content.kind, content.n_rows, content.block(slice(1, 3))["values"].tolist()
    ('array', 3, [[2, 3], [4, 5]])
    """
    if isinstance(source, np.ma.MaskedArray):
        raise DataError(
            "array: expected values alone, got an array with a mask; fill what is hidden, or keep the mask in an array "
            "of its own."
        )
    if isinstance(source, np.ndarray):
        return ArrayContent(source)
    if isinstance(source, pa.Table):
        table = table_content(source)
        if table is None:
            raise DataError(
                "table: expected columns of numbers, texts, dates, lists and structures of them, got one of another "
                "type (map, union, run-end-encoded), or none; cast it."
            )
        return table
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"data: expected a path, an array or an Arrow table, got {type(source).__name__}; make it one of these."
        )
    path = Path(source)
    if not is_there(path):
        raise SourceError(f"{path}: expected a file or folder, got nothing there; check the path.")
    name = path.name.lower()
    if path.is_dir():
        return FolderContent(path, as_pixels=as_pixels)
    if not path.is_file():
        raise SourceError(
            f"{path}: expected a file or folder, got a pipe or a device; save what it gives as a file."
        )
    reason = ""
    try:
        content = _known(path, name) if path.stat().st_size else None
    except PermissionError:
        raise SourceError(
            f"{path}: expected a file that may be read, got no permission; change its mode."
        ) from None
    except SourceError as error:
        content, reason = None, str(error).removeprefix(f"{path}: ")
    return KeptContent(path, reason) if content is None else content


def _known(path: Path, name: str) -> Content | None:
    """The content of a file of a kind that is known by its name or its first bytes.

    Raises
    ------
    SourceError
        A table or a file of arrays that is damaged.
    """
    with path.open("rb"):  # refused here, or it may be read
        pass
    if name.endswith(_TEXT_SUFFIXES):
        return open_text(path)
    if name.endswith(".npz"):
        return open_arrays(path)
    if name.endswith((".wav", ".flac")):
        sound = open_sound(path)
        return None if sound is None else SoundContent(sound)
    return open_arrow(path) if name.endswith(ARROW_SUFFIXES) else open_array(path)


def content_from(facts: Mapping[str, Any]) -> Form:
    """What makes rows and files of an archive's blocks again, by the facts that its content gave.

    Raises
    ------
    ArtifactError
        Facts that none gave.

    Examples
    --------
    >>> content = content_of(np.arange(6).reshape(3, 2))
    >>> content_from(content.facts).rows({"values": np.array([[4, 5]])})
    array([[4, 5]])
    """
    kind = fact(facts, "kind", str)
    if kind not in _FORMS:
        raise unfit(f"contents of kind {kind[:60]!r}, which this isthmus does not know")
    return _FORMS[kind](facts)

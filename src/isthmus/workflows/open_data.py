"""Rows by their name: a path, data that ship with isthmus, or one row of either."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from isthmus.config import Data
from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.memory import parse_bytes
from isthmus.schema import Schema
from isthmus.shapes import shape_text
from isthmus.sources import Source, TableSource, bundled, conform, open_source
from isthmus.sources.bundled import BUNDLED_NAMES
from isthmus.sources.open import check_pictures, has_lists, is_there, kind_of
from isthmus.sources.row_groups import RowGroups
from isthmus.sources.subset import Subset

_ROW = re.compile(r"(?P<place>.+):(?P<row>\d+)")
_MODEL_NAME = "model.safetensors"


def open_data(
    name: str, data: Data | None = None, *, labels: Path | None = None, schema: Schema | None = None
) -> Source:
    """Open rows by their name, in the shape that ``data`` asks for.

    Parameters
    ----------
    name
        A file or folder of data, ``mnist-train`` or ``mnist-test``, or any of these with ``:ROW``
        behind it for one row, counted from 0. A path that exists comes before a name.
    data
        ``resize`` is for files of images alone; flat rows take ``sample_shape``, and arrays ``row_kind``.
        ``types`` are for tables that no model has seen.
    labels
        A file with one label a row.
    schema
        That of a model's rows, where the data are for a model: a table is read by its columns, see
        :func:`isthmus.sources.conform`, and list columns by their names.

    Raises
    ------
    SourceError
        Nothing there, nothing that can be read, or a model.
    DataError
        Rows that cannot be used, or a row that is not there.
    ParameterError
        ``resize`` for something other than files of images, unless it has that size already.

    Examples
    --------
    >>> len(open_data("mnist-test")), len(open_data("mnist-test:3"))
    (2000, 1)
    """
    data = Data() if data is None else data
    place, row = _place_and_row(name)
    source = _opened(place, data, labels, schema)
    _check_size(source, data, name)
    source = source if row is None else _row(source, row, name)
    if schema is not None and schema.kind == "tables" and isinstance(source, RowGroups):
        return source.conformed(schema)
    if schema is None or schema.kind != "tables" or not isinstance(source, TableSource):
        return source
    return conform(source, schema)


def check_there(*names: str | None) -> None:
    """Refuse names that stand for nothing, in less time than PyTorch takes to be imported; None are passed over.

    >>> check_there("mnist-test:3", None)
    """
    for place, _ in (_place_and_row(name) for name in names if name is not None):
        if place not in BUNDLED_NAMES and not is_there(Path(place)):
            open_source(Path(place))  # its error lists what is near


def notes_of(opened: Iterable[tuple[str | None, Source | None]]) -> list[str]:
    """What there is to know of several sources, by their names where there are two or more; None are passed over.

    >>> from isthmus.sources import ArraySource
    >>> notes_of([("a.npy", ArraySource(np.zeros((2, 3)))), (None, None)])
    []
    """
    named = {name: source for name, source in opened if name is not None and source is not None}
    return [
        note if len(named) == 1 else f"{name}: {note}"
        for name, source in named.items()
        for note in source.notes
    ]


def with_memory(data: Data, memory: str) -> Data:
    """A model's way to read data, within the memory of whoever reads them now."""
    parse = memory if memory == "auto" else parse_bytes(memory, "--memory")
    return data.replace(memory=parse)


def _place_and_row(name: str) -> tuple[str, int | None]:
    one = None if is_there(Path(name)) else _ROW.fullmatch(name)
    return (name, None) if one is None else (one["place"], int(one["row"]))


def _opened(name: str, data: Data, labels: Path | None, schema: Schema | None) -> Source:
    path = Path(name)
    if not is_there(path) and name in BUNDLED_NAMES:
        if labels is not None:
            raise DataError(f"{name}: brings its own labels, got {labels} too. Leave the labels out.")
        check_pictures(name, data.row_kind)
        return bundled(name)
    if path.suffix == ".safetensors" or (path / _MODEL_NAME).is_file():
        raise SourceError(
            f"{name}: expected data, got a model. Give rows: a folder of images, sounds or shards, .npy, .npz, IDX "
            "or a table."
        )
    if not is_there(path):
        return open_source(path)  # its error lists what is near
    return open_source(
        path,
        labels=labels,
        resize=data.resize if kind_of(path) == "images" else None,
        resize_by=data.resize_by,
        strict=data.strict,
        sample_shape=data.sample_shape,
        row_kind=data.row_kind,
        sound=data.sound_options(),
        types=data.types if schema is None else None,
        array=_array(path, data, schema),
        memory=data.memory,
    )


def _array(path: Path, data: Data, schema: Schema | None) -> str | tuple[str, ...] | None:
    """Which array or list columns to read: those that a model knows, where the file has any."""
    if schema is None:
        return data.array
    if has_lists(path):
        return tuple(name for name, _ in schema.lists) or None
    return data.array if path.suffix.lower() == ".npz" and not schema.lists else None


def _check_size(source: Source, data: Data, name: str) -> None:
    """Rows that are not files of images cannot be resized; a model of resized images takes them as they are."""
    if data.resize is not None and source.schema.sample_shape[:-1] != tuple(data.resize):
        raise ParameterError(
            f"data.resize: only files of images can be resized to {shape_text(data.resize)}, got {name} with "
            f"{source.schema.describe()}. Leave data.resize out, or give images or rows of that size."
        )


def _row(source: Source, row: int, name: str) -> Source:
    if row >= len(source):
        raise DataError(f"{name}: expected a row below {len(source)}, got {row}; the first row is 0.")
    one = np.array([row], np.int64)
    return source.take(one) if isinstance(source, (TableSource, RowGroups)) else Subset(source, one)

"""Filled tables as files: one, or a numbered one for each of several draws."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.schema import Schema
from isthmus.sources import Source, TableSource
from isthmus.sources.table import LEFT_OUT
from isthmus.sources.table_out import gaps_of, typed_table, with_gaps_filled
from isthmus.workflows.data_files import check_rows_output, means_folder, write_rows
from isthmus.workflows.impute import impute
from isthmus.workflows.outputs import notes_on_others
from isthmus.workflows.table_files import write_table

TEXT = (".csv", ".tsv")


class FilledFiles(NamedTuple):
    """What was written, and the gaps that there were."""

    paths: tuple[Path, ...]
    n_rows: int
    n_columns: int
    gaps: dict[str, int]
    """Gaps by names of columns, of those that had any."""
    notes: tuple[str, ...]
    """On files of an earlier writing that stand among the new ones."""


def numbered(path: Path, n: int) -> tuple[Path, ...]:
    """Names of n files beside each other, in their order; one alone keeps its name.

    >>> [each.name for each in numbered(Path("out/filled.csv"), 3)], len(numbered(Path("a.npy"), 12))
    (['filled_1.csv', 'filled_2.csv', 'filled_3.csv'], 12)
    >>> numbered(Path("a.npy"), 12)[0].name
    'a_01.npy'
    """
    if n == 1:
        return (path,)
    return tuple(path.with_stem(f"{path.stem}_{at:0{len(str(n))}}") for at in range(1, n + 1))


def check_outputs(output: str, n_draws: int | None, schema: Schema, *, force: bool) -> tuple[Path, ...]:
    """The files that fillings go to; raise unless every one of them can be written."""
    paths, folder = numbered(Path(output), n_draws or 1), means_folder(output)
    for path in paths:
        check_rows_output(path, folder=folder, schema=schema, force=force)
    return paths


def write_filled(
    model: FittedModel,
    source: Source,
    paths: Sequence[Path],
    *,
    n_draws: int | None = None,
    seed: int | None = None,
) -> FilledFiles:
    """Fill the gaps of a source and write it, each file whole or not at all.

    A table keeps all its columns and every cell that is no gap, those that the model does not know among
    them; in a file of text that comes from one, to the letter, with its separators and decimal commas.
    ``.npy`` holds the rows as the model reads them.

    Parameters
    ----------
    model
        Fitted with ``missing="mask"``.
    source
        Rows like those that it was fitted on; of a table as :func:`isthmus.sources.conform` gives it.
    paths
        As :func:`check_outputs` found them good: one, or one a draw.
    n_draws, seed
        As in :func:`isthmus.workflows.impute.impute`.
    """
    found = impute(model, source, n_draws=n_draws, seed=seed)
    fillings = [found] if n_draws is None else list(found)
    for path, rows in zip(paths, fillings, strict=True):
        if isinstance(source, TableSource) and path.suffix.lower() != ".npy":
            write_table(path, _table(source, rows, as_text=path.suffix.lower() in TEXT), source.form)
        else:
            write_rows(path, rows, model.scaling.schema, folder=False)
    is_table = isinstance(source, TableSource) and paths[0].suffix.lower() != ".npy"
    n_columns = cast(TableSource, source).table.num_columns if is_table else model.scaling.schema.n_values
    gaps, notes = _gaps(source, model.scaling.schema), notes_on_others(_other_draws(paths))
    return FilledFiles(tuple(paths), len(source), n_columns, gaps, tuple(notes))


def _other_draws(paths: Sequence[Path]) -> list[Path]:
    """Files that are numbered like several draws and are none of them, by their numbers."""
    if len(paths) == 1:
        return []
    name = re.compile(rf"{re.escape(paths[0].stem.rpartition('_')[0])}_([0-9]+)")
    beside = (path for path in paths[0].parent.iterdir() if path.suffix == paths[0].suffix)
    found = [path for path in beside if name.fullmatch(path.stem) and path not in paths]
    return sorted(found, key=lambda path: (int(path.stem.rpartition("_")[2]), path.name))


def notes_on_filling(source: Source) -> list[str]:
    """Notes of a source, in words that are true of a file that keeps what the model cannot read."""
    return [
        note.replace(LEFT_OUT, "Kept as they are, for the model does not know them:") for note in source.notes
    ]


def _table(source: TableSource, rows: NDArray[Any], *, as_text: bool) -> Any:
    table = source.table
    if source.written and not as_text:
        table = typed_table(table, source.read(slice(None)), source.schema)
    return with_gaps_filled(table, rows, source.schema)


def _gaps(source: Source, schema: Schema) -> dict[str, int]:
    if isinstance(source, TableSource):
        return {name: int(gaps.sum()) for name, gaps in gaps_of(source.table, schema).items()}
    gaps = np.isnan(source.read(slice(0, len(source)))).sum(axis=0)
    names = schema.columns or tuple(str(place) for place in range(schema.n_values))
    return {name: int(n) for name, n in zip(names, gaps, strict=True) if n}

"""Reconstructions of the rows of a source as files, written as they come where the format allows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.config import Data
from isthmus.inference import Inference
from isthmus.memory import budget_of
from isthmus.sources import Source
from isthmus.sources.subset import Subset
from isthmus.workflows.data_files import write_rows
from isthmus.workflows.npy_files import write_npy
from isthmus.workflows.outputs import check_room

BYTES_MEASURED = 96
"""What figures of a row take beside its code: errors, losses and their copies in double precision."""
SHARE_MEASURED = 2
"""One part in so many of the budget is for them."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    shape: tuple[int, ...]
    """Of the reconstructions, in data units."""
    dtype: np.dtype[Any]
    n_written: int
    """Rows: all of them, or as many as a sheet shows."""


def write_reconstructions(
    path: Path,
    inference: Inference,
    source: Source,
    data: Data,
    *,
    folder: bool,
    notes: list[str] | None = None,
) -> Written:
    """Write what a model makes of all rows, as :func:`isthmus.workflows.data_files.write_rows` says.

    An ``.npy`` file is written as it comes; what other formats are made of is held.

    Parameters
    ----------
    data
        Whose ``memory`` is the budget.

    Raises
    ------
    OutputError
        A file that takes more memory than there is.
    """
    schema = inference.model.scaling.schema
    shape, dtype = (len(source), *schema.sample_shape), np.dtype(schema.dtype)
    if path.suffix.lower() == ".npy" and not folder:
        write_npy(path, inference.reconstructions_in_blocks(source), shape, dtype)
        return Written(shape, dtype, len(source))
    check_room(path, math.prod(shape) * max(4, dtype.itemsize), data, "Write .npy")
    rows = inference.reconstruct(source)
    n_written = write_rows(path, rows, schema, folder=folder, source=source, notes=notes)
    return Written(rows.shape, rows.dtype, n_written)


def measured_within(inference: Inference, source: Source, data: Data, notes: list[str]) -> Source:
    """The rows that figures are of: all, or as many as the budget has room for, evenly spaced, which a note says."""
    a_row = BYTES_MEASURED + 32 * inference.code_size
    most = max(2, budget_of(data.memory) // SHARE_MEASURED // a_row)
    if len(source) <= most:
        return source
    notes.append(f"Errors are of {most:,} of {len(source):,} rows, evenly spaced, for which there is room.")
    return Subset(source, np.linspace(0, len(source) - 1, most).round().astype(np.int64))

"""Writing rows approximately: each block is read back, and how far it is from the rows is counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.codec.coding.coders import Coder, Plain, as_read
from isthmus.codec.coding.preview import PreviewCoder
from isthmus.codec.columns import Column, Columns
from isthmus.codec.container import Archive, ArchiveWriter
from isthmus.codec.contents.base import Content
from isthmus.codec.store import MODEL

GAPS = "?"
"""Ends the name of the column that marks the rows of another where it has no value."""


@dataclass
class Distance:
    """How far a column is from what comes back.

    Parameters
    ----------
    has_words
        Whether it has words, which are equal or not.
    unit
        What 1 of its values is worth.
    """

    has_words: bool
    unit: float = 1.0
    n: int = 0
    n_different: int = 0
    squares: float = 0.0
    largest: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def add(self, before: Column, after: Column, gaps: Any) -> None:
        """Count the rows of a block; those in gaps, and numbers that are none, are left out."""
        if isinstance(before, list):
            first, second = np.array(before, object), np.array(after, object)
        else:
            first, second = before, np.asarray(after)
        if isinstance(gaps, np.ndarray) and len(gaps) == len(first):
            first, second = first[gaps == 0], second[gaps == 0]
        if self.has_words:
            self.n += len(first)
            self.n_different += int((first != second).sum())
            return
        if first.dtype.kind == "f":
            finite = np.isfinite(first)
            first, second = first[finite], second[finite]
        if not first.size:
            return
        if first.dtype.kind in "iu" and first.dtype.itemsize == 8:  # both are within 62 bits
            apart = (first.astype(np.int64) - second.astype(np.int64)).astype(np.float64)
        else:
            apart = first.astype(np.float64) - second.astype(np.float64)
        apart *= self.unit
        self.n += apart.size
        self.squares += float(np.square(apart).sum())
        self.largest = max(self.largest, float(np.abs(apart).max()))
        self.low = min(self.low, float(first.min()) * self.unit)
        self.high = max(self.high, float(first.max()) * self.unit)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        if self.has_words:
            return {"n": self.n, "different": self.n_different}
        if not self.n:
            return {"n": 0}
        root = math.sqrt(self.squares / self.n)
        return {"n": self.n, "rmse": root, "largest": self.largest, "low": self.low, "high": self.high}


@dataclass
class Errors:
    """How far all columns of a preview are from what comes back.

    Parameters
    ----------
    coder
        Of the preview.
    units
        Of columns of numbers, what 1 of their values is worth, if it is not 1.
    labels
        Of columns, what people call them, if that is another name.
    """

    coder: PreviewCoder
    units: Mapping[str, float]
    labels: Mapping[str, str]
    exact: set[str] = field(default_factory=set[str])
    n_exact: int = 0

    def __post_init__(self) -> None:
        self._columns = {
            part.name: Distance(part.n_words > 0, self.units.get(part.name, 1.0)) for part in self.coder.parts
        }

    def add(self, before: Columns, after: Columns | None, n_rows: int) -> None:
        """Count a block; ``after`` is None where all of it is kept exactly."""
        if after is None:
            self.n_exact += n_rows
            return
        for name, column in before.items():
            if name in self._columns:
                self._columns[name].add(column, after[name], before.get(f"{name}{GAPS}"))
            elif not name.endswith(GAPS):
                self.exact.add(name)

    def to_dict(self) -> dict[str, Any]:
        """For a footer: of each column its error, names of those kept exactly, and rows kept exactly."""
        return {
            "columns": [
                {"name": self.labels.get(name, name), **distance.to_dict()}
                for name, distance in self._columns.items()
            ],
            "exact": [self.labels[name] for name in sorted(self.exact) if name in self.labels],
            "exact_rows": self.n_exact,
        }


def write_preview(
    content: Content,
    path: Path,
    coder: PreviewCoder,
    labels: Mapping[str, str],
    *,
    block_rows: int,
    overwrite: bool = False,
    resume: bool = False,
    n_bytes_before: int | None = None,
    told: Callable[[int], None] = lambda n_rows: None,
) -> dict[str, Any]:
    """Write an archive from which a content comes back approximately; its errors, as its footer has them.

    Every block is read back as it will be, and what comes back is held against the rows: that is the error that is
    stated. What the coder does not know is kept exactly.

    Parameters
    ----------
    content
        What to write.
    path
        The archive.
    coder
        What knows the rows.
    labels
        Of columns, what people call them.
    block_rows
        Rows of a block, at most.
    overwrite, resume
        As :class:`~isthmus.codec.container.ArchiveWriter` takes them.
    n_bytes_before
        Of the data as they came, for people to be told.
    told
        Told the rows that stand in the archive, after each block.

    Raises
    ------
    OutputError
        A place that cannot be written.
    """
    block_rows = max(1, min(block_rows, coder.most_rows))
    known = {"content": content.facts, "coder": coder.id, "bounds": None}
    units = {name: 10.0**-power for name, power in content.numbers.items()}
    errors, reader = Errors(coder, units, labels), as_read(coder)
    with ArchiveWriter(
        path, known, sections={MODEL: coder.section()}, overwrite=overwrite, resume=resume
    ) as writer:
        if writer.n_rows:
            _count_written(writer.part, writer.n_rows, content, reader, errors)
        for start in range(writer.n_rows, content.n_rows, block_rows):
            rows = slice(start, min(start + block_rows, content.n_rows))
            n, block = rows.stop - rows.start, content.block(rows)
            payload = coder.packed(block)
            if payload is None:
                errors.add(block, None, n)
                writer.add(Plain.id, n, Plain().packed(block))
            else:
                errors.add(block, reader.unpacked(payload, n), n)
                writer.add(coder.id, n, payload)
            told(rows.stop)
        footer = errors.to_dict()
        known_size = {} if n_bytes_before is None else {"bytes_before": n_bytes_before}
        writer.close(footer={"verified": True, **known_size, "preview": footer})
    return footer


def _count_written(part: Path, n_rows: int, content: Content, coder: Coder, errors: Errors) -> None:
    """Count the blocks that a writer which was stopped has left."""
    with Archive(part) as archive:
        for number in archive.blocks_of(0, n_rows):
            block = archive.blocks[number]
            before = content.block(slice(block.first_row, block.stop))
            is_coded = block.codec == coder.id
            after = coder.unpacked(archive.read(number), block.n_rows) if is_coded else None
            errors.add(before, after, block.n_rows)

"""Rows coded approximately: each block is read back, and how far it is from the rows is counted."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.codec.coding.coders import Coder, Plain
from isthmus.codec.coding.preview import PreviewCoder
from isthmus.codec.columns import Column, Columns
from isthmus.codec.container import Archive, naming
from isthmus.codec.contents.base import Content

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

    @classmethod
    def of(cls, content: Content, coder: PreviewCoder, labels: Mapping[str, str]) -> Errors:
        """Of a content, nothing of which is counted yet."""
        return cls(coder, {name: 10.0**-power for name, power in content.numbers.items()}, labels)

    def __post_init__(self) -> None:
        self._columns = {
            part.name: Distance(part.n_words > 0, self.units.get(part.name, 1.0)) for part in self.coder.parts
        }

    def coded(
        self, content: Content, reader: Coder, blocks: Iterable[slice]
    ) -> Generator[tuple[str, bytes], None, None]:
        """Codec and bytes of blocks of rows, each of which is read back and counted.

        Parameters
        ----------
        content
            What the rows are of.
        reader
            The coder as a reader will have it.
        blocks
            Which rows.
        """
        for rows in blocks:
            n, block = rows.stop - rows.start, content.block(rows)
            payload = self.coder.packed(block)
            self.add(block, None if payload is None else reader.unpacked(payload, n), n)
            yield (Plain.id, Plain().packed(block)) if payload is None else (self.coder.id, payload)

    def take_up(self, content: Content, reader: Coder, part: Path, n_rows: int) -> None:
        """Count the blocks that a writer which was stopped has left in a file, so many rows."""
        if not n_rows:
            return
        with Archive(part) as archive, naming(part):
            for number in archive.blocks_of(0, n_rows):
                block = archive.blocks[number]
                before = content.block(slice(block.first_row, block.stop))
                is_coded = block.codec == self.coder.id
                after = reader.unpacked(archive.read(number), block.n_rows) if is_coded else None
                self.add(before, after, block.n_rows)

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

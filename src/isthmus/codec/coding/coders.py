"""The contract of a coder: columns of rows to bytes and back, with what a model knows of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import numpy as np
import pyarrow as pa

from isthmus.codec import columns as plain
from isthmus.codec.columns import Columns
from isthmus.errors import ArtifactError, DataError

FAR_SMALLER = 0.75
"""Share of what a quick general coder needs; slow ones seldom come below it."""


class Coder(ABC):
    """Codes blocks of columns; what it does not know, it leaves to :func:`isthmus.codec.columns.packed`."""

    id: ClassVar[str]
    """What blocks of it are called in an archive."""
    block_rows: ClassVar[int | None] = None
    """Rows of a block at most: with more any row is read slower, with fewer a block takes more bytes; None: any."""

    @abstractmethod
    def section(self) -> bytes:
        """All that a reader must have to build an equal one."""

    @classmethod
    @abstractmethod
    def of_section(cls, data: bytes) -> Coder:
        """The coder that a section was written from.

        Raises
        ------
        ArtifactError
            Bytes that none was.
        """

    @abstractmethod
    def check(self) -> None:
        """Compute what is known.

        Raises
        ------
        ArtifactError
            This environment computes otherwise.
        """

    @abstractmethod
    def packed(self, columns: Columns) -> bytes | None:
        """Columns as bytes; None of such as it cannot code."""

    @abstractmethod
    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The columns again.

        Raises
        ------
        ArtifactError
            Bytes of no block.
        """


class Plain(Coder):
    """Columns by general coders alone, without a model."""

    id: ClassVar[str] = "plain"

    def section(self) -> bytes:
        """Nothing."""
        return b""

    @classmethod
    def of_section(cls, data: bytes) -> Plain:
        """The one that there is."""
        return cls()

    def check(self) -> None:
        """Nothing is computed."""

    def packed(self, columns: Columns) -> bytes:
        """Each column by itself."""
        return plain.packed(columns)

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The columns again."""
        return plain.unpacked(payload)


def as_read(coder: Coder) -> Coder:
    """A coder as a reader will have it, of its section: what it codes can be read again.

    Raises
    ------
    ArtifactError
        Its section is not read as it was written.
    """
    section = coder.section()
    own = type(coder).of_section(section)
    own.check()
    if own.section() != section:
        raise ArtifactError(
            f"archive: the model of {coder.id} is not read as it was written. This is an error of isthmus; please "
            "report it, and compress without a model."
        )
    return own


def is_same(first: Columns, second: Columns) -> bool:
    """Whether columns are equal to the last bit."""
    if list(first) != list(second):
        return False
    for column, other in zip(first.values(), second.values(), strict=True):
        if isinstance(column, list) or isinstance(other, list):
            if column != other:
                return False
        elif (column.shape, column.dtype) != (
            other.shape,
            other.dtype,
        ) or column.tobytes() != other.tobytes():
            return False
    return True


def smallest(learned: list[Coder], forms: list[Columns], n_rows: int) -> tuple[str, bytes]:
    """The codec and the fewest bytes that rows come back from; each way is tried, there and back.

    Where a model needs far fewer bytes than a quick general coder, slow ones, which take as long as a model, are not
    tried on the same columns.

    Parameters
    ----------
    learned
        What may code them, beside :class:`Plain`.
    forms
        The same rows as columns of one kind and another; the first one is for what is learned.
    n_rows
        How many they are.
    """
    found = [
        (coder, forms[0], payload) for coder in learned if (payload := coder.packed(forms[0])) is not None
    ]
    best = min((len(payload) for _, _, payload in found), default=math.inf)
    found += [(Plain(), form, Plain().packed(form)) for form in forms if best >= FAR_SMALLER * _quickly(form)]
    for coder, form, payload in sorted(found, key=lambda way: len(way[2])):
        try:
            if is_same(coder.unpacked(payload, n_rows), form):
                return coder.id, payload
        except (ArtifactError, DataError):
            continue
    if Plain.id not in {coder.id for coder, _, _ in found}:  # a model that does not give its rows back
        return smallest([], forms, n_rows)
    raise ArtifactError(
        "archive: no coder gives these rows back as they were. This is an error of isthmus; please report it."
    )


@final
@dataclass(frozen=True)
class BlockCoding:
    """Blocks to bytes and back, as all that know the section do it: it can be pickled for other processes.

    Parameters
    ----------
    coder
        What knows the rows, beside :class:`Plain`; None where nothing does.
    section
        Of the coder.
    """

    coder: type[Coder] | None = None
    section: bytes = b""

    @cached_property
    def coders(self) -> dict[str, Coder]:
        """Each by the codec that blocks of it have."""
        known: list[Coder] = (
            [Plain()] if self.coder is None else [Plain(), self.coder.of_section(self.section)]
        )
        return {coder.id: coder for coder in known}

    def packed(self, forms: tuple[list[Columns], int]) -> tuple[str, bytes]:
        """The codec and bytes of so many rows, see :func:`smallest`."""
        return smallest([coder for coder in self.coders.values() if coder.id != Plain.id], *forms)

    def unpacked(self, block: tuple[str, bytes, int]) -> Columns:
        """The columns of a block of a codec, of its bytes and its number of rows."""
        codec, payload, n_rows = block
        return self.coders[codec].unpacked(payload, n_rows)


def _quickly(columns: Columns) -> int:
    """Bytes of columns by a quick general coder; 0 where some are texts."""
    arrays = [column for column in columns.values() if isinstance(column, np.ndarray)]
    if len(arrays) < len(columns):
        return 0
    quick = pa.Codec("zstd", compression_level=1)
    return sum(
        len(quick.compress(np.ascontiguousarray(array).reshape(-1).view(np.uint8)))
        for array in arrays
        if array.size
    )

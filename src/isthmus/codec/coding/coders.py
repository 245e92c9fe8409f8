"""The contract of a coder: columns of rows to bytes and back, with what a model knows of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

from isthmus.codec import columns as plain
from isthmus.codec.columns import Columns
from isthmus.errors import ArtifactError, DataError


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


def smallest(coders: list[Coder], forms: list[Columns], n_rows: int) -> tuple[str, bytes]:
    """The codec and the fewest bytes that rows come back from; each way is tried, there and back.

    Parameters
    ----------
    coders
        What may code them.
    forms
        The same rows as columns of one kind and another; the first one only is for coders that know more than
        :class:`Plain`.
    n_rows
        How many they are.
    """
    ways = [(coder, forms[0]) for coder in coders] + [(Plain(), form) for form in forms[1:]]
    found = [(coder, form, payload) for coder, form in ways if (payload := coder.packed(form)) is not None]
    for coder, form, payload in sorted(found, key=lambda way: len(way[2])):
        try:
            if is_same(coder.unpacked(payload, n_rows), form):
                return coder.id, payload
        except (ArtifactError, DataError):
            continue
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
        return smallest(list(self.coders.values()), *forms)

    def unpacked(self, block: tuple[str, bytes, int]) -> Columns:
        """The columns of a block of a codec, of its bytes and its number of rows."""
        codec, payload, n_rows = block
        return self.coders[codec].unpacked(payload, n_rows)

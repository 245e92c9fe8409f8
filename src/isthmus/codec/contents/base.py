"""The contract of contents: what is read of a source, block by block and exactly, and what is made of blocks again."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from isthmus.codec.columns import Columns
from isthmus.errors import ArtifactError, IsthmusError, OutputError, ParameterError

Facts = dict[str, Any]
"""What JSON can hold: all that is needed beside the blocks to give everything back."""
MOST_ROWS = 1 << 54
"""As many as all blocks of an archive may have."""
_Some = TypeVar("_Some")


class Form(ABC):
    """The reading side of a content: blocks become rows, or a file of the kind that came in.

    Parameters
    ----------
    facts
        As :attr:`Content.facts` gave them; from an archive they may be anybody's, and are checked.

    Raises
    ------
    ArtifactError
        Facts that are none of this kind.
    """

    kind: ClassVar[str]
    """By which facts name it."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)
        self.n_rows = fact(facts, "n_rows", int)
        if not 0 <= self.n_rows < MOST_ROWS:
            raise unfit(f"{self.n_rows} rows")

    @abstractmethod
    def rows(self, columns: Columns) -> Any:
        """The rows of one block, or of several that were joined: an array, a table, or a list of what files hold.

        Raises
        ------
        ArtifactError
            Columns that do not go with the facts.
        """

    @abstractmethod
    def write(self, blocks: Iterable[Columns], path: Path) -> None:
        """Write a file or folder of the kind that came in, whole or not at all, from all blocks in order.

        A block may be forgotten as soon as the next one is asked for. What is there under that name is replaced if it
        is a file; a folder is not.

        Raises
        ------
        ArtifactError
            Columns that do not go with the facts, or fewer rows than they tell.
        OutputError
            A place that cannot be written.
        """

    def no_rows(self) -> Any:
        """What :meth:`rows` gives of none."""
        return []

    def some(self, n_rows: int) -> Form:
        """The form of so many of its rows, as a file of their own.

        Raises
        ------
        ParameterError
            Of what is no rows.
        """
        raise ParameterError(
            "--rows: expected an archive of an array or a table, got one of files as they are. Leave --rows out."
        )

    def part(self, columns: Columns, start: int, stop: int) -> Columns:
        """The columns of some rows of a block, counted from its first, as the form of some rows takes them."""
        return {name: column[start:stop] for name, column in columns.items()}

    def joined(self, parts: Sequence[Columns]) -> Columns:
        """The columns of several :meth:`part` as one, where the tables of their rows are of different columns."""
        raise unfit("tables of different columns")

    @property
    def suffix(self) -> str:
        """How the name of a written file ends, with the point; empty of a folder."""
        return ""


class Content(ABC):
    """What a source holds, to be read block by block, in any order, in exact values.

    A column mostly has an entry a row, and blocks mostly have the same columns; where their kind says otherwise they
    need not: a table's block that does not come back from its columns is one column ``"text"``, and files of a folder
    may be pictures in one block and bytes in the next. Whoever codes columns takes those that it knows and leaves the
    others to :func:`isthmus.codec.columns.packed`. Some rows of a block are had from :meth:`Form.rows`.
    """

    name: str
    """What messages begin with."""
    facts: Facts
    form: Form
    """What makes rows and files of blocks again; the same that :func:`content_from` makes of the facts."""
    row_bytes: float
    """Bytes that a row takes in memory, about: by it the rows of a block are chosen."""
    notes: tuple[str, ...] = ()
    """Sentences for people."""

    @property
    def kind(self) -> str:
        """By which facts name it."""
        return self.form.kind

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.form.n_rows

    @property
    def numbers(self) -> dict[str, int]:
        """Columns that an error bound is for, and for each the power of ten of its unit: 2 where 125 means 1.25."""
        return {}

    @abstractmethod
    def block(self, rows: slice) -> Columns:
        """The columns of some rows that follow each other."""

    def plain(self, rows: slice) -> Columns | None:
        """The same rows as they stand in the file, which may be smaller where they are few; None where they do not."""
        return None


def fact(facts: Mapping[str, Any], name: str, expected: type[_Some]) -> _Some:
    """One of the facts, of a type.

    Raises
    ------
    ArtifactError
        It is not there, or of another type.

    Examples
    --------
    >>> fact({"n_rows": 3}, "n_rows", int)
    3
    """
    value = facts.get(name)
    if type(value) is not expected:
        raise unfit(f"{name} = {str(value)[:60]!r}")
    return value


def unfit(what: str) -> ArtifactError:
    """The error for facts or columns that no content wrote."""
    return ArtifactError(
        f"archive: expected contents as isthmus writes them, got {what}; take another copy of it."
    )


def check_rows(n_found: int, form: Form) -> None:
    """Raise unless all rows came.

    Raises
    ------
    ArtifactError
        More or fewer.
    """
    if n_found != form.n_rows:
        raise unfit(f"{n_found:,} rows where {form.n_rows:,} were promised")


@contextmanager
def beside(path: Path) -> Generator[Path]:
    """A place beside a path for a new file or folder, which takes its name when all is well and is gone otherwise.

    Raises
    ------
    OutputError
        What the system refuses, or a folder of files in the place.
    """
    try:
        place = path.with_name(f"{path.name}.part{os.getpid()}")
        try:
            yield place
            if place.is_dir():
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()
                place.rename(path)
            else:
                with place.open("rb+") as file:
                    os.fsync(file.fileno())
                place.replace(path)
        except BaseException:
            with suppress(OSError):
                if place.is_dir():
                    shutil.rmtree(place)
                else:
                    place.unlink(missing_ok=True)
            raise
    except IsthmusError:
        raise
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise OutputError(
            f"{path}: cannot be written: {reason}. Nothing was changed; choose another place."
        ) from None

"""Places to write to, checked before the work whose result they are to hold."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from isthmus.config import Data
from isthmus.errors import OutputError
from isthmus.memory import budget_of, bytes_text

_NAMED = 3


def check_file(path: Path, *, force: bool = False, suffixes: tuple[str, ...] = ()) -> None:
    """Raise unless a file can be written at ``path``.

    Parameters
    ----------
    path
        Where the file shall be; its folder must exist and take new files.
    force
        Whether a file that is there may be overwritten.
    suffixes
        Endings that the name may have; none given, any.

    Raises
    ------
    OutputError
        What is wrong with the place, and what to do.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(
            f"{path}: expected a name that ends in {' or '.join(suffixes)}, got {path.suffix or 'no ending'!r}. "
            f"Try {path.with_suffix(suffixes[0]).name or 'out' + suffixes[0]}."
        )
    if path.is_dir():
        raise OutputError(f"{path}: expected the name of a file, got a folder. Name a file in it.")
    if path.exists() and not force:
        raise _taken(path)
    _check_parent(path)


def check_folder(path: Path, *, force: bool = False) -> None:
    """Raise unless a folder can be made at ``path``, or one that is there may be filled.

    Parameters
    ----------
    path
        The folder; the one above it must exist. An empty folder is as good as none.
    force
        Whether a folder with something in it may be written to.

    Raises
    ------
    OutputError
        What is wrong with the place, and what to do.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: expected the name of a folder, got a file. Choose another name.")
    if path.is_dir():
        if any(path.iterdir()) and not force:
            raise _taken(path)
        _check_takes_files(path, path)
    else:
        _check_parent(path)


def notes_on_others(others: Sequence[Path]) -> list[str]:
    """A note on files of an earlier writing that stand beside a new one, and are easily taken for a part of it.

    Nobody named them, so they are left alone; of none there is no note.

    >>> notes_on_others([Path("new.quality.json")])
    ['new.quality.json was there before and stays: it is no part of what was written now.']
    >>> notes_on_others([Path(f"filled_{number}.csv") for number in range(3, 8)])
    ['filled_3.csv to filled_7.csv (5 files) were there before and stay: they are no part of what was written now.']
    """
    if not others:
        return []
    few = len(others) <= _NAMED
    names = ", ".join(map(str, others)) if few else f"{others[0]} to {others[-1]} ({len(others)} files)"
    were, they = ("were", "stay: they are") if len(others) > 1 else ("was", "stays: it is")
    return [f"{names} {were} there before and {they} no part of what was written now."]


def check_room(path: Path, n_bytes: int, data: Data, instead: str) -> None:
    """Raise if what a file is made of, which is held until all of it is there, takes more than its budget.

    Parameters
    ----------
    n_bytes
        What it takes.
    data
        Whose ``memory`` is the budget.
    instead
        What to do, as the beginning of a sentence.
    """
    room = budget_of(data.memory)
    if n_bytes > room:
        raise OutputError(
            f"{path}: expected a file that is written as it comes, got one that takes {bytes_text(n_bytes)} of "
            f"memory, where {bytes_text(room)} are allowed. {instead}, or raise --memory."
        )


def _taken(path: Path) -> OutputError:
    what = "a folder that holds something" if path.is_dir() else "a file"
    return OutputError(
        f"{path}: expected a free name, got {what}. Choose another name, or overwrite it with --force."
    )


def _check_parent(path: Path) -> None:
    parent = path.absolute().parent
    if not parent.exists():
        raise OutputError(
            f"{path}: expected a folder to write to, but {path.parent} does not exist. Make it first."
        )
    if not parent.is_dir():
        raise OutputError(
            f"{path}: expected a folder to write to, but {path.parent} is a file. Choose another place."
        )
    _check_takes_files(parent, path)


def _check_takes_files(folder: Path, path: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror}. Choose a folder that takes new files."
        ) from None

"""The files below a folder: ordinary ones, inside it.

A folder from a stranger, such as an unpacked archive, may hold links to anything on the machine, pipes that never end
and folders in folders without end. What is read stays inside the folder that was given: a link is followed to a file
below it, and left out where it leads elsewhere; links to folders are never followed, and what is no ordinary file is
none.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def file_names(
    folder: Path,
    suffixes: Sequence[str],
    *,
    hidden: tuple[str, ...] = (".",),
    refuse: Callable[[OSError], None] | None = None,
) -> list[str]:
    """Names of the files below a folder with one of some endings, relative to it, with forward slashes, in no order.

    Parameters
    ----------
    folder
        Searched to any depth.
    suffixes
        Endings, in small letters.
    hidden
        What names of files and folders begin with that are passed over.
    refuse
        Told of a folder that may not be read; without it such are passed over.
    """
    root, endings = folder.resolve(), tuple(suffixes)
    return [
        name
        for name, entry in _entries(folder, hidden, refuse)
        if name.lower().endswith(endings) and _is_file(entry) and _is_inside(entry, root)
    ]


def links_outside(folder: Path, suffixes: Sequence[str]) -> int:
    """How many links to files with one of some endings are left out because they lead out of a folder."""
    root, endings = folder.resolve(), tuple(suffixes)
    return sum(
        name.lower().endswith(endings) and _is_file(entry) and not _is_inside(entry, root)
        for name, entry in _entries(folder, (".",), None)
    )


def _entries(
    folder: Path, hidden: tuple[str, ...], refuse: Callable[[OSError], None] | None
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder that is no folder, with its name; however deep, without going into itself."""
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(folder / inside) as entries:
                for entry in entries:
                    if entry.name.startswith(hidden):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{inside}{entry.name}/")
                    else:
                        yield f"{inside}{entry.name}", entry
        except OSError as error:
            if refuse is not None:
                refuse(error)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is an ordinary file, or a link to one."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a link to nothing, or to itself
        return False


def _is_inside(entry: os.DirEntry[str], root: Path) -> bool:
    """Whether an entry is no link, or one that leads below the root."""
    return not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(root)

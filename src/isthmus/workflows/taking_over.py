"""A new run takes an older one's place in its folder, as one decision.

    run/unfinished/         the new run, while it trains
    run/taking-over/        the new run, from the one rename on that decides: all of it is there, and synced
    run/                    its files, moved one by one; its record goes last

Killed before that rename, a run folder is the older run's, and the new one can go on in ``unfinished/``. Killed
after it, the folder is the new run's: moving is done again from wherever it stopped by whoever opens the folder next.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from isthmus.artifact.file import sync_folder
from isthmus.errors import OutputError
from isthmus.run_folder import CHECKPOINTS, FAILED, FILES, JOURNAL, RECORD, TAKING_OVER


def take_over(place: Path, folder: Path) -> None:
    """Put a run that is whole in ``place`` in the older one's place.

    Raises
    ------
    OutputError
        The disk does not allow it; nothing is lost.
    """
    try:
        with (place / JOURNAL).open("ab") as file:  # the others were synced as they were written
            os.fsync(file.fileno())
        sync_folder(place)
        place.rename(folder / TAKING_OVER)
        sync_folder(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: the older run cannot be replaced: {error.strerror}. What is new is in {place}."
        ) from None
    settle(folder)


def settle(folder: Path) -> None:
    """Bring a taking over to its end that was begun, in a process that was killed perhaps; else do nothing.

    Raises
    ------
    OutputError
        The disk does not allow it; nothing is lost.
    """
    beside = folder / TAKING_OVER
    if not os.path.isdir(beside):  # noqa: PTH112  unlike Path's, of no name whatever an error
        return
    try:
        with _alone(beside):
            _move(beside, folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: the older run cannot be replaced: {error.strerror}. What is new is in {beside}; once the "
            f"folder can be written, 'isthmus info {folder}' puts it in its place."
        ) from None


def _move(beside: Path, folder: Path) -> None:
    """Every step may have been done before, and is then left out."""
    if (beside / RECORD).is_file():
        if (beside / CHECKPOINTS).is_dir():
            if (folder / CHECKPOINTS).exists():
                shutil.rmtree(folder / CHECKPOINTS)
            (beside / CHECKPOINTS).rename(folder / CHECKPOINTS)
        (folder / FAILED).unlink(missing_ok=True)
        for left in folder.glob(".isthmus-*.tmp"):  # of a run that was killed while it wrote
            left.unlink()
        for name in FILES:
            if name != RECORD and (beside / name).exists():
                (beside / name).replace(folder / name)
        # The record goes once all else is safe, and what it was in once the record is.
        sync_folder(folder)
        sync_folder(beside)
        (beside / RECORD).replace(folder / RECORD)
        sync_folder(folder)
        shutil.rmtree(beside, ignore_errors=True)
        sync_folder(folder)
    elif (
        folder / RECORD
    ).is_file():  # killed just before its end; a folder of somebody's own, which holds more, stays
        with suppress(OSError):
            beside.rmdir()


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Only one process at a time, on Unix: one that comes second finds nothing left to do."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        number = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        with suppress(OSError):  # file systems without locks
            fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)

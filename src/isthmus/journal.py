"""The log of a run: JSON lines, one event a line, only ever appended to.

    {"time": "2025-01-31T12:00:00.125+00:00", "event": "begin", "format": 1, "n_epochs": 20, ...}
    {"time": "2025-01-31T12:00:01.250+00:00", "event": "epoch", "epoch": 1, ...}

The journal is the one file of a run that knows the clock. Each line is flushed as it is written, so
that a run which is killed leaves every event that it had; a line cut short is left out on reading.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from isthmus.errors import OutputError, SourceError
from isthmus.version import __version__

FORMAT = 1
"""Number of the format of journals; those that tell none are of the first."""


class Journal:
    """Appends events to a file of JSON lines.

    Parameters
    ----------
    path
        The file; it is made if it is not there, and continued if it is.

    Raises
    ------
    OutputError
        The file cannot be opened for writing.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "journal.jsonl"
    ...     with Journal(path) as journal:
    ...         journal.write("begin", n_epochs=2)
    ...     [event["n_epochs"] for event in read_journal(path)]
    [2]
    """

    def __init__(self, path: Path) -> None:
        try:
            before = path.read_bytes() if path.exists() else b""
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written: {error.strerror}. Choose another place for the run."
            ) from None
        self._is_empty = not before
        self._pending = b"" if before[-1:] in (b"", b"\n") else b"\n"
        self.path = path

    def write(self, event: str, **values: Any) -> None:
        """Append one event, with the time in UTC; on a full disk it waits for the next one.

        The first of a file tells its format.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        head = {"format": FORMAT} if self._is_empty else {}
        self._is_empty = False
        line = json.dumps(finite({"time": time, "event": event, **head, **values}), ensure_ascii=False)
        self._pending += (line + "\n").encode("utf-8", errors="backslashreplace")
        self._write()

    def text(self) -> str:
        """All of it, whether on the disk yet or not."""
        return (self.path.read_bytes() + self._pending).decode("utf-8", errors="replace")

    def close(self) -> None:
        """Close the file."""
        if not self._file.closed:
            self._write()
            self._file.close()

    def _write(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        try:
            if self._pending and self._file.write(self._pending) != len(self._pending):
                self._file.truncate(size)
                return
        except OSError:
            with suppress(OSError):
                self._file.truncate(size)
            return
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole events of a journal, in order; a line that was cut short is left out.

    Raises
    ------
    SourceError
        The file cannot be read, or is of a format that only a newer isthmus knows.
    """
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}. Give the journal of a run.") from None
    events: list[dict[str, Any]] = []
    for line in text.split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # cut short, or nested deeper than anything that was written
            continue
        if isinstance(event, dict):
            events.append(event)  # pyright: ignore[reportUnknownArgumentType]
    number = events[0].get("format", FORMAT) if events else FORMAT
    if type(number) is int and number > FORMAT:
        raise SourceError(
            f"{path}: is of journal format {number}, and this isthmus, {__version__}, reads up to {FORMAT}. "
            "Install a newer isthmus to read it."
        )
    return events


def finite(value: Any) -> Any:
    """Plain values as JSON can hold them: NaN and infinity, which it lacks, become None.

    >>> finite({"loss": math.nan, "sizes": (1, 2)})
    {'loss': None, 'sizes': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Writing an archive, so that a killed writer can go on and the place never holds half of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from isthmus.codec.container import frames
from isthmus.codec.container.frames import (
    FOOT,
    FORMAT,
    HEADER,
    INDEX,
    MAGIC,
    NO_ID,
    ROWS,
    SECTION,
    START,
    Frame,
    Scan,
)
from isthmus.codec.container.general import packed
from isthmus.codec.container.index import (
    LARGEST_DOCUMENT,
    MOST_BLOCKS,
    MOST_CODECS,
    Block,
    document_bytes,
    index_bytes,
)
from isthmus.errors import OutputError, ParameterError

_MOST_ROWS = 2**32 - 1


class ArchiveWriter:
    """Write an archive block by block, beside its place until it is whole.

    What is written stands in ``NAME.part``; `close` gives it its name. Each block is on the disk when `add`
    returns, so a writer that was killed can go on with ``resume``. Left without `close`, as an exception leaves
    it, the ``.part`` stays.

    Parameters
    ----------
    path
        The archive.
    header
        A document of JSON, at most 16 MiB: what a reader must know before anything else.
    sections
        Bytes by name, of 1 to 12 letters of ASCII: models and tables that blocks are read with.
    overwrite
        Whether an archive that is there already is replaced, and a ``.part`` begun anew.
    resume
        Go on with a ``.part`` of the same header and sections; `n_rows` tells how many rows it has. What is not
        whole at its end is cut off. Where there is none, all begins.

    Raises
    ------
    OutputError
        The place is taken, cannot be written, or its ``.part`` was begun with another header or other sections.

    Examples
    --------
    >>> import tempfile
    >>> from isthmus.codec.container import Archive
    >>> path = Path(tempfile.mkdtemp()) / "letters.isth"
    >>> with ArchiveWriter(path, {"kind": "letters"}, sections={"alphabet": b"abc"}) as writer:
    ...     writer.add("raw", 3, b"aab")
    ...     writer.add("raw", 2, b"cb")
    ...     writer.close(footer={"verified": True})
    >>> with Archive(path) as archive:
    ...     archive.header, archive.n_rows, archive.read(1), archive.section("alphabet")
    ({'kind': 'letters'}, 5, b'cb', b'abc')
    """

    def __init__(
        self,
        path: Path | str,
        header: Mapping[str, Any],
        *,
        sections: Mapping[str, bytes] | None = None,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self._overwrite, self._blocks, self._is_torn = overwrite, list[Block](), False
        self._file: IO[bytes] | None = None
        self._codecs = set[str]()
        begin = self._begin(header, sections or {})
        self._check_free()
        with self._told():
            self._file = _opened(self.part, is_there_right=resume or overwrite)
            try:
                if not (resume and self._goes_on(begin)):
                    self._file.truncate(0)
                    _write(self._file, begin)
                else:
                    self._file.truncate(self._end)
                    self._file.seek(self._end)
                os.fsync(self._file.fileno())
                _sync_folder(self.part.parent)
            except BaseException:
                self._file.close()
                raise

    @property
    def n_rows(self) -> int:
        """Rows in whole blocks."""
        return self._blocks[-1].stop if self._blocks else 0

    @property
    def n_blocks(self) -> int:
        """Whole blocks."""
        return len(self._blocks)

    @property
    def n_bytes(self) -> int:
        """Bytes of the archive so far, its index aside."""
        return self._end

    def add(self, codec: str, n_rows: int, payload: bytes) -> None:
        """Write the next rows; they are on the disk when this returns.

        Parameters
        ----------
        codec
            What they are coded with: 1 to 12 letters of ASCII.
        n_rows
            How many they are, at least one.
        payload
            Their bytes.
        """
        file = self._ready()
        _check_name(codec, "codec")
        if not 1 <= n_rows <= _MOST_ROWS:
            raise ParameterError(
                f"{self.path}: a block must have 1 to {_MOST_ROWS:,} rows, got {n_rows:,}; leave out empty ones."
            )
        if codec not in self._codecs and len(self._codecs) == MOST_CODECS:
            raise OutputError(f"{self.path}: has {MOST_CODECS} codecs already; code with one of them.")
        if len(self._blocks) == MOST_BLOCKS:
            raise OutputError(f"{self.path}: has {MOST_BLOCKS:,} blocks already; put more rows into each.")
        data, _ = frames.frame_bytes(Frame(ROWS, codec, len(payload), self.n_rows, n_rows), payload, self._id)
        with self._told():
            _write(file, data)
            os.fsync(file.fileno())
        self._codecs.add(codec)
        self._blocks.append(Block(codec, self.n_rows, n_rows, len(payload), self._end))
        self._end += len(data)

    def close(self, footer: Mapping[str, Any] | None = None) -> None:
        """Write the index, and give the archive its name.

        Parameters
        ----------
        footer
            A document of JSON, at most 16 MiB: what is only known at the end.
        """
        file = self._ready()
        content = self._words(
            "footer", footer or {}, lambda words: index_bytes(self._parts, self._blocks, words)
        )
        data, _ = frames.frame_bytes(Frame(INDEX, "index", len(content)), content, self._id)
        foot = frames.foot_bytes(self._end, self._end + len(data) + FOOT.size, self._id)
        with self._told():
            _write(file, data + foot)
            os.fsync(file.fileno())
            self._check_free()
            file.close()
            self.part.replace(self.path)
            _sync_folder(self.path.parent)
        self._file = None

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the file; without `close` its ``.part`` stays."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _begin(self, header: Mapping[str, Any], sections: Mapping[str, bytes]) -> bytes:
        """What an archive begins with, before its blocks."""
        content = self._words("header", header, lambda words: packed(document_bytes(words)))
        data, self._id = frames.frame_bytes(Frame(HEADER, "header", len(content)), content, NO_ID)
        written, self._parts = [START.pack(MAGIC, FORMAT), data], []
        self._parts.append(Frame(HEADER, "header", len(content), digest=self._id))
        for name, section in sections.items():
            _check_name(name, "section")
            data, digest = frames.frame_bytes(Frame(SECTION, name, len(section)), section, self._id)
            written.append(data)
            self._parts.append(Frame(SECTION, name, len(section), digest=digest))
        begin = b"".join(written)
        self._end = len(begin)
        return begin

    def _words(
        self, what: str, words: Mapping[str, Any], to_bytes: Callable[[dict[str, Any]], bytes]
    ) -> bytes:
        try:
            size = len(document_bytes(dict(words)))
            if size > LARGEST_DOCUMENT:
                raise ValueError(f"it takes {size:,} bytes, more than {LARGEST_DOCUMENT:,}")
            return to_bytes(dict(words))
        except (ValueError, TypeError, RecursionError) as error:
            raise OutputError(
                f"{self.path}: its {what} cannot be written: {error}. Store less, or what JSON can hold."
            ) from None

    def _goes_on(self, begin: bytes) -> bool:
        """Take up the whole blocks of what stands there; False where not even its beginning is whole."""
        with self.part.open("rb") as file:
            there = file.read(len(begin))
            if not begin.startswith(there):
                raise self._other()
            if len(there) < len(begin):
                return False
            for offset, frame in Scan(file, len(begin), file.seek(0, 2), self._id).frames(beyond=False):
                if frame.mark == SECTION:  # it has more of them
                    raise self._other()
                if frame.mark != ROWS or frame.first_row != self.n_rows:
                    break
                self._codecs.add(frame.name)
                self._blocks.append(Block(frame.name, frame.first_row, frame.n_rows, frame.n_bytes, offset))
                self._end = offset + frame.size
        return True

    def _other(self) -> OutputError:
        return OutputError(
            f"{self.part}: was begun from other data, with other settings or another model, or is damaged. "
            "Remove it to begin anew, or take up what it was begun with."
        )

    def _check_free(self) -> None:
        if self.path.is_dir():
            raise OutputError(f"{self.path}: is a folder; give the name of a file.")
        if not self._overwrite and self.path.exists():
            raise OutputError(f"{self.path}: is there already; choose another name, or ask to overwrite it.")

    def _ready(self) -> IO[bytes]:
        if self._file is None:
            raise OutputError(f"{self.path}: nothing can be added, it is closed; open it with resume=True.")
        if self._is_torn:
            raise OutputError(
                f"{self.path}: nothing can be added after a block that could not be written. "
                "Open it with resume=True, which cuts off what is left of that."
            )
        return self._file

    @contextmanager
    def _told(self) -> Generator[None]:
        """Whatever a disk says, as one sentence; until all is well, what stands at the end may be torn."""
        self._is_torn = True
        try:
            yield
        except OutputError:
            raise
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise OutputError(
                f"{self.part}: cannot be written: {reason}. Whole blocks stay there: make room, or choose "
                "another place, and resume."
            ) from None
        self._is_torn = False


def _check_name(name: str, what: str) -> None:
    if not frames.is_name(name):
        raise ParameterError(
            f"archive: expected a {what} of 1 to 12 letters of ASCII, got {name!r}; choose another name."
        )


def _opened(part: Path, *, is_there_right: bool) -> IO[bytes]:
    """The file to write, held by this process alone where the system can tell."""
    try:
        number = os.open(
            part,
            os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | (0 if is_there_right else os.O_EXCL),
            0o666,
        )
    except FileExistsError:
        raise OutputError(
            f"{part}: is there from a writer that did not end. Resume to go on with it, or remove it."
        ) from None
    file = open(number, "r+b", buffering=0)  # noqa: PTH123, SIM115 - a number, and the writer's to close
    try:
        with suppress(ImportError):  # elsewhere than on Unix nothing is locked
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(number), part.stat()):  # it got its name in between
            raise BlockingIOError
    except (BlockingIOError, FileNotFoundError):
        file.close()
        raise OutputError(f"{part}: another process writes it. Wait for its end, or stop it first.") from None
    return file


def _write(file: IO[bytes], data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _sync_folder(folder: Path) -> None:
    """Have the disk know what a folder holds now: a new name is not safe before."""
    with suppress(OSError):  # where folders cannot be opened or synced, nothing more can be done
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

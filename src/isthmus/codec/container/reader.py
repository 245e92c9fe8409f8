"""Reading an archive: its header first, then of its sections and blocks those alone that are asked for."""

from __future__ import annotations

import stat
from bisect import bisect_right
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from isthmus.codec.container import frames
from isthmus.codec.container.frames import (
    FOOT,
    FORMAT,
    HEAD,
    HEADER,
    INDEX,
    MAGIC,
    NO_ID,
    ROWS,
    SECTION,
    START,
    Foot,
    Frame,
    Scan,
)
from isthmus.codec.container.general import unpacked
from isthmus.codec.container.index import LARGEST_DOCUMENT, Block, Index, document_of, index_of, largest_index
from isthmus.errors import ArtifactError, ParameterError
from isthmus.version import __version__

LOST = ""
"""The codec of rows whose block was not found again."""


@contextmanager
def naming(path: Path | str) -> Generator[None]:
    """Have errors name an archive whose contents are decoded: what decodes them is given bytes, and knows no path.

    Parameters
    ----------
    path
        Of the archive.

    Examples
    --------
    >>> with naming("numbers.isth"):
    ...     raise ArtifactError("archive: expected rows, got none; take another copy of it.")
    Traceback (most recent call last):
    isthmus.errors.ArtifactError: numbers.isth: expected rows, got none; take another copy of it.
    """
    try:
        yield
    except ArtifactError as error:
        text = str(error)
        if text.startswith(f"{path}: "):
            raise
        raise ArtifactError(f"{path}: {text.removeprefix('archive: ')}") from error


@dataclass(frozen=True)
class Sizes:
    """What an archive's bytes are spent on; together they are the file.

    Parameters
    ----------
    header
        The header, its guard, and the file's first bytes.
    sections
        Each section with its guard, by name.
    blocks
        All blocks of each codec, with their heads.
    index
        The index and the foot.
    lost
        What is none of these, in a damaged file.
    """

    header: int
    sections: dict[str, int]
    blocks: dict[str, int]
    index: int
    lost: int

    @property
    def total(self) -> int:
        """Bytes of the file."""
        return self.header + sum(self.sections.values()) + sum(self.blocks.values()) + self.index + self.lost


class Archive:
    """An archive, open for reading.

    Opening reads its last bytes, its index and its header. Where these are damaged all of it is read, and what is
    whole is found: the blocks describe themselves. A model file's rule holds: nothing in it is ever executed.

    Parameters
    ----------
    path
        The archive, or the ``.part`` of one that was not written to its end.

    Attributes
    ----------
    header : dict
        The document that it was begun with.
    footer : dict
        The document that it was closed with; empty where that is lost.
    blocks : tuple of Block
        All blocks in their order. Where blocks are lost, their rows stand here with the empty codec.
    sections : tuple of str
        Names of the sections.
    damage : tuple of str
        A sentence for all that was found damaged so far, mended or not; `check` looks at every byte.
    n_bytes_read : int
        How much of the file was read so far.

    Raises
    ------
    ArtifactError
        It is no archive, of a format to come, or its header is lost.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.n_bytes_read = 0
        self._damage: dict[str, None] = {}
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise ArtifactError(f"{self.path}: cannot be read: it is no regular file. Give an archive.")
            self._file = self.path.open("rb")
        except ArtifactError:
            raise
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from None
        try:
            self._open()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and not isinstance(error, ArtifactError):
                raise self._unreadable(error) from None
            raise

    # ---------------------------------------------------------------- what it holds

    @property
    def n_rows(self) -> int:
        """Rows, those that are lost among them."""
        return self.blocks[-1].stop if self.blocks else 0

    @property
    def damage(self) -> tuple[str, ...]:
        """A sentence for all that was found damaged so far."""
        return tuple(self._damage)

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of the sections, in the order that they were written in."""
        return tuple(frame.name for _, frame in self._parts[1:])

    @property
    def sizes(self) -> Sizes:
        """What its bytes are spent on."""
        header = self._parts[0][1].size + START.size
        sections = {frame.name: frame.size for _, frame in self._parts[1:]}
        blocks = dict[str, int]()
        for block in self.blocks:
            if block.codec != LOST:
                blocks[block.codec] = blocks.get(block.codec, 0) + HEAD.size + block.n_bytes
        index = self.n_bytes - self._end if self._is_indexed else 0
        known = header + sum(sections.values()) + sum(blocks.values()) + index
        return Sizes(header, sections, blocks, index, self.n_bytes - known)

    def blocks_of(self, start: int, stop: int) -> range:
        """Numbers of the blocks that hold the rows from ``start`` up to ``stop``, which is not among them."""
        if not 0 <= start <= stop <= self.n_rows:
            raise ParameterError(
                f"{self.path}: expected rows within 0:{self.n_rows}, got {start}:{stop}; ask for rows it has."
            )
        if start == stop:
            return range(0)
        return range(bisect_right(self._starts, start) - 1, bisect_right(self._starts, stop - 1))

    def section(self, name: str) -> bytes:
        """The bytes of a section; a little damage is mended, and told in `damage`.

        Raises
        ------
        ParameterError
            It has no such section.
        ArtifactError
            The section is damaged beyond its guard.
        """
        for offset, frame in self._parts[1:]:
            if frame.name == name:
                content = self._content(offset, frame, self._id)
                if content is None:
                    raise ArtifactError(
                        f"{self.path}: its section {name!r} is damaged, and nothing that is coded with it can "
                        "be read. Take another copy of the file."
                    )
                return content
        if not self._is_indexed:
            raise ArtifactError(
                f"{self.path}: its section {name!r} was not found again in a damaged file. "
                "Take another copy of it."
            )
        known = ", ".join(self.sections) or "none"
        raise ParameterError(f"{self.path}: has no section {name!r}; it has {known}.")

    def read(self, number: int) -> bytes:
        """The payload of block ``number``, held against its digest.

        Raises
        ------
        ArtifactError
            The block is damaged; the sentence names its rows. Others can be read all the same.
        """
        if not 0 <= number < len(self.blocks):
            raise ParameterError(
                f"{self.path}: expected a block from 0 to {len(self.blocks) - 1}, got {number}; "
                "ask `blocks_of` which ones hold a row."
            )
        block = self.blocks[number]
        if block.codec != LOST:
            data = self._read(block.offset, HEAD.size + block.n_bytes)
            head, payload = data[: HEAD.size], data[HEAD.size :]
            if _is_whole(block, head, payload, self._id):
                return payload
        raise ArtifactError(self._lost(number))

    def check(self) -> tuple[str, ...]:
        """Read every byte; a sentence for each thing that is damaged, mended or not, and none if all is well."""
        if self._read(0, START.size) != START.pack(MAGIC, FORMAT):
            self._tell("its first bytes are damaged; nothing is lost")
        for number, (offset, frame) in enumerate(self._parts):
            self._check_part(offset, frame, NO_ID if number == 0 else self._id)
        for number, block in enumerate(self.blocks):
            try:
                self.read(number)
            except ArtifactError as error:
                self._damage[str(error)] = None
                continue
            stated = _frame(block).stated()
            if self._read(block.offset, HEAD.size)[: len(stated)] != stated:
                self._tell(f"the head of block {number} with rows {block.rows} is damaged; nothing is lost")
        if self._is_indexed and self._index_at(self._end) is None:
            self._tell("its index is damaged")
        return self.damage

    def _check_part(self, offset: int, frame: Frame, id_: bytes) -> None:
        what = "header" if frame.mark == HEADER else f"section {frame.name!r}"
        content = self._content(offset, frame, id_)
        if content is None:
            self._tell(f"its {what} is damaged, and nothing that is coded with it can be read")
        elif self._read(offset, frame.size) != frames.frame_bytes(frame, content, id_)[0]:
            self._tell(f"its {what} is damaged, and was mended")

    # ---------------------------------------------------------------- opening

    def _open(self) -> None:
        self.n_bytes = self._file.seek(0, 2)
        start = self._read(0, START.size)
        foot = frames.foot_of(self._read(max(0, self.n_bytes - FOOT.size), FOOT.size), self.n_bytes)
        self._check_format(start, foot)
        if foot is None or not self._open_with(foot):
            self._open_without()
        self._starts = [block.first_row for block in self.blocks]
        _, frame = self._parts[0]
        content = self._header_content(frame)
        try:
            self.header = document_of(unpacked(content, LARGEST_DOCUMENT))
        except (ArtifactError, ValueError, RecursionError) as error:
            raise ArtifactError(
                f"{self.path}: expected an archive with a header, got none in JSON ({error}). "
                "It was written by a program other than isthmus."
            ) from None

    def _check_format(self, start: bytes, foot: Foot | None) -> None:
        magic, found = START.unpack(start) if len(start) == START.size else (b"", 0)
        if foot is None and magic != MAGIC:
            raise ArtifactError(
                f"{self.path}: expected an archive, got a file that begins otherwise; give the .isth that "
                "'isthmus compress' wrote."
            )
        if foot is not None:
            if (magic, found) != (MAGIC, foot.format):
                self._tell("its first bytes are damaged; nothing is lost")
            found = foot.format
        if found > FORMAT:
            raise ArtifactError(
                f"{self.path}: is of archive format {found}, and this isthmus, {__version__}, reads up to "
                f"{FORMAT}. Install a newer isthmus, or take another copy if it is damaged."
            )

    def _open_with(self, foot: Foot) -> bool:
        """Open by the index; False where it is damaged."""
        self._id = foot.id
        index = self._index_at(foot.index_at)
        if index is None or foot.index_at + self._index_size != self.n_bytes - FOOT.size:
            return False
        self._take(index, foot.index_at)
        return True

    def _index_at(self, offset: int) -> Index | None:
        frame = frames.head_of(self._read(offset, HEAD.size)) if offset < self.n_bytes else None
        if frame is None or frame.mark != INDEX:
            return None
        if frame.n_bytes > min(self.n_bytes - offset, largest_index(self.n_bytes) + 1):
            return None
        content = self._read(offset + HEAD.size, frame.n_bytes)
        if frame.digest_of(content, self._id) != frame.digest:
            return None
        self._index_size = frame.size
        index = index_of(content, START.size, offset)
        return index if index is not None and index.parts[0].digest == self._id else None

    def _take(self, index: Index, offset: int) -> None:
        places, at = list[tuple[int, Frame]](), START.size
        for frame in index.parts:
            places.append((at, frame))
            at += frame.size
        self._parts, self.blocks, self.footer = places, index.blocks, index.footer
        self._end, self._is_indexed = offset, True

    def _open_without(self) -> None:
        """Find header, sections and blocks by reading all of the file."""
        frame = frames.head_of(self._read(START.size, HEAD.size))
        if frame is None or frame.mark != HEADER or START.size + HEAD.size + frame.n_bytes > self.n_bytes:
            raise self._headless()
        self._header_content(frame)
        self._parts, self._id, self.footer = [(START.size, frame)], frame.digest, dict[str, Any]()
        self._is_indexed = False
        blocks = list[Block]()
        scan = Scan(self._file, min(START.size + frame.size, self.n_bytes), self.n_bytes, self._id)
        for offset, found in scan.frames(beyond=True):
            if found.mark == INDEX and (index := self._index_at(offset)) is not None:
                self._take(index, offset)
                self._tell("its end is damaged; its index was found all the same")
                break
            if found.mark == SECTION:
                self._parts.append((offset, found))
            elif found.mark == ROWS:
                row = blocks[-1].stop if blocks else 0
                if found.first_row < row:
                    continue
                if found.first_row > row:
                    blocks.append(Block(LOST, row, found.first_row - row, 0, 0))
                blocks.append(Block(found.name, found.first_row, found.n_rows, found.n_bytes, offset))
        self.n_bytes_read += scan.n_bytes_read
        if self._is_indexed:
            return
        self.blocks, self._end = tuple(blocks), scan.end
        self._tell(
            f"its index is damaged or missing; what is whole was found by reading all of it, up to row "
            f"{self.n_rows}, and what may have followed is lost"
        )
        for number, block in enumerate(blocks):
            if block.codec == LOST:
                self._damage[self._lost(number)] = None

    # ---------------------------------------------------------------- bytes

    def _content(self, offset: int, frame: Frame, id_: bytes) -> bytes | None:
        """What a header or section holds, mended where that is needed; None where it cannot be."""
        content = self._read(offset + HEAD.size, frame.n_bytes)
        if frame.digest_of(content, id_) == frame.digest:
            return content
        guard = self._read(offset + HEAD.size + frame.n_bytes, frames.guard_size(frame.n_bytes))
        found = frames.mended(content, guard)
        if found is None or frame.digest_of(found, id_) != frame.digest:
            return None
        self._tell(
            f"its {'header' if frame.mark == HEADER else f'section {frame.name!r}'} is damaged, and was mended"
        )
        return found

    def _read(self, offset: int, n_bytes: int) -> bytes:
        try:
            self._file.seek(offset)
            data = self._file.read(n_bytes)
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from None
        self.n_bytes_read += len(data)
        return data

    def _tell(self, what: str) -> None:
        self._damage[f"{self.path}: {what}. Take another copy of the file, if there is one."] = None

    def _lost(self, number: int) -> str:
        block = self.blocks[number]
        return (
            f"{self.path}: block {number} with rows {block.rows} is damaged, and they are lost; "
            "other blocks can be read. Take these rows from another copy of the file."
        )

    def _header_content(self, frame: Frame) -> bytes:
        content = None
        if frame.n_bytes <= LARGEST_DOCUMENT + 1:
            content = self._content(START.size, frame, NO_ID)
        if content is None:
            raise self._headless()
        return content

    def _unreadable(self, error: OSError | ValueError) -> ArtifactError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return ArtifactError(f"{self.path}: cannot be read: {reason}. Give an archive, or open it again.")

    def _headless(self) -> ArtifactError:
        return ArtifactError(
            f"{self.path}: expected an archive, but its header is damaged, and nothing can be read without it. "
            "Take another copy of the file."
        )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_whole(block: Block, head: bytes, payload: bytes, id_: bytes) -> bool:
    return _frame(block).digest_of(payload, id_) == head[-frames.N_DIGEST :]


def _frame(block: Block) -> Frame:
    return Frame(ROWS, block.codec, block.n_bytes, block.first_row, block.n_rows)

"""Rows in an archive: written block by block, each tried before it counts, and read back, any of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.codec.apart import MODEL, Named, check_needless, section_of
from isthmus.codec.bounded import Bounds, bounded, unbounded
from isthmus.codec.coding.coders import BlockCoding, Coder, Plain, as_read
from isthmus.codec.coding.preview import PreviewCoder
from isthmus.codec.columns import Columns
from isthmus.codec.container import Archive, ArchiveWriter, naming
from isthmus.codec.contents.base import Content
from isthmus.codec.contents.kinds import content_from
from isthmus.codec.preview_rows import Errors
from isthmus.codec.processes import in_order
from isthmus.errors import ArtifactError, ParameterError

N_TRIED, TRIED_BYTES = 3, 1 << 18
"""Places of the data where a size is estimated, and bytes of rows that are coded for it at each."""


def write_rows(
    content: Content,
    path: Path,
    *,
    coder: Coder | None,
    bounds: Bounds | None = None,
    labels: Mapping[str, str] | None = None,
    block_rows: int,
    apart: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    n_bytes_before: int | None = None,
    processes: int = 1,
    told: Callable[[int], None] = lambda n_rows: None,
) -> dict[str, Any] | None:
    """Write an archive of all rows of a content.

    Each block is coded in every way that there is, read back from the smallest, and compared to the last bit
    before it is written. With the coder of a preview each is coded approximately and read back, and how far it is
    from the rows is counted; what the coder does not know is kept exactly.

    Parameters
    ----------
    content
        What to write.
    path
        The archive.
    coder
        What knows the rows, beside general coders; None where nothing does.
    bounds
        Grids of the numbers that need not come back to the last bit; None to keep every bit.
    labels
        Of columns of a preview, what people call them.
    block_rows
        Rows of a block, at most.
    apart
        Name the coder's section by its digest, in place of carrying it.
    overwrite, resume
        As :class:`~isthmus.codec.container.ArchiveWriter` takes them.
    n_bytes_before
        Of the data as they came, for people to be told.
    processes
        How many code blocks, those of previews aside. The archive is the same, byte for byte.
    told
        Told the rows that stand in the archive, after each block.

    Returns
    -------
    dict or None
        Of a preview its errors, as the footer has them.

    Raises
    ------
    OutputError
        A place that cannot be written.
    ArtifactError
        A coder whose section is not read as it was written.
    ProcessError
        A process that was ended.
    """
    reader = Plain() if coder is None else as_read(coder)
    section = reader.section()
    sections = {} if coder is None or apart else {MODEL: section}
    known = {"content": content.facts, "coder": None if coder is None else coder.id, "bounds": bounds}
    if coder is not None and apart:
        known[MODEL] = Named.of(section).to_dict()
    errors = None
    if isinstance(coder, PreviewCoder):
        errors = Errors.of(content, coder, labels or {})
        block_rows = max(1, min(block_rows, coder.most_rows))
    footer: dict[str, Any] = {"verified": True}
    if n_bytes_before is not None:
        footer["bytes_before"] = n_bytes_before
    with ArchiveWriter(path, known, sections=sections, overwrite=overwrite, resume=resume) as writer:
        starts = range(writer.n_rows, content.n_rows, block_rows)
        blocks = [slice(start, min(start + block_rows, content.n_rows)) for start in starts]
        if errors is None:
            coding = BlockCoding() if coder is None else BlockCoding(type(coder), section)
            jobs = ((forms_of(content, rows, bounds), rows.stop - rows.start) for rows in blocks)
            all_coded = in_order(coding.packed, jobs, min(processes, max(1, len(blocks))))
        else:
            errors.take_up(content, reader, writer.part, writer.n_rows)
            all_coded = errors.coded(content, reader, blocks)
        with closing(all_coded) as coded:
            for rows, (codec, payload) in zip(blocks, coded, strict=True):
                writer.add(codec, rows.stop - rows.start, payload)
                told(rows.stop)
        if errors is not None:
            footer["preview"] = errors.to_dict()
        writer.close(footer=footer)
    return footer.get("preview")


def plain_size(content: Content, block_rows: int, bounds: Bounds | None = None) -> float:
    """Bytes of the blocks of a content that is coded without a model: an estimate.

    Some rows from all over are coded; as they are fewer than blocks have, it is rather too high.

    Parameters
    ----------
    content
        What would be written.
    block_rows
        Rows of a block.
    bounds
        As :func:`write_rows` takes them.
    """
    n_rows = min(block_rows, max(1, int(TRIED_BYTES / max(content.row_bytes, 1e-9))))
    n_pieces = -(-content.n_rows // n_rows)
    numbers = np.linspace(0, n_pieces - 1, min(N_TRIED, n_pieces)).astype(int).tolist()
    tried = [slice(n * n_rows, min((n + 1) * n_rows, content.n_rows)) for n in numbers]
    size = sum(min(len(Plain().packed(form)) for form in forms_of(content, rows, bounds)) for rows in tried)
    return size / max(1, sum(rows.stop - rows.start for rows in tried)) * content.n_rows


def forms_of(content: Content, rows: slice, bounds: Bounds | None) -> list[Columns]:
    """The columns of rows of a content, and of a table of text without bounds the rows as they stand."""
    block = content.block(rows)
    if bounds is not None:
        return [bounded(block, bounds)]
    plain = content.plain(rows)
    return [block] if plain is None else [block, plain]


class StoredRows:
    """The rows of an archive; asking for some reads the blocks that hold them and no others.

    Parameters
    ----------
    path
        The archive.
    coders
        Those with a model, by the codec that blocks of them have.
    model
        The archive that carries the model, of one that names it.

    Raises
    ------
    ArtifactError
        It is none, is damaged where it matters for all rows, or was written with a model that this machine does
        not compute as the one that wrote it did.
    ParameterError
        A model that is needed and not given, or is another one; one that is given and not needed.
    """

    def __init__(
        self, path: str | PathLike[str], *, coders: Mapping[str, type[Coder]], model: Path | None = None
    ) -> None:
        self.archive = Archive(Path(path))
        try:
            self._coding = self._coding_with(coders, model)
            with naming(self.archive.path):
                self._open()
        except BaseException:
            self.archive.close()
            raise
        self._last: tuple[int, Columns] | None = None

    def _coding_with(self, coders: Mapping[str, type[Coder]], model: Path | None) -> BlockCoding:
        name = self.archive.header.get("coder")
        if name is None:
            check_needless(self.archive, model)
            return BlockCoding()
        if not isinstance(name, str) or name not in coders:
            raise ArtifactError(
                f"{self.archive.path}: is coded with {str(name)[:60]!r}, which this isthmus does not know. "
                "Install a newer one."
            )
        return BlockCoding(coders[name], section_of(self.archive, model))

    def _open(self) -> None:
        header = self.archive.header
        self.form = content_from(_mapping(header.get("content")))
        bounds = header.get("bounds")
        self.bounds: Bounds | None = None if bounds is None else dict(_mapping(bounds))
        for coder in self._coding.coders.values():
            coder.check()

    def __len__(self) -> int:
        return self.form.n_rows

    def __getitem__(self, rows: int | slice) -> Any:
        """One row, or those of a slice of step 1: an array, arrays by name, a table or what files hold."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                raise ParameterError(
                    f"{self.archive.path}: expected rows that follow each other, got a step of {step}; leave it out."
                )
            return self._some(start, max(start, stop))
        if not hasattr(rows, "__index__"):
            raise ParameterError(
                f"{self.archive.path}: expected a row or rows that follow each other, got {type(rows).__name__}; ask "
                "for rows[5] or rows[5:9]."
            )
        at = rows + len(self) if rows < 0 else rows
        if not 0 <= at < len(self):
            raise IndexError(f"row {rows} of an archive of {len(self)}")
        some = self._some(at, at + 1)
        if isinstance(some, dict):
            return {name: array[0] for name, array in _arrays(some).items()}
        return some if isinstance(some, pa.Table) else some[0]

    def write(self, path: Path, *, processes: int = 1) -> None:
        """Write all of it as it came in; blocks are decoded by several processes if asked."""
        self._check_end(len(self))
        numbers = range(len(self.archive.blocks))
        with naming(self.archive.path), closing(self._all(numbers, processes)) as blocks:
            self.form.write(blocks, path)

    def write_some(self, start: int, stop: int, path: Path, *, processes: int = 1) -> None:
        """Write some rows as a file of their kind."""
        form = self.form.some(stop - start)
        parts = list(self._parts(start, stop))
        numbers = [number for number, _ in parts]
        with naming(self.archive.path), closing(self._all(numbers, processes)) as blocks:
            form.write(
                (
                    self.form.part(columns, *within)
                    for columns, (_, within) in zip(blocks, parts, strict=True)
                ),
                path,
            )

    def close(self) -> None:
        """Let go of the file."""
        self.archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _some(self, start: int, stop: int) -> Any:
        with naming(self.archive.path):
            return self._decoded(start, stop)

    def _decoded(self, start: int, stop: int) -> Any:
        places = list(self._parts(start, stop))
        parts = [_some(self.form.rows(self._columns(number)), *within) for number, within in places]
        if not parts:
            blocks = self.archive.blocks
            return _some(self.form.rows(self._columns(0)), 0, 0) if blocks else self.form.no_rows()
        if isinstance(parts[0], pa.Table) and any(part.schema != parts[0].schema for part in parts):
            own = [self.form.part(self._columns(number), *within) for number, within in places]
            return self.form.rows(self.form.joined(own))
        return _joined(parts)

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Blocks that hold rows, and which of each block's they are."""
        if start < stop:
            self._check_end(stop)
        for number in self.archive.blocks_of(start, stop):
            block = self.archive.blocks[number]
            yield number, (max(start - block.first_row, 0), min(stop - block.first_row, block.n_rows))

    def _check_end(self, stop: int) -> None:
        """Raise ArtifactError where rows up to ``stop`` lie beyond the end of a file that was cut."""
        n_found = self.archive.n_rows
        if stop > n_found:
            raise ArtifactError(
                f"{self.archive.path}: rows {n_found:,}:{len(self):,} are lost: the file ends before them. "
                f"Ask for rows below {n_found:,}, or take another copy of it."
            )

    def _columns(self, number: int) -> Columns:
        if self._last is None or self._last[0] != number:
            (columns,) = self._all([number])
            self._last = number, columns
        return self._last[1]

    def _all(self, numbers: Iterable[int], processes: int = 1) -> Generator[Columns, None, None]:
        """The columns of blocks."""
        jobs = (self._block(number) for number in numbers)
        with closing(in_order(self._coding.unpacked, jobs, processes)) as blocks:
            for columns in blocks:
                yield columns if self.bounds is None else unbounded(columns, self.bounds)

    def _block(self, number: int) -> tuple[str, bytes, int]:
        """Codec, bytes and number of rows of a block."""
        block = self.archive.blocks[number]
        payload = self.archive.read(number)
        if block.codec not in self._coding.coders:
            raise ArtifactError(
                f"{self.archive.path}: block {number} is coded with {block.codec!r}, which is not in it. It is damaged."
            )
        return block.codec, payload, block.n_rows


def _some(rows: Any, start: int, stop: int) -> Any:
    if isinstance(rows, dict):
        return {name: array[start:stop] for name, array in _arrays(rows).items()}
    return rows.slice(start, stop - start) if isinstance(rows, pa.Table) else rows[start:stop]


def _joined(parts: list[Any]) -> Any:
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, dict):
        return {name: _one_array([part[name] for part in parts]) for name in _arrays(first)}
    if isinstance(first, pa.Table):
        return pa.concat_tables(parts)
    if isinstance(first, np.ndarray) and all(_is_like(part, first) for part in parts):
        return _one_array(parts)
    return [row for part in parts for row in part]


def _arrays(rows: Any) -> dict[str, NDArray[Any]]:
    return rows


def _is_like(part: Any, first: NDArray[Any]) -> bool:
    """Whether two arrays have rows of one kind: pictures of a folder may not."""
    return isinstance(part, np.ndarray) and (part.dtype, part.shape[1:]) == (first.dtype, first.shape[1:])


def _one_array(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Arrays end to end, in their byte order and with what lies between the fields of records."""
    first, n_rows = parts[0], sum(len(part) for part in parts)
    if not first.dtype.itemsize:
        return np.zeros((n_rows, *first.shape[1:]), first.dtype)
    held = bytearray().join(part.tobytes() for part in parts)
    return np.frombuffer(held, first.dtype).reshape(n_rows, *first.shape[1:])


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ArtifactError("archive: expected facts of its content, got none; take another copy of it.")
    return value  # pyright: ignore[reportUnknownVariableType]

"""Data into an archive and out of it, with a model that knows them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.apart import Named
from isthmus.codec.bounded import Bounds, bounds_of, with_grids_of
from isthmus.codec.coding.coders import Plain
from isthmus.codec.coding.preview import PreviewCoder
from isthmus.codec.container import Archive, Sizes, naming
from isthmus.codec.contents.base import Content, Form
from isthmus.codec.contents.folders import FolderForm
from isthmus.codec.contents.kinds import content_of
from isthmus.codec.store import StoredRows, plain_size, write_rows
from isthmus.cores import n_cores
from isthmus.errors import OutputError, ParameterError
from isthmus.training.callbacks import Callback
from isthmus.workflows.archive_coders import CODERS, is_archive
from isthmus.workflows.archive_models import Read, Told, Watch, coder_for
from isthmus.workflows.outputs import check_file, check_folder

SUFFIX = ".isth"
BLOCK_BYTES, BLOCK_ROWS, LARGEST_BLOCK = 1 << 22, (16, 1 << 16), 1 << 28
"""Bytes of a block before it is coded; rows that it has at least, and at most; bytes for which it has fewer."""
MOST_PROCESSES = 8
"""That are started where nothing is said: each takes some 100 MB of memory."""
CODED_A_PROCESS, DECODED_A_PROCESS, READ_A_PROCESS = 1 << 22, 1 << 20, 1 << 25
"""Bytes that pay for another process: to code; coded with a model, and without one, to decode."""


@dataclass(frozen=True)
class Compressed:
    """What was written.

    Parameters
    ----------
    path
        The archive.
    n_rows
        Of the data.
    n_bytes, n_bytes_before
        Of the archive, and of the data as they came.
    n_bytes_of_model
        Of the archive's, those of the model.
    n_bytes_apart
        Of a model that the archive names, and another one carries.
    codecs
        How many blocks each way of coding has.
    notes
        Sentences for people.
    preview
        Of a preview how far what comes back is from the data, as the archive's footer has it: of each column the
        root mean squared error and the largest one, or how many words differ. None where nothing more than asked for
        was lost.
    """

    path: Path
    n_rows: int
    n_bytes: int
    n_bytes_before: int
    n_bytes_of_model: int
    n_bytes_apart: int
    codecs: dict[str, int]
    notes: tuple[str, ...]
    preview: dict[str, Any] | None = None


def _unwatched(name: str) -> AbstractContextManager[Callback]:
    return nullcontext(Callback())


def compress(
    source: str | Path | NDArray[Any] | Any,
    output: str | Path,
    *,
    max_error: float | None = None,
    relative: bool = False,
    model: Path | None = None,
    apart: bool = False,
    fits: bool = True,
    seconds: float = 120.0,
    preview: bool = False,
    quality: float | None = None,
    force: bool = False,
    resume: bool = False,
    processes: int | None = None,
    told: Told = lambda text: None,
    watch: Watch = _unwatched,
) -> Compressed:
    """Write data into an archive, from which they come back to the last bit.

    Parameters
    ----------
    source
        A file, a folder, an array or an Arrow table.
    output
        The archive, NAME.isth.
    max_error
        The most by which a number may differ from what comes back, in its own unit; None: not at all.
    relative
        Whether that is a share of each column's range.
    model
        One that was fitted to such data, or an archive of such data that carries one; without it one is fitted where
        that pays.
    apart
        Whether the archive is to name the model of the archive ``model``, in place of carrying it: many archives can
        share one, and each is read with the one that carries it.
    fits
        Whether a model may be fitted.
    seconds
        That a fit should take, about; what is done follows from this number and the data alone.
    preview
        Store codes alone, from which the data come back approximately. How far from them is measured, block by block,
        and stated in the archive.
    quality
        Of a preview the percent of the variance that is to be kept, about, between 0 and 100; None: 90.
    force
        Replace an archive that is there.
    resume
        Go on with one that was not written to its end.
    processes
        How many code blocks: as many as there are cores, 8 at most, and fewer for small data where nothing is said.
        The archive is the same with any number.
    told
        Called with sentences about what is done.
    watch
        Given the name of a part of the work, makes what watches it.

    Raises
    ------
    SourceError, DataError
        Data that cannot be read.
    ParameterError
        A model of other data, one that is to be kept apart and is not an archive's, a preview of what has none, or
        seconds below 0.
    OutputError
        A place that is taken or cannot be written.
    ProcessError
        A process that coded blocks was ended.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "ones.isth"
    >>> done = compress(np.ones((10_000, 8)), path)
    >>> done.n_rows, done.n_bytes_before, done.n_bytes < 1500
    (10000, 640000, True)
    """
    output = Path(output)
    _check_processes(processes)
    if not 0 <= seconds < math.inf:
        raise ParameterError(
            f"compress: seconds must be a number from 0 on, got {seconds}. To fit no model, say so (--no-model)."
        )
    check_file(output, force=force or resume, suffixes=(SUFFIX,))
    if apart:
        _check_apart(model, output, preview=preview)
    if preview or quality is not None:
        from isthmus.workflows.preview_models import check_preview  # torch, which no reader needs

        check_preview(
            preview=preview, quality=quality, max_error=max_error, model=model, fits=fits, processes=processes
        )
    content = content_of(source, as_pixels=preview)
    if isinstance(source, str | PathLike):
        _check_outside(Path(source), output)
    n_bytes_before = _bytes_before(source)
    block_rows = _block_rows(content)
    bounds = labels = None
    if preview:
        from isthmus.workflows.preview_models import labels_of, preview_coder_for

        labels = labels_of(content)
        coder = preview_coder_for(content, model, quality, seconds=seconds, told=told, watch=watch)
    else:
        known = _bounds_of_archive(model)
        bounds = None if max_error is None else _bounds(content, max_error, relative, model, known)
        try:
            coder = coder_for(
                Read(content, bounds), block_rows, model, fits=fits, seconds=seconds, told=told, watch=watch
            )
        except ParameterError:
            if known is None or bool(known) == bool(bounds):
                raise
            raise ParameterError(
                f"--model: expected {'' if known else 'no '}--max-error beside {model}, whose model knows "
                f"{'numbers within an error' if known else 'the numbers themselves'}. Leave one of them out."
            ) from None
        if coder is not None and coder.block_rows is not None:
            block_rows = min(block_rows, coder.block_rows)
    with watch("rows") as bar:
        bar.begin(1, content.n_rows)
        n_before = 0

        def written(n_rows: int) -> None:
            nonlocal n_before
            bar.step(n_rows - n_before)
            n_before = n_rows

        errors = write_rows(
            content, output, coder=coder, bounds=bounds, labels=labels, block_rows=block_rows, apart=apart,
            overwrite=force, resume=resume,
            processes=_n_processes(processes, Read(content, bounds).n_bytes / CODED_A_PROCESS),
            n_bytes_before=n_bytes_before, told=written,
        )  # fmt: skip
    with Archive(output) as archive:
        codecs = Counter(block.codec for block in archive.blocks)
        sizes, named = archive.sizes, Named.in_header(archive.header)
    notes = tuple(content.notes)
    n_bytes_of_model = sum(sizes.sections.values())
    if errors is not None:
        notes += _notes_on_preview(content, block_rows, sizes)
    elif model is not None:
        notes += _notes_on_model(content, block_rows, bounds, sizes, apart=apart)
    return Compressed(
        output,
        content.n_rows,
        sizes.total,
        n_bytes_before,
        n_bytes_of_model,
        0 if named is None else named.n_bytes,
        dict(codecs),
        notes,
        errors,
    )


def open_archive(path: str | Path, *, model: str | Path | None = None) -> StoredRows:
    """The rows of an archive, any of them without the others.

    Parameters
    ----------
    path
        What ``isthmus compress`` or :func:`compress` wrote.
    model
        Of one that names its model (``apart``) the archive that carries it.

    Returns
    -------
    StoredRows
        ``len(rows)``, ``rows[5]`` and ``rows[5000:6000]``: arrays, tables or lists, as they came in.

    Raises
    ------
    ArtifactError
        No archive, or a damaged one.
    ParameterError
        A model that is needed and not given, or is another one; one that is given and not needed.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.isth"
    >>> _ = compress(np.arange(1000).reshape(500, 2), path)
    >>> with open_archive(path) as rows:
    ...     len(rows), rows[498:].tolist()
    (500, [[996, 997], [998, 999]])
    """
    return StoredRows(path, coders=CODERS, model=None if model is None else Path(model))


def decompress(
    path: str | Path,
    output: str | Path,
    *,
    model: str | Path | None = None,
    rows: tuple[int, int] | None = None,
    force: bool = False,
    processes: int | None = None,
) -> int:
    """Write what an archive holds, as it came in, or some of its rows; how many there are.

    Parameters
    ----------
    path
        The archive.
    output
        The file or folder to write.
    model
        As :func:`open_archive` takes it.
    rows
        The first one and the one after the last; None for all.
    force
        Replace a file that is there.
    processes
        How many decode blocks; where nothing is said as :func:`compress` has it.

    Raises
    ------
    ArtifactError
        No archive, or one of which blocks are damaged that hold the rows.
    ParameterError
        Rows that it has not, or a model as :func:`open_archive` refuses it.
    OutputError
        A place that is taken or cannot be written.
    ProcessError
        A process that decoded blocks was ended.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = compress(np.arange(100), folder / "numbers.isth")
    >>> decompress(folder / "numbers.isth", folder / "some.npy", rows=(10, 13))
    3
    >>> np.load(folder / "some.npy").tolist()
    [10, 11, 12]
    """
    output = Path(output)
    _check_processes(processes)
    with open_archive(path, model=model) as stored:
        form = stored.form
        start, stop = (0, len(stored)) if rows is None else rows
        if rows is not None and not 0 <= start < stop <= len(stored):
            raise ParameterError(
                f"--rows: expected rows within 0:{len(stored)}, got {start}:{stop}. Ask for rows it has."
            )
        if rows is not None:
            form = form.some(stop - start)
        if not output.name.lower().endswith(form.suffix.lower()):
            raise OutputError(
                f"{output}: expected a name that ends in {form.suffix}, for that is what the archive holds. "
                f"Try {output.stem}{form.suffix}."
            )
        _check_place(form, output, force=force)
        blocks = [stored.archive.blocks[number] for number in stored.archive.blocks_of(start, stop)]
        each = (READ_A_PROCESS if block.codec == Plain.id else DECODED_A_PROCESS for block in blocks)
        worth = sum(block.n_bytes / least for block, least in zip(blocks, each, strict=True))
        n_processes = min(_n_processes(processes, worth), max(1, len(blocks)))
        if rows is None:
            stored.write(output, processes=n_processes)
        else:
            stored.write_some(start, stop, output, processes=n_processes)
    return stop - start


def _bounds_of_archive(model: Path | None) -> Mapping[str, Any] | None:
    """By column the grids that the model of an archive knows; None where there is no such model."""
    if model is None or not is_archive(model):
        return None
    with Archive(model) as archive:
        coder, bounds = archive.header.get("coder"), archive.header.get("bounds")
    if coder is None or coder == PreviewCoder.id:
        return None
    return bounds if isinstance(bounds, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _bounds(
    content: Content, error: float, relative: bool, model: Path | None, known: Mapping[str, Any] | None
) -> Bounds:
    """Grids for the numbers of a content: those that a model knows, where there are any."""
    bounds = bounds_of(content, error, relative=relative)
    if model is None or not known:
        return bounds
    with naming(model):
        bounds, coarse = with_grids_of(bounds, known)
    if not coarse:
        return bounds
    from isthmus.workflows.preview_models import labels_of

    wanted = {
        name: (error * theirs / own if own else math.inf)
        if relative
        else theirs * 10.0 ** -content.numbers[name]
        for name, (own, theirs) in coarse.items()
    }
    name = max(wanted, key=lambda name: wanted[name])
    raise ParameterError(
        f"--max-error: expected no less than the error of the grid on which the model of {model} knows "
        f"{labels_of(content).get(name, name)!r}, got {_error_text(error, relative)}. Ask for "
        f"{_at_least(wanted[name], relative)}, or leave --model out."
    )


def _at_least(error: float, relative: bool) -> str:
    """An error that is no smaller, of three digits, if there is one that can be asked for."""
    if not math.isfinite(error) or (relative and error >= 0.99):
        return "a larger one"
    unit = 10.0 ** (math.floor(math.log10(error)) - 2)
    return _error_text(math.ceil(error / unit) * unit, relative)


def _error_text(error: float, relative: bool) -> str:
    return f"{100 * error:.3g}%" if relative else f"{error:.3g}"


def _notes_on_model(
    content: Content, block_rows: int, bounds: Bounds | None, sizes: Sizes, *, apart: bool
) -> tuple[str, ...]:
    """What people should know whose archive would be smaller without the model that they gave."""
    n_blocks, n_model = sum(sizes.blocks.values()), sum(sizes.sections.values())
    learned = set(sizes.blocks) - {Plain.id}
    without = round(plain_size(content, block_rows, bounds)) if learned else n_blocks
    if n_model + n_blocks > without:
        return (
            f"With this model the archive takes {sizes.total:,} bytes, and without one about "
            f"{sizes.total - n_model - n_blocks + without:,}: leave --model out.",
        )
    return () if learned or not apart else ("The model codes no block in fewer bytes: leave --model out.",)


def _notes_on_preview(content: Content, block_rows: int, sizes: Sizes) -> tuple[str, ...]:
    """What people should know who could have every bit for fewer bytes."""
    beside = sizes.total - sum(sizes.sections.values()) - sum(sizes.blocks.values())
    exact = beside + round(plain_size(content, block_rows))
    if exact >= sizes.total:
        return ()
    return (
        f"The preview takes {sizes.total:,} bytes, and an archive that keeps every bit about {exact:,}: leave "
        "--preview out.",
    )


def _block_rows(content: Content) -> int:
    fewest, most = BLOCK_ROWS
    row_bytes = max(content.row_bytes, 1e-9)
    fewest = max(1, min(fewest, int(LARGEST_BLOCK / row_bytes)))
    return max(fewest, min(most, int(BLOCK_BYTES / row_bytes)))


def _check_place(form: Form, output: Path, *, force: bool) -> None:
    """Raise OutputError where what an archive holds cannot be written."""
    if form.kind != FolderForm.kind:
        check_file(output, force=force)
        return
    if output.is_dir() and any(output.iterdir()):
        raise OutputError(
            f"{output}: expected a free name, got a folder with files in it, which is never replaced. Choose another "
            "name, or remove it."
        )
    check_folder(output)


def _check_apart(model: Path | None, output: Path, *, preview: bool) -> None:
    """Raise where an archive cannot name the model of another one."""
    if preview:
        raise ParameterError(
            "--apart: stands against --preview, which carries its decoder. Give one of them."
        )
    if model is None or not is_archive(model):
        raise ParameterError(
            "--apart: expected --model ARCHIVE, an archive that carries the model, got "
            f"{'none' if model is None else model}. Compress some of the data first, with or without a model that you "
            "fitted, and give what comes of it."
        )
    if model.resolve() == output.resolve():
        raise OutputError(
            f"{output}: is the archive that carries the model, which all that name it are read with. Choose another "
            "name."
        )


def _check_outside(source: Path, output: Path) -> None:
    """Raise OutputError where an archive would take the place of its data, or be among them."""
    data, place = source.resolve(), output.resolve()
    if data == place:
        raise OutputError(f"{output}: is the data itself. Choose another name for the archive.")
    if source.is_dir() and place.is_relative_to(data):
        raise OutputError(
            f"{output}: lies in the folder that it is made of. Choose a place outside of {source}."
        )


def _check_processes(asked: int | None) -> None:
    if asked is not None and (isinstance(asked, bool) or not isinstance(asked, int) or asked < 1):
        raise ParameterError(
            f"--processes: expected 1 or more, got {asked!r}. Leave it out for as many as pay."
        )


def _n_processes(asked: int | None, worth: float) -> int:
    """As many as were asked for, or as the work is worth, if there are so many cores."""
    return max(1, min(n_cores(), MOST_PROCESSES, int(worth))) if asked is None else asked


def _bytes_before(source: Any) -> int:
    if isinstance(source, np.ndarray):
        return source.nbytes
    if not isinstance(source, str | PathLike):  # a table
        return int(source.nbytes)
    path = Path(source)
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size

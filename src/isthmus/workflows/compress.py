"""Data into an archive and out of it, with a model that knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.bounded import Bounds, bounded, bounds_of
from isthmus.codec.chain_coder import ChainCoder, is_whole, symbols_of
from isthmus.codec.coders import Coder, Plain
from isthmus.codec.columns import Columns
from isthmus.codec.container import Archive
from isthmus.codec.contents.base import Content
from isthmus.codec.contents.kinds import content_of
from isthmus.codec.latent import COLUMN, LatentCoder
from isthmus.codec.store import StoredRows, write_rows
from isthmus.config import Config
from isthmus.errors import OutputError, ParameterError
from isthmus.sources.arrays import ArraySource
from isthmus.training.callbacks import Callback
from isthmus.workflows.outputs import check_file

SUFFIX = ".isth"
CODERS: dict[str, type[Coder]] = {LatentCoder.id: LatentCoder, ChainCoder.id: ChainCoder}
"""What blocks may be coded with, beside general coders."""
BLOCK_BYTES, BLOCK_ROWS = 1 << 22, (16, 1 << 16)
"""Bytes of a block before it is coded; rows that it has at least, and at most."""
N_TRIED = 3
"""Blocks by which it is decided whether a model is worth its own bytes."""
SMALLEST_WITH_MODEL = 1 << 20
"""Bytes of data for which a model is fitted."""
RATE = 2e9
"""Multiplications a second that a fit is planned by."""
N_SAMPLE, N_STRETCHES = 2000, 20
"""Rows by which networks are put into whole numbers, and from how many places they are."""
MOST_LEARNED = 400_000
"""Rows of a table that a chain learns from."""

Told = Callable[[str], None]
Watch = Callable[[str], AbstractContextManager[Callback]]


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
    codecs
        How many blocks each way of coding has.
    notes
        Sentences for people.
    """

    path: Path
    n_rows: int
    n_bytes: int
    n_bytes_before: int
    n_bytes_of_model: int
    codecs: dict[str, int]
    notes: tuple[str, ...]


def _unwatched(name: str) -> AbstractContextManager[Callback]:
    return nullcontext(Callback())


def compress(
    source: str | Path | NDArray[Any],
    output: str | Path,
    *,
    max_error: float | None = None,
    relative: bool = False,
    model: Path | None = None,
    fits: bool = True,
    seconds: float = 120.0,
    force: bool = False,
    resume: bool = False,
    told: Told = lambda text: None,
    watch: Watch = _unwatched,
) -> Compressed:
    """Write data into an archive, from which they come back to the last bit.

    Parameters
    ----------
    source
        A file, a folder or an array.
    output
        The archive, NAME.isth.
    max_error
        The most by which a number may differ from what comes back, in its own unit; None: not at all.
    relative
        Whether that is a share of each column's range.
    model
        One that was fitted to such data; without it one is fitted where that pays.
    fits
        Whether a model may be fitted.
    seconds
        That a fit should take, about; what is done follows from this number and the data alone.
    force
        Replace an archive that is there.
    resume
        Go on with one that was not written to its end.
    told
        Called with sentences about what is done.
    watch
        Given the name of a part of the work, makes what watches it.

    Raises
    ------
    SourceError, DataError
        Data that cannot be read.
    ParameterError
        A model of other data.
    OutputError
        A place that is taken or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "ones.isth"
    >>> done = compress(np.ones((10_000, 8)), path)
    >>> done.n_rows, done.n_bytes_before, done.n_bytes < 1500
    (10000, 640000, True)
    """
    output = Path(output)
    check_file(output, force=force or resume, suffixes=(SUFFIX,))
    content = content_of(source)
    if isinstance(source, str | Path) and Path(source).resolve() == output.resolve():
        raise OutputError(f"{output}: is the data itself. Choose another name for the archive.")
    block_rows = _block_rows(content)
    bounds = None if max_error is None else bounds_of(content, max_error, relative=relative)
    read = _Read(content, bounds)
    coder = _coder(read, block_rows, model, fits=fits, seconds=seconds, told=told, watch=watch)
    with watch("rows") as bar:
        bar.begin(1, content.n_rows)
        n_before = 0

        def written(n_rows: int) -> None:
            nonlocal n_before
            bar.step(n_rows - n_before)
            n_before = n_rows

        write_rows(
            content, output, coder=coder, bounds=bounds, block_rows=block_rows, overwrite=force, resume=resume,
            told=written,
        )  # fmt: skip
    with Archive(output) as archive:
        codecs = Counter(block.codec for block in archive.blocks)
        sizes = archive.sizes
    return Compressed(
        output,
        content.n_rows,
        sizes.total,
        _bytes_before(source),
        sum(sizes.sections.values()),
        dict(codecs),
        tuple(content.notes),
    )


def open_archive(path: str | Path) -> StoredRows:
    """The rows of an archive, any of them without the others.

    Parameters
    ----------
    path
        What ``isthmus compress`` or :func:`compress` wrote.

    Returns
    -------
    StoredRows
        ``len(rows)``, ``rows[5]`` and ``rows[5000:6000]``: arrays, tables or lists, as they came in.

    Raises
    ------
    ArtifactError
        No archive, or a damaged one.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.isth"
    >>> _ = compress(np.arange(1000).reshape(500, 2), path)
    >>> with open_archive(path) as rows:
    ...     len(rows), rows[498:].tolist()
    (500, [[996, 997], [998, 999]])
    """
    return StoredRows(path, coders=CODERS)


def decompress(
    path: str | Path, output: str | Path, *, rows: tuple[int, int] | None = None, force: bool = False
) -> int:
    """Write what an archive holds, as it came in, or some of its rows; how many there are.

    Parameters
    ----------
    path
        The archive.
    output
        The file or folder to write.
    rows
        The first one and the one after the last; None for all.
    force
        Replace a file that is there.

    Raises
    ------
    ArtifactError
        No archive, or one of which blocks are damaged that hold the rows.
    OutputError
        A place that is taken or cannot be written.

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
    with open_archive(path) as stored:
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
        check_file(output, force=force)
        if rows is None:
            stored.write(output)
        else:
            stored.write_some(start, stop, output)
    return stop - start


@dataclass(frozen=True)
class _Read:
    """A content as coders are given it."""

    content: Content
    bounds: Bounds | None

    def block(self, rows: slice) -> Columns:
        """Columns, on their grids where these are."""
        block = self.content.block(rows)
        return block if self.bounds is None else bounded(block, self.bounds)

    @property
    def n_rows(self) -> int:
        """Of the content."""
        return self.content.n_rows

    @property
    def n_bytes(self) -> float:
        """Of its rows in memory."""
        return self.content.row_bytes * self.n_rows

    @property
    def is_array(self) -> bool:
        """Whether rows are those of an array, exactly."""
        return self.content.kind == "array" and self.bounds is None


def _coder(
    read: _Read, block_rows: int, model: Path | None, *, fits: bool, seconds: float, told: Told, watch: Watch
) -> Coder | None:
    """What codes the read with a model, if that is smaller with the model's own bytes."""
    values = _sample(read)
    if model is not None:
        from isthmus.artifact import open_model
        from isthmus.codec.latent_fit import latent_coder

        if values is None:
            raise ParameterError(
                f"--model: expected an array of rows that the model knows, got {read.content.name}, which is none. "
                "Leave --model out."
            )
        return latent_coder(open_model(model), values)
    if not fits or read.n_bytes < SMALLEST_WITH_MODEL:
        return None
    if values is not None and values.dtype == np.uint8:
        coder = _fitted_latent(read, values, seconds, told, watch)
    elif (coder := _fitted_chain(read, seconds, told, watch)) is None:
        return None
    tried = [_rows(read, start, block_rows) for start in _tried(read, block_rows)]
    blocks = [read.block(rows) for rows in tried]
    without = sum(len(Plain().packed(block)) for block in blocks)
    with_model = sum(len(coder.packed(block) or Plain().packed(block)) for block in blocks)
    share = sum(rows.stop - rows.start for rows in tried) / read.n_rows
    gain, cost = (without - with_model) / share, len(coder.section())
    if gain <= cost:
        told(f"The model would save {max(0, gain):,.0f} bytes and takes {cost:,} itself: it is left out.")
        return None
    return coder


def _fitted_latent(read: _Read, values: NDArray[Any], seconds: float, told: Told, watch: Watch) -> Coder:
    """A variational autoencoder of the rows, as a coder."""
    from isthmus.codec.latent_fit import latent_coder
    from isthmus.workflows.fit import fit

    shape = values.shape[1:]
    rows = read.block(slice(0, read.n_rows))[COLUMN]
    assert isinstance(rows, np.ndarray)
    is_binary = len(np.unique(values)) <= 2
    hidden, size = 256, 32
    n_outputs = values[0].size * (1 if is_binary else 2)
    cost = 6 * len(rows) * (values[0].size * hidden + hidden * 3 * size + hidden * n_outputs)
    epochs = int(max(1, min(200, seconds * RATE / cost)))
    told(_plan(epochs, epochs * cost / RATE))
    config = Config.from_dict(
        {
            "model": {
                "kind": "variational",
                "code_size": size,
                "network": {"name": "dense", "hidden_sizes": [hidden], "activation": "relu"},
                "likelihood": "bernoulli" if is_binary else "discretised_logistic",
            },
            "training": {
                "epochs": epochs,
                "batch_size": 256,
                "learning_rate": 2e-3,
                "seed": 0,
                "device": "cpu",
            },
        }
    )
    source = ArraySource(rows, sample_shape=shape if len(shape) != 2 else (*shape, 1))
    with watch("model") as bar:
        fitted, _ = fit(source, config, callbacks=[bar])
    return latent_coder(fitted, values)


def _fitted_chain(read: _Read, seconds: float, told: Told, watch: Watch) -> Coder | None:
    """A chain of networks for the columns of whole numbers; None where there are too few."""
    from isthmus.codec.chain_fit import fields_of, fit_chain, work_of_a_row

    parts = [read.block(rows) for rows in _stretches(read, MOST_LEARNED, N_STRETCHES)]
    fields = fields_of(_column_wise(parts))
    if len(fields) < 2:
        return None
    symbols = [found for part in parts if (found := symbols_of(fields, part)) is not None]
    rows = np.concatenate(symbols)
    cost = work_of_a_row(fields) * len(rows)
    epochs = int(max(1, min(100, seconds * RATE / cost)))
    told(_plan(epochs, epochs * cost / RATE))
    with watch("model") as bar:
        return fit_chain(fields, rows, epochs=epochs, callbacks=[bar])


def _plan(epochs: int, seconds: float) -> str:
    times = "once" if epochs == 1 else f"{epochs} times"
    return f"A model is fitted first, {times} through the rows: about {max(1, round(seconds))} s."


def _column_wise(parts: list[Columns]) -> Columns:
    """Columns of whole numbers of several blocks, joined."""
    names = [name for name in parts[0] if all(is_whole(part.get(name)) for part in parts)]
    joined = {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in names}
    n_rows = max((len(column) for column in joined.values()), default=0)
    return {name: column for name, column in joined.items() if len(column) == n_rows}


def _stretches(read: _Read, n_rows: int, n_parts: int) -> list[slice]:
    """Rows from all over, so many in all at most."""
    n_rows = min(n_rows, read.n_rows)
    n_parts = max(1, min(n_parts, n_rows))
    size = n_rows // n_parts
    starts = np.linspace(0, read.n_rows - size, n_parts).astype(int)
    return [slice(start, start + size) for start in starts.tolist()]


def _sample(read: _Read) -> NDArray[Any] | None:
    """Some rows of an array, from all over; None of what is none."""
    if not read.is_array or not read.n_rows:
        return None
    stretches = _stretches(read, N_SAMPLE, N_STRETCHES)
    parts = [read.block(rows).get(COLUMN) for rows in stretches]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) < len(stretches) or arrays[0].ndim < 2:
        return None
    return np.concatenate(arrays)


def _block_rows(content: Content) -> int:
    fewest, most = BLOCK_ROWS
    return max(fewest, min(most, int(BLOCK_BYTES / max(content.row_bytes, 1e-9))))


def _rows(read: _Read, start: int, block_rows: int) -> slice:
    return slice(start, min(start + block_rows, read.n_rows))


def _tried(read: _Read, block_rows: int) -> list[int]:
    n_blocks = -(-read.n_rows // block_rows)
    numbers = np.linspace(0, n_blocks - 1, min(N_TRIED, n_blocks)).astype(int)
    return [block_rows * number for number in dict.fromkeys(numbers.tolist())]


def _bytes_before(source: str | Path | NDArray[Any]) -> int:
    if isinstance(source, np.ndarray):
        return source.nbytes
    path = Path(source)
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size

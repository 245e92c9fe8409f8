"""Models that are fitted for an archive, where they save more than they take."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.bounded import Bounds, bounded
from isthmus.codec.coding.by_column import ColumnCoder
from isthmus.codec.coding.coders import Coder, Plain, as_read
from isthmus.codec.coding.fields import symbols_of
from isthmus.codec.coding.latent import COLUMN
from isthmus.codec.columns import Columns
from isthmus.codec.container.frames import guard_size
from isthmus.codec.contents.base import Content
from isthmus.codec.store import forms_of
from isthmus.config import Config
from isthmus.errors import ArtifactError, DataError, ParameterError
from isthmus.sources.arrays import ArraySource
from isthmus.training.callbacks import Callback
from isthmus.workflows.archive_coders import coder_of_archive, is_archive
from isthmus.workflows.archive_pictures import fitted_context, is_pictures

N_TRIED = 3
"""Blocks by which it is decided whether a model is worth its own bytes."""
SMALLEST_WITH_MODEL = 1 << 20
"""Bytes of data for which a model is fitted."""
RATE = 2e9
"""Multiplications a second that a fit is planned by."""
N_SAMPLE, SAMPLE_BYTES, N_STRETCHES = 2000, 1 << 24, 20
"""Rows by which networks are put into whole numbers, bytes of them, and from how many places they are."""
MOST_LEARNED, LEARNED_BYTES = 400_000, 1 << 26
"""Rows of a table that a chain learns from, and bytes of rows that any model does."""
HIDDEN, CODE_SIZE = 256, 32
"""Units of the only hidden layer, and of the code, of a model of arrays."""
FEWEST_LEARNED, FEWEST_LEARNED_OF_TABLE = 16, 500
"""Rows of an array, and of a table, that a model is fitted to."""
MOST_WEIGHTS, MOST_WEIGHTS_EVER = 0.5, 1 << 24
"""Weights of networks to a byte of the data: more would not be worth their own bytes; and for any data."""
BYTE = np.uint8(255)
TABLES = ("table", "text table", "arrays")
"""Kinds of data that a chain may know."""
WITH_ARRAYS = ("folder", "arrays")
"""Kinds of data that may have arrays of bytes among their columns."""

Told = Callable[[str], None]
Watch = Callable[[str], AbstractContextManager[Callback]]


@dataclass(frozen=True)
class Read:
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


@dataclass(frozen=True)
class Part:
    """A column of arrays, of which a model may know the rows.

    Parameters
    ----------
    read
        What it is a column of.
    name
        Of the column.
    sample
        Some of its rows, from all over.
    n_rows
        About how many it has.
    """

    read: Read
    name: str
    sample: NDArray[Any]
    n_rows: int

    @property
    def n_inputs(self) -> int:
        """Values of a row."""
        return math.prod(self.sample.shape[1:])

    @property
    def n_values(self) -> int:
        """Of all rows, about."""
        return self.n_rows * self.n_inputs


def coder_for(
    read: Read, block_rows: int, model: Path | None, *, fits: bool, seconds: float, told: Told, watch: Watch
) -> Coder | None:
    """What codes the read with a model, if that is smaller with the model's own bytes."""
    if model is not None:
        return _given(read, block_rows, model)
    if not fits or read.n_bytes < SMALLEST_WITH_MODEL:
        return None
    parts = parts_of(read)
    coders = _fitted_parts(parts, block_rows, seconds, told, watch)
    if coders or any(part.name == COLUMN for part in parts):
        return coders.get(COLUMN) or (ColumnCoder(coders) if coders else None)
    coder = _fitted_chain(read, seconds, told, watch)
    return coder if coder is not None and _pays(coder, read, block_rows, told) else None


def _pays(coder: Coder, read: Read, block_rows: int, told: Told, name: str | None = None) -> bool:
    """Whether a reader can have a coder, and blocks, or a column of theirs, make good what it takes itself."""
    try:
        as_read(coder)
    except ArtifactError as error:
        told(f"The model is left out: {error}")
        return False
    tried = _tried(read, block_rows)
    blocks = [forms_of(read.content, rows, read.bounds) for rows in tried]
    if name is not None:
        blocks = [[{COLUMN: block[name]}] for block, *_ in blocks if name in block]
    without = sum(min(len(Plain().packed(form)) for form in forms) for forms in blocks)
    with_model = sum(len(coder.packed(forms[0]) or Plain().packed(forms[0])) for forms in blocks)
    share = sum(rows.stop - rows.start for rows in tried) / read.n_rows
    n_section = len(coder.section())
    gain, cost = (without - with_model) / share, n_section + guard_size(n_section)
    if gain <= cost:
        told(f"The model would save {max(0, gain):,.0f} bytes and takes {cost:,} itself: it is left out.")
    return gain > cost


def _given(read: Read, block_rows: int, path: Path) -> Coder:
    """The model of an archive, or one that fit wrote."""
    if is_archive(path):
        return coder_of_archive(path, [read.block(rows) for rows in _tried(read, block_rows)])
    from isthmus.artifact import open_model
    from isthmus.codec.coding.latent_fit import latent_coder
    from isthmus.workflows.archive_tables import is_table_model, table_coder

    fitted = open_model(path)
    if is_table_model(fitted):
        sample = [read.block(rows) for rows in _stretches(read, N_SAMPLE, SAMPLE_BYTES)]
        return table_coder(fitted, read.content.form, read.bounds, _column_wise(sample), read.content.name)
    parts = parts_of(read)
    if len(parts) != 1:
        raise ParameterError(
            f"--model: expected an array of rows that the model knows, got {read.content.name}, which "
            f"{'has several' if parts else 'is none'}. Leave --model out."
        )
    own = latent_coder(fitted, parts[0].sample)
    return own if parts[0].name == COLUMN else ColumnCoder({parts[0].name: own})


def parts_of(read: Read) -> list[Part]:
    """The columns whose rows are arrays, exactly: of an array itself of any type, of others bytes and pictures."""
    kind = read.content.kind
    if read.bounds is not None or not read.n_rows or kind not in ("array", *WITH_ARRAYS):
        return []
    stretches = _stretches(read, N_SAMPLE, SAMPLE_BYTES)
    blocks = [read.block(rows) for rows in stretches]
    n_seen = sum(rows.stop - rows.start for rows in stretches)
    found: list[Part] = []
    for name in dict.fromkeys(name for block in blocks for name in block):
        sample = _end_to_end([block[name] for block in blocks if name in block])
        if sample is not None and (kind == "array" or sample.dtype == np.uint8 or is_pictures(sample)):
            found.append(Part(read, name, sample, len(sample) * read.n_rows // n_seen))
    return found


def _end_to_end(columns: list[Any]) -> NDArray[Any] | None:
    """Arrays of two axes or more, joined; None of columns that are none, or of different ones."""
    arrays = [column for column in columns if isinstance(column, np.ndarray) and column.ndim > 1]
    alike = {(array.dtype, array.shape[1:]) for array in arrays}
    return np.concatenate(arrays) if len(arrays) == len(columns) and len(alike) == 1 else None


def _fitted_parts(
    parts: list[Part], block_rows: int, seconds: float, told: Told, watch: Watch
) -> dict[str, Coder]:
    """What codes columns with a model, of those where it saves more than it takes."""
    coders: dict[str, Coder] = {}
    n_values = sum(part.n_values for part in parts)
    for part in parts:
        own = seconds * part.n_values / max(1, n_values)
        coder = _fitted_part(part, own, told, watch)
        if coder is not None and _pays(coder, part.read, block_rows, told, part.name):
            coders[part.name] = coder
    return coders


def _fitted_part(part: Part, seconds: float, told: Told, watch: Watch) -> Coder | None:
    """What codes a column, as a model of its kind knows it; None of what none does."""
    if is_pictures(part.sample):
        return _fitted_context(part, seconds, told, watch)
    return _fitted_latent(part, seconds, told, watch) if part.sample.dtype == np.uint8 else None


def _fitted_context(part: Part, seconds: float, told: Told, watch: Watch) -> Coder | None:
    """A network that sees what is around a value, as a coder; None where it cannot be learned."""
    rows = _learned(part)

    def plan(epochs: int, seconds: float) -> None:
        told(_plan(epochs, seconds, 1.0 if rows is None else len(rows) / part.n_rows))

    return None if rows is None else fitted_context(rows, seconds, plan, watch("model"))


def _fitted_latent(part: Part, seconds: float, told: Told, watch: Watch) -> Coder | None:
    """A variational autoencoder of the rows, as a coder; None where there is nothing to learn, or too much of it."""
    from isthmus.codec.coding.latent_fit import latent_coder
    from isthmus.workflows.fit import fit

    words, values, n_inputs = np.unique(part.sample), part.sample, part.n_inputs
    is_binary = len(words) == 2
    n_weights = HIDDEN * (n_inputs * (2 if is_binary else 3) + 3 * CODE_SIZE)
    most = min(MOST_WEIGHTS_EVER, MOST_WEIGHTS * part.n_values)
    if len(words) < 2 or part.n_rows < FEWEST_LEARNED or n_weights > most:
        return None
    rows = _learned(part, max(FEWEST_LEARNED, int(seconds * RATE / (6 * n_weights))))
    if rows is None:
        return None
    if is_binary:
        rows, values = (np.where(each == words[1], BYTE, np.uint8(0)) for each in (rows, values))
    cost = 6 * len(rows) * n_weights
    epochs = int(max(1, min(200, seconds * RATE / cost)))
    told(_plan(epochs, epochs * cost / RATE, len(rows) / part.n_rows))
    config = Config.from_dict(
        {
            "model": {
                "kind": "variational",
                "code_size": CODE_SIZE,
                "network": {"type": "dense", "hidden_sizes": [HIDDEN], "activation": "relu"},
                "likelihood": "bernoulli" if is_binary else "discretised_logistic",
            },
            "training": {
                "epochs": epochs,
                "batch_size": 256,
                "learning_rate": 2e-3,
                "seed": 0,
                "threads": 1,
                "device": "cpu",
            },
        }
    )
    shape = values.shape[1:]
    if len(shape) > 3:
        rows, shape = rows.reshape(len(rows), -1), (n_inputs,)
    try:
        with watch("model") as bar:
            fitted, _ = fit(ArraySource(rows, sample_shape=shape), config, callbacks=[bar])
    except DataError:  # rows that are all the same, or nearly
        return None
    coder = latent_coder(fitted, values)
    return coder.of_levels(words) if is_binary else coder


def _learned(part: Part, most: int | None = None) -> NDArray[Any] | None:
    """The rows of a column that a model is fitted to: all, or from all over at most so many as memory may hold."""
    read, name = part.read, part.name
    n_rows = read.n_rows if most is None else math.ceil(most / part.n_rows * read.n_rows)
    blocks = (read.block(rows) for rows in _stretches(read, n_rows, LEARNED_BYTES))
    return _end_to_end([block[name] for block in blocks if name in block])


def _fitted_chain(read: Read, seconds: float, told: Told, watch: Watch) -> Coder | None:
    """A chain of networks for the columns of a table; None where there are too few."""
    from isthmus.codec.coding.chain_fit import fields_of, fit_chain, weights_of

    if read.content.kind not in TABLES:
        return None
    most = LEARNED_BYTES // (8 * max(1, len(read.block(slice(0, 1)))))  # a symbol takes eight bytes
    parts = [read.block(rows) for rows in _stretches(read, min(MOST_LEARNED, most), LEARNED_BYTES)]
    fields = fields_of(_column_wise(parts))
    weights = list(accumulate(weights_of(fields)))
    most = min(MOST_WEIGHTS * read.n_bytes, seconds * RATE / (6 * FEWEST_LEARNED_OF_TABLE))
    fields = fields[: bisect_right(weights, most)]  # of a wide table the first ones
    if len(fields) < 2:
        return None
    symbols = [found for part in parts if (found := symbols_of(fields, part)) is not None]
    work = 6 * weights[len(fields) - 1]
    rows = np.concatenate(symbols)
    rows = rows[:: math.ceil(len(rows) * work / (seconds * RATE))]
    cost = work * len(rows)
    epochs = int(max(1, min(100, seconds * RATE / cost)))
    told(_plan(epochs, epochs * cost / RATE, len(rows) / read.n_rows))
    with watch("model") as bar:
        return fit_chain(fields, rows, epochs=epochs, callbacks=[bar])


def _plan(epochs: int, seconds: float, share: float) -> str:
    times = "once" if epochs == 1 else f"{epochs} times"
    some = "the rows" if share > 0.995 else f"{max(1, round(100 * share))} % of the rows"
    return f"A model is fitted first, {times} through {some}: about {max(1, round(seconds))} s."


def _column_wise(parts: list[Columns]) -> Columns:
    """Columns of several blocks, joined, of those that have one value a row."""
    joined = Columns()
    for name, first in parts[0].items():
        own = [part[name] for part in parts if name in part and type(part[name]) is type(first)]
        if len(own) < len(parts):
            continue
        if isinstance(first, list):
            joined[name] = [text for part in own for text in part]
        elif all(part.ndim == 1 and part.dtype == first.dtype for part in own if not isinstance(part, list)):
            joined[name] = np.concatenate(own)
    n_rows = max((len(column) for column in joined.values()), default=0)
    return {name: column for name, column in joined.items() if len(column) == n_rows}


def _stretches(read: Read, n_rows: int, n_bytes: int) -> list[slice]:
    """Rows from all over, so many in all at most, and of so many bytes; one at least."""
    n_rows = max(1, min(n_rows, read.n_rows, int(n_bytes / max(read.content.row_bytes, 1e-9))))
    if n_rows == read.n_rows:
        return [slice(0, n_rows)]
    n_parts = min(N_STRETCHES, n_rows)
    size = n_rows // n_parts
    starts = np.linspace(0, read.n_rows - size, n_parts).astype(int)
    return [slice(start, start + size) for start in starts.tolist()]


def _tried(read: Read, block_rows: int) -> list[slice]:
    """Rows of the blocks by which a model is judged, from all over."""
    n_blocks = -(-read.n_rows // block_rows)
    numbers = np.linspace(0, n_blocks - 1, min(N_TRIED, n_blocks)).astype(int)
    starts = [block_rows * number for number in dict.fromkeys(numbers.tolist())]
    return [slice(start, min(start + block_rows, read.n_rows)) for start in starts]

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
from isthmus.codec.coding.coders import Coder, Plain, as_read
from isthmus.codec.coding.fields import symbols_of
from isthmus.codec.coding.latent import COLUMN
from isthmus.codec.columns import Columns
from isthmus.codec.container.frames import guard_size
from isthmus.codec.contents.base import Content
from isthmus.config import Config
from isthmus.errors import ArtifactError, DataError, ParameterError
from isthmus.sources.arrays import ArraySource
from isthmus.training.callbacks import Callback
from isthmus.workflows.archive_coders import coder_of_archive, is_archive
from isthmus.workflows.archive_pictures import MOST_LEARNED_VALUES, fitted_context, is_pictures

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
HIDDEN, CODE_SIZE = 256, 32
"""Units of the only hidden layer, and of the code, of a model of arrays."""
FEWEST_LEARNED, FEWEST_LEARNED_OF_TABLE = 16, 500
"""Rows of an array, and of a table, that a model is fitted to."""
MOST_WEIGHTS = 0.5
"""Weights of networks to a byte of the data: more would not be worth their own bytes."""
BYTE = np.uint8(255)

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

    @property
    def is_array(self) -> bool:
        """Whether rows are those of an array, exactly."""
        return self.content.kind == "array" and self.bounds is None


def coder_for(
    read: Read, block_rows: int, model: Path | None, *, fits: bool, seconds: float, told: Told, watch: Watch
) -> Coder | None:
    """What codes the read with a model, if that is smaller with the model's own bytes."""
    if model is not None:
        return _given(read, block_rows, model)
    values = _sample(read)
    if not fits or read.n_bytes < SMALLEST_WITH_MODEL:
        return None
    coder = _fitted(read, values, seconds, told, watch)
    return coder if coder is not None and _pays(coder, read, block_rows, told) else None


def _pays(coder: Coder, read: Read, block_rows: int, told: Told) -> bool:
    """Whether a reader can have a coder, and the read is smaller with it and its own bytes."""
    try:
        as_read(coder)
    except ArtifactError as error:
        told(f"The model is left out: {error}")
        return False
    tried = [_rows(read, start, block_rows) for start in _tried(read, block_rows)]
    blocks = _tried_blocks(read, block_rows)
    without = sum(len(Plain().packed(block)) for block in blocks)
    with_model = sum(len(coder.packed(block) or Plain().packed(block)) for block in blocks)
    share = sum(rows.stop - rows.start for rows in tried) / read.n_rows
    n_section = len(coder.section())
    gain, cost = (without - with_model) / share, n_section + guard_size(n_section)
    if gain <= cost:
        told(f"The model would save {max(0, gain):,.0f} bytes and takes {cost:,} itself: it is left out.")
    return gain > cost


def _given(read: Read, block_rows: int, path: Path) -> Coder:
    """The model of an archive, or one that fit wrote."""
    if is_archive(path):
        return coder_of_archive(path, _tried_blocks(read, block_rows))
    from isthmus.artifact import open_model
    from isthmus.codec.coding.latent_fit import latent_coder

    values = _sample(read)
    if values is None:
        raise ParameterError(
            f"--model: expected an array of rows that the model knows, got {read.content.name}, which is none. "
            "Leave --model out."
        )
    return latent_coder(open_model(path), values)


def _fitted(
    read: Read, values: NDArray[Any] | None, seconds: float, told: Told, watch: Watch
) -> Coder | None:
    """What suits the kind of data: of pictures a context, of other bytes a code, of tables a chain."""
    if values is not None and is_pictures(values):
        return _fitted_context(read, seconds, told, watch)
    if values is not None and values.dtype == np.uint8:
        return _fitted_latent(read, values, seconds, told, watch)
    return _fitted_chain(read, seconds, told, watch)


def _fitted_context(read: Read, seconds: float, told: Told, watch: Watch) -> Coder | None:
    """A network that sees what is around a value, as a coder; None where it cannot be learned."""
    most = max(1, int(MOST_LEARNED_VALUES / max(1.0, read.content.row_bytes)))
    parts = [read.block(rows)[COLUMN] for rows in _stretches(read, most, N_STRETCHES)]
    rows = np.concatenate([part for part in parts if isinstance(part, np.ndarray)])

    def plan(epochs: int, seconds: float) -> None:
        told(_plan(epochs, seconds))

    return fitted_context(rows, seconds, plan, watch("model"))


def _fitted_latent(
    read: Read, values: NDArray[Any], seconds: float, told: Told, watch: Watch
) -> Coder | None:
    """A variational autoencoder of the rows, as a coder; None where there is nothing to learn, or too much of it."""
    from isthmus.codec.coding.latent_fit import latent_coder
    from isthmus.workflows.fit import fit

    words, n_inputs = np.unique(values), math.prod(values.shape[1:])
    is_binary = len(words) == 2
    n_weights = HIDDEN * (n_inputs * (2 if is_binary else 3) + 3 * CODE_SIZE)
    if len(words) < 2 or read.n_rows < FEWEST_LEARNED or n_weights > MOST_WEIGHTS * read.n_bytes:
        return None
    most = max(FEWEST_LEARNED, int(seconds * RATE / (6 * n_weights)))
    parts = [
        read.block(rows)[COLUMN] for rows in _stretches(read, most, N_STRETCHES if most < read.n_rows else 1)
    ]
    rows = np.concatenate([part for part in parts if isinstance(part, np.ndarray)])
    if is_binary:
        rows, values = (np.where(each == words[1], BYTE, np.uint8(0)) for each in (rows, values))
    cost = 6 * len(rows) * n_weights
    epochs = int(max(1, min(200, seconds * RATE / cost)))
    told(_plan(epochs, epochs * cost / RATE))
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


def _fitted_chain(read: Read, seconds: float, told: Told, watch: Watch) -> Coder | None:
    """A chain of networks for the columns of whole numbers; None where there are too few."""
    from isthmus.codec.coding.chain_fit import fields_of, fit_chain, weights_of

    parts = [read.block(rows) for rows in _stretches(read, MOST_LEARNED, N_STRETCHES)]
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
    told(_plan(epochs, epochs * cost / RATE))
    with watch("model") as bar:
        return fit_chain(fields, rows, epochs=epochs, callbacks=[bar])


def _plan(epochs: int, seconds: float) -> str:
    times = "once" if epochs == 1 else f"{epochs} times"
    return f"A model is fitted first, {times} through the rows: about {max(1, round(seconds))} s."


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


def _stretches(read: Read, n_rows: int, n_parts: int) -> list[slice]:
    """Rows from all over, so many in all at most."""
    n_rows = min(n_rows, read.n_rows)
    n_parts = max(1, min(n_parts, n_rows))
    size = n_rows // n_parts
    starts = np.linspace(0, read.n_rows - size, n_parts).astype(int)
    return [slice(start, start + size) for start in starts.tolist()]


def _sample(read: Read) -> NDArray[Any] | None:
    """Some rows of an array, from all over; None of what is none."""
    if not read.is_array or not read.n_rows:
        return None
    stretches = _stretches(read, N_SAMPLE, N_STRETCHES)
    parts = [read.block(rows).get(COLUMN) for rows in stretches]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) < len(stretches) or arrays[0].ndim < 2:
        return None
    return np.concatenate(arrays)


def _rows(read: Read, start: int, block_rows: int) -> slice:
    return slice(start, min(start + block_rows, read.n_rows))


def _tried_blocks(read: Read, block_rows: int) -> list[Columns]:
    return [read.block(_rows(read, start, block_rows)) for start in _tried(read, block_rows)]


def _tried(read: Read, block_rows: int) -> list[int]:
    n_blocks = -(-read.n_rows // block_rows)
    numbers = np.linspace(0, n_blocks - 1, min(N_TRIED, n_blocks)).astype(int)
    return [block_rows * number for number in dict.fromkeys(numbers.tolist())]

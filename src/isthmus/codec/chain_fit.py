"""A chain of networks learned from columns, as a coder in whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.codec.chain_coder import ChainCoder, Field, is_whole
from isthmus.codec.chain_model import ChainModel
from isthmus.codec.columns import Columns
from isthmus.codec.frozen_modules import freeze
from isthmus.config.training import Training
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows

PLACE_SCALE = 1 << 8
"""Whole steps to a unit of a symbol's place."""
N_SAMPLE = 4000
WEIGHT_BITS = 8
"""Of a network's weights: more than its error shows, and the archive carries them."""


def fields_of(columns: Columns) -> list[Field]:
    """What a chain may know of columns: those of whole numbers that are not all the same."""
    found: list[Field] = []
    for name, column in columns.items():
        if (
            is_whole(column)
            and isinstance(column, np.ndarray)
            and len(column)
            and column.min() < column.max()
        ):
            found.append(Field.of(name, column.astype(np.int64), column.dtype.str.lstrip("<>|=")))
    return found


def work_of_a_row(fields: Sequence[Field]) -> int:
    """Multiplications that learning from a row once takes, about."""
    model = ChainModel([field.n_symbols for field in fields])
    return 6 * sum(parameter.numel() for network in model.columns for parameter in network.parameters())


def fit_chain(
    fields: Sequence[Field], symbols: NDArray[np.int64], *, epochs: int, seed: int = 0
) -> ChainCoder:
    """Learn rows of symbols.

    Parameters
    ----------
    fields
        What each column is.
    symbols
        ``(rows, n_fields)``.
    epochs
        Times through all rows.
    seed
        Of weights and orders.
    """
    model = ChainModel([field.n_symbols for field in fields], seed=seed)
    plan = Training(
        epochs=epochs, batch_size=512, learning_rate=3e-3, weight_decay=0.0, seed=seed, device="cpu",
        validation_share=0.0, threads=1, patience=None, micro_batch="auto",
    )  # fmt: skip
    Trainer(model, plan).fit(TensorRows(torch.from_numpy(symbols)))
    model.eval()
    sample = torch.from_numpy(symbols[:: max(1, len(symbols) // N_SAMPLE)])
    places: list[NDArray[np.float64]] = []
    with torch.no_grad():
        for parameter in model.places:
            whole = np.rint(parameter.double().numpy() * PLACE_SCALE)
            parameter.copy_(torch.from_numpy(whole / PLACE_SCALE))
            places.append(whole)
        networks = [
            freeze(network, model.seen(sample, at).double().numpy(), PLACE_SCALE, weight_bits=WEIGHT_BITS)
            for at, network in enumerate(model.columns)
        ]
    return ChainCoder(fields, places, networks)

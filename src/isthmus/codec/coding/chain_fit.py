"""A chain of networks learned from columns, as a coder in whole numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.codec.coding.chain_coder import ChainCoder
from isthmus.codec.coding.chain_model import HIDDEN_SIZES, ChainModel, n_dimensions
from isthmus.codec.coding.fields import MOST_SYMBOLS, TEXTS, Field, is_whole
from isthmus.codec.columns import Columns, as_decimals, digits_of
from isthmus.codec.frozen.modules import freeze
from isthmus.config.training import Training
from isthmus.likelihoods.discretised_logistic import LARGEST_SCALE, SMALLEST_SCALE
from isthmus.training.callbacks import Callback
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows

PLACE_SCALE = 1 << 8
"""Whole steps to a unit of a symbol's place."""
N_SAMPLE = 4000
OUTPUT_BITS = 12
N_MIXTURES = 6
MOST_LOGITS = 48
"""Symbols of a column of numbers that have a logit each; of more their distribution is a mixture."""
MOST_TEXT = 1 << 14
"""Bytes of the words of a column."""
WEIGHT_BITS = 8
"""Of a network's weights: more than its error shows, and the archive carries them."""


def fields_of(columns: Columns) -> list[Field]:
    """What a chain may know of columns."""
    found: list[Field] = []
    for field in symbol_fields(columns):
        column = columns[field.name]
        is_line = not isinstance(column, list) and column.dtype.kind in "if" and field.n_symbols > MOST_LOGITS
        found.append(_as_mixture(field) if found and (is_line or field.n_ranges) else field)
    return found


def symbol_fields(columns: Columns) -> list[Field]:
    """Columns with a symbol a value: whole numbers, decimals and words, of which not all are the same."""
    some = [
        _words(name, column) if isinstance(column, list) else _numbers(name, column)
        for name, column in columns.items()
    ]
    return [field for field in some if field is not None and field.n_symbols > 2]


def _numbers(name: str, column: NDArray[Any]) -> Field | None:
    """Whole numbers, or floats that are decimals of few digits."""
    dtype = column.dtype.str.lstrip("<>|=")
    if is_whole(column):
        return Field.of(name, column.astype(np.int64), dtype)
    if column.ndim != 1 or column.dtype.kind != "f" or (digits := digits_of(column)) is None:
        return None
    values, is_known = as_decimals(column, digits)
    return Field.of(name, values[is_known], dtype, digits)


def _words(name: str, column: list[bytes]) -> Field | None:
    """Words that come again and again."""
    counts = Counter(column).most_common(MOST_SYMBOLS - 1)
    words = sorted(word for word, count in counts if count > 1)
    n_told = sum(count for _, count in counts if count > 1)
    if 2 * n_told < len(column) or sum(map(len, words)) > MOST_TEXT:
        return None
    return Field(name, TEXTS, texts=tuple(word.decode("latin-1") for word in words))


def _as_mixture(field: Field) -> Field:
    """The field with a distribution of its symbols in order, whose size does not grow with their number."""
    one, steps = 1 << OUTPUT_BITS, field.n_symbols - 1
    ends = round(math.log(SMALLEST_SCALE / steps) * one), round(math.log(LARGEST_SCALE) * one)
    return replace(field, n_mixtures=N_MIXTURES, log_scale_ends=ends, log_levels=round(math.log(steps) * one))


def _model(fields: Sequence[Field], seed: int) -> ChainModel:
    return ChainModel(
        [field.n_symbols for field in fields], [field.n_mixtures for field in fields], seed=seed
    )


def weights_of(fields: Sequence[Field]) -> list[int]:
    """Weights of the network of each field, about: each reads all fields before it."""
    found, n_seen = list[int](), 0
    for field in fields:
        sizes = [n_seen, *HIDDEN_SIZES, field.n_outputs] if n_seen else [1, field.n_outputs]
        found.append(sum(n_in * n_out for n_in, n_out in pairwise(sizes)))
        n_seen += n_dimensions(field.n_symbols, field.n_mixtures)
    return found


def fit_chain(
    fields: Sequence[Field],
    symbols: NDArray[np.int64],
    *,
    epochs: int,
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
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
    callbacks
        What watches.
    """
    model = _model(fields, seed)
    plan = Training(
        epochs=epochs, batch_size=512, learning_rate=3e-3, weight_decay=0.0, seed=seed, device="cpu",
        validation_share=0.0, threads=1, patience=None, micro_batch="auto",
    )  # fmt: skip
    Trainer(model, plan).fit(TensorRows(torch.from_numpy(symbols)), callbacks=callbacks)
    model.eval()
    sample = torch.from_numpy(symbols[:: max(1, len(symbols) // N_SAMPLE)])
    places: list[NDArray[np.float64]] = []
    with torch.no_grad():
        for parameter in model.places:
            whole = np.rint(parameter.double().numpy() * PLACE_SCALE)
            parameter.copy_(torch.from_numpy(whole / PLACE_SCALE))
            places.append(whole)
        networks = [
            freeze(
                network,
                model.seen(sample, at).double().numpy(),
                PLACE_SCALE,
                weight_bits=WEIGHT_BITS,
                output_bits=OUTPUT_BITS,
            )
            for at, network in enumerate(model.columns)
        ]
    return ChainCoder(fields, places, networks)

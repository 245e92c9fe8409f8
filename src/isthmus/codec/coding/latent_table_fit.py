"""From a fitted model of tables to a coder in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.codec.coding.bits_back import GRID_BITS
from isthmus.codec.coding.distributions import scale_numbers
from isthmus.codec.coding.fields import TEXTS, Field, symbols_of
from isthmus.codec.coding.latent_fit import FINE, WEIGHT_BITS, draws_of_codes
from isthmus.codec.coding.latent_table import KnownField, LatentTableCoder
from isthmus.codec.coding.stack import WHOLE, Ints
from isthmus.codec.coding.table_row import FARTHEST, Known
from isthmus.codec.columns import Column, Columns
from isthmus.codec.frozen.modules import freeze
from isthmus.codes.gaussian import Gaussian
from isthmus.errors import ParameterError
from isthmus.likelihoods.mixed import Mixed
from isthmus.networks.base import Encoder
from isthmus.shapes import Block

OUTPUT_BITS = 12

Features = Callable[[Column], NDArray[np.float32]]
"""Of values of a column, its features as the model has them, ``(n, size)``; NaN where it knows a value not."""


def latent_table_coder(
    model: FittedModel,
    fields: Sequence[Field],
    places: Mapping[str, int],
    features: Mapping[str, Features],
    sample: Columns,
) -> LatentTableCoder:
    """What codes columns of a table as the model knows them.

    Parameters
    ----------
    model
        Of a Gaussian code, and of :class:`~isthmus.likelihoods.mixed.Mixed`, which gives all values probabilities.
    fields
        The columns.
    places, features
        Of each field by its name: its place among the model's columns, and what the model sees of values.
    sample
        Some rows: by these the networks' whole numbers are chosen, and how often other values come.

    Raises
    ------
    ParameterError
        A model that gives values no probabilities, or one that knows none of the columns.
    """
    module = model.module
    likelihood, code = module.likelihood, module.code
    if not isinstance(code, Gaussian) or not isinstance(likelihood, Mixed) or likelihood.unit != "nats":
        raise ParameterError(
            "compress: a model codes a table exactly if its code is Gaussian and its likelihood Mixed with "
            f"numbers='gaussian', got {type(code).__name__} and {type(likelihood).__name__}. Give another model, or "
            "leave --model out."
        )
    if model.classes is not None:
        raise ParameterError("compress: a model that is told labels cannot code rows without; give another.")
    firsts = np.cumsum([0, *(block.size for block in likelihood.layout)]).tolist()
    scales = _scales(likelihood)
    known = list[KnownField]()
    for field in fields:
        place = places[field.name]
        first = firsts[place]
        own = _known(field, likelihood.layout[place], first, scales.get(first, 0), features[field.name])
        if own is not None:
            known.append(own)
    symbols = symbols_of([each.field for each in known], sample)
    if not known or symbols is None:
        raise ParameterError(
            "compress: expected a table with columns that the model knows, got none. Give the model of these data, or "
            "leave --model out."
        )
    known = [_with_others(each, symbols[:, at]) for at, each in enumerate(known)]
    gaps = module.gaps
    n_inputs = firsts[-1] + (0 if gaps is None else gaps.n_columns)
    rows = np.zeros((len(symbols), n_inputs))
    for at, each in enumerate(known):
        rows[:, each.first : each.first + each.inputs.shape[1]] = each.inputs[symbols[:, at]] / FINE
    encoder: Encoder = module.network.encoder  # pyright: ignore[reportAssignmentType]
    frozen = freeze(encoder, rows, FINE, weight_bits=WEIGHT_BITS, output_bits=OUTPUT_BITS)
    codes = draws_of_codes(encoder, code, rows.astype(np.float32))
    decoder = freeze(module.decoder, codes, 2 << GRID_BITS, weight_bits=WEIGHT_BITS, output_bits=OUTPUT_BITS)
    return LatentTableCoder(known, frozen, decoder)


def _scales(likelihood: Mixed) -> dict[int, int]:
    """Of the numbers, by the place of their feature, which scale they have."""
    if likelihood.log_scale is None:
        return {}
    logs = np.rint(likelihood.log_scales.detach().double().numpy() * (1 << OUTPUT_BITS)).astype(np.int64)
    numbers = scale_numbers(logs, OUTPUT_BITS).tolist()
    return dict(zip(likelihood.numbers.tolist(), numbers, strict=True))


def _known(field: Field, block: Block, first: int, scale: int, features: Features) -> KnownField | None:
    """A column whose values the model has seen; None where it has seen none, or one alone."""
    n = field.n_symbols - 1
    last = (1 << field.n_bits) - 1
    low, middle, high = (features(_values(field, bits)) for bits in (0, last // 2, last))
    is_known = ~np.isnan(middle).any(axis=1)
    if not is_known.all():
        if field.n_ranges or is_known.sum() < 2:
            return None
        kept = np.flatnonzero(is_known).tolist()
        few = {
            name: tuple(getattr(field, name)[at] for at in kept)
            for name in ("words", "texts")
            if getattr(field, name)
        }
        return _known(replace(field, **few), block, first, scale, features)
    inputs = np.zeros((n + 1, middle.shape[1]))
    inputs[:n] = np.rint(middle.astype(np.float64) * FINE)
    nothing = np.zeros(0, np.int64)
    if block.kind == "number":
        return KnownField(
            field, Known(1, np.array([first]), _edges(low[:, 0], high[:, 0]), scale), first, inputs
        )
    is_one = middle[:, 0] > 0.5
    outputs = np.where(is_one, first, -1) if block.kind == "boolean" else first + middle.argmax(axis=1)
    return KnownField(field, Known(1, outputs.astype(np.int64), nothing, 0), first, inputs)


def _values(field: Field, low: int) -> Column:
    """A value of each symbol but the last, with these lower bits."""
    symbols = np.arange(field.n_symbols - 1)
    nothing: Column = [] if field.dtype == TEXTS else np.zeros(0, field.dtype)
    return field.column(symbols, np.full(len(symbols), low), nothing)


def _edges(low: NDArray[np.float32], high: NDArray[np.float32]) -> Ints:
    """Half way between the highest value of a symbol and the lowest of the next; they never fall."""
    first, last = low.astype(np.float64), high.astype(np.float64)
    between = np.concatenate([first[:1], (last[:-1] + first[1:]) / 2, last[-1:]])
    whole = np.rint(np.maximum.accumulate(between) * (1 << OUTPUT_BITS))
    return np.clip(whole, -FARTHEST, FARTHEST).astype(np.int64)


def _with_others(each: KnownField, symbols: Ints) -> KnownField:
    """The column, with the share of rows whose symbol is the last one, as Laplace has it."""
    share = (int((symbols == each.field.n_symbols - 1).sum()) + 1) / (len(symbols) + 2)
    return replace(each, known=replace(each.known, others=min(max(round(share * WHOLE), 1), WHOLE - 1)))

"""From a quantised code that was fitted to what an archive previews rows with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.codec.coding.preview import (
    Alphabet,
    Encode,
    Meaning,
    Part,
    PreviewCoder,
    ends_of,
    limit_of,
)
from isthmus.codec.coding.stack import Ints
from isthmus.codec.columns import Column
from isthmus.codec.frozen.modules import freeze
from isthmus.codes.quantised import Quantised
from isthmus.errors import ParameterError
from isthmus.likelihoods.bernoulli import Bernoulli
from isthmus.likelihoods.gaussian import Gaussian
from isthmus.likelihoods.squared_error import SquaredError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.preprocessing import Scaling
from isthmus.shapes import n_values, shape_text

WEIGHT_BITS = 8
"""Of the decoder's weights: more than its error shows, and the archive carries them."""
MASS = 1 << 18
"""Of the symbols of a unit together."""
PRIOR_ROWS = 32
"""Rows that the learned distribution of a unit counts for, beside those that were seen."""
MOST_SYMBOLS = 1 << 12
"""Of a unit."""
_BATCH = 1024

ToModel = Callable[[Mapping[str, Column]], NDArray[np.float32]]
"""Of columns of the parts, rows or tiles in model units, as the module is given them."""


@dataclass(frozen=True)
class Units:
    """How model units of a part of numbers become values, and between which ones these stay.

    Parameters
    ----------
    scale, shift
        One each, or one an output.
    low, high
        The lowest and the highest value.
    """

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    low: int | float
    high: int | float


def preview_coder(
    module: AutoencoderModule,
    parts: Sequence[Part],
    units: Sequence[Units | None],
    words: Sequence[Sequence[bytes]],
    to_model: ToModel,
    rows: NDArray[np.float32],
) -> PreviewCoder:
    """What previews the columns of the parts.

    Parameters
    ----------
    module
        Of a quantised code, fitted.
    parts, words
        As :class:`~isthmus.codec.coding.preview.PreviewCoder` takes them, but that parts have no ends yet.
    units
        Of each part of numbers; None of words.
    to_model
        What brings columns to model units.
    rows
        Some rows, or tiles, in model units: by these whole numbers and the shares of symbols are chosen.
    """
    code = module.code
    assert isinstance(code, Quantised)
    symbols = _symbols(module, rows)
    step = code.step.detach().double().numpy()
    decoder = freeze(module.decoder.alone(), symbols * step, 1.0 / step, weight_bits=WEIGHT_BITS)
    meanings = [
        None
        if own is None
        else Meaning.of(
            own.scale, own.shift, part.dtype, _bits(part, decoder.output_bits), limit_of(decoder, part.link)
        )
        for part, own in zip(parts, units, strict=True)
    ]
    parts = [
        part if own is None or meaning is None else within(part, meaning, own.low, own.high)
        for part, own, meaning in zip(parts, units, meanings, strict=True)
    ]

    def encode(columns: Mapping[str, Column]) -> Ints:
        return _symbols(module, to_model(columns))

    found: Encode = encode
    return PreviewCoder(parts, meanings, words, _alphabet(code, symbols), decoder, found)


def fitted_preview(model: FittedModel, name: str, sample: NDArray[Any]) -> PreviewCoder:
    """What previews the column of an array with a model that was fitted to such rows.

    Parameters
    ----------
    model
        Of a quantised code.
    name
        Of the column.
    sample
        Some rows of it, ``(n, ...)``.

    Raises
    ------
    ParameterError
        A model of another code or likelihood, or of other rows.
    """
    module, scaling = model.module, model.scaling
    if not isinstance(module.code, Quantised):
        raise ParameterError(
            f"--preview: expected a model whose code is QuantisedCode, got {type(module.code).__name__}. "
            "Fit one with --set model.code=quantised, or leave --model out."
        )
    is_mean = module.likelihood.output_shape(module.sample_shape) == module.sample_shape
    if not isinstance(module.likelihood, SquaredError | Gaussian | Bernoulli) or not is_mean:
        raise ParameterError(
            f"--preview: expected a model of likelihood squared_error, got {type(module.likelihood).__name__}, "
            "whose outputs are no values. Fit one with --set model.likelihood=squared_error, or leave --model out."
        )
    if model.classes is not None or not isinstance(scaling, Scaling):
        raise ParameterError(
            "--preview: expected a model of arrays without labels or gaps, got another. Leave --model out."
        )
    shape = scaling.schema.sample_shape
    if n_values(sample.shape[1:]) != n_values(shape):
        raise ParameterError(
            f"--preview: expected rows of {shape_text(shape)}, which the model was fitted to, got "
            f"{shape_text(sample.shape[1:])}. Give the model of these data."
        )
    link = "logistic" if isinstance(module.likelihood, Bernoulli) else "none"
    dtype = sample.dtype.str.lstrip("<>|=")
    low, high = seen(sample)
    part = Part(name, dtype, sample.shape[1:], shape, link=link)
    scale, shift = (
        np.repeat(each, n_values(shape[:-1])) if len(each) > 1 else each
        for each in (scaling.scale, scaling.shift)
    )

    def to_model(columns: Mapping[str, Column]) -> NDArray[np.float32]:
        rows = np.asarray(columns[name]).reshape(-1, *shape)
        if rows.dtype.kind == "f":
            rows = np.where(np.isfinite(rows), rows, scaling.shift.astype(rows.dtype))
        return scaling.to_model(np.ascontiguousarray(rows))

    units = Units(scale, shift, low, high)
    return preview_coder(module, [part], [units], [()], to_model, to_model({name: sample}))


def seen(values: NDArray[Any]) -> tuple[int | float, int | float]:
    """The lowest and the highest of numbers, NaN and infinity aside; 0 where there are none."""
    finite = values[np.isfinite(values)]
    return (finite.min().item(), finite.max().item()) if finite.size else (0, 0)


def within(part: Part, meaning: Meaning, low: int | float, high: int | float) -> Part:
    """The part, of numbers, with the ends that hold its values between two of its type.

    Where a float has no place of its own between them, the places beside them are taken. Outputs of other points share
    the ends of a part, which then are as wide as the widest of them.
    """
    lowest, highest = ends_of(part.dtype)
    points = meaning.point if part.dtype.startswith("f") else np.zeros(1, np.int64)
    steps = [Fraction(2) ** point for point in np.unique(points).tolist()]
    ends = (
        min(math.ceil(Fraction(low) * step) for step in steps),
        max(math.floor(Fraction(high) * step) for step in steps),
    )
    first, last = (min(max(end, lowest), highest) for end in (min(ends), max(ends)))
    return replace(part, low=first, high=last)


def _bits(part: Part, output_bits: int) -> int:
    """After the point of what a meaning is given."""
    return 16 if part.link == "logistic" else output_bits


def _symbols(module: AutoencoderModule, rows: NDArray[np.float32]) -> Ints:
    """Whole steps of the codes of rows in model units, ``(n, size)``."""
    code = module.code
    assert isinstance(code, Quantised)
    found = [np.zeros((0, code.size), np.int64)]
    with torch.no_grad():
        for start in range(0, len(rows), _BATCH):
            pre_code, _ = module.encoder(torch.from_numpy(rows[start : start + _BATCH]))
            found.append(code.symbols(code.mean(pre_code)).numpy())
    return np.concatenate(found)


def _alphabet(code: Quantised, symbols: Ints) -> Alphabet:
    """The symbols that were seen and one on either side, with shares that count them and what the code learned."""
    size = symbols.shape[1]
    firsts, lasts = symbols.min(axis=0) - 1, symbols.max(axis=0) + 1
    over = np.maximum(lasts - firsts + 1 - MOST_SYMBOLS, 0)
    firsts, lasts = firsts + over // 2, lasts - (over + 1) // 2
    edges = torch.arange(int(firsts.min()), int(lasts.max()) + 2, dtype=torch.float64) - 0.5
    with torch.no_grad():
        learned = np.diff(code.cumulative(edges).numpy(), axis=1)
    masses = list[Ints]()
    for unit in range(size):
        n = int(lasts[unit] - firsts[unit]) + 1
        seen = np.clip(symbols[:, unit], firsts[unit], lasts[unit]) - firsts[unit]
        start = int(firsts[unit] - firsts.min())
        shares = np.bincount(seen, minlength=n) + PRIOR_ROWS * learned[unit, start : start + n]
        masses.append(1 + np.floor(shares / shares.sum() * (MASS - n)).astype(np.int64))
    return Alphabet(firsts.astype(np.int64), masses)

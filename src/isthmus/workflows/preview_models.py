"""Models that are fitted for a preview: which columns it approximates, how closely, and by what network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh

from isthmus.codec.coding.preview import TEXTS, Part, PreviewCoder
from isthmus.codec.coding.preview_fit import Units, fitted_preview, preview_coder, seen
from isthmus.codec.columns import Column, Columns
from isthmus.codec.contents.base import Content
from isthmus.codec.contents.text_tables import TEXT
from isthmus.codec.preview_rows import GAPS
from isthmus.codes.quantised import Quantised
from isthmus.config import Model
from isthmus.config.parts.codes import QuantisedCode
from isthmus.config.parts.likelihoods import Mixed
from isthmus.config.parts.networks import Dense
from isthmus.config.training import Training
from isthmus.errors import ParameterError
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.model.build import build
from isthmus.networks.dense import DenseDecoder, DenseEncoder, start_linear
from isthmus.shapes import Block, n_values
from isthmus.training.callbacks import Callback, Epoch
from isthmus.training.loop import Trainer
from isthmus.training.rows import TensorRows
from isthmus.workflows.archive_coders import is_archive
from isthmus.workflows.archive_models import Told, Watch

QUALITY = 90.0
"""Percent of the variance that a preview keeps unless it is told otherwise."""
WIDEST = 4096
"""Numbers of a row that a network sees at once; of larger pictures tiles."""
TILE = 16
"""Sides of a tile."""
MOST_CHANNELS = 4
MOST_WORDS = 256
"""Different words of a column that is approximated."""
MOST_SAMPLED, FEWEST_SAMPLED, N_STRETCHES = 1 << 25, 4, 20
"""Bytes, and at least so many rows, that are learned from, and from how many places of the data they are."""
RATE = 1e10
"""Multiplications a second that a fit is planned by."""
STEP = 1e7
"""As many multiplications a step takes as long as, beside those of its rows."""
BYTES_A_WEIGHT = 40
"""Bytes of data for each weight of the decoder."""
HIDDEN = (16, 512)
FARTHEST = 1e4
"""Model units beyond which a network is shown no value."""
MOST_UNITS = 128
LEARNING_RATE = 1e-3
N_AXES = 4000
"""Rows by which axes are found."""
_KINDS = ("array", "arrays", "table", "text table", "folder")


@dataclass(frozen=True)
class Feature:
    """A part, and how its values become features of a row in model units.

    Parameters
    ----------
    part
        See there.
    words
        Of a column of texts.
    units
        Of numbers, channels last; None of words.
    loss
        What the best constant loses, one or one an output: variances, or the entropy of words in nats.
    """

    part: Part
    words: tuple[bytes, ...]
    units: Units | None
    loss: NDArray[np.float64]

    @classmethod
    def of_numbers(cls, name: str, rows: NDArray[Any], gaps: Any = None) -> Feature | None:
        """Of a column of numbers ``(n, ...)``, some perhaps in gaps, marked by 1; None where they do not vary."""
        shape = rows.shape[1:]
        model_shape = _model_shape(shape)
        is_one = rows.ndim > 2 or rows.dtype.itemsize == 1
        with np.errstate(all="ignore"):  # NaN that signals
            finite = rows.astype(np.float64)
            finite[~np.isfinite(finite)] = np.nan
            axis = None if is_one else 0
            shift = np.atleast_1d(np.nan_to_num(_mean(finite, axis)))
            scale = np.atleast_1d(np.nan_to_num(_mean((finite - shift) ** 2, axis) ** 0.5))
        if not np.isfinite(scale).all() or not (scale > 1e-9 * np.abs(shift)).any() or scale.max() > 1e300:
            return None
        scale = np.where(scale > 1e-9 * np.abs(shift), scale, 1.0)
        low, high = seen(rows if gaps is None else rows[gaps == 0])
        part = Part(name, rows.dtype.str.lstrip("<>|="), shape, model_shape)
        return cls(part, (), Units(scale, shift, low, high), np.ones(1))

    @classmethod
    def of_words(cls, name: str, column: Column) -> Feature | None:
        """Of a column of words, numbers of them or texts; None where they are too many, or one."""
        if isinstance(column, list):
            known, counts = np.unique(np.array(column, object), return_counts=True)
            texts, n, dtype = tuple(known.tolist()), len(known), TEXTS
        else:
            counts = np.bincount(column.astype(np.int64))
            texts, n, dtype = (), len(counts), column.dtype.str.lstrip("<>|=")
        if not 2 <= n <= MOST_WORDS or n * 2 > len(column) or (counts > 0).sum() < 2:
            return None
        shares = counts[counts > 0] / counts.sum()
        entropy = np.array([-(shares * np.log(shares)).sum()])
        return cls(Part(name, dtype, (), (n,), n_words=n), texts, None, entropy)

    def rows(self, column: Column) -> NDArray[np.float32]:
        """Features of a column, ``(n, n_outputs)``, or of its tiles; the channels of pictures first."""
        part, units = self.part, self.units
        if units is None:
            if isinstance(column, list):
                places = {word: place for place, word in enumerate(self.words)}
                numbers = np.array([places.get(text, -1) for text in column], np.int64)
            else:
                numbers = column.astype(np.int64)
            return (numbers[:, None] == np.arange(part.n_words)).astype(np.float32)
        tiles = part.tiles(np.asarray(column))
        with np.errstate(all="ignore"):  # NaN that signals
            values = (tiles.reshape(len(tiles), -1).astype(np.float64) - units.shift) / units.scale
        values[~np.isfinite(values)] = 0.0
        np.clip(values, -FARTHEST, FARTHEST, out=values)
        first = np.moveaxis(values.reshape(len(tiles), *part.model_shape), -1, 1)
        return first.reshape(len(tiles), -1).astype(np.float32)

    @property
    def blocks(self) -> list[Block]:
        """Of its features, as a likelihood of tables takes them."""
        loss = float(self.loss[0])
        if self.part.n_words:
            return [Block("category", self.part.n_words, loss)]
        return [Block("number", 1, 1.0)] * self.part.n_outputs


@dataclass(frozen=True)
class Axes:
    """Principal axes of rows of features, as far as they are worth their bits: where a code begins.

    By reverse water-filling (Cover and Thomas 2006, theorem 10.3.3) a normal source of such rows keeps each axis down
    to one level of noise, and leaves those out whose variance is below it.

    Parameters
    ----------
    level
        Of the noise.
    variances
        Along the axes, the largest first, ``(k,)``.
    axes
        ``(k, width)``
    """

    level: float
    variances: NDArray[np.float64]
    axes: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float32], share: float) -> Axes:
        """Of rows that lose a share of their variance."""
        some = rows[:: max(1, len(rows) // N_AXES)].astype(np.float64)
        some -= some.mean(axis=0)
        width = some.shape[1]
        spread = some.T @ some / max(1, len(some))
        n_known = min(width, 2 * MOST_UNITS)
        variances, vectors = eigh(spread, subset_by_index=[width - n_known, width - 1])
        variances, vectors = np.maximum(variances[::-1], 0.0), vectors[:, ::-1].T
        total = float(np.trace(spread))
        rest = max(0.0, total - float(variances.sum()))  # along the others, which are alike
        low, high = 0.0, float(variances[0])
        for _ in range(60):
            level = (low + high) / 2
            lost = np.minimum(variances, level).sum() + min(rest, (width - n_known) * level)
            low, high = (low, level) if lost > share * total else (level, high)
        n_kept = int((variances > high).sum())
        n = min(n_kept + 4 + n_kept // 4, MOST_UNITS, len(variances))
        return cls(max(high, 1e-9), variances[:n], vectors[:n])

    def start(
        self,
        module: AutoencoderModule,
        mean: NDArray[np.float64],
        weights: NDArray[np.float64],
        is_word: NDArray[np.bool_],
    ) -> None:
        """Let a module begin with the scores along the axes, in steps of the noise.

        Parameters
        ----------
        module
            A dense one of a quantised code.
        mean
            Of the features, ``(width,)``.
        weights
            That features were multiplied with before their axes were found.
        is_word
            Which features are those of words, whose outputs are logits.
        """
        encoder, decoder, code = module.encoder, module.decoder, module.code
        assert isinstance(encoder, DenseEncoder)
        assert isinstance(decoder, DenseDecoder)
        assert isinstance(code, Quantised)
        slopes = np.where(is_word, 1 / np.maximum(mean, 0.02), 1.0)  # of logits, as shares move
        inwards = torch.from_numpy(self.axes * weights).float()
        outwards = torch.from_numpy((self.axes / weights * slopes).T).float()
        middle, one = torch.from_numpy(mean).float(), torch.eye(code.size)
        start_linear(encoder.layers, "relu", inwards, one, -(inwards @ middle))
        outputs = module.likelihood.outputs_at(middle[None])[0]
        start_linear(decoder.layers, "relu", one, outwards, outputs)
        with torch.no_grad():
            step = math.sqrt(12 * self.level)
            code.log_step.fill_(math.log(step))
            spread = np.maximum(np.sqrt(self.variances), step / 4)
            code.log_spread.copy_(torch.from_numpy(np.log(spread)))


class TowardsError(Callback):
    """Moves the weight of the rate, epoch by epoch, until the error is the one that is wanted.

    Parameters
    ----------
    code
        Whose weight it is.
    wanted
        Distortion of a row.
    """

    def __init__(self, code: Quantised, wanted: float) -> None:
        self._code, self._wanted, self._first = code, wanted, code.rate_weight

    def epoch(self, epoch: Epoch) -> None:
        """After each epoch but the first, in which a network learns what the mean is."""
        if epoch.epoch == 1:
            return
        step = (self._wanted / max(epoch.training["distortion"], 1e-12)) ** 0.7
        weight = self._code.rate_weight * min(max(step, 0.75), 4 / 3)
        self._code.rate_weight = min(max(weight, self._first / 32), self._first * 32)


def check_preview(
    *,
    preview: bool,
    quality: float | None,
    max_error: float | None,
    model: Path | None,
    fits: bool,
    processes: int | None,
) -> None:
    """Refuse what does not go with a preview.

    Raises
    ------
    ParameterError
        An option that would do nothing.
    """
    if not preview:
        raise ParameterError("--quality: is of a preview alone. Give --preview too, or leave --quality out.")
    if max_error is not None:
        raise ParameterError(
            "--preview: states the error that it finds, and cannot keep --max-error. Give one of them."
        )
    if model is not None and quality is not None:
        raise ParameterError(
            "--quality: is settled by the model that is given. Leave --quality or --model out."
        )
    if processes is not None and processes > 1:
        raise ParameterError(
            f"--processes: a preview is written by one process, got {processes}. Leave --processes out."
        )
    if model is None and not fits:
        raise ParameterError("--preview: needs a model. Leave --no-model out.")
    if quality is not None and not 0 < quality < 100:
        raise ParameterError(
            f"--quality: expected a number between 0 and 100, percent of the variance to keep, got {quality:g}. "
            f"Try {QUALITY:g}."
        )


def labels_of(content: Content) -> dict[str, str]:
    """Of a content's columns that have a row each, what people call them."""
    form: Any = content.form
    if content.kind == "table":
        return {f"{place}": str(name) for place, name in enumerate(form.schema.names)}
    if content.kind == "text table":
        return {f"{place}": str(name) for place, name in enumerate(form.names)}
    if content.kind == "arrays":
        return {f"{place}": str(array["name"]) for place, array in enumerate(content.facts["arrays"])}
    return {name: name if content.kind == "array" else f"pictures {name}" for name in content.numbers}


def preview_coder_for(
    content: Content,
    model: Path | None,
    quality: float | None,
    *,
    seconds: float,
    told: Told,
    watch: Watch,
) -> PreviewCoder:
    """What previews a content.

    Parameters
    ----------
    content
        Of arrays, tables or pictures.
    model
        One of a quantised code, fitted to rows of an array; None to fit one.
    quality
        Percent of the variance that is to be kept, in (0, 100).
    seconds
        That the fit should take, about.
    told
        Called with sentences about what is done.
    watch
        Given the name of a part of the work, makes what watches it.

    Raises
    ------
    ParameterError
        Content of another kind, or a model of other rows.
    """
    if content.kind not in _KINDS:
        raise ParameterError(
            f"--preview: expected pictures, arrays of numbers or a table, got {content.name}, which is kept as "
            f"{'sound' if content.kind == 'sound' else 'bytes'}. Leave --preview out."
        )
    columns = _sample(content)
    if model is not None:
        return _with_model(content, model, columns)
    features = _features(content, columns)
    if not features:
        raise ParameterError(
            f"--preview: expected numbers or words that vary, in rows of at most {WIDEST:,} or pictures, got "
            f"{content.name} without any. Leave --preview out."
        )
    return _fitted(content, features, columns, QUALITY if quality is None else quality, seconds, told, watch)


def _with_model(content: Content, path: Path, columns: Columns) -> PreviewCoder:
    from isthmus.artifact import open_model

    if is_archive(path):
        raise ParameterError(
            f"--model: expected a model file beside --preview, got {path}, an archive, whose model finds no codes. "
            "Give one that fit wrote, or leave --model out."
        )
    names = [name for name in content.numbers if isinstance(columns.get(name), np.ndarray)]
    if content.kind not in ("array", "folder") or not names:
        raise ParameterError(
            f"--model: expected an array or pictures beside --preview, got {content.name}, which is none. "
            "Leave --model out."
        )
    found = max(names, key=lambda name: len(columns[name]))
    return fitted_preview(open_model(path), found, np.asarray(columns[found]))


def _features(content: Content, columns: Columns) -> list[Feature]:
    """Of the columns that a preview approximates; of a folder of the pictures that are the most."""
    if content.kind == "folder":
        pictures = [name for name in content.numbers if name in columns and _is_picture(name)]
        pictures.sort(key=lambda name: np.asarray(columns[name]).size, reverse=True)
        some = [_feature_of_numbers(name, columns[name]) for name in pictures]
        return [feature for feature in some if feature is not None][:1]
    words = _word_columns(content)
    found = list[Feature]()
    for name, column in columns.items():
        feature = None
        if name in words or (isinstance(column, list) and name.isdecimal()):
            feature = Feature.of_words(name, column)
        elif name in content.numbers:
            feature = _feature_of_numbers(name, column, columns.get(f"{name}{GAPS}"))
        if feature is not None:
            found.append(feature)
    if len(found) > 1:  # a code is of one row or of one tile
        found = [feature for feature in found if feature.part.grid == (1, 1)]
    width = 0
    for at, feature in enumerate(found):
        width += feature.part.n_outputs
        if width > WIDEST and at:
            return found[:at]
    return found


def _feature_of_numbers(name: str, column: Column, gaps: Column | None = None) -> Feature | None:
    if not isinstance(column, np.ndarray) or column.dtype.kind not in "iuf" or not column.size:
        return None
    if column.dtype.kind in "iu" and column.dtype.itemsize == 8:
        low, high = int(column.min()), int(column.max())
        if low <= -(1 << 61) or high >= 1 << 61:
            return None
    if n_values(_model_shape(column.shape[1:])) > WIDEST:
        return None
    return Feature.of_numbers(name, column, gaps)


def _model_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """What the network sees at once: a row, or a tile of a picture that is too large."""
    if not shape:
        return (1,)
    is_map = len(shape) == 2 or (len(shape) == 3 and shape[2] <= MOST_CHANNELS)
    if n_values(shape) <= WIDEST or not is_map:
        return shape
    return (min(TILE, shape[0]), min(TILE, shape[1]), shape[2] if len(shape) == 3 else 1)


def _is_picture(kind: str) -> bool:
    """Whether a kind of a folder is that of pictures whose numbers are colours, not places in a palette."""
    parts = kind.split(" ")
    return len(parts) == 4 and parts[0].isdecimal() and parts[2] != "3"


def _word_columns(content: Content) -> set[str]:
    """Columns whose numbers stand for words."""
    form: Any = content.form
    if content.kind == "text table":
        return {
            f"{place}" for place, column in enumerate(content.facts["columns"]) if column["type"] == "words"
        }
    if content.kind == "table":
        return {f"{place}" for place, dtype in enumerate(form.schema.types) if pa.types.is_boolean(dtype)}
    return set()


def _sample(content: Content) -> Columns:
    """Rows from all over, as columns; of those alone that all blocks have, with a row each but in folders."""
    row_bytes = max(1.0, content.row_bytes)
    n_rows = int(min(content.n_rows, max(FEWEST_SAMPLED, MOST_SAMPLED / row_bytes)))
    n_parts = max(1, min(N_STRETCHES, n_rows))
    size = n_rows // n_parts
    starts = np.linspace(0, content.n_rows - size, n_parts).astype(int) if size else []
    blocks = [content.block(slice(start, start + size)) for start in np.asarray(starts).tolist()]
    blocks = [block for block in blocks if TEXT not in block] or blocks  # rows as they stand in a text
    found = Columns()
    for name in dict.fromkeys(name for block in blocks for name in block):
        parts = [block[name] for block in blocks if name in block]
        if name.endswith(GAPS):  # a block without gaps has no marks of them
            parts = [block.get(name, np.zeros(size, np.uint8)) for block in blocks]
        is_whole = len(parts) == len(blocks) and all(len(part) == size for part in parts)
        if content.kind != "folder" and not is_whole:
            continue
        if isinstance(parts[0], list):
            found[name] = [text for part in parts for text in part]
        elif all(isinstance(part, np.ndarray) and part.shape[1:] == parts[0].shape[1:] for part in parts):
            found[name] = np.concatenate([np.asarray(part) for part in parts])
    return found


def _fitted(
    content: Content,
    features: Sequence[Feature],
    columns: Columns,
    quality: float,
    seconds: float,
    told: Told,
    watch: Watch,
) -> PreviewCoder:
    """A quantised code of the rows, learned for the error that is wanted."""

    def to_model(some: Mapping[str, Column]) -> NDArray[np.float32]:
        return np.concatenate([feature.rows(some[feature.part.name]) for feature in features], axis=1)

    rows = to_model(columns)
    layout = tuple(block for feature in features for block in feature.blocks)
    share = 1 - quality / 100
    weights = np.concatenate([np.full(block.size, block.constant_loss**-0.5) for block in layout])
    axes = Axes.of(rows * weights, share)
    noise, n_units = axes.level, len(axes.variances)
    is_number = np.concatenate([np.full(block.size, block.kind == "number") for block in layout])
    to_lose = rows[:, is_number].var(axis=0, dtype=np.float64).sum() + sum(
        block.kind == "category" for block in layout
    )
    width = rows.shape[1]
    data_bytes = content.row_bytes * content.n_rows
    hidden = data_bytes / BYTES_A_WEIGHT / (width + n_units)
    size = max(2 * n_units, int(2 ** round(math.log2(min(max(hidden, HIDDEN[0]), HIDDEN[1])))))
    batch = min(256, max(16, len(rows) // 50))
    cost = 6 * len(rows) * size * (width + n_units) + STEP * -(-len(rows) // batch)
    epochs = int(max(1, min(200, seconds * RATE / cost)))
    about = max(1, round(epochs * cost / RATE))
    told(f"A model is fitted first, {epochs} times through {len(rows):,} rows: about {about} s.")
    description = Model(
        code_size=n_units,
        code=QuantisedCode(beta=2 * noise),
        network=Dense((size,), "relu"),
        likelihood=Mixed(numbers="squared_error"),
    )
    module = build(description, (width,), seed=0, layout=layout)
    assert isinstance(module.code, Quantised)
    axes.start(module, rows.mean(axis=0, dtype=np.float64), weights, ~is_number)
    plan = Training(
        epochs=epochs, batch_size=batch, learning_rate=LEARNING_RATE, weight_decay=0.0,
        seed=0, device="cpu", validation_share=0.0, threads=1, patience=None, micro_batch="auto",
    )  # fmt: skip
    with watch("model") as bar:
        towards = TowardsError(module.code, share * float(to_lose))
        Trainer(module, plan).fit(TensorRows(torch.from_numpy(rows)), callbacks=[bar, towards])
    module.eval()
    return preview_coder(
        module,
        [each.part for each in features],
        [_channels_first(each) for each in features],
        [each.words for each in features],
        to_model,
        rows,
    )


def _channels_first(feature: Feature) -> Units | None:
    """The units of a part's outputs as the decoder gives them."""
    units = feature.units
    if units is None or len(units.scale) == 1:
        return units
    scale, shift = (
        np.moveaxis(each.reshape(feature.part.model_shape), -1, 0).ravel()
        for each in (units.scale, units.shift)
    )
    return replace(units, scale=scale, shift=shift)


def _mean(values: NDArray[np.float64], axis: int | None) -> NDArray[np.float64]:
    """The mean of what is no NaN."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=axis) / np.maximum(known.sum(axis=axis), 1))

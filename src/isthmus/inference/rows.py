"""Runs a fitted model over rows: batches of one fixed size, so that neighbours never matter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus.artifact import FittedModel
from isthmus.errors import DataError, ParameterError
from isthmus.inference.aligned import AlignedRows, lengthened
from isthmus.inference.dense import Bare, bare
from isthmus.inference.side_by_side import side_by_side
from isthmus.inference.ways import BATCH
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.numerics.randomness import Randomness
from isthmus.preprocessing.classes import class_numbers, class_words, labels_of
from isthmus.sources import Source, check_alike
from isthmus.sources.check import check_block

MOST_BATCHES = 64
"""Batches of a block of rows, where results are taken as they come."""

READ_VALUES = 1 << 16
"""Values that are read and brought to model units at a time, as far as a batch has fewer: what a cache holds."""

SHARE_AT_ONCE = 0.25
"""Of the rows that may be multiplied at once, how many there must be, or batches of them are faster."""

BLOCK_VALUES = 1 << 22
"""Values of a block, as far as it may have fewer batches."""

Array = NDArray[np.float32]
Indices = NDArray[np.int64]
Function = Callable[[AutoencoderModule, Tensor], Tensor]
"""Maps the module and rows ``(rows, *shape)`` to what is wanted of each of them."""


class Inference:
    """Encode, decode and reconstruct, data units in and out.

    A row's result does not depend, bit for bit, on the rows beside it. A model that is conditional on a
    label never guesses one: rows bring theirs in ``source.labels``, codes are given with ``labels``.

    Parameters
    ----------
    model
        An opened or fitted model.
    """

    def __init__(self, model: FittedModel) -> None:
        self.model = model
        self.module = model.module
        if self.module.training:
            self.module.eval()
        self.code_size = model.module.code.size

    def encode(self, source: Source) -> Array:
        """Codes of all rows, ``(rows, code_size)``; of a distribution its mean."""
        return self.over(source, AutoencoderModule.encode, (self.code_size,))

    def code_distribution(self, source: Source) -> tuple[Array, Array | None]:
        """Mean and standard deviation of each row's code; None if the code has no distribution."""
        return _mean_and_scale(self.over(source, _distribution, (2, self.code_size)))

    def codes_in_blocks(self, source: Source, *, scale: bool) -> Iterator[tuple[Array, Array | None]]:
        """What :meth:`encode` gives, or with ``scale`` :meth:`code_distribution`, some thousand rows at a time."""
        if not scale:
            yield from (
                (codes, None) for codes in self.in_blocks(source, AutoencoderModule.encode, (self.code_size,))
            )
            return
        for stacked in self.in_blocks(source, _distribution, (2, self.code_size)):
            yield _mean_and_scale(stacked)

    def rate_per_unit(self, source: Source) -> Array | None:
        """Nats that each unit costs in each row, ``(rows, code_size)``; None without a distribution."""

        def rate(module: AutoencoderModule, x: Tensor) -> Tensor:
            pre_code, _ = module.encoder(x)
            found = module.code.rate_per_unit(pre_code)
            if found is None:
                raise _NoRatesError
            return found

        try:
            found = self.over(source, rate, (self.code_size,))
        except _NoRatesError:
            return None
        return None if np.isnan(found).any() else found

    def reconstruct_model_units(self, source: Source) -> Array:
        """Reconstructions of all rows in model units, ``(rows, *model_shape)``."""
        return self.over(source, AutoencoderModule.reconstruct, self.model.scaling.model_shape)

    def reconstruct(self, source: Source) -> NDArray[Any]:
        """Reconstructions of all rows in data units, ``(rows, *sample_shape)``."""
        return self.model.scaling.to_data(self.reconstruct_model_units(source))

    def reconstructions_in_blocks(self, source: Source) -> Iterator[NDArray[Any]]:
        """What :meth:`reconstruct` gives, some thousand rows at a time."""
        shape = self.model.scaling.model_shape
        return map(self.model.scaling.to_data, self.in_blocks(source, AutoencoderModule.reconstruct, shape))

    def decode_model_units(
        self, codes: NDArray[Any], noise: Randomness | None = None, *, labels: NDArray[Any] | None = None
    ) -> Array:
        """What codes ``(rows, code_size)`` decode to, in model units.

        With ``noise`` an example is drawn from the likelihood, a function of it and the row's position.
        ``labels``, ``(rows,)``, are what a conditional model decodes them as.
        """
        if codes.ndim != 2 or codes.shape[1] != self.code_size:
            raise DataError(
                f"decode: expected codes of shape (rows, {self.code_size}), got {codes.shape}. "
                "Give what 'encode' of the same model wrote."
            )
        if codes.dtype.kind not in "biuf":
            raise DataError(
                f"decode: expected codes that are numbers, got {codes.dtype}. Convert them first."
            )
        largest = np.abs(codes.astype(np.float64, copy=False)).max(initial=0.0)
        if not largest <= np.finfo(np.float32).max:
            raise DataError(
                "decode: expected finite codes, got NaN, infinity or more than float32 holds. "
                "Give what 'encode' wrote."
            )

        def ready(some: NDArray[Any], _: slice) -> Array:
            return some.astype(np.float32)

        place = itertools.count()

        def draw(module: AutoencoderModule, h: Tensor) -> Tensor:
            likelihood, chance = module.likelihood, noise or Randomness(0)
            return likelihood.draw(module.decoder(h), chance.at(next(place)))

        function = AutoencoderModule.decode if noise is None else draw
        told = self._numbers_of_codes(labels, len(codes))
        return self._some(
            slice(0, len(codes)), codes.__getitem__, ready, function, self.model.scaling.model_shape, told
        )

    def decode(self, codes: NDArray[Any], labels: NDArray[Any] | None = None) -> NDArray[Any]:
        """What codes ``(rows, code_size)`` decode to, in data units, ``(rows, *sample_shape)``."""
        return self.model.scaling.to_data(self.decode_model_units(codes, labels=labels))

    def over(self, source: Source, function: Function, shape: tuple[int, ...]) -> Array:
        """``function(module, x)`` of every row x in model units, ``(rows, *shape)``.

        The module knows the labels of these rows, where it is conditional on them.
        """
        self.check_source(source)
        told = self.class_numbers(source)
        return self._some(slice(0, len(source)), source.read, self._ready(source), function, shape, told)

    def in_blocks(self, source: Source, function: Function, shape: tuple[int, ...]) -> Iterator[Array]:
        """What :meth:`over` gives, bit for bit, in pieces of some thousand rows one after the other."""
        self.check_source(source)
        told = self.class_numbers(source)
        largest = max(math.prod(shape), math.prod(self.model.scaling.model_shape))
        step = BATCH * max(1, min(MOST_BATCHES, BLOCK_VALUES // (BATCH * largest)))
        for start in range(0, len(source), step):
            rows = slice(start, min(start + step, len(source)))
            yield self._some(rows, source.read, self._ready(source), function, shape, told)

    def _ready(self, source: Source) -> Callable[[NDArray[Any], slice], Array]:
        """What brings rows that were read to model units."""
        scaling = self.model.scaling

        def ready(block: NDArray[Any], rows: slice) -> Array:
            try:
                return scaling.to_model(block)
            except DataError:  # which does not know where in the source these rows are
                check_block(block, source.name, rows.start, allows_gaps=scaling.allows_gaps)
                raise

        return ready

    def class_numbers(self, source: Source) -> Indices | None:
        """Number of each row's class, ``(rows,)``; None where the model asks for no label."""
        classes = self.model.classes
        if classes is None:
            return None
        return class_numbers(classes, labels_of(source, source.name), source.name)

    def told(self, source: Source) -> AutoencoderModule:
        """The module with the labels of all rows of a source, where it is conditional on them."""
        numbers = self.class_numbers(source)
        return self.module if numbers is None else self.module.given(torch.from_numpy(numbers))

    def check_source(self, source: Source) -> None:
        """Refuse rows of another kind or shape than the model was fitted on, and rows that lack a label."""
        check_alike(source.schema, self.model.scaling.schema, source.name)
        self.class_numbers(source)

    def _numbers_of_codes(self, labels: NDArray[Any] | None, n_rows: int) -> Indices | None:
        classes = self.model.classes
        if classes is None:
            if labels is None:
                return None
            raise ParameterError(
                "decode: the model is not conditional on a label, got some. Leave the labels out."
            )
        if labels is None:
            raise DataError(
                f"decode: expected a label a code ({class_words(classes)}), for the model is conditional on one, "
                "got none. Give labels=y in Python, --label NAME or --labels FILE at the command line."
            )
        if labels.shape != (n_rows,):
            raise DataError(
                f"decode: expected {n_rows} labels, one a code, got an array of shape {labels.shape}. "
                "Give the labels of these codes."
            )
        return class_numbers(classes, labels, "decode")

    def _some(
        self,
        rows: slice,
        read: Callable[[slice], NDArray[Any]],
        ready: Callable[[NDArray[Any], slice], Array],
        function: Function,
        shape: tuple[int, ...],
        labels: Indices | None = None,
    ) -> Array:
        """Rows from the beginning of a batch on, all batches of one size.

        ``read`` gives rows as a source has them, one call at a time; ``ready`` brings them to model units.
        """
        n_rows = rows.stop - rows.start

        def told(part: slice) -> Indices | None:
            return None if labels is None else labels[part]

        with torch.inference_mode():  # of this thread alone
            straight = None if labels is not None else bare(self.module, function, n_rows)
            parts = self._parts(rows, BATCH if straight is None else straight.n_at_once)
            if len(parts) == 1:
                own = self._found(ready(read(rows), rows), straight, function, told(rows)).numpy()
                return np.array(own, np.float32, order="C")  # for it is a part of memory for whole batches
            # By numpy, whose memory comes in large pages: PyTorch's is given page by page, each time anew.
            result, reading = torch.from_numpy(np.empty((n_rows, *shape), np.float32)), Lock()

            def put(part: slice) -> None:
                with reading:
                    given = read(part)
                found = self._found(ready(given, part), straight, function, told(part))
                result[part.start - rows.start : part.stop - rows.start].copy_(found)

            if straight is not None and straight.is_alone:
                side_by_side(torch.inference_mode()(put), parts)
            else:
                for part in parts:
                    put(part)
        return result.numpy()

    def _found(
        self, rows: Array, straight: Bare | None, function: Function, labels: Indices | None
    ) -> Tensor:
        """What ``function`` gives of rows in model units, by bare calls where it can."""
        x = torch.from_numpy(np.ascontiguousarray(rows))
        if straight is None:
            return self._by_batch(function, x, None if labels is None else torch.from_numpy(labels))
        ready = straight.ready(x, _n_missing(len(x), straight.n_at_once))
        return straight.end(x, [straight.run(some) for some in _cut(ready, straight.n_at_once)])

    def _by_batch(self, function: Function, x: Tensor, labels: Tensor | None) -> Tensor:
        """``function`` of each batch, whose labels the module is told."""
        if _is_training(self.module):
            self.module.eval()
        n_rows = len(x)
        missing = _n_missing(n_rows, BATCH)
        batches = lengthened(x, missing).split(BATCH)
        told = [None] * len(batches) if labels is None else lengthened(labels, missing).split(BATCH)
        with AlignedRows():
            found = [
                function(self.module if own is None else self.module.given(own), batch).cpu()
                for batch, own in zip(batches, told, strict=True)
            ]
        return torch.cat(found)[:n_rows]

    def _parts(self, rows: slice, n_at_once: int) -> list[slice]:
        """Rows of several batches at once, for a column costs a call a piece; of ``n_at_once`` or more."""
        if 0 < rows.stop - rows.start <= BATCH:
            return [rows]
        n_values = max(self.code_size, math.prod(self.model.scaling.model_shape))
        step = n_at_once * max(1, min(MOST_BATCHES * BATCH, READ_VALUES // n_values) // n_at_once)
        return [slice(first, min(first + step, rows.stop)) for first in range(rows.start, rows.stop, step)]


class _NoRatesError(Exception):
    """A code without a distribution."""


def _n_missing(n_rows: int, n_at_once: int) -> int:
    """Rows up to a multiple of :data:`BATCH`, or of ``n_at_once`` where few are missing or those are fewer."""
    is_even = n_at_once < BATCH or n_rows % n_at_once >= SHARE_AT_ONCE * n_at_once
    return -n_rows % (n_at_once if is_even else BATCH)


def _cut(rows: Tensor, n_at_once: int) -> list[Tensor]:
    """As many rows at once as there are, then batches of :data:`BATCH`."""
    n_rows = rows.shape[0]
    if n_rows in (BATCH, n_at_once):
        return [rows]
    n_first = n_rows // n_at_once * n_at_once
    first = rows[:n_first].split(n_at_once) if n_first else ()
    return [*first, *(rows[n_first:].split(BATCH) if n_first < n_rows else ())]


def _distribution(module: AutoencoderModule, x: Tensor) -> Tensor:
    """Mean and scale of each row's code, ``(rows, 2, code_size)``; NaN where there is no scale."""
    mean, scale = module.code_distribution(x)
    return torch.stack([mean, mean * torch.nan if scale is None else scale], dim=1)


def _mean_and_scale(stacked: Array) -> tuple[Array, Array | None]:
    return stacked[:, 0], None if np.isnan(stacked[:, 1]).any() else stacked[:, 1]


def _is_training(module: nn.Module) -> bool:
    """Whether a module or any inside it is in training mode; ``eval`` takes as long as a row's code."""
    left = [module]
    while left:
        one = left.pop()
        if one.training:
            return True
        left.extend(inner for inner in one._modules.values() if inner is not None)  # pyright: ignore[reportPrivateUsage]
    return False

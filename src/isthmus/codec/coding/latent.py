"""Arrays of few levels, coded with a model of a Gaussian code by bits-back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from isthmus.codec import columns as plain
from isthmus.codec.coding.bits_back import GRID_BITS, BitsBack
from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.distributions import Tables
from isthmus.codec.coding.observed import Binary, Levels, Observed
from isthmus.codec.coding.stack import Ints
from isthmus.codec.columns import Columns
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.errors import ArtifactError, DataError
from isthmus.shapes import n_values

COLUMN = "values"
MOST_LEVELS = 1 << 16


@dataclass(frozen=True)
class LatentFacts:
    """What a latent coder must know beside its networks.

    Parameters
    ----------
    likelihood
        ``"binary"`` or ``"levels"``.
    shape
        Of a row, channels last as files have it.
    sample_shape
        Of a row as the model has it, channels last: it may have an axis of 1 more.
    n_mixtures
        Components of a level's distribution; 1 of binary values.
    log_scale_ends, log_levels
        As :class:`~isthmus.codec.coding.observed.Levels` takes them; zeros of binary values.
    """

    likelihood: Literal["binary", "levels"]
    shape: tuple[int, ...]
    sample_shape: tuple[int, ...]
    n_mixtures: int = 1
    log_scale_ends: tuple[int, int] = (0, 0)
    log_levels: int = 0


@final
class LatentCoder(Coder):
    """Bits-back for the column of an array.

    Parameters
    ----------
    facts
        See there.
    levels
        The values that occur, in order: two of binary ones.
    inputs
        What the encoder reads for each level, ``(n_levels, 1)`` or one a place, ``(n_levels, n_places)``.
    encoder, decoder
        From inputs to means and log variances, from the grid to what the likelihood asks for.
    """

    id: ClassVar[str] = "bits-back"

    def __init__(
        self,
        facts: LatentFacts,
        levels: NDArray[Any],
        inputs: NDArray[np.float64],
        encoder: FrozenNetwork,
        decoder: FrozenNetwork,
    ) -> None:
        self.facts, self.levels, self.inputs = facts, levels, inputs
        self.encoder, self.decoder = encoder, decoder
        self.size = encoder.output_shape[0] // 2

    @cached_property
    def _coding(self) -> BitsBack:
        facts, point, tables = self.facts, self.decoder.output_bits, Tables.made()
        observed: Observed = Binary(tables, point)
        if facts.likelihood == "levels":
            observed = Levels(
                tables, point, len(self.levels), facts.n_mixtures, facts.sample_shape[-1], facts.log_scale_ends,
                facts.log_levels,
            )  # fmt: skip
        n_places = n_values(facts.shape)
        return BitsBack(self.encoder, self.decoder, self._read, observed, tables, n_places)

    def section(self) -> bytes:
        """Facts, levels, networks and tables."""
        return plain.packed(
            {
                "facts": [json.dumps(asdict(self.facts)).encode()],
                "networks": [self.encoder.to_bytes(), self.decoder.to_bytes()],
                "levels": self.levels,
                "inputs": self.inputs,
            }
        )

    @classmethod
    def of_section(cls, data: bytes) -> LatentCoder:
        """The coder that a section was written from."""
        try:
            held = plain.unpacked(data)
            (facts,), (encoder, decoder) = held["facts"], held["networks"]
            known = _facts(json.loads(facts))
            levels, inputs = held["levels"], held["inputs"]
            if not isinstance(levels, np.ndarray) or not isinstance(inputs, np.ndarray):
                raise ValueError("levels that are none")
            coder = cls(
                known,
                levels,
                inputs,
                FrozenNetwork.from_bytes(bytes(encoder)),
                FrozenNetwork.from_bytes(bytes(decoder)),
            )
            coder.check_shapes()
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ArtifactError(
                f"archive: expected a model for bits-back coding, got none ({error}); take another copy of it."
            ) from None
        return coder

    def of_levels(self, levels: NDArray[Any]) -> LatentCoder:
        """The coder of rows that have other values in place of its own, in the same order."""
        return LatentCoder(self.facts, levels, self.inputs, self.encoder, self.decoder)

    def check_shapes(self) -> None:
        """Raise ValueError where the parts do not fit each other."""
        facts, n_levels = self.facts, len(self.levels)
        n_places = n_values(facts.shape)
        n_parameters = (
            1 if facts.likelihood == "binary" else 2 if facts.n_mixtures == 1 else 3 * facts.n_mixtures
        )
        fits = (
            self.levels.ndim == 1
            and (n_levels == 2 if facts.likelihood == "binary" else 2 <= n_levels <= MOST_LEVELS)
            and self.inputs.shape in ((n_levels, 1), (n_levels, n_places))
            and n_values(self.encoder.input_shape) == n_places
            and len(self.encoder.output_shape) == 1
            and self.encoder.output_shape[0] == 2 * n_values(self.decoder.input_shape)
            and n_values(self.decoder.output_shape) == n_places * n_parameters
            and n_values(facts.sample_shape) == n_places
            and self.encoder.output_bits >= GRID_BITS
        )
        if not fits:
            raise ValueError("its parts do not fit each other")

    def check(self) -> None:
        """Both networks' self-tests."""
        self.encoder.check()
        self.decoder.check()

    def packed(self, columns: Columns) -> bytes | None:
        """The values by bits-back; None of others than the levels, of another type or shape."""
        values = columns.get(COLUMN)
        if len(columns) != 1 or not isinstance(values, np.ndarray) or values.dtype != self.levels.dtype:
            return None
        if values.shape[1:] != self.facts.shape:
            return None
        numbers = np.searchsorted(self.levels, values)
        if (self.levels[np.minimum(numbers, len(self.levels) - 1)] != values).any():
            return None
        return self._coding.packed(self._channels_first(numbers))

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The values again."""
        try:
            numbers = self._coding.unpacked(payload, n_rows, self.size)
        except DataError as error:
            raise ArtifactError(str(error)) from None
        *places, n_channels = self.facts.sample_shape
        values = self.levels[np.minimum(numbers, len(self.levels) - 1)].reshape(n_rows, n_channels, *places)
        return {COLUMN: np.moveaxis(values, 1, -1).reshape(n_rows, *self.facts.shape)}

    def _read(self, numbers: Ints) -> NDArray[np.float64]:
        """What the encoder reads of places in levels."""
        return self.inputs[numbers, np.arange(self.inputs.shape[1]) if self.inputs.shape[1] > 1 else 0]

    def _channels_first(self, numbers: Ints) -> Ints:
        """Rows flattened as the networks have them."""
        rows = numbers.reshape(len(numbers), *self.facts.sample_shape)
        return np.moveaxis(rows, -1, 1).reshape(
            len(numbers), -1 if len(numbers) else n_values(self.facts.shape)
        )


def _facts(told: Any) -> LatentFacts:
    """Facts from JSON; raises KeyError, TypeError or ValueError where they are none."""
    shapes = tuple(told["shape"]), tuple(told["sample_shape"])
    whole = [*shapes[0], *shapes[1], told["n_mixtures"], *told["log_scale_ends"], told["log_levels"]]
    if not all(type(value) is int and abs(value) < 1 << 31 for value in whole):
        raise ValueError("facts that are no whole numbers")
    if told["likelihood"] not in ("binary", "levels") or min(*shapes[0], *shapes[1], told["n_mixtures"]) < 1:
        raise ValueError("facts of something else")
    low, high = told["log_scale_ends"]
    return LatentFacts(told["likelihood"], *shapes, told["n_mixtures"], (low, high), told["log_levels"])

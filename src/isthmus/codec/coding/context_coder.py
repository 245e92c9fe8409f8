"""Arrays of pictures, coded with a network that sees the values around each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from isthmus.codec import columns as plain
from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.context import NEAREST, Canvas, Context, Neighbourhood
from isthmus.codec.coding.distributions import PLACE_BITS, Tables
from isthmus.codec.coding.observed import Levels, Marked
from isthmus.codec.columns import Columns
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.errors import ArtifactError
from isthmus.shapes import n_values

COLUMN = "values"
MOST_LEVELS = 1 << 16
MOST_VALUES, MOST_ROWS = 1 << 26, 1 << 16
"""Of a block."""
MOST_CHANNELS = 16
MOST_WAVES = 1 << 16
"""Of all channels: each takes a decoder a third of a millisecond at least."""
MOST_OFFSETS = 1024
FARTHEST = 64
"""Lines or columns that a place sees."""
MOST_MIXTURES = 64
MOST_STEP = 1 << 16
MOST_STEPS = 1 << 29
"""Steps of a network's outputs over all levels: so that five times as many, and a scale, stay below 2^63."""


@dataclass(frozen=True)
class ContextFacts:
    """What a context coder must know beside its networks.

    Parameters
    ----------
    shape
        Of a row, as files have it.
    picture
        Lines, columns and channels of it.
    offsets, slope
        As of :class:`~isthmus.codec.coding.context.Neighbourhood`.
    marked
        Numbers of levels that have a logit each.
    common, step
        As of :class:`~isthmus.codec.coding.context.Context`.
    n_mixtures, log_scale_ends, log_levels
        Of the other levels, as :class:`~isthmus.codec.coding.observed.Levels` takes them; zeros where there is but one.
    """

    shape: tuple[int, ...]
    picture: tuple[int, int, int]
    offsets: tuple[tuple[int, int], ...]
    slope: int
    marked: tuple[int, ...]
    common: int
    step: int
    n_mixtures: int = 0
    log_scale_ends: tuple[int, int] = (0, 0)
    log_levels: int = 0

    @property
    def neighbourhood(self) -> Neighbourhood:
        """What a place sees."""
        return Neighbourhood(self.picture, self.offsets, self.slope)

    def observed(self, n_levels: int, point: int) -> Marked:
        """How levels are coded, given outputs with ``point`` bits after the point."""
        tables, others = Tables.made(), np.setdiff1d(np.arange(n_levels), self.marked)
        levels = Levels(tables, point, len(others), self.n_mixtures, 1, self.log_scale_ends, self.log_levels)
        return Marked(
            tables, point, np.array(self.marked, np.int64), others, levels if len(others) > 1 else None
        )


@final
class ContextCoder(Coder):
    """Values given those around them, for the column of an array.

    Parameters
    ----------
    facts
        See there.
    levels
        The values that occur, in order.
    lines, columns
        Of each line and each column of a picture, what networks read of it.
    networks
        One a channel.
    """

    id: ClassVar[str] = "context"
    block_rows: ClassVar[int | None] = 1000  # of small pictures: any row is read in less than a second

    def __init__(
        self,
        facts: ContextFacts,
        levels: NDArray[Any],
        lines: Canvas,
        columns: Canvas,
        networks: Sequence[FrozenNetwork],
    ) -> None:
        self.facts, self.levels = facts, levels
        self.lines, self.columns, self.networks = lines, columns, tuple(networks)

    @cached_property
    def _coding(self) -> Context:
        facts = self.facts
        observed = facts.observed(len(self.levels), self.networks[0].output_bits)
        return Context(
            facts.neighbourhood, self.lines, self.columns, self.networks, observed, facts.common, facts.step
        )

    def section(self) -> bytes:
        """Facts, levels, what is read of places, and networks."""
        return plain.packed(
            {
                "facts": [json.dumps(asdict(self.facts), separators=(",", ":")).encode()],
                "networks": [network.to_bytes() for network in self.networks],
                "levels": self.levels,
                "lines": self.lines.astype(np.int64),
                "columns": self.columns.astype(np.int64),
            }
        )

    @classmethod
    def of_section(cls, data: bytes) -> ContextCoder:
        """The coder that a section was written from."""
        try:
            held = plain.unpacked(data)
            (told,) = held["facts"]
            facts, levels = _facts(json.loads(told)), held["levels"]
            _check(facts, levels)
            tables = [
                _table(held[name], n) for name, n in zip(("lines", "columns"), facts.picture, strict=False)
            ]
            networks = [FrozenNetwork.from_bytes(bytes(each)) for each in held["networks"]]
            coder = cls(facts, np.asarray(levels), tables[0], tables[1], networks)
            coder.check_networks()
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            raise ArtifactError(
                f"archive: expected a model that sees what is around values, got none ({error}); take another copy "
                "of it."
            ) from None
        return coder

    def check_networks(self) -> None:
        """Raise ValueError where the networks do not fit the other parts."""
        facts, around = self.facts, self.facts.neighbourhood
        n_places = self.lines.shape[1] + self.columns.shape[1] + (len(self.levels) - len(facts.marked) > 1)
        point = self.networks[0].output_bits if self.networks else 0
        n_outputs = facts.observed(len(self.levels), point).n_outputs
        shapes = [(network.input_shape, network.output_shape) for network in self.networks]
        n_channels = facts.picture[2]
        wanted = [((around.n_seen(channel) + n_places,), (n_outputs,)) for channel in range(n_channels)]
        if shapes != wanted or any(network.output_bits != point for network in self.networks):
            raise ValueError("networks that are not its channels'")
        if not point >= PLACE_BITS or len(self.levels) << point > MOST_STEPS:
            raise ValueError("networks whose outputs have another unit")

    def check(self) -> None:
        """All self-tests."""
        for network in self.networks:
            network.check()

    def packed(self, columns: Columns) -> bytes | None:
        """The values of pictures; None of others than the levels, of another type or shape, or of too many at once."""
        values = columns.get(COLUMN)
        if len(columns) != 1 or not isinstance(values, np.ndarray) or values.dtype != self.levels.dtype:
            return None
        if values.shape[1:] != self.facts.shape or values.size > MOST_VALUES or len(values) > MOST_ROWS:
            return None
        numbers = numbers_of(values, self.levels)
        if numbers is None:
            return None
        with threadpool_limits(1):  # of products so small, threads wait longer for each other than they work
            return self._coding.packed(numbers.astype(np.int64).reshape(len(values), *self.facts.picture))

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The values again."""
        is_small = n_rows <= MOST_ROWS and n_rows * n_values(self.facts.picture) <= MOST_VALUES
        if len(payload) % 4 or not is_small:
            raise ArtifactError("archive: expected a block of pictures, got none; take another copy of it.")
        with threadpool_limits(1):
            numbers = self._coding.unpacked(payload, n_rows)
        return {COLUMN: self.levels[numbers].reshape(n_rows, *self.facts.shape)}


def numbers_of(values: NDArray[Any], levels: NDArray[Any]) -> NDArray[np.integer] | None:
    """The number of each value among levels of the same type, in order; None where some is none of them."""
    if values.dtype.itemsize <= 2:
        bits = np.dtype(f"u{values.dtype.itemsize}")
        table = np.full(1 << 8 * bits.itemsize, -1, np.int32)
        table[levels.view(bits)] = np.arange(len(levels))
        numbers = table[np.ascontiguousarray(values).view(bits)]
        return None if numbers.min(initial=0) < 0 else numbers
    numbers = np.minimum(np.searchsorted(levels, values), len(levels) - 1)
    return numbers if (levels[numbers] == values).all() else None


def _facts(told: Any) -> ContextFacts:
    """Facts from JSON; raises KeyError, TypeError or ValueError where they are none."""
    height, width, n_channels = told["picture"]
    low, high = told["log_scale_ends"]
    facts = ContextFacts(
        tuple(told["shape"]),
        (height, width, n_channels),
        tuple((up, right) for up, right in told["offsets"]),
        told["slope"],
        tuple(told["marked"]),
        told["common"],
        told["step"],
        told["n_mixtures"],
        (low, high),
        told["log_levels"],
    )
    offsets = [side for offset in facts.offsets for side in offset]
    whole = [*facts.shape, *facts.picture, *offsets, *facts.marked, low, high]
    whole += [facts.slope, facts.common, facts.step, facts.n_mixtures, facts.log_levels]
    if not all(type(value) is int and abs(value) < 1 << 31 for value in whole):
        raise ValueError("facts that are no whole numbers")
    return facts


def _check(facts: ContextFacts, levels: Any) -> None:
    """Raise ValueError where facts and levels are none, or so large that no writer makes them."""
    sides = facts.picture
    if min(*facts.shape, *sides) < 1 or n_values(facts.shape) != n_values(sides):
        raise ValueError("pictures of another shape")
    if n_values(sides) > MOST_VALUES or sides[2] > MOST_CHANNELS:
        raise ValueError("pictures that are too large")
    offsets, slope = facts.offsets, facts.slope
    if not 1 <= len(offsets) <= MOST_OFFSETS or not 1 <= slope <= FARTHEST:
        raise ValueError("a neighbourhood that is none")
    if any(
        not (0 <= up <= FARTHEST and -FARTHEST <= right < min(slope * up, FARTHEST)) for up, right in offsets
    ):
        raise ValueError("a neighbourhood of what comes later")
    if facts.neighbourhood.n_waves * sides[2] > MOST_WAVES:
        raise ValueError("pictures of too many waves")
    if facts.neighbourhood.margin[1] + facts.neighbourhood.margin[2] + sides[1] <= slope:
        raise ValueError("waves that are none")
    if not isinstance(levels, np.ndarray) or levels.ndim != 1 or levels.dtype.kind not in "iu":
        raise ValueError("levels that are none")
    n = len(levels)
    if not 2 <= n <= MOST_LEVELS or (levels[1:] <= levels[:-1]).any():
        raise ValueError("levels that are not in order")
    marked = facts.marked
    is_known = all(0 <= number < n for number in (*marked, facts.common))
    if not is_known or len(set(marked)) != len(marked) or len(marked) >= n:
        raise ValueError("levels that it does not have")
    if not 1 <= facts.step <= MOST_STEP // n + 1:
        raise ValueError("levels that are read as something else")
    if n - len(marked) > 1 and not 2 <= facts.n_mixtures <= MOST_MIXTURES:
        raise ValueError("levels without a distribution")
    if n - len(marked) > 1 and not {*NEAREST} <= {*offsets}:
        raise ValueError("a neighbourhood without what is next")


def _table(told: Any, n: int) -> Canvas:
    if not isinstance(told, np.ndarray) or told.dtype.kind not in "iu" or told.ndim != 2 or len(told) != n:
        raise ValueError("places that are none")
    found = told.astype(np.int32)
    if (found != told).any():
        raise ValueError("places beyond 32 bits")
    return found

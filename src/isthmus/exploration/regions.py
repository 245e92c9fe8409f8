"""What of a row may be odd by itself: a column, a patch of a picture, a stretch of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.preprocessing.base import Preprocessing
from isthmus.schema import Audio, Schema

PATCHES_A_SIDE, STRETCHES = 5, 32
"""Patches along the longest side of a picture, and stretches of a sequence, at most."""
SMALLEST_PATCH = 2
MOST_COLUMNS, MOST_PLACES = 64, 16
"""Columns, and patches or stretches, of a row that are looked at one by one: those of largest error. An odd
place is large in error itself; a column that is wrong only beside the others need not be."""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Regions of a row: each of its values belongs to one.

    Parameters
    ----------
    of_value
        Number of the region of each value, ``(n_values,)``, in the order of model units (channels first).
    names
        What people call each: ``"bmi"``, ``"rows 4-7, columns 8-11"``, ``"steps 10-19"``; counted from 0.
        Of sounds the seconds since the window began: ``"0.250-0.281 s"``.
    most
        How many of a row are looked at one by one.
    """

    of_value: NDArray[np.int64]
    names: tuple[str, ...]
    most: int

    @property
    def n_regions(self) -> int:
        """How many there are."""
        return len(self.names)

    @property
    def n_looked_at(self) -> int:
        """How many of a row are looked at one by one: no more than there are."""
        return min(self.n_regions, self.most)


def regions_of(scaling: Preprocessing) -> Regions:
    """The regions of rows that a model was fitted on."""
    schema = scaling.schema
    if schema.kind == "pictures":
        return _patches(*schema.sample_shape)
    if schema.kind == "sequences":
        steps, channels = schema.sample_shape
        return _stretches(steps, channels, schema.audio)
    sizes = 1 if scaling.layout is None else [block.size for block in scaling.layout]
    return Regions(np.repeat(np.arange(schema.n_values), sizes), _column_names(schema), MOST_COLUMNS)


def _column_names(schema: Schema) -> tuple[str, ...]:
    if schema.table is not None:
        return tuple(column.name for column in schema.table)
    return schema.columns or tuple(f"column {number}" for number in range(schema.n_values))


def _patches(height: int, width: int, channels: int) -> Regions:
    side = min(max(SMALLEST_PATCH, math.ceil(max(height, width) / PATCHES_A_SIDE)), height, width)
    n_high, n_wide = math.ceil(height / side), math.ceil(width / side)
    of_pixel = (np.arange(height) // side * n_wide)[:, None] + np.arange(width) // side
    names = tuple(
        f"rows {_range(down, side, height)}, columns {_range(across, side, width)}"
        for down in range(n_high)
        for across in range(n_wide)
    )
    return Regions(np.tile(of_pixel.reshape(-1), channels), names, MOST_PLACES)


def _stretches(steps: int, channels: int, audio: Audio | None = None) -> Regions:
    length = math.ceil(steps / STRETCHES)
    ranges = [_range(number, length, steps) for number in range(math.ceil(steps / length))]
    names = tuple(f"step{'s' * ('-' in each)} {each}" for each in ranges)
    if audio is not None:
        ends = [(start, min(start + length, steps)) for start in range(0, steps, length)]
        names = tuple(_moment(first, end, audio) for first, end in ends)
    return Regions(np.tile(np.arange(steps) // length, channels), names, MOST_PLACES)


def _moment(first: int, end: int, audio: Audio) -> str:
    """Steps from the first to before the end as seconds of the window; a frame is centred at its sample."""
    each, centre = (audio.fft_hop, 0.5) if audio.representation == "spectrogram" else (1, 0.0)
    places = (min(max(0.0, (step - centre) * each), audio.window) for step in (first, end))
    return "-".join(f"{place / audio.rate:.3f}" for place in places) + " s"


def _range(number: int, length: int, end: int) -> str:
    first, last = number * length, min((number + 1) * length, end) - 1
    return str(first) if first == last else f"{first}-{last}"

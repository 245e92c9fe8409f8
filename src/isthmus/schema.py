"""What a row is: its kind, shape and type, before any preprocessing."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from isthmus.errors import ArtifactError
from isthmus.shapes import Shape, n_values, shape_text

Kind = Literal["vectors", "sequences", "pictures", "tables"]
ColumnType = Literal["continuous", "count", "category", "boolean", "date"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: what it is called, what it means and how its values stand in a row.

    A row of a table is float64: numbers as they are, categories and booleans as their place in
    ``categories``, dates as seconds since 1970 (UTC), and NaN wherever there is a gap.

    Parameters
    ----------
    name
        As the file or the frame has it.
    type
        ``"continuous"``, ``"count"`` (whole numbers from 0), ``"category"``, ``"boolean"`` or ``"date"``.
    dtype
        Arrow's name of the type that the values came in and go out as, for example ``"int64"``,
        ``"string"`` or ``"timestamp[ns]"``.
    categories
        What a category may be, in the order of its numbers; of a boolean its two words, the false one
        first: ``(False, True)``, ``(0, 1)``, ``("no", "yes")``. None of columns that are numbers.
    form
        Of dates that came as text, how they are written, in the signs of ``strftime``; else None.
    decimals
        Of continuous columns that are no integers, the decimals that tell all their values, where at most 6 do;
        else None.
    unit
        Of dates that came as no text, what all of them are whole numbers of: ``"day"``, ``"second"``, or None.

    Examples
    --------
    >>> Column("thal", "category", "string", ("fixed defect", "normal")).categories
    ('fixed defect', 'normal')
    """

    name: str
    type: ColumnType
    dtype: str
    categories: tuple[str | int | float | bool, ...] | None = None
    form: str | None = None
    decimals: int | None = None
    unit: Literal["day", "second"] | None = None


MOST_DECIMALS = 6
"""Decimals that are kept of a column, at most: a number with more is taken for one of any number of them."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A column of one value and no gap: no model has to learn it, and it comes back as it was.

    Parameters
    ----------
    column
        What it is called and how its value is written.
    value
        The value as it would stand in a row.
    place
        Where the column stands among those that a table has out again, counted from 0.

    Examples
    --------
    >>> Constant(Column("site", "category", "string", ("north",)), 0.0, 2).place
    2
    """

    column: Column
    value: float
    place: int


@dataclass(frozen=True, slots=True)
class Audio:
    """What turns a row back into sound.

    Parameters
    ----------
    rate
        Samples a second, in Hz.
    window
        Samples of sound that a row stands for.
    hop
        Samples from one row's beginning to the next one's in the same file.
    channels
        1 (mono), or as many as the files have.
    representation
        ``"waveform"``: a step a sample; ``"spectrogram"``: a step a frame, its loudness in decibels at
        each frequency, the channels one after the other.
    fft_size, fft_hop
        Samples of a frame of a spectrogram, and from one frame to the next; 0 of a waveform.
    floor_db
        Loudness in decibels that counts as silence in a spectrogram; 0 of a waveform.

    Examples
    --------
    >>> Audio(16000, 16000, 16000, 1, "waveform").describe()
    '1 s at 16,000 Hz, mono'
    """

    rate: int
    window: int
    hop: int
    channels: int
    representation: Literal["waveform", "spectrogram"]
    fft_size: int = 0
    fft_hop: int = 0
    floor_db: float = 0.0

    def describe(self) -> str:
        """How long a row sounds, in a few words."""
        voices = "mono" if self.channels == 1 else f"{self.channels} channels"
        return f"{self.window / self.rate:.4g} s at {self.rate:,} Hz, {voices}"


@dataclass(frozen=True, slots=True)
class Schema:
    """What one row of a source is, in data units.

    Parameters
    ----------
    kind
        ``"vectors"`` (rows, features), ``"sequences"`` (rows, steps, channels), ``"pictures"``
        (rows, height, width, channels) or ``"tables"`` (rows, columns of several types, with gaps).
    sample_shape
        Shape of one row, channels last: ``(features,)``, ``(steps, channels)``,
        ``(height, width, channels)`` or ``(columns,)``.
    dtype
        NumPy name of the values' type in the source, for example ``"uint8"``.
    value_range
        Lowest and highest value, in data units, where they are known: of a source, what its type
        gives (``(0, 255)`` for 8-bit pictures); of fitted pictures, what is mapped to [0, 1]. Else None.
    columns
        Names of the features of vectors, where the source has names.
    table
        The columns of tables, and of nothing else.
    audio
        What sequences that are sound need to be heard again, and nothing else has.
    constants
        Columns of a table that hold one value alone. They are no part of a row.
    lists
        Names and lengths of the list columns of a file whose values, side by side, are those of vectors.

    Examples
    --------
    >>> Schema("pictures", (28, 28, 1), "uint8", (0.0, 255.0)).describe()
    'pictures 28 x 28 x 1, uint8'
    """

    kind: Kind
    sample_shape: Shape
    dtype: str
    value_range: tuple[float, float] | None = None
    columns: tuple[str, ...] | None = None
    table: tuple[Column, ...] | None = None
    constants: tuple[Constant, ...] = ()
    audio: Audio | None = None
    lists: tuple[tuple[str, int], ...] = ()

    @property
    def n_values(self) -> int:
        """How many numbers a row holds."""
        return n_values(self.sample_shape)

    def describe(self) -> str:
        """One line for people."""
        if self.kind == "tables":
            return f"rows of {self.n_values} column{'' if self.n_values == 1 else 's'}"
        words = f"{self.kind} {shape_text(self.sample_shape)}, {self.dtype}"
        if self.audio is None:
            return words
        return f"{words} ({self.audio.representation}s of {self.audio.describe()})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Schema:
        """The schema that :meth:`to_dict` described.

        Raises
        ------
        ArtifactError
            No rows of that kind can be.
        """
        columns, value_range, table = (values.get(name) for name in ("columns", "value_range", "table"))
        audio, constants, lists = values.get("audio"), values.get("constants", ()), values.get("lists", ())
        possible = _is_possible(values, columns, value_range, table) and _are_lists(lists, values)
        if not possible or not _is_sound(audio, values) or not _are_constants(constants, table):
            raise ArtifactError(
                f"Schema: expected the description of vectors, sequences, pictures or tables, got "
                f"{str(values)[:200]}; the model file is damaged, take another copy."
            )
        return cls(
            kind=values["kind"],
            sample_shape=tuple(values["sample_shape"]),
            dtype=values["dtype"],
            value_range=None if value_range is None else (value_range[0], value_range[1]),
            columns=None if columns is None else tuple(columns),
            table=None if table is None else tuple(_column(one) for one in table),
            audio=None if audio is None else Audio(**audio),
            constants=tuple(
                Constant(_column(one["column"]), one["value"], one["place"]) for one in constants
            ),
            lists=tuple((name, length) for name, length in lists),
        )


TYPES = {
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "float32", "float64", "longdouble", "float96", "float128",
}  # fmt: skip
"""NumPy's names of what a source may hold."""
AXES = {"vectors": 1, "sequences": 2, "pictures": 3, "tables": 1}


def _column(values: dict[str, Any]) -> Column:
    categories = values["categories"]
    return Column(
        values["name"],
        values["type"],
        values["dtype"],
        None if categories is None else tuple(categories),
        values["form"],
        values.get("decimals"),
        values.get("unit"),
    )


def _is_table(table: Any, n_columns: int) -> bool:
    return isinstance(table, (list, tuple)) and len(table) == n_columns and all(map(_is_column, table))


def _is_column(values: Any) -> bool:
    # Models from before decimals and units were kept have none.
    if not isinstance(values, dict) or {*values, "decimals", "unit"} != {
        field.name for field in fields(Column)
    }:
        return False
    categories = values["categories"]
    if not isinstance(values["name"], str) or not isinstance(values["dtype"], str) or not _is_written(values):
        return False
    if values["type"] not in ("category", "boolean"):
        return values["type"] in get_args(ColumnType) and categories is None
    return isinstance(categories, (list, tuple)) and all(
        isinstance(one, (str, int, float)) for one in categories
    )


def _is_written(values: dict[str, Any]) -> bool:
    """Whether form and unit are those of dates, and decimals those of numbers."""
    form, decimals, unit, type_ = values["form"], values.get("decimals"), values.get("unit"), values["type"]
    counted = type(decimals) is int and 0 <= decimals <= MOST_DECIMALS and type_ == "continuous"
    return (
        (form is None or (isinstance(form, str) and type_ == "date"))
        and (decimals is None or counted)
        and (unit is None or (unit in ("day", "second") and type_ == "date"))
    )


def _is_sound(audio: Any, values: dict[str, Any]) -> bool:
    """Whether this is no audio, or one that the shape of a row fits."""
    if audio is None:
        return True
    if not isinstance(audio, dict) or set(audio) != {field.name for field in fields(Audio)}:
        return False
    counts = [audio[name] for name in ("rate", "window", "hop", "channels")]
    if values["kind"] != "sequences" or not all(type(count) is int and count >= 1 for count in counts):
        return False
    steps, channels = values["sample_shape"]
    if audio["representation"] == "waveform":
        return (steps, channels) == (audio["window"], audio["channels"])
    size, hop, floor = audio["fft_size"], audio["fft_hop"], audio["floor_db"]
    if audio["representation"] != "spectrogram" or type(size) is not int or type(hop) is not int:
        return False
    return (
        size >= 2 * hop >= 2
        and size % hop == 0
        and size % 2 == 0
        and type(floor) in (int, float)
        and math.isfinite(floor)
        and floor < 0
        and channels == (size // 2 + 1) * audio["channels"]
        and steps == 1 + -(-audio["window"] // hop)
    )


def _are_constants(constants: Any, table: Any) -> bool:
    if not isinstance(constants, (list, tuple)) or (constants and table is None):
        return False
    return all(
        isinstance(one, dict)
        and set(one) == {"column", "value", "place"}
        and _is_column(one["column"])
        and isinstance(one["value"], (int, float))
        and math.isfinite(one["value"])
        and type(one["place"]) is int
        for one in constants
    )


def _are_lists(lists: Any, values: dict[str, Any]) -> bool:
    """Whether these are names and lengths that the values of a vector fill; none at all are fine."""
    if not isinstance(lists, (list, tuple)):
        return False
    pairs = all(
        isinstance(one, (list, tuple))
        and len(one) == 2
        and isinstance(one[0], str)
        and type(one[1]) is int
        and one[1] >= 1
        for one in lists
    )
    if not pairs or not lists:
        return pairs
    return values["kind"] == "vectors" and sum(one[1] for one in lists) == values["sample_shape"][0]


def _is_possible(values: dict[str, Any], columns: Any, value_range: Any, table: Any) -> bool:
    shape, kind = values["sample_shape"], values["kind"]
    if not isinstance(kind, str) or kind not in AXES or values["dtype"] not in TYPES:
        return False
    if not isinstance(shape, (list, tuple)) or len(shape) != AXES[kind]:
        return False
    if not all(type(side) is int and side >= 1 for side in shape):
        return False
    if not _is_table(table, shape[0]) if kind == "tables" else table is not None:
        return False
    if columns is not None and not (
        isinstance(columns, (list, tuple))
        and len(columns) == shape[0]
        and all(isinstance(name, str) for name in columns)
    ):
        return False
    return value_range is None or (
        isinstance(value_range, (list, tuple))
        and len(value_range) == 2
        and all(isinstance(end, (int, float)) and math.isfinite(end) for end in value_range)
    )

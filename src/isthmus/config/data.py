"""Description of the data: how rows are read and brought to model units."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator

from isthmus.config.description import Description, description, numpy_scalars, within
from isthmus.errors import ParameterError
from isthmus.memory import parse_bytes

Side = Annotated[int, numpy_scalars, within("[1, inf)", "It is a side in pixels or a count.")]


Rate = Annotated[int, numpy_scalars, within("[1, 10000000]", "It is a rate in Hz, 16000 for example.")]
Seconds = Annotated[float, numpy_scalars, within("(0, 86400]", "It is a time in seconds, 1 for example.")]
Even = Annotated[int, numpy_scalars, within("[4, 1048576]", "It is a count of samples, 1024 for example.")]
Step = Annotated[int, numpy_scalars, within("[1, 524288]", "It is a count of samples, 256 for example.")]
Floor = Annotated[float, numpy_scalars, within("[-300, 0)", "It is a loudness in dB, -80 for example.")]

ColumnChoice = Literal["continuous", "count", "category", "boolean", "date", "ignore"]
"""What a column of a table may be said to be."""


def _as_types(value: Any) -> Any:
    """Names of columns and their types, or which of them cannot be."""
    if not isinstance(value, dict):
        raise ParameterError(
            f"data.types: expected columns and their types, got {value!r}; try data.types.NAME=category."
        )
    for name, given in value.items():  # pyright: ignore[reportUnknownVariableType]
        if isinstance(given, dict):
            raise ParameterError(
                f"data.types: expected a type for column {name!r}, got {given!r}; put a name with points in quotes, "
                f'data.types."NAME"=category.'
            )
        if given not in get_args(ColumnChoice):
            raise ParameterError(
                f"data.types: column {name!r} must be one of {', '.join(get_args(ColumnChoice))}, got {given!r}; "
                f"choose one of them."
            )
    return value  # pyright: ignore[reportUnknownVariableType]


Types = Annotated[dict[str, ColumnChoice], BeforeValidator(_as_types)]


def _checked_size(value: int | str) -> int | str:
    if value != "auto":
        parse_bytes(value, "data.memory")
    return value


Size = Annotated[int | str, numpy_scalars, AfterValidator(_checked_size)]


@description
class Data(Description):
    """How rows become model units.

    Parameters
    ----------
    scaling
        ``"standardise"``: each column to mean 0 and deviation 1; ``"range"``: all columns jointly,
        or pixels, to [0, 1]; ``"raw"``: as they are; ``"auto"``: pictures, bytes and columns that
        share one bounded unit by range, other columns standardised; all columns by range where
        the likelihood is chosen to be Bernoulli, which wants [0, 1]. A channel of sequences is
        scaled by its own mean and deviation, or its own range, over all rows and steps.
        ``"quantile"``: each column of tables or vectors to normal scores by its own distribution
        function, so that neither long tails nor outliers count for more; what ``"auto"`` is for the
        numbers of tables. Categories are one of several zeros and ones under every scaling.
    missing
        What NaN is in tables and vectors: ``"mask"``: a gap, of which the encoder is told and no loss
        knows; ``"refuse"``: an error; ``"auto"``: mask for tables, else refuse.
    sample_shape
        Shape of one row, ``(height, width)`` or ``(height, width, channels)``, where flat rows are
        pictures, ``(steps,)`` or ``(steps, channels)`` where they are sequences; None takes rows as
        they come.
    row_kind
        What the rows of an array are: ``"vectors"`` (features), ``"sequences"`` (steps, channels) or
        ``"pictures"`` (height, width, channels). ``"auto"``: sequences where the network is ``conv1d``,
        else by the number of axes alone, and three of them are pictures of one channel.
    types
        Columns of a table and what they are, whatever their values say: ``"continuous"``, ``"count"``,
        ``"category"``, ``"boolean"``, ``"date"``, or ``"ignore"`` to leave one out. None lets the values say.
    array
        Name of the array of an ``.npz`` file, or of the list column or columns of a Parquet or Arrow file,
        that the rows are; None takes x, data and the like, or all list columns side by side.
    resize
        ``(height, width)`` to which pictures of mixed sizes are brought, or None to refuse them.
    resize_by
        ``"stretch"``: without keeping the proportions; ``"crop"``: kept, what stands over is cut off
        evenly; ``"pad"``: kept, the rest is filled with the median colour of the picture's border.
    strict
        Whether a file that cannot be read among others is refused. Otherwise it is left out, and a
        note names it.
    memory
        What rows may take of the memory: ``"2GB"``, ``"500MB"``, ``"1.5GiB"`` or a number of bytes. Rows that fit
        are held; others are read by block, in every pass anew, and their order in the file then matters:
        see :class:`isthmus.training.streaming.StreamedRows`. ``"auto"``: half of what is free, rounded down to a
        power of two; where that decides, it is written down as the bytes that it was.
    sound_rate
        Hz that sounds are brought to; None for the most common rate of the files. This and all below is for
        sounds alone; see :func:`isthmus.sources.audio.open_audio`.
    channels
        Of sounds: ``"mono"``, or ``"all"`` for as many as the files have; ``"auto"`` is mono.
    window_seconds
        Seconds of sound a row; None for 1.
    hop_seconds
        Seconds from a window's beginning to the next one's, a window's length at most; None for that.
    representation
        ``"waveform"`` (samples) or ``"spectrogram"`` (loudness in dB at each frequency, phases found anew on
        the way out); ``"auto"`` is the latter.
    fft_size, fft_hop
        Samples of a spectrogram's frame, and from one frame to the next; None for about 64 ms and a
        quarter of it.
    floor_db
        Loudness in dB that counts as silence in a spectrogram; None for -80.

    Examples
    --------
    >>> Data(sound_rate=16000, window_seconds=0.5).sound_options()
    {'sound_rate': 16000, 'window_seconds': 0.5}
    >>> Data(types={"ward": "catgory"})
    Traceback (most recent call last):
        ...
    isthmus.errors.ParameterError: data.types: column 'ward' must be one of continuous, count, category, boolean, \
date, ignore, got 'catgory'; choose one of them.
    """

    scaling: Literal["auto", "standardise", "range", "raw", "quantile"] = "auto"
    missing: Literal["auto", "refuse", "mask"] = "auto"
    sample_shape: tuple[Side, ...] | None = None
    row_kind: Literal["auto", "vectors", "sequences", "pictures"] = "auto"
    types: Types | None = None
    array: str | tuple[str, ...] | None = None
    resize: tuple[Side, Side] | None = None
    resize_by: Literal["stretch", "crop", "pad"] = "stretch"
    strict: bool = False
    memory: Size = "auto"
    sound_rate: Rate | None = None
    channels: Literal["auto", "mono", "all"] = "auto"
    window_seconds: Seconds | None = None
    hop_seconds: Seconds | None = None
    representation: Literal["auto", "waveform", "spectrogram"] = "auto"
    fft_size: Even | None = None
    fft_hop: Step | None = None
    floor_db: Floor | None = None

    def sound_options(self) -> dict[str, Any]:
        """What is asked for of sounds, by name; what is not is left out."""
        values = {name: getattr(self, name) for name in SOUND_OPTIONS}
        return {name: value for name, value in values.items() if value not in (None, "auto", False)}


SOUND_OPTIONS = (
    "sound_rate",
    "channels",
    "window_seconds",
    "hop_seconds",
    "representation",
    "fft_size",
    "fft_hop",
    "floor_db",
)
"""Keys that are for sounds alone."""

"""What a row is: its kind, shape and type, before any preprocessing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from isthmus.shapes import Shape, n_values, shape_text


@dataclass(frozen=True, slots=True)
class Schema:
    """What one row of a source is, in data units.

    Parameters
    ----------
    kind
        ``"vectors"`` (rows, features) or ``"pictures"`` (rows, height, width, channels).
    sample_shape
        Shape of one row, channels last: ``(features,)`` or ``(height, width, channels)``.
    dtype
        NumPy name of the values' type in the source, for example ``"uint8"``.
    value_range
        Lowest and highest value that this kind of data can take, in data units, where it is known
        (``(0, 255)`` for 8-bit pictures, ``(0, 1)`` for pictures of floats); None otherwise.
    columns
        Names of the features of vectors, where the source has names.

    Examples
    --------
    >>> Schema("pictures", (28, 28, 1), "uint8", (0.0, 255.0)).describe()
    'pictures 28 x 28 x 1, uint8'
    """

    kind: Literal["vectors", "pictures"]
    sample_shape: Shape
    dtype: str
    value_range: tuple[float, float] | None = None
    columns: tuple[str, ...] | None = None

    @property
    def n_values(self) -> int:
        """How many numbers a row holds."""
        return n_values(self.sample_shape)

    def describe(self) -> str:
        """One line for people."""
        return f"{self.kind} {shape_text(self.sample_shape)}, {self.dtype}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Schema:
        """The schema that :meth:`to_dict` described."""
        columns, value_range = values.get("columns"), values.get("value_range")
        return cls(
            kind=values["kind"],
            sample_shape=tuple(values["sample_shape"]),
            dtype=values["dtype"],
            value_range=None if value_range is None else (value_range[0], value_range[1]),
            columns=None if columns is None else tuple(columns),
        )

"""What a row is: its kind, shape and type, before any preprocessing."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from isthmus.errors import ArtifactError
from isthmus.shapes import Shape, n_values, shape_text

Kind = Literal["vectors", "sequences", "pictures"]


@dataclass(frozen=True, slots=True)
class Schema:
    """What one row of a source is, in data units.

    Parameters
    ----------
    kind
        ``"vectors"`` (rows, features), ``"sequences"`` (rows, steps, channels) or ``"pictures"``
        (rows, height, width, channels).
    sample_shape
        Shape of one row, channels last: ``(features,)``, ``(steps, channels)`` or
        ``(height, width, channels)``.
    dtype
        NumPy name of the values' type in the source, for example ``"uint8"``.
    value_range
        Lowest and highest value, in data units, where they are known: of a source, what its type
        gives (``(0, 255)`` for 8-bit pictures); of fitted pictures, what is mapped to [0, 1]. Else None.
    columns
        Names of the features of vectors, where the source has names.

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
        """The schema that :meth:`to_dict` described.

        Raises
        ------
        ArtifactError
            No rows of that kind can be.
        """
        columns, value_range = values.get("columns"), values.get("value_range")
        if not _is_possible(values, columns, value_range):
            raise ArtifactError(
                f"Schema: expected the description of vectors, sequences or pictures of numbers, got "
                f"{str(values)[:200]}; the model file is damaged, take another copy."
            )
        return cls(
            kind=values["kind"],
            sample_shape=tuple(values["sample_shape"]),
            dtype=values["dtype"],
            value_range=None if value_range is None else (value_range[0], value_range[1]),
            columns=None if columns is None else tuple(columns),
        )


TYPES = {
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "float32", "float64", "longdouble", "float96", "float128",
}  # fmt: skip
"""NumPy's names of what a source may hold."""
AXES = {"vectors": 1, "sequences": 2, "pictures": 3}


def _is_possible(values: dict[str, Any], columns: Any, value_range: Any) -> bool:
    shape, kind = values["sample_shape"], values["kind"]
    if not isinstance(kind, str) or kind not in AXES or values["dtype"] not in TYPES:
        return False
    if not isinstance(shape, (list, tuple)) or len(shape) != AXES[kind]:
        return False
    if not all(type(side) is int and side >= 1 for side in shape):
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

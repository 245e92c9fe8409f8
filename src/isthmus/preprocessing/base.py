"""The contract of preprocessing: data units to model units and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from isthmus.schema import Schema
from isthmus.shapes import Layout, Shape, to_channels_first

State = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""What an artifact keeps: plain values for JSON, and arrays."""


class Preprocessing(ABC):
    """A map from rows in data units to float32 in model units, and its inverse.

    It is fitted on training rows only and travels inside the artifact. A row's result does not
    depend on the rows beside it.
    """

    schema: Schema
    """What a row is in data units."""
    notes: tuple[str, ...]
    """What people should know about the fit, one sentence each."""
    method: str
    """How numbers are brought to model units: ``"standardise"``, ``"range"``, ``"none"`` or ``"quantile"``."""
    layout: Layout | None = None
    """Which features belong to one column; None where every value is a feature of its own."""
    allows_gaps: bool = False
    """Whether NaN is a gap, in data units and in model units; else it is refused."""
    centre: NDArray[np.float64] | None = None
    """Mean of each feature over the training rows without its gaps, ``(features,)``; None without a layout."""

    @property
    def model_shape(self) -> Shape:
        """Shape of one row in model units: channels first."""
        return to_channels_first(self.schema.sample_shape)

    @abstractmethod
    def to_model(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Rows ``(n, *schema.sample_shape)`` in data units as ``(n, *model_shape)`` in model units."""

    @abstractmethod
    def to_data(self, model_units: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
        """Rows ``(n, *model_shape)`` in model units as ``(n, *schema.sample_shape)`` in data units."""

    @abstractmethod
    def to_state(self) -> State:
        """What :meth:`from_state` of the same class needs to build an equal one, bit for bit."""

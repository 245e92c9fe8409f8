"""Data units to model units and back, fitted in one pass over the training rows."""

from typing import Any

from numpy.typing import NDArray

from isthmus.preprocessing.base import Preprocessing
from isthmus.preprocessing.likelihood import LikelihoodChoice, infer_likelihood, is_black_and_white
from isthmus.preprocessing.scaling import Scaling
from isthmus.preprocessing.table_scaling import TableScaling


def from_state(values: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Preprocessing:
    """The preprocessing whose :meth:`Preprocessing.to_state` gave these; one of no type is a :class:`Scaling`."""
    return (TableScaling if values.get("type") == "table" else Scaling).from_state(values, arrays)


__all__ = [
    "LikelihoodChoice",
    "Preprocessing",
    "Scaling",
    "TableScaling",
    "from_state",
    "infer_likelihood",
    "is_black_and_white",
]

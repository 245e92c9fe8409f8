"""What a model makes of each column of a table, in the column's own unit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.inference import Inference
from isthmus.model.autoencoder import AutoencoderModule
from isthmus.preprocessing import TableScaling
from isthmus.sources import Source
from isthmus.sources.subset import Subset

MOST_HIDDEN = 1024
"""Rows, evenly spaced, on which every column is hidden in its turn; it takes a pass a column."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ColumnError:
    """Errors of one column over the rows that have a value there.

    Of numbers and dates (in seconds) the mean absolute error, of categories and booleans the share that
    is wrong; beside each the best constant of the training rows: their median, or their most common value.
    """

    name: str
    type: str
    n_rows: int
    """Rows with a value; without any, the errors are None."""
    error: float | None
    """Of the reconstruction."""
    constant: float | None
    """Of the best constant."""
    hidden: float | None = None
    """Of what the model says where this column alone is hidden from it; None if it knows no gaps."""
    hidden_constant: float | None = None
    """Of the best constant on the same rows, 1,024 at most."""

    def to_dict(self) -> dict[str, Any]:
        """The documented keys under ``columns``; see ``docs/metrics.md``."""
        values = {
            "name": self.name,
            "type": self.type,
            "rows": self.n_rows,
            "error": self.error,
            "constant": self.constant,
        }
        if self.hidden is not None:
            values |= {"hidden": self.hidden, "hidden_constant": self.hidden_constant}
        return values


def column_errors(
    inference: Inference, source: Source, weights: NDArray[np.float32] | None = None, *, hide: bool = True
) -> tuple[ColumnError, ...] | None:
    """Errors of all columns of a table; None of rows that are none.

    ``hide`` asks for the errors of hidden columns too, from a model that knows gaps.
    """
    scaling = inference.model.scaling
    if not isinstance(scaling, TableScaling) or scaling.schema.kind != "tables":
        return None
    rows = source.read(slice(0, len(source))).astype(np.float64)
    found = _errors(scaling, rows, inference.reconstruct(source).astype(np.float64), weights)
    constant = _errors(scaling, rows, np.broadcast_to(scaling.typical, rows.shape), weights)
    hidden = hidden_constant = [None] * len(found)
    if hide and scaling.allows_gaps:
        chosen = np.linspace(0, len(source) - 1, min(len(source), MOST_HIDDEN)).round().astype(np.int64)
        some = None if weights is None else weights[chosen]
        hidden = _errors(scaling, rows[chosen], _from_the_others(inference, Subset(source, chosen)), some)
        typical = np.broadcast_to(scaling.typical, rows[chosen].shape)
        hidden_constant = _errors(scaling, rows[chosen], typical, some)
    return tuple(
        ColumnError(column.name, column.type, int((~np.isnan(rows[:, place])).sum()), *errors)
        for place, (column, *errors) in enumerate(
            zip(scaling.columns, found, constant, hidden, hidden_constant, strict=True)
        )
    )


def _errors(
    scaling: TableScaling, rows: Array, said: Array, weights: NDArray[np.float32] | None
) -> list[float | None]:
    """Mean over the rows that have a value, a column each; None without any."""
    counts = np.ones(len(rows)) if weights is None else weights.astype(np.float64)
    result: list[float | None] = []
    for place, column in enumerate(scaling.columns):
        seen = ~np.isnan(rows[:, place])
        true, guess, count = rows[seen, place], said[seen, place], counts[seen]
        off = np.abs(true - guess) if column.categories is None else (true != guess).astype(np.float64)
        result.append(float(np.average(off, weights=count)) if count.sum() > 0 else None)
    return result


def _from_the_others(inference: Inference, source: Source) -> Array:
    """Each value as the model says it where it alone is hidden, ``(rows, columns)`` in data units."""
    scaling = inference.model.scaling
    ends = np.cumsum([0, *(block.size for block in scaling.layout or ())])
    slices = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]

    def said(module: AutoencoderModule, x: Tensor) -> Tensor:
        result = torch.empty_like(x)
        for features in slices:
            shown = x.clone()
            shown[:, features] = torch.nan
            result[:, features] = module.reconstruct(shown)[:, features]
        return result

    return scaling.to_data(inference.over(source, said, scaling.model_shape)).astype(np.float64)

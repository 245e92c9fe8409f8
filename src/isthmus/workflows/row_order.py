"""Rows as a weighted set: in a canonical order, equal ones merged, weightless ones left out.

A fit then is a function of *which* rows there are and how much they weigh, not of how a file
lists them: a row given twice and a row of weight 2 give the same model, bit for bit (only its
metrics say how many rows were given), and no copy of a training row can sit among the validation
rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source
from isthmus.sources.digests import row_digests
from isthmus.sources.subset import Subset

Indices = NDArray[np.int64]
Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some rows of a source, and what each weighs."""

    source: Source
    weights: Weights | None
    """Of mean 1; None if all weigh the same."""
    n_given: int
    """Rows as they were given, of positive weight: each of several equal ones counts."""
    room: int | None = None
    """Bytes that the rows may take, where they are read by block; None where they are held."""


def split_rows(
    source: Source,
    sample_weight: NDArray[np.float64] | None,
    validation_share: float,
    seed: int,
    who: str = "fit",
    *,
    labelled: bool = False,
    allows_gaps: bool = False,
) -> tuple[Part, Part | None]:
    """Training and validation rows of a source; the choice is a function of the rows and the seed.

    ``labelled`` rows are equal where their labels are too, and every label keeps a row to train on.
    ``allows_gaps``: NaN is a gap, equal to any other; else it is refused.
    """
    rows, weights, counts = weighted_set(
        source, sample_weight, who, labelled=labelled, allows_gaps=allows_gaps
    )
    if len(rows) < 2:
        raise DataError(
            f"fit: expected at least 2 different rows, got {len(rows)} (n_samples = {len(source)}). "
            "1 sample has no structure to learn; give more rows."
        )
    order = Randomness(seed, "validation split").permutation(len(rows)).numpy()
    n_validation = int(validation_share * len(rows))
    if labelled and source.labels is not None:
        order = _first_of_each_last(order, source.labels[rows])
        n_validation = min(n_validation, len(rows) - len(np.unique(source.labels[rows])))
    held_out = np.sort(order[:n_validation])
    training = np.sort(order[n_validation:])
    if n_validation == 0:
        return _part(source, rows, weights, counts, training), None
    held = _part(source, rows, weights, counts, held_out)
    return _part(source, rows, weights, counts, training), held


def weighted_set(
    source: Source,
    sample_weight: NDArray[np.float64] | None,
    who: str = "fit",
    *,
    labelled: bool = False,
    allows_gaps: bool = False,
) -> tuple[Indices, NDArray[np.float64], Indices]:
    """Different rows of positive weight in canonical order: a position, total weight and count of each."""
    first, inverse = _sets(
        *row_digests(source, who, source.labels if labelled else None, allows_gaps=allows_gaps)
    )
    weights = np.bincount(inverse, weights=sample_weight, minlength=len(first)).astype(np.float64)
    given = inverse if sample_weight is None else inverse[sample_weight > 0]
    counts = np.bincount(given, minlength=len(first))
    kept = weights > 0
    return first[kept].astype(np.int64), weights[kept], counts[kept]


def all_rows(
    source: Source,
    sample_weight: NDArray[np.float64] | None = None,
    who: str = "fit",
    *,
    labelled: bool = False,
    allows_gaps: bool = False,
) -> Part:
    """Every row of a source as one part, as the weighted set that it is."""
    rows, weights, counts = weighted_set(
        source, sample_weight, who, labelled=labelled, allows_gaps=allows_gaps
    )
    return _part(source, rows, weights, counts, np.arange(len(rows)))


def _part(
    source: Source, rows: Indices, weights: NDArray[np.float64], counts: Indices, chosen: Indices
) -> Part:
    return Part(Subset(source, rows[chosen]), normalised(weights[chosen]), int(counts[chosen].sum()))


def normalised(weights: NDArray[np.float64]) -> Weights | None:
    """Weights of mean 1; None if all are the same.

    >>> normalised(np.array([1.0, 3.0])), normalised(np.array([2.0, 2.0]))
    (array([0.5, 1.5], dtype=float32), None)
    """
    equal = bool((weights == weights[0]).all()) if len(weights) else True
    return None if equal else (weights / weights.mean()).astype(np.float32)


def _first_of_each_last(order: Indices, labels: NDArray[Any]) -> Indices:
    """The same order with the first row of each label moved to its end."""
    _, first = np.unique(labels[order], return_index=True)
    first = np.sort(first)
    return np.concatenate([np.delete(order, first), order[first]])


def _sets(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> tuple[Indices, Indices]:
    """The first row of each set of equal digests, sets in the order of their digests, and each row's set."""
    order = np.argsort(first)
    ties = first[order[1:]] == first[order[:-1]]
    if ties.any():
        order = np.argsort(first, kind="stable")  # which takes four times as long
    if bool((ties & (second[order[1:]] != second[order[:-1]])).any()):
        order = np.lexsort((second, first))
        ties = (first[order[1:]] == first[order[:-1]]) & (second[order[1:]] == second[order[:-1]])
    begins = np.concatenate([[True], ~ties])
    places = np.empty(len(order), np.int64)
    places[order] = np.cumsum(begins) - 1
    return order[begins], places

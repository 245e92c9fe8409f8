"""Rows as a weighted set: in a canonical order, equal ones merged, weightless ones left out.

A fit then is a function of *which* rows there are and how much they weigh, not of how a file
lists them: a row given twice and a row of weight 2 give the same model, bit for bit (only its
metrics say how many rows were given), and no copy of a training row can sit among the validation
rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.numerics.randomness import Randomness
from isthmus.sources import Source, check_rows
from isthmus.sources.subset import Subset

BLOCK = 4096
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
    digests = _digests(source, who, source.labels if labelled else None, allows_gaps=allows_gaps)
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    inverse = inverse.ravel()
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
    own = weights[chosen]
    equal = bool((own == own[0]).all()) if len(own) else True
    normalised = None if equal else (own / own.mean()).astype(np.float32)
    return Part(Subset(source, rows[chosen]), normalised, int(counts[chosen].sum()))


def _first_of_each_last(order: Indices, labels: NDArray[Any]) -> Indices:
    """The same order with the first row of each label moved to its end."""
    _, first = np.unique(labels[order], return_index=True)
    first = np.sort(first)
    return np.concatenate([np.delete(order, first), order[first]])


def _digests(source: Source, who: str, labels: NDArray[Any] | None, *, allows_gaps: bool) -> NDArray[np.void]:
    """A digest of each row's bytes, and of its label if there are any, 16 bytes a row; every row is finite.

    Where gaps are allowed a gap is a gap, whichever NaN it is.
    """
    found = np.empty(len(source), "V16")
    for start in range(0, len(source), BLOCK):
        block: NDArray[Any] = np.ascontiguousarray(source.read(slice(start, start + BLOCK)))
        check_rows(block, who, first_row=start, allows_gaps=allows_gaps)
        if block.dtype.kind == "f":
            block = block + 0.0  # -0.0 is 0.0
            block[np.isnan(block)] = np.nan
        for row, values in enumerate(block):
            digest = hashlib.blake2b(values.data, digest_size=16)
            if labels is not None:
                digest.update(str(labels[start + row]).encode())
            found[start + row] = digest.digest()
    return found

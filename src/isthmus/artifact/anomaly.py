"""What is usual for a model: the errors of its training rows, and how odd they and held-out rows are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ParameterError

Measure = Literal["relative_error", "squared_error", "evidence"]
N_QUANTILES = 1000
"""Quantiles of the anomaly that a file keeps, from the 0th to the 1000th thousandth."""
USUAL_SHARE = 0.99
"""Share of the held-out rows that the threshold has below it unless something else is asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What an anomaly is measured against: kept in the model file, so that a model alone can score.

    Parameters
    ----------
    measure
        What the anomaly of a row is; see :mod:`isthmus.exploration.anomaly`.
    errors
        Mean squared error of each value over the training rows, in model units, ``(n_values,)``.
    training
        Quantiles of the training rows' anomaly, ``(1001,)``: the 0th, 1st, ..., 1000th thousandth.
    held_out
        The same of the rows that were held out from training, or None.
    threshold
        A row is an anomaly if it is above.
    rule
        Where the threshold came from, in words.
    contamination
        Share of the rows of the fit that lie above the threshold, where that decided it.
    products
        Mean product of the residuals of each two values over the training rows, in model units,
        ``(n_values, n_values)``; None of rows of many values.
    """

    measure: Measure
    errors: NDArray[np.float32]
    training: NDArray[np.float64]
    held_out: NDArray[np.float64] | None
    threshold: float
    rule: str
    contamination: float | None = None
    products: NDArray[np.float32] | None = None

    def with_threshold(self, threshold: float, rule: str, contamination: float | None = None) -> Usual:
        """The same with another threshold, and where that came from."""
        return replace(self, threshold=threshold, rule=rule, contamination=contamination)

    def above_share_of_training(self, contamination: float) -> float:
        """The threshold that a share of the training rows lies above, to a thousandth of the rows.

        Raises
        ------
        ParameterError
            A share outside (0, 0.5].
        """
        check_contamination(contamination)
        return _read_off(self.training, 1 - contamination)

    def at_quantile(self, quantile: float) -> float:
        """The threshold that a share of the held-out rows (without any, of the training rows) does not exceed.

        Raises
        ------
        ParameterError
            A share outside (0, 1].
        """
        if not 0 < quantile <= 1:
            raise ParameterError(
                f"quantile: must be in (0, 1], got {quantile!r}. It is the share of usual rows at or below the "
                "threshold; try 0.99."
            )
        return _read_off(self.training if self.held_out is None else self.held_out, quantile)

    def to_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Words for JSON, and arrays."""
        words = {
            "measure": self.measure,
            "threshold": self.threshold,
            "rule": self.rule,
            "contamination": self.contamination,
        }
        arrays: dict[str, NDArray[Any]] = {"errors": self.errors, "training": self.training}
        if self.held_out is not None:
            arrays["held_out"] = self.held_out
        if self.products is not None:
            arrays["products"] = self.products
        return words, arrays

    @classmethod
    def from_state(cls, words: dict[str, Any], arrays: dict[str, NDArray[Any]], n_values: int) -> Usual:
        """What :meth:`to_state` told.

        Raises
        ------
        ValueError, TypeError, KeyError
            It is not of the right shape or type.
        """
        errors, training, held_out = arrays["errors"], arrays["training"], arrays.get("held_out")
        products = arrays.get("products")  # models of an earlier isthmus have none
        if errors.shape != (n_values,) or errors.dtype != np.float32 or not (errors >= 0).all():
            raise ValueError(f"anomaly.errors are no {n_values} errors")
        if products is not None and not _are_products(products, n_values):
            raise ValueError(f"anomaly.products are none of {n_values} values")
        for quantiles in (training, held_out):
            if quantiles is not None and not _are_quantiles(quantiles):
                raise ValueError("anomaly quantiles are none")
        threshold, rule, measure = words["threshold"], words["rule"], words["measure"]
        if type(threshold) not in (int, float) or not math.isfinite(threshold) or not isinstance(rule, str):
            raise TypeError("anomaly.threshold is no number with its rule")
        if measure not in get_args(Measure):
            raise ValueError(f"anomaly.measure is {measure!r}")
        contamination = words["contamination"]
        if contamination is not None:
            check_contamination(contamination)
        return cls(measure, errors, training, held_out, float(threshold), rule, contamination, products)


def check_contamination(contamination: float) -> None:
    """Refuse what is no share in (0, 0.5]."""
    if not 0 < contamination <= 0.5:
        raise ParameterError(
            f"contamination: must be in (0, 0.5], got {contamination!r}. It is the share of the training rows "
            "that count as anomalies; try 0.01."
        )


def quantiles(values: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Each thousandth of the values, ``(1001,)``: of k thousandths the lowest value that so many are at or below.

    Always a value that was there, and one of weight 2 counts as two.

    Examples
    --------
    >>> quantiles(np.array([3.0, 1.0, 2.0]))[[0, 500, 1000]]
    array([1., 2., 3.])
    """
    return _quantiles(values, np.arange(N_QUANTILES + 1) / N_QUANTILES, weights)


def quantile(values: NDArray[Any], share: float, weights: NDArray[Any] | None = None) -> float:
    """The lowest value that at least this share of the values is at or below.

    Examples
    --------
    >>> quantile(np.arange(10), 0.9), quantile(np.arange(10), 1.0)
    (8.0, 9.0)
    """
    return float(_quantiles(values, np.array([share]), weights)[0])


def _quantiles(
    values: NDArray[Any], shares: NDArray[np.float64], weights: NDArray[Any] | None
) -> NDArray[np.float64]:
    if weights is None:
        values, reached = np.sort(values), np.arange(1.0, len(values) + 1)
    else:
        values, weights = values[weights > 0], weights[weights > 0]
        order = np.argsort(values, kind="stable")
        values, reached = values[order], np.cumsum(weights[order], dtype=np.float64)
    # A share such as 0.9 of 10 rows must not ask for a tenth row for its last bit's sake.
    wanted = shares * reached[-1] * (1 - 1e-9)
    return values[np.minimum(np.searchsorted(reached, wanted), len(values) - 1)].astype(np.float64)


def _read_off(values: NDArray[np.float64], share: float) -> float:
    return float(values[min(math.ceil(share * N_QUANTILES - 1e-6), N_QUANTILES)])


def _are_products(values: NDArray[np.float32], n_values: int) -> bool:
    return (
        values.shape == (n_values, n_values)
        and values.dtype == np.float32
        and bool(np.isfinite(values).all())
        and np.array_equal(values, values.T)
    )


def _are_quantiles(values: NDArray[Any]) -> bool:
    return (
        values.shape == (N_QUANTILES + 1,)
        and values.dtype == np.float64
        and bool(np.isfinite(values).all())
        and bool((np.diff(values) >= 0).all())
    )

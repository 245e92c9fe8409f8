r"""Numbers kept within a stated error: whole numbers on a grid, and exactly what no place of the grid comes near.

Of floats :math:`q = \lfloor (x - m) / 2e + 1/2 \rfloor` and back :math:`y = m + 2eq`, cast to the type of
:math:`x`, with the lowest value :math:`m` and the error :math:`e` of their column. Of whole numbers the steps are
:math:`2 \lfloor e \rfloor + 1`, the longest that keep the error. Every value is brought back and held against the
error before it counts; NaN, infinity and what misses it are kept bit for bit beside the others. So the bound holds by
construction, whatever is done with q afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.columns import Columns
from isthmus.codec.contents.base import Content, unfit
from isthmus.errors import ParameterError

GRID, PLACES, VALUES = "~", "^", "^="
"""What is appended to a column's name: places on the grid; which values are kept exactly, and these."""
_MOST_ODD = 4
"""A column of which more than one in so many would be kept exactly is kept as it is."""
_FARTHEST = 2**52
_ROWS, _FEW = 1 << 24, 16
"""Bytes of rows that are looked at at a time; so few rows are not parted any more."""

Bounds = dict[str, dict[str, Any]]
"""By column: ``lowest`` and ``error``, a number or one a feature, and ``dtype``; JSON can hold them."""


def bounds_of(content: Content, error: float, *, relative: bool = False) -> Bounds:
    """Grids for the numbers of a content, found in one pass over it.

    Parameters
    ----------
    content
        Its :attr:`~isthmus.codec.contents.Content.numbers` are bounded, each feature of rows of numbers by itself.
    error
        The most by which a value may differ from what comes back, above 0, in the unit of the value.
    relative
        Whether ``error`` is a share, in (0, 1), of each column's range instead.

    Raises
    ------
    ParameterError
        An error out of its range.

    Examples
    --------
    >>> from isthmus.codec.contents import content_of
    >>> bounds_of(content_of(np.array([[0.0, 5.0], [10.0, 5.0]])), 0.01, relative=True)
    {'values': {'lowest': [0.0, 5.0], 'error': [0.1, 0.0], 'dtype': 'f8'}}
    """
    if not (math.isfinite(error) and error > 0) or (relative and error >= 1):
        raise ParameterError(
            f"max_error: expected a number above 0{', and as a share of the range below 1' if relative else ''}, got "
            f"{error}; leave it out to keep every bit."
        )
    ends: dict[str, tuple[Any, Any, np.dtype[Any]]] = {}
    step = max(1, int(_ROWS / max(1.0, content.row_bytes)))
    for columns in _blocks(content, 0, content.n_rows, step):
        for name in content.numbers:
            values = columns.get(name)
            if not isinstance(values, np.ndarray):  # a block of text
                continue
            low, high = _ends(values)
            if name in ends:
                low, high = np.minimum(low, ends[name][0]), np.maximum(high, ends[name][1])
            ends[name] = low, high, values.dtype
    found = Bounds()
    for name, (low, high, dtype) in ends.items():
        known = np.asarray(low <= high)
        lowest = np.where(known, low, np.zeros((), dtype)).astype(dtype)
        if relative:
            with np.errstate(over="ignore"):
                errors: NDArray[Any] = error * np.where(known, _length(lowest, high), 0.0)
            errors = np.where(np.isfinite(errors), errors, 0.0)
        else:
            errors = np.full(np.shape(low), float(Decimal(repr(error)).scaleb(content.numbers[name])))
        if dtype.kind in "iu":
            errors = np.floor(errors)
        found[name] = {"lowest": lowest.tolist(), "error": errors.tolist(), "dtype": dtype.str[1:]}
    return found


def with_grids_of(bounds: Bounds, others: Mapping[str, Any]) -> tuple[Bounds, dict[str, tuple[float, float]]]:
    """Bounds on the grids of others, wherever these keep the error: what was learned of places on them holds again.

    Parameters
    ----------
    bounds
        Of :func:`bounds_of`.
    others
        Of other data; from an archive they may be anybody's, and are checked.

    Returns
    -------
    bounds, coarse
        And of each column of the same type that had to keep its grid, where these are farthest from each other its
        error and the larger one of the others.

    Raises
    ------
    ArtifactError
        Others that are none.

    Examples
    --------
    >>> asked = {name: {"lowest": 0.3, "error": 0.1, "dtype": "f8"} for name in ("x", "y")}
    >>> known = {
    ...     "x": {"lowest": 0.0, "error": 0.05, "dtype": "f8"},
    ...     "y": {"lowest": 0.0, "error": 0.2, "dtype": "f8"},
    ... }
    >>> found, coarse = with_grids_of(asked, known)
    >>> found["x"]["lowest"], found["y"]["lowest"], coarse
    (0.0, 0.3, {'y': (0.1, 0.2)})
    """
    found, coarse = Bounds(), dict[str, tuple[float, float]]()
    for name, own in bounds.items():
        found[name] = own
        try:
            other = _parts(others[name]) if name in others else None
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise unfit(f"a grid that is none ({str(error)[:100]})") from None
        dtype, lowest, errors = _parts(own)
        if (
            other is None
            or other[0] != dtype
            or (other[1].shape, other[2].shape) != (lowest.shape, errors.shape)
        ):
            continue
        if (other[2] <= errors).all():
            found[name] = {"lowest": other[1].tolist(), "error": other[2].tolist(), "dtype": own["dtype"]}
        else:
            pairs = zip(errors.ravel().tolist(), other[2].ravel().tolist(), strict=True)
            coarse[name] = max(pairs, key=lambda pair: pair[1] / pair[0] if pair[0] else math.inf * pair[1])
    return found, coarse


def _blocks(content: Content, start: int, stop: int, step: int) -> Iterator[Columns]:
    """All rows, so many at a time; where these come as text, for one of them is odd, the halves of them."""
    for begin in range(start, stop, step):
        end = min(stop, begin + step)
        columns = content.block(slice(begin, end))
        if content.numbers and step > _FEW and content.numbers.keys().isdisjoint(columns):
            yield from _blocks(content, begin, end, max(_FEW, (end - begin + 1) // 2))
        else:
            yield columns


def bounded(columns: Mapping[str, Any], bounds: Bounds) -> Columns:
    """Columns with numbers on their grids, under their names with ``~``; those that no grid suits stay as they are.

    Parameters
    ----------
    columns
        Of a block.
    bounds
        Of :func:`bounds_of` over the same content.

    Examples
    --------
    >>> bounds = {"x": {"lowest": 0.0, "error": 0.1, "dtype": "f8"}}
    >>> held = bounded({"x": np.array([0.0, 0.35, np.nan, 1.0])}, bounds)
    >>> held["x~"].tolist(), unbounded(held, bounds)["x"].round(3).tolist()
    ([0, 2, 2, 5], [0.0, 0.4, nan, 1.0])
    """
    found = Columns()
    for name, values in columns.items():
        made = _on_grid(values, bounds[name]) if name in bounds else None
        if made is None:
            found[name] = values
            continue
        places, odd = made
        found[f"{name}{GRID}"] = places
        if len(odd):
            found[f"{name}{PLACES}"] = odd
            found[f"{name}{VALUES}"] = values.ravel()[odd]
    return found


def unbounded(columns: Mapping[str, Any], bounds: Bounds) -> Columns:
    """The columns again, of their types, each value within the error of what it was.

    Raises
    ------
    ArtifactError
        Columns or bounds that :func:`bounded` does not give.
    """
    found = Columns()
    for name, column in columns.items():
        if name.endswith((PLACES, VALUES)) and name.rstrip("^=") in bounds:
            continue
        whole = name.removesuffix(GRID)
        if whole == name or whole not in bounds:
            found[name] = column
            continue
        try:
            found[whole] = _restored(whole, column, columns, bounds[whole])
        except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            raise unfit(f"numbers on a grid that is none ({str(error)[:100]})") from None
    return found


def _restored(name: str, places: Any, columns: Mapping[str, Any], bound: Mapping[str, Any]) -> NDArray[Any]:
    dtype, lowest, errors = _parts(bound)
    if not isinstance(places, np.ndarray) or places.dtype != np.int64:
        raise ValueError("places that are no whole numbers")
    if np.broadcast_shapes(places.shape, lowest.shape, errors.shape) != places.shape:
        raise ValueError("bounds of other columns")
    values = _values(places, dtype, lowest, errors)
    odd, own = columns.get(f"{name}{PLACES}"), columns.get(f"{name}{VALUES}")
    if odd is not None and own is not None:
        if odd.dtype != np.int64 or own.dtype != dtype or odd.shape != own.shape or odd.min(initial=0) < 0:
            raise ValueError("exact values of another kind")
        values.reshape(-1)[odd] = own
    return values


def _parts(bound: Mapping[str, Any]) -> tuple[np.dtype[Any], NDArray[Any], NDArray[np.float64]]:
    """The type, the lowest values and the errors of a bound."""
    dtype = np.dtype(str(bound["dtype"]))
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ValueError(f"numbers of type {dtype}")
    lowest, errors = np.asarray(bound["lowest"], dtype), np.asarray(bound["error"], np.float64)
    if not (np.isfinite(lowest).all() and np.isfinite(errors).all() and errors.min(initial=0.0) >= 0):
        raise ValueError("bounds without end")
    return dtype, lowest, errors


def _ends(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest of the finite values, of each feature of rows of numbers; of none the wrong way round."""
    axis = 0 if values.ndim == 2 else None
    if values.dtype.kind != "f":
        limits = np.iinfo(values.dtype)
        low = values.min(axis=axis, initial=limits.max)
        return np.asarray(low), np.asarray(values.max(axis=axis, initial=limits.min))
    finite = np.isfinite(values)
    low = values.min(axis=axis, initial=np.inf, where=finite)
    return np.asarray(low), np.asarray(values.max(axis=axis, initial=-np.inf, where=finite))


def _length(low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(high, np.float64) - np.asarray(low, np.float64)


def _on_grid(values: Any, bound: Mapping[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Places on the grid, and which values are odd; None where too many are, or all come out exact anyway."""
    dtype, lowest, errors = _parts(bound)
    if not isinstance(values, np.ndarray) or values.dtype != dtype or not (errors > 0).any():
        return None
    places, good = (
        _whole_places(values, lowest, errors) if dtype.kind != "f" else _places(values, lowest, errors)
    )
    good &= _is_near(values, _values(places, dtype, lowest, errors), errors)
    odd = np.flatnonzero(~good)
    if len(odd) * _MOST_ODD > values.size:
        return None
    if len(odd):  # as the one before, which costs least
        last = np.maximum.accumulate(np.where(good.ravel(), np.arange(values.size), 0))
        places = places.ravel()[last].reshape(places.shape)
    return places, odd.astype(np.int64)


def _places(
    values: NDArray[Any], lowest: NDArray[Any], errors: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    with np.errstate(all="ignore"):
        real = np.floor((values.astype(np.float64) - lowest) / _steps(errors) + 0.5)
        good = np.abs(real) < _FARTHEST
        return np.where(good, real, 0.0).astype(np.int64), good


def _whole_places(
    values: NDArray[Any], lowest: NDArray[Any], errors: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    above = _unsigned(values) - _unsigned(lowest)
    half = _halves(errors)
    good = (values >= lowest) & (above < np.uint64(1 << 62))
    return np.where(good, (above + half) // (half + half + np.uint64(1)), 0).astype(np.int64), good


def _values(
    places: NDArray[np.int64], dtype: np.dtype[Any], lowest: NDArray[Any], errors: NDArray[np.float64]
) -> NDArray[Any]:
    """What places on the grid mean."""
    if dtype.kind == "f":
        with np.errstate(all="ignore"):
            return np.asarray((lowest.astype(np.float64) + _steps(errors) * places).astype(dtype))
    half = _halves(errors)
    above = places.view(np.uint64) * (half + half + np.uint64(1))
    most = np.uint64(np.iinfo(dtype).max) - _unsigned(lowest)  # the last step may lead beyond the type
    return np.asarray((_unsigned(lowest) + np.minimum(above, most)).astype(dtype))


def _steps(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(errors > 0, 2.0 * errors, 1.0)


def _halves(errors: NDArray[np.float64]) -> NDArray[np.uint64]:
    return np.minimum(np.floor(errors), float(1 << 60)).astype(np.uint64)


def _unsigned(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Whole numbers modulo 2**64, where differences are exact."""
    return np.asarray(values).astype(np.int64 if values.dtype.kind == "i" else np.uint64).view(np.uint64)


def _is_near(values: NDArray[Any], others: NDArray[Any], errors: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each value is no farther than its error from another, told exactly."""
    if values.dtype.kind != "f":
        apart = np.where(
            values >= others, _unsigned(values) - _unsigned(others), _unsigned(others) - _unsigned(values)
        )
        return apart <= _halves(errors)
    with np.errstate(all="ignore"):
        x, y = values.astype(np.float64), others.astype(np.float64)
        apart = x - y
        part = apart - x  # what rounding left out of x - y (Knuth's two-sum)
        rest = (x - (apart - part)) + (-y - part)
        exact = np.where(apart < 0, -rest, rest) <= 0
        return (np.abs(apart) < errors) | ((np.abs(apart) == errors) & exact)

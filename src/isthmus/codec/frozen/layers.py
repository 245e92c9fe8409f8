"""Layers that compute with whole numbers alone, by NumPy: the same bits on every machine.

A whole number of magnitude below ``2^53`` is exact in float64, and so is its product with a power of
two. While every partial sum of a layer stays below that, no order of summation, no fused
multiplication, no batch size and no number of threads can change its result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ParameterError

Numbers = NDArray[np.float64]
"""Whole numbers, carried in float64."""

Whole = NDArray[np.int64]

EXACT = 2**53
"""Whole numbers up to here are exact in float64."""

LARGEST_SHIFT = 200
"""Powers of two within a layer: far inside float64's range, whatever they are multiplied with."""

N_SEGMENTS = 2048
"""Segments of a table."""


class Layer(ABC):
    """One layer of a frozen network; what it is given, it may overwrite."""

    limit: int
    """Largest magnitude that it gives."""

    @abstractmethod
    def __call__(self, a: Numbers) -> Numbers:
        """Values of the next layer, a row each."""

    @abstractmethod
    def size(self, n_in: int) -> int:
        """How many values it gives of ``n_in``.

        Raises
        ------
        ParameterError
            Where it takes another number.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a file says of it beside its arrays."""

    @abstractmethod
    def arrays(self) -> list[Whole]:
        """Its whole numbers, in the order in which a file holds them."""


@final
class Affine(Layer):
    """``floor((W a + b) / 2^shift)``, clamped to ``[-limit, limit]``.

    Parameters
    ----------
    weight
        ``(n_out, n_in)``
    bias
        ``(n_out,)``, in the units of the sum.
    shift
        ``(n_out,)``, of each output its own; a negative one multiplies.
    limit
        Largest magnitude that is let through.
    within
        Largest magnitude of what it is given.

    Raises
    ------
    ParameterError
        Where some sum could leave the whole numbers that float64 holds exactly:
        ``sum |w| within + |b| >= 2^53``.

    Examples
    --------
    >>> layer = Affine(np.array([[3, -1]]), np.array([2]), np.array([2]), limit=100, within=1000)
    >>> layer(np.array([[5.0, 1.0], [0.0, 9.0]]))
    array([[ 4.],
           [-2.]])
    """

    def __init__(self, weight: Whole, bias: Whole, shift: Whole, limit: int, within: int) -> None:
        check_sums(weight, bias, within)
        check_shifts(shift)
        self.weight, self.bias, self.shift, self.limit = weight, bias, shift, limit
        # Scaled once: multiplied by its power of two, every partial sum is as exact as before.
        self._weight = np.ascontiguousarray(np.ldexp(weight.T.astype(np.float64), -shift))
        self._bias = np.ldexp(bias.astype(np.float64), -shift)

    def __call__(self, a: Numbers) -> Numbers:
        """``(rows, n_out)`` of ``(rows, n_in)``."""
        return clamped(np.matmul(a, self._weight), self._bias, self.limit)

    def size(self, n_in: int) -> int:
        """``n_out``, of its own ``n_in`` alone."""
        if n_in != self.weight.shape[1]:
            raise unfit(self.weight.shape[1], n_in)
        return len(self.weight)

    def facts(self) -> dict[str, Any]:
        """Its ends and its limit."""
        n_out, n_in = self.weight.shape
        return {"kind": "affine", "in": n_in, "out": n_out, "limit": self.limit}

    def arrays(self) -> list[Whole]:
        """Weight, bias, shift."""
        return [self.weight, self.bias, self.shift]


@final
class Rectifier(Layer):
    """``max(a, 0)``."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, a: Numbers) -> Numbers:
        """Of any shape."""
        return np.clip(a, 0.0, self.limit, out=a)  # a third of the time of maximum()

    def size(self, n_in: int) -> int:
        """As many as it is given."""
        return n_in

    def facts(self) -> dict[str, Any]:
        """Its kind."""
        return {"kind": "relu"}

    def arrays(self) -> list[Whole]:
        """None."""
        return []


@final
class Table(Layer):
    """A function between knots, on straight lines whose ends go on.

    ``floor((T_i + (T_(i+1) - T_i) (a / 2^width - (i - n/2))) / 2^fraction)`` with the segment
    ``i = floor(a / 2^width) + n/2``, held within 0 and n - 1; then clamped to ``[-limit, limit]``.

    Parameters
    ----------
    knots
        T, ``(n + 1,)`` with n even, in units of ``2^-fraction`` of a result.
    width
        A segment is ``2^width`` wide.
    fraction
        Bits of a knot behind those of a result.
    limit, within
        Largest magnitude of results, and of arguments.

    Examples
    --------
    >>> half = Table(np.array([-8, 0, 4]), width=2, fraction=1, limit=100, within=1000)
    >>> half(np.array([-4.0, -2.0, 0.0, 2.0, 8.0]))
    array([-4., -2.,  0.,  1.,  4.])
    """

    def __init__(self, knots: Whole, width: int, fraction: int, limit: int, within: int) -> None:
        check_shifts(np.array([width, fraction]))
        steps = np.diff(knots)
        self._half = len(steps) // 2
        reach = (within >> width if width >= 0 else within << -width) + len(steps) + 1
        sums = _largest(knots) + _largest(steps) * reach
        if sums << max(width, 0) >= EXACT:
            raise ParameterError(_beyond("a table", sums << max(width, 0)))
        self.knots, self.width, self.fraction, self.limit = knots, width, fraction, limit
        self._steps = np.ldexp(steps.astype(np.float64), -fraction)
        self._starts = np.ldexp(knots[:-1].astype(np.float64), -fraction)
        self._per_segment = 2.0**-width

    def __call__(self, a: Numbers) -> Numbers:
        """Of any shape."""
        a *= self._per_segment
        segment = np.floor(a)
        np.clip(segment, -self._half, self._half - 1, out=segment)
        a -= segment
        segment += self._half
        number = segment.astype(np.intp)
        a *= self._steps.take(number)
        a += self._starts.take(number, out=segment)
        np.floor(a, out=a)
        return np.clip(a, -self.limit, self.limit, out=a)

    def size(self, n_in: int) -> int:
        """As many as it is given."""
        return n_in

    def facts(self) -> dict[str, Any]:
        """Segments, width, fraction and limit."""
        n = len(self.knots) - 1
        return {"kind": "table", "n": n, "width": self.width, "fraction": self.fraction, "limit": self.limit}

    def arrays(self) -> list[Whole]:
        """Knots."""
        return [self.knots]


def clamped(z: Numbers, bias: Numbers, limit: int) -> Numbers:
    """``floor(z + bias)`` within ``[-limit, limit]``, in place of z."""
    z += bias
    np.floor(z, out=z)
    return np.clip(z, -limit, limit, out=z)


def check_sums(weight: Whole, bias: Whole, within: int) -> None:
    """Refuse weights ``(n_out, n_in)`` of which a sum could reach 2^53, in exact arithmetic."""
    if _largest(weight) >= EXACT or _largest(bias) >= EXACT:
        raise ParameterError(_beyond("a layer", max(_largest(weight), _largest(bias))))
    # Halves of 26 bits each: sums of fewer than 2^36 of them stay far inside 64 bits.
    magnitude = np.abs(weight)
    low, high = (magnitude & (2**26 - 1)).sum(axis=1), (magnitude >> 26).sum(axis=1)
    sums = [(int(a) + (int(b) << 26)) * within + abs(int(c)) for a, b, c in zip(low, high, bias, strict=True)]
    if max(sums, default=0) >= EXACT:
        raise ParameterError(_beyond("a layer", max(sums)))


def check_shifts(shift: Whole) -> None:
    """Refuse powers of two that no frozen network needs."""
    if _largest(shift) > LARGEST_SHIFT:
        raise ParameterError(
            f"frozen network: shifts must be within {LARGEST_SHIFT} bits, got {_largest(shift)}. "
            "Freeze a network whose weights and values are of ordinary size."
        )


def unfit(expected: int, got: int) -> ParameterError:
    """The error for layers that do not follow one another."""
    return ParameterError(
        f"frozen network: a layer takes {expected} values, got {got} from the one before it. "
        "Put layers together that fit."
    )


def _largest(values: Whole) -> int:
    """Largest magnitude; without abs() of an array, which would leave -2^63 as it is."""
    return max(int(values.max()), -int(values.min())) if values.size else 0


def _beyond(who: str, largest: int) -> str:
    return (
        f"frozen network: every sum must stay below 2^53, where float64 holds whole numbers exactly, but "
        f"{who} could reach 2^{largest.bit_length() - 1}. Freeze with fewer weight_bits, or a coarser input_scale."
    )

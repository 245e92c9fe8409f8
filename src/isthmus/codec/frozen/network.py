"""Networks in whole numbers: the same outputs, bit for bit, on every machine, by NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike

from isthmus.codec.frozen.file import Ends, check_chain, digest, read, written
from isthmus.codec.frozen.layers import Layer, Numbers
from isthmus.errors import ArtifactError, DataError
from isthmus.shapes import Shape, n_values, shape_text

N_PROBES = 17
"""Rows of the self-test: odd, so that no kernel comes out even."""

ROWS_AT_ONCE = 512
"""Rows of a block at most."""
VALUES_AT_ONCE = 2**19
"""Values of a block between two layers at most, if it has more than one row: they stay in a core's cache."""


@final
class FrozenNetwork:
    """A network whose every value is a whole number: made by ``freeze``, or read from bytes.

    Parameters
    ----------
    ends
        Shapes and units.
    layers
        From the input to the output.

    Raises
    ------
    ParameterError
        Where the layers do not fit together.

    Examples
    --------
    >>> from isthmus.codec.frozen.layers import Affine
    >>> double = Affine(np.array([[2, 0], [0, 2]]), np.array([1, 1]), np.array([0, 0]), 1000, 100)
    >>> network = FrozenNetwork(Ends((2,), (2,), 1.0, 0, 0, 9, 100), [double])
    >>> network(np.array([[1, 2], [30, -4]]))
    array([[ 3.,  5.],
           [61., -7.]])
    >>> again = FrozenNetwork.from_bytes(network.to_bytes())
    >>> again.check()
    """

    def __init__(self, ends: Ends, layers: Sequence[Layer], expected: bytes | None = None) -> None:
        self.ends, self.layers = ends, tuple(layers)
        self._n_in, self._limit = n_values(ends.input_shape), float(ends.input_limit)
        self._n_rows = min(max(1, VALUES_AT_ONCE // check_chain(ends, layers)), ROWS_AT_ONCE)
        self._expected = self._outcome() if expected is None else expected

    @property
    def input_shape(self) -> Shape:
        """Of one row."""
        return self.ends.input_shape

    @property
    def output_shape(self) -> Shape:
        """Of one row."""
        return self.ends.output_shape

    @property
    def input_scale(self) -> float | tuple[float, ...]:
        """Value = whole number / input_scale."""
        return self.ends.input_scale

    @property
    def output_bits(self) -> int:
        """Value = whole number / 2^output_bits."""
        return self.ends.output_bits

    @property
    def output_scale(self) -> float:
        """Value = whole number / output_scale, a power of two."""
        return 2.0**self.ends.output_bits

    @property
    def output_limit(self) -> int:
        """Outputs are within ``[-output_limit, output_limit]``."""
        return self.layers[-1].limit

    def __call__(self, a: ArrayLike) -> Numbers:
        """Whole numbers ``(rows, *output_shape)`` of whole numbers ``(rows, *input_shape)``.

        A row's result does not depend on the rows beside it. What is no whole number is rounded down;
        what lies beyond the limit, or is NaN, is put on it.

        Raises
        ------
        DataError
            For rows of another shape.
        """
        rows = np.asarray(a)
        if rows.shape[1:] != self.ends.input_shape or rows.ndim == 0:
            raise DataError(
                f"frozen network: expected rows of shape {shape_text(self.ends.input_shape)}, got an array of "
                f"shape {shape_text(rows.shape)}. Give rows as the network was frozen with."
            )
        n = len(rows)
        if n <= self._n_rows:
            return self._block(rows, n)
        outputs = np.empty((n, *self.ends.output_shape))
        for start in range(0, n, self._n_rows):
            block = rows[start : start + self._n_rows]
            outputs[start : start + self._n_rows] = self._block(block, len(block))
        return outputs

    def _block(self, rows: np.ndarray[Any, Any], n: int) -> Numbers:
        if rows.dtype.kind in "iu":
            values = rows.reshape(n, self._n_in).astype(np.float64)
            np.clip(values, -self._limit, self._limit, out=values)
        else:
            values = np.floor(rows.reshape(n, self._n_in), dtype=np.float64)
            np.fmax(values, -self._limit, out=values)
            np.fmin(values, self._limit, out=values)
        for layer in self.layers:
            values = layer(values)
        return values.reshape(n, *self.ends.output_shape)

    def check(self) -> None:
        """Compute what is known, from many rows at once and from one.

        Raises
        ------
        ArtifactError
            Where this machine computes otherwise than the one on which the network was frozen.
        """
        alone = np.concatenate([self(row[None]) for row in self._probes()])
        if self._outcome() != self._expected or _digest(alone) != self._expected:
            raise ArtifactError(
                "frozen network: its self-test expected the outputs of the machine that wrote it, but got others: "
                "NumPy's matrix products on this machine are not exact in float64. Read it with another build "
                "of NumPy, or on another machine."
            )

    def _outcome(self) -> bytes:
        return _digest(self(self._probes()))

    def _probes(self) -> Numbers:
        """Whole numbers by whole numbers alone (Steele et al. 2014, SplitMix64, its upper 32 bits).

        Even rows lie between ``input_low`` and ``input_high``; odd ones between the limits, where sums
        are as large as they get.
        """
        state = np.arange(1, N_PROBES * self._n_in + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(bits))) * np.uint64(factor)
        chance = (state >> np.uint64(32)).reshape(N_PROBES, self._n_in)
        found, limit = np.empty(chance.shape), self.ends.input_limit
        for rows, low, high in ((0, self.ends.input_low, self.ends.input_high), (1, -limit, limit)):
            found[rows::2] = (chance[rows::2] % np.uint64(high - low + 1)).astype(np.float64) + low
        return found.reshape(N_PROBES, *self.ends.input_shape)

    def to_bytes(self) -> bytes:
        """Everything, in the format of ``docs/archive-networks.md``."""
        return written(self.ends, self.layers, self._expected)

    @classmethod
    def from_bytes(cls, data: bytes) -> FrozenNetwork:
        """What :meth:`to_bytes` gave; the self-test is :meth:`check`'s.

        Raises
        ------
        ArtifactError
            For bytes that are no such network, or too large a one.
        """
        return cls(*read(data))


def _digest(outputs: Numbers) -> bytes:
    return digest(outputs.astype("<i8").tobytes())

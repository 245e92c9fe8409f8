"""The affine map between data units and model units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, cast, final, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from isthmus.errors import ArtifactError, DataError, unknown_name
from isthmus.preprocessing.base import Preprocessing, State
from isthmus.preprocessing.scaling_fit import Affine, Method, fit_affine
from isthmus.schema import Schema
from isthmus.shapes import Shape, shape_text
from isthmus.sources.base import Indices, Source
from isthmus.sources.check import check_rows

LARGEST = 1e36
"""Shifts and scales are below, and scales above its inverse, where float32 has all of its digits of them."""

WIDE = 512
"""Numbers of rows that are mapped beside each other, about."""


@final
class Scaling(Preprocessing):
    r"""An affine map between data units x and model units u, one for all values or one a column or channel.

    .. math:: u = (x - \mathrm{shift}) / \mathrm{scale}

    Pictures, channels first: the range of their type (uint8, uint16, bool) to [0, 1]; floats whose
    training rows all lie in [0, 1] stay as they are; for others the lowest and the highest value of
    the training rows go to 0 and 1. The fitted ``schema.value_range`` is that range. Vectors, by ``method``:

    - ``"standardise"``: each column to mean 0 and standard deviation 1 (without correction).
      A column whose standard deviation is below 1e-7 of its magnitude counts as constant: it is
      centred, keeps scale 1, and a note says so.
    - ``"range"``: one lowest and one highest value for all columns to [0, 1]; the type's range for
      uint8 and bool, else the range found.
    - ``"none"``: as they are.
    - ``"auto"``: ``"range"`` for uint8 and bool, and where the columns share one bounded unit: at
      least half of the columns that vary, and at least two, reach both the lowest and the highest
      value of the whole table (pixels and ratings do); else ``"standardise"``.

    Sequences: as vectors, with a channel over all rows and steps for a column, except that
    ``"range"`` takes each channel's own lowest and highest value where the type gives no range, and
    ``"auto"`` is ``"range"`` for uint8 and bool alone: other channels have no bound that training rows
    could tell, and are standardised.

    uint8 rows that hold nothing but 0 and 1 are flags: their range is (0, 1), and a note says so.

    Parameters
    ----------
    schema
        What a row is in data units.
    method
        ``"standardise"``, ``"range"`` or ``"none"``, already decided.
    shift, scale
        float64, of shape (1,), (features,) or (channels,).
    notes
        What people should know, one sentence each.

    Examples
    --------
    >>> from isthmus.sources import ArraySource
    >>> source = ArraySource(np.array([[0, 51], [102, 255]], np.uint8))
    >>> scaling = Scaling.fit(source, np.arange(2))
    >>> scaling.method, scaling.to_model(source.read(slice(0, 1)))
    ('range', array([[0. , 0.2]], dtype=float32))
    >>> scaling.to_data(np.array([[0.3, 2.0]]))
    array([[ 76, 255]], dtype=uint8)
    """

    def __init__(
        self,
        schema: Schema,
        method: Literal["standardise", "range", "none"],
        shift: NDArray[np.float64],
        scale: NDArray[np.float64],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.schema = schema
        self.method = method
        self.shift = shift
        self.scale = scale
        self.notes = notes
        self._moves = bool(shift.any() or (scale != 1.0).any())
        near, scale_32 = shift.astype(np.float32), scale.astype(np.float32)
        rest = (shift - near).astype(np.float32)
        self._of_small_integers = self._along(near, scale_32)
        self._of_singles = self._along(near, rest, scale_32)
        self._of_doubles = self._along(shift, scale)
        self._is_mild = bool(
            (np.abs(shift) < LARGEST).all() and ((scale > 1 / LARGEST) & (scale < LARGEST)).all()
        )

    @classmethod
    def fit(
        cls,
        source: Source,
        rows: Indices | None = None,
        sample_weight: NDArray[Any] | None = None,
        method: Method = "auto",
        block: int = 4096,
    ) -> Scaling:
        """The map for these rows, in one pass, a block of rows at a time, in float64.

        Parameters
        ----------
        source
            Where the rows are.
        rows
            Numbers of the training rows, at least two; None are all rows, read one after the other.
        sample_weight
            One weight a row, 0 or larger; k is k repetitions of the row. Only ``"standardise"``
            depends on more than whether it is 0.
        method
            See the class. Pictures take ``"auto"``, ``"range"`` or ``"none"``.
        block
            Rows read at a time, at most.

        Raises
        ------
        DataError
            Fewer than two rows of positive weight, NaN or infinity, all columns constant, or values that
            leave float32's range.
        ParameterError
            ``"standardise"`` for pictures, or weights that do not fit.
        UnknownNameError
            No such method.
        """
        if method not in get_args(Method):
            raise unknown_name("Scaling", "method", str(method), get_args(Method))
        fitted = fit_affine(source, rows, sample_weight, method, block)
        return cls(
            _fitted_schema(source.schema, fitted), fitted.method, fitted.shift, fitted.scale, fitted.notes
        )

    def to_model(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Rows ``(n, *schema.sample_shape)`` in data units as a new ``(n, *model_shape)`` in model units.

        8- and 16-bit integers are mapped in float32. So are floats of up to 32 bits, less a shift of two
        float32, which keeps every digit that they have: to two units in float32's last place, or 1e-7 of
        the scale. All others are mapped in float64 and then rounded.

        Raises
        ------
        DataError
            Rows of another shape, or NaN or infinity in them.
        """
        _check_shape(rows, self.schema.sample_shape, "to_model")
        first = rows if rows.ndim == 2 else np.moveaxis(rows, -1, 1)
        kind, n_bytes = rows.dtype.kind, rows.dtype.itemsize
        is_small, is_single = kind in "bui" and n_bytes <= 2, kind == "f" and n_bytes <= 4 and self._is_mild
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told below
            if not self._moves:
                result = first.astype(np.float32, order="C")
            elif is_small:
                result = _mapped(first, *self._of_small_integers)
            else:
                result = _mapped(first, *(self._of_singles if is_single else self._of_doubles))
            if is_small or np.isfinite(result).all():
                return result
            if is_single and self._moves:  # differences may leave float32 whose quotients do not
                result = _mapped(first, *self._of_doubles)
        if not np.isfinite(result).all():
            check_rows(rows, "Scaling")
            check_rows(result, "Scaling (after conversion to float32)")
        return result

    def to_data(self, model_units: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
        """Rows ``(n, *model_shape)`` in model units as a new ``(n, *schema.sample_shape)`` in data units.

        Parameters
        ----------
        model_units
            What a model put out; values outside the range of the training data are allowed.
        dtype
            Type of the result, the source's own if None. Integers and booleans are rounded to the
            nearest and clipped to what the type holds; floats are neither.

        Raises
        ------
        DataError
            Rows of another shape, or NaN or infinity in them.
        """
        _check_shape(model_units, self.model_shape, "to_data")
        check_rows(model_units, "Scaling")
        wanted = np.dtype(self.schema.dtype if dtype is None else dtype)
        last = np.moveaxis(model_units, 1, -1)
        values = np.multiply(last, self.scale, dtype=np.float64, order="C")
        values += self.shift
        if wanted.kind == "f":
            return values.astype(wanted)
        low, high = ends_of(wanted)
        return np.clip(np.rint(values, out=values), low, high, out=values).astype(wanted)

    def _along(self, *numbers: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """A number a channel, so that it goes along the steps of channels first."""
        return tuple(each[:, None] if self.schema.kind == "sequences" else each for each in numbers)

    def to_state(self) -> State:
        """Method, schema and notes for JSON, and shift and scale as arrays."""
        described = {"method": self.method, "schema": self.schema.to_dict(), "notes": list(self.notes)}
        return described, {"shift": self.shift, "scale": self.scale}

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Scaling:
        """The scaling that :meth:`to_state` described, bit for bit.

        Raises
        ------
        ArtifactError
            Something is missing or of the wrong shape.
        """
        try:
            fitted = Affine(values["method"], arrays["shift"], arrays["scale"], tuple(values["notes"]))
            schema = Schema.from_dict(values["schema"])
        except KeyError as error:
            raise ArtifactError(
                f"Scaling: expected method, schema, notes, shift and scale, got none of name {error}; "
                f"the model file is damaged, take another copy."
            ) from error
        for array in (fitted.shift, fitted.scale):
            if array.dtype != np.float64 or array.shape not in ((1,), schema.sample_shape[-1:]):
                raise ArtifactError(
                    f"Scaling: expected float64 of shape (1,) or {schema.sample_shape[-1:]}, got {array.dtype} "
                    f"of {array.shape}; the model file is damaged, take another copy."
                )
        if (
            fitted.method not in ("standardise", "range", "none")
            or not (np.isfinite(fitted.shift).all() and np.isfinite(fitted.scale).all())
            or not (fitted.scale > 0).all()
        ):
            raise ArtifactError(
                f"Scaling: expected a known method, finite shifts and scales above 0, got method "
                f"{fitted.method!r} and others; the model file is damaged, take another copy."
            )
        return cls(schema, fitted.method, fitted.shift, fitted.scale, fitted.notes)


def _fitted_schema(schema: Schema, fitted: Affine) -> Schema:
    """The schema, with the range of pictures that the scaling maps to [0, 1]."""
    if schema.kind != "pictures" or fitted.method != "range":
        return schema
    low = float(fitted.shift[0])
    return replace(schema, value_range=(low, low + float(fitted.scale[0])))


def _mapped(rows: NDArray[Any], first: NDArray[Any], *others: NDArray[Any]) -> NDArray[np.float32]:
    """``rows`` less each number but the last, and over that, in the numbers' type; each a number a column, or one."""
    result = np.empty(rows.shape, first.dtype)
    n_rows, n_beside = len(rows), max(1, WIDE // first.size)
    # numpy begins anew with each row, which takes as long as thirty numbers: short rows are taken beside each other.
    if rows.ndim == 2 and 1 < n_beside <= n_rows and first.size > 1 and rows.flags.c_contiguous:
        n_even = n_rows - n_rows % n_beside
        wide = (-1, n_beside * first.size)
        numbers = [np.tile(each, n_beside) for each in (first, *others)]
        _map_into(result[:n_even].reshape(wide), rows[:n_even].reshape(wide), *numbers)
        _map_into(result[n_even:], rows[n_even:], first, *others)
    else:
        _map_into(result, rows, first, *others)
    return result.astype(np.float32, copy=False)


def _map_into(result: NDArray[Any], rows: NDArray[Any], first: NDArray[Any], *others: NDArray[Any]) -> None:
    *rest, scale = others
    np.subtract(rows, first, dtype=first.dtype, out=result)
    for other in rest:
        np.subtract(result, other, out=result)
    np.divide(result, scale, out=result)


def _check_shape(rows: NDArray[Any], sample_shape: Shape, where: str) -> None:
    if rows.shape[1:] != sample_shape:
        raise DataError(
            f"Scaling.{where}: expected rows of {shape_text(sample_shape)}, got "
            f"{shape_text(rows.shape[1:]) or 'single numbers'}; give rows like those it was fitted on."
        )


def ends_of(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The lowest and highest float64 that the type can hold."""
    if dtype.kind == "b":
        return 0.0, 1.0
    if dtype.kind not in "iu":
        raise DataError(f"Scaling.to_data: expected a numeric type, got {dtype}; try float32.")
    info = np.iinfo(cast("type[np.integer[Any]]", dtype.type))
    high = float(info.max)
    return float(info.min), high if int(high) <= info.max else float(np.nextafter(high, 0.0))

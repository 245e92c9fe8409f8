"""Rows of tables to model units and back: a number, a block of zeros and ones, or a gap for each column."""

from __future__ import annotations

from typing import Any, Literal, Self, final, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from isthmus.errors import ArtifactError, DataError, ParameterError, unknown_name
from isthmus.preprocessing.base import Preprocessing, State
from isthmus.preprocessing.scaling import ends_of
from isthmus.preprocessing.table_fit import (
    Maps,
    check_values,
    columns_of,
    fit_columns,
    make_layout,
    sizes_of,
)
from isthmus.schema import Column, Schema
from isthmus.shapes import Shape, shape_text
from isthmus.sources.base import Indices, Source
from isthmus.sources.table_dates import DAY
from isthmus.sources.table_decimals import rounded

Method = Literal["auto", "quantile", "standardise", "range", "none"]
Array = NDArray[np.float64]


@final
class TableScaling(Preprocessing):
    """Columns of several types, with gaps, to features in model units and back.

    A continuous column, a count or a date becomes one number. Of method ``"quantile"`` it is a normal
    score: the column's own distribution function, a monotone map through at most 256 knots, and
    then the normal quantile (van der Waerden 1952). ``"standardise"``: mean 0 and deviation 1;
    ``"range"``: lowest 0 and highest 1; ``"none"``: as it is. A category becomes as many features as
    there are categories, one of them 1; a boolean 0 or 1. A gap is NaN in all features of its column.

    The way back takes the most probable category, booleans from 1/2 on, and rounds what was whole, or had few
    decimals, to as many.
    With ``"quantile"`` values beyond the training rows' come back as the nearest of them.
    A value that 2 % of the rows share, and 5 rows, comes back from all scores between the normal quantiles
    of the share of rows below it and of that with its own: the column's quantile function, whose steps
    are flat there.

    Parameters
    ----------
    schema
        Of the rows: a table, or vectors, whose features then are continuous columns.
    maps
        What was found for each column.
    allows_gaps
        Whether NaN is a gap; else it is refused.
    notes
        What people should know about the fit.

    Examples
    --------
    >>> from isthmus.sources.arrays import ArraySource
    >>> source = ArraySource(np.array([[1.0, np.nan], [2.0, 5.0], [4.0, 7.0]]))
    >>> scaling = TableScaling.fit(source, np.arange(3), method="quantile")
    >>> scaling.to_model(source.read(slice(0, 2))).round(2).tolist()
    [[-0.97, nan], [0.0, -0.67]]
    >>> scaling.to_data(np.array([[-9.0, 0.67]])).round(2).tolist()
    [[1.0, 6.99]]
    """

    def __init__(self, schema: Schema, maps: Maps, *, allows_gaps: bool, notes: tuple[str, ...] = ()) -> None:
        self.schema = schema
        self.notes = notes
        self.allows_gaps = allows_gaps
        self.method = maps.method
        self.maps = maps
        self.columns: tuple[Column, ...] = columns_of(schema)
        self.centre = maps.centre
        self.layout = layout = make_layout(self.columns, maps)
        ends = np.cumsum([block.size for block in layout])
        self._slices = [slice(int(end) - b.size, int(end)) for end, b in zip(ends, layout, strict=True)]

    @property
    def model_shape(self) -> Shape:
        """One axis: the features of all columns side by side."""
        return (sum(sizes_of(self.columns)),)

    @property
    def typical(self) -> Array:
        """The best constant of each column in data units, ``(columns,)``: a median, or the place of the mode."""
        return self.maps.typical

    @classmethod
    def fit(
        cls,
        source: Source,
        rows: Indices | None = None,
        sample_weight: NDArray[Any] | None = None,
        *,
        method: Method = "auto",
        allows_gaps: bool = True,
    ) -> Self:
        """Find the maps from training rows alone, in one pass.

        Parameters
        ----------
        source
            A table, or vectors.
        rows
            Indices of the training rows; None are all rows.
        sample_weight
            One number a row, 0 or larger; k is k repetitions of the row.
        method
            See the class; ``"auto"`` is ``"quantile"`` for tables and ``"standardise"`` for vectors.
        allows_gaps
            Whether NaN is a gap.

        Raises
        ------
        DataError
            Infinity; a gap where none is allowed; a column without any value; a category that is none.
        ParameterError
            Rows of another kind.
        """
        if method not in get_args(Method):
            raise unknown_name("TableScaling", "method", str(method), get_args(Method))
        schema = source.schema
        if schema.kind not in ("tables", "vectors"):
            raise ParameterError(
                f"TableScaling: expected a table or vectors, got {schema.describe()}. Quantiles and gaps are of "
                "columns; take scaling='auto' and missing='refuse'."
            )
        chosen = ("quantile" if schema.kind == "tables" else "standardise") if method == "auto" else method
        maps, notes = fit_columns(source, rows, sample_weight, chosen, allows_gaps=allows_gaps)
        return cls(schema, maps, allows_gaps=allows_gaps, notes=notes)

    def to_model(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Rows ``(n, columns)`` in data units as ``(n, features)`` in model units, NaN wherever there is a gap.

        Raises
        ------
        DataError
            Rows of another shape, infinity, a number that is no category, or a gap where none is allowed.
        """
        self._check(rows, self.schema.sample_shape, "to_model")
        values = rows.astype(np.float64)
        check_values(values, self.columns, allows_gaps=self.allows_gaps)
        result = np.empty((len(rows), *self.model_shape), np.float32)
        for place, features in enumerate(self._slices):
            result[:, features] = self.features(place, values[:, place])
        if np.isinf(result).any():
            raise DataError(
                "TableScaling: values must stay in float32's range in model units, got larger ones; "
                "take scaling='standardise' or 'quantile'."
            )
        return result

    def features(self, place: int, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """One column's values in data units ``(n,)`` as its features in model units ``(n, size)``; NaN stays."""
        kind, among = self.columns[place].type, self._slices[place]
        if kind == "category":
            spread = values[:, None] == np.arange(among.stop - among.start)
            return np.where(np.isnan(values)[:, None], np.nan, spread).astype(np.float32)
        with np.errstate(over="ignore"):
            found = values if kind == "boolean" else self.maps.forward(place, values)
            return found[:, None].astype(np.float32)

    def to_data(self, model_units: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
        """Rows ``(n, features)`` in model units as ``(n, columns)`` in data units; NaN stays a gap.

        Parameters
        ----------
        model_units
            What a model put out: numbers, and probabilities for categories and booleans.
        dtype
            Type of the result, the source's own if None: float64 for tables.

        Raises
        ------
        DataError
            Rows of another shape, infinity, or a gap where none is allowed.
        """
        self._check(model_units, self.model_shape, "to_data")
        values = model_units.astype(np.float64)
        if not (np.isfinite(values) | (np.isnan(values) & self.allows_gaps)).all():
            raise DataError(
                "TableScaling.to_data: values must be finite, got infinity or NaN; decode others."
            )
        result = np.empty((len(values), len(self.columns)))
        for place, (column, features) in enumerate(zip(self.columns, self._slices, strict=True)):
            given = values[:, features]
            gap = np.isnan(given).any(axis=1)
            if column.type == "category":
                found = given.argmax(axis=1).astype(np.float64)
            elif column.type == "boolean":
                found = (given[:, 0] >= 0.5).astype(np.float64)
            else:
                found = _rounded(self.maps.backward(place, given[:, 0]), column)
            result[:, place] = np.where(gap, np.nan, found)
        wanted = np.dtype(self.schema.dtype if dtype is None else dtype)
        if wanted.kind != "f":
            low, high = ends_of(wanted)
            if np.isnan(result).any():
                raise DataError(f"TableScaling.to_data: gaps cannot stand among {wanted}; ask for float64.")
            result = np.clip(np.rint(result), low, high)
        return result.astype(wanted)

    def to_state(self) -> State:
        """Method, schema and notes for JSON, and the maps as arrays."""
        described = {
            "type": "table",
            "method": self.method,
            "schema": self.schema.to_dict(),
            "allows_gaps": self.allows_gaps,
            "notes": list(self.notes),
        }
        return described, self.maps.to_arrays()

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """The scaling that :meth:`to_state` described, bit for bit.

        Raises
        ------
        ArtifactError
            Something is missing, of the wrong shape or not in order.
        """
        try:
            schema = Schema.from_dict(values["schema"])
            method, allows_gaps, notes = values["method"], values["allows_gaps"], values["notes"]
            if schema.kind not in ("tables", "vectors") or type(allows_gaps) is not bool:
                raise ValueError("its rows are no table")
            if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):  # pyright: ignore[reportUnknownVariableType]
                raise ValueError("its notes are no sentences")
            columns = columns_of(schema)
            maps = Maps.from_arrays(method, arrays, columns, sizes_of(columns))
        except (KeyError, ValueError) as error:
            raise ArtifactError(
                f"TableScaling: expected the maps of the columns of a table, got others ({error}); "
                "the model file is damaged, take another copy."
            ) from error
        return cls(schema, maps, allows_gaps=allows_gaps, notes=tuple(notes))

    @staticmethod
    def _check(rows: NDArray[Any], sample_shape: Shape, where: str) -> None:
        if rows.shape[1:] != sample_shape or rows.dtype.kind not in "biuf":
            raise DataError(
                f"TableScaling.{where}: expected rows of {shape_text(sample_shape)} numbers, got "
                f"{shape_text(rows.shape[1:]) or 'single values'} of {rows.dtype}; give rows like those it was "
                "fitted on."
            )


def _rounded(values: Array, column: Column) -> Array:
    """Whole numbers, days, seconds and decimals as the column has them."""
    if column.type == "date":
        if column.dtype.startswith("date") or column.unit == "day":
            return np.rint(values / DAY) * DAY
        whole = column.dtype.startswith("timestamp[s") or column.unit == "second"
        return np.rint(values) if whole else values
    if column.type == "count" or column.dtype.startswith(("int", "uint")):
        return np.rint(values)
    return values if column.decimals is None else rounded(values, column.decimals, column.dtype)

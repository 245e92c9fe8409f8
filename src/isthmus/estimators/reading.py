"""How an estimator takes rows, arrays or frames, and how it gives them back."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils.validation import (
    _check_sample_weight,  # pyright: ignore[reportPrivateUsage]
    validate_data,
)

from isthmus.artifact import FittedModel
from isthmus.errors import DataError, DataWarning, ParameterError
from isthmus.schema import Column, Kind, Schema
from isthmus.shapes import n_values, shape_text
from isthmus.sources import ArraySource, Source, SparseSource, TableSource, conform, table_of
from isthmus.sources.arrow import is_number, pc
from isthmus.sources.frames import empty_like, frame_like, is_frame, joined, table_from
from isthmus.sources.table_out import array_of

RowKind = Kind | Literal["auto"]
NAMED = ("pandas", "polars")
"""Libraries whose frames give columns by a list of names."""


class Reading:
    """Rows in and out of an estimator: arrays as they are, frames as frames again.

    A sparse matrix is vectors. A frame is a table, whose columns are of several types, where a column holds
    something other than numbers, or a gap, or where ``missing="mask"`` or ``types`` are given; otherwise its
    rows are vectors with names. Columns are put in order by their names.
    """

    missing: str
    sample_shape: tuple[int, ...] | None
    types: Mapping[str, str] | None
    _model: FittedModel

    # In

    def _source(
        self, X: Any, *, reset: bool, row_kind: RowKind = "auto", labels: ArrayLike | None = None
    ) -> Source:
        """Rows as a source, checked as scikit-learn asks; of the kind of the last fit unless ``reset``."""
        if not reset and self._schema.kind == "vectors" and self._is_as_known(X):
            return ArraySource(X, self._labels(labels, len(X)), row_kind="vectors", who="Autoencoder")
        if sparse.issparse(X) and (self._schema.kind if not reset else row_kind) in ("auto", "vectors"):
            if reset:
                self._check_no_types(X, row_kind)
            return self._sparse_source(X, reset=reset, labels=labels)
        frame = table_from(X, "Autoencoder") if is_frame(X) else None
        if reset:
            self._like = None if frame is None else empty_like(X)
            self._kinds = None if frame is None else _columns_of(frame)
            free = row_kind == "auto" and self.sample_shape is None
            asked = self.missing == "mask" or bool(self.types)
            if frame is not None and free and (asked or not _is_numbers(frame)):
                validate_data(self, X if _library(X) in NAMED else frame, reset=True, skip_check_array=True)
                return TableSource(frame, self.types, labels, who="Autoencoder")
            self._check_no_types(X, row_kind)
        if not reset and self._schema.kind == "tables":
            return self._conformed(X, frame, self._labels(labels, len(X)))
        ordered = X if reset or frame is None else self._in_order(X, frame)
        return self._array_source(ordered, reset=reset, row_kind=row_kind, labels=labels)

    def _sparse_source(self, X: Any, *, reset: bool, labels: ArrayLike | None) -> SparseSource:
        """Rows of a sparse matrix, made dense a block at a time."""
        if reset:
            self._like = self._kinds = None
        rows: Any = validate_data(self, X, reset=reset, dtype="numeric", accept_sparse="csr")  # pyright: ignore[reportArgumentType]
        if reset and self.sample_shape is not None:
            raise ParameterError(
                f"Autoencoder: a sparse matrix holds vectors, got sample_shape={self.sample_shape}. Leave it out, or "
                "give a dense array."
            )
        own = labels if reset else self._labels(labels, rows.shape[0])
        return SparseSource(rows, labels=own, who="Autoencoder")

    def _check_no_types(self, X: Any, row_kind: RowKind) -> None:
        """Refuse types of columns where rows have none."""
        if self.types:
            got = (
                f"row_kind={row_kind!r}, sample_shape={self.sample_shape}"
                if is_frame(X)
                else type(X).__name__
            )
            raise ParameterError(
                f"Autoencoder: types says what the columns of a frame are, got {got}. Give a frame of pandas, polars "
                "or pyarrow as it is, or leave types out."
            )

    def _array_source(
        self, X: Any, *, reset: bool, row_kind: RowKind, labels: ArrayLike | None
    ) -> ArraySource:
        shape, flat = self.sample_shape, X
        allows_gaps = self.missing == "mask" if reset else self._model.scaling.allows_gaps
        if not reset:
            shape, row_kind = self._schema.sample_shape, self._schema.kind
            _check_shape(X, shape)
        elif row_kind == "vectors":
            shape = None
        elif getattr(X, "ndim", 2) > 2:
            shape = tuple(X.shape[1:])
        if getattr(X, "ndim", 2) > 2:
            flat = np.reshape(X, (len(X), n_values(tuple(X.shape[1:]))))
        finite = "allow-nan" if allows_gaps else True
        if not reset and self._is_as_known(flat):
            rows: Any = flat
        else:
            rows = validate_data(self, flat, reset=reset, dtype="numeric", ensure_all_finite=finite)  # pyright: ignore[reportArgumentType]
        names = getattr(self, "feature_names_in_", None)
        has_axes = shape is not None and (len(shape) > 1 or row_kind == "sequences")
        plain = not has_axes and row_kind != "sequences"
        columns = [str(name) for name in names] if names is not None and plain else None
        return ArraySource(
            rows,
            labels=labels if reset else self._labels(labels, len(rows)),
            columns=columns,
            sample_shape=shape if has_axes else None,
            row_kind=row_kind,
            who="Autoencoder",
        )

    def _is_as_known(self, X: Any) -> bool:
        """Whether scikit-learn would pass rows on as they are: a look at few of them costs more than their codes."""
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype.char in "fd"
            and X.dtype.isnative
            and len(X) > 0
            and X.shape[1] == getattr(self, "n_features_in_", -1)
            and not hasattr(self, "feature_names_in_")
            and bool(np.isfinite(X).all())
        )

    def _conformed(self, X: Any, frame: Any, labels: NDArray[Any] | None) -> TableSource:
        """New rows of a model of a table, in the columns that it knows."""
        if frame is None:
            rows: Any = validate_data(self, X, reset=False, dtype=None, ensure_all_finite=False)  # pyright: ignore[reportArgumentType]
            frame = pa.table({name: _cells(rows[:, at]) for at, name in enumerate(self._names_in)})
        known = {column.name for column in self._schema.table or ()}
        known |= {constant.column.name for constant in self._schema.constants}
        seen = set(self._names_in) - known  # left out when the model was fitted, and said then
        frame = frame.drop_columns([name for name in frame.column_names if name in seen])
        source = conform(TableSource(frame, labels=labels, who="Autoencoder"), self._schema)
        if source.notes:
            warnings.warn(" ".join(source.notes), DataWarning, stacklevel=4)
        return source

    def _in_order(self, X: Any, frame: Any) -> Any:
        """A frame of numbers with the columns of the fit, in their order."""
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return X
        wanted, given = [str(name) for name in names], frame.column_names
        missing = [name for name in wanted if name not in given]
        if missing:
            raise DataError(
                f"Autoencoder: expected the {len(wanted)} columns that the model is fitted on, got none named "
                f"{', '.join(map(repr, missing))}; add what is missing."
            )
        extra = [name for name in given if name not in wanted]
        if extra:
            said = f"Left out, for the model does not know them: {', '.join(map(repr, extra))}."
            warnings.warn(said, DataWarning, stacklevel=4)
        if given == wanted:
            return X
        return X[wanted] if _library(X) in NAMED else frame.select(wanted)

    @property
    def _schema(self) -> Schema:
        return self._model.scaling.schema

    @property
    def _table_schema(self) -> Schema | None:
        """The columns as those of a table, named vectors too; None of a model of arrays."""
        schema, kinds = self._schema, getattr(self, "_kinds", None)
        if schema.kind == "tables" or kinds is None:
            return schema if schema.kind == "tables" else None
        names = tuple(column.name for column in kinds)
        return Schema("tables", (len(names),), "float64", columns=names, table=kinds)

    @property
    def _names_in(self) -> list[str]:
        """Names of all columns of the fit."""
        names = getattr(self, "feature_names_in_", None)
        if names is not None:
            return [str(name) for name in names]
        like = getattr(self, "_like", None)
        return [] if like is None else [str(name) for name in like.columns]

    @contextmanager
    def _schema_kept_on_failure(self) -> Generator[None]:
        """Whatever ends a fit early, the estimator stays as usable as it was."""
        names = ("n_features_in_", "feature_names_in_", "_like", "_kinds")
        before = {name: getattr(self, name) for name in names if hasattr(self, name)}
        try:
            yield
        except BaseException:
            for name in names:
                if hasattr(self, name):
                    delattr(self, name)
            for name, value in before.items():
                setattr(self, name, value)
            raise

    def _weights(self, sample_weight: ArrayLike | None, source: Source) -> NDArray[np.float64] | None:
        if sample_weight is None:
            return None
        return _check_sample_weight(
            sample_weight, np.empty((len(source), 0)), dtype=np.float64, ensure_non_negative=True
        )

    def _labels(self, labels: ArrayLike | None, n_rows: int) -> NDArray[Any] | None:
        """One label a row, of one label for all of them where it is alone; none for a model that asks for none."""
        if labels is None:
            return None
        if self._model.classes is None:
            raise ParameterError(
                "Autoencoder: labels are for a model that is conditional on them, got some for one that is not. "
                "Leave them out, or fit with condition='label'."
            )
        values: NDArray[Any] = np.asarray(labels)
        values = np.full(n_rows, values[()]) if values.ndim == 0 else values
        return ArraySource(np.zeros((n_rows, 1)), values, who="Autoencoder").labels

    # Out

    def _to_data(self, model_units: NDArray[np.float32], like: Any = None) -> Any:
        """Rows in data units: ``(rows, features)``, or a frame as that of the fit; with the index of ``like``."""
        schema = self._schema
        kind = np.dtype(schema.dtype)
        wanted = kind if kind.kind == "f" or kind == np.uint8 else np.dtype(np.float64)
        rows = self._model.scaling.to_data(model_units, dtype=wanted).reshape(len(model_units), -1)
        kinds = getattr(self, "_kinds", None)
        if schema.kind == "tables":
            return self._as_frame(table_of(rows, schema), like)
        if kinds is None or schema.kind != "vectors":
            return rows
        arrays = [array_of(rows[:, at].astype(np.float64), column) for at, column in enumerate(kinds)]
        return self._as_frame(pa.table(arrays, [column.name for column in kinds]), like)

    def _to_data_blocks(self, model_units: NDArray[np.float32]) -> Any:
        """Blocks ``(blocks, rows, ...)`` in data units: ``(blocks, rows, features)``, or a list of frames."""
        blocks = [self._to_data(block) for block in model_units]
        return np.stack(blocks) if isinstance(blocks[0], np.ndarray) else blocks

    def _as_frame(self, table: Any, like: Any) -> Any:
        """An Arrow table as a frame like that of the fit; of an opened model, as one of pandas if that is there."""
        form = getattr(self, "_like", None)
        if form is None:
            try:
                import pandas  # noqa: F401  # pyright: ignore[reportUnusedImport]
            except ImportError:
                return table
            found = table.to_pandas()
        else:
            found = frame_like(table, form)
        if _library(found) == _library(like) == "pandas" and len(like) == len(found):
            found.index = like.index
        return found


def columns_known(schema: Schema) -> tuple[Column, ...] | None:
    """The columns of named vectors, for a model that comes from a file; None of rows without names."""
    if schema.kind != "vectors" or schema.columns is None:
        return None
    return tuple(Column(name, "continuous", schema.dtype) for name in schema.columns)


def names_known(schema: Schema) -> list[str] | None:
    """Names of the columns that rows of a schema have when they come out again; None without names."""
    if schema.kind != "tables":
        return None if schema.columns is None else list(schema.columns)
    names = [column.name for column in schema.table or ()]
    for constant in sorted(schema.constants, key=lambda one: one.place):
        names.insert(constant.place, constant.column.name)
    return names


def rows_by_names(rows: Sequence[Any]) -> Any:
    """Single rows, one after the other in an Arrow table: frames of one row, or what gives values by names.

    >>> rows_by_names([{"age": 63, "sex": None}, pa.table({"sex": ["male"], "age": [50]})]).to_pydict()
    {'age': [63, 50], 'sex': [None, 'male']}
    """
    tables = [_one_row(row) for row in rows]
    if any(set(table.column_names) != set(tables[0].column_names) for table in tables):
        raise DataError(
            "Autoencoder: expected rows of the same columns, got others. Give every row all its values by name."
        )
    return joined([table.select(tables[0].column_names) for table in tables])


def _one_row(row: Any) -> Any:
    table = None
    if is_frame(row):
        table = table_from(row, "Autoencoder")
    elif hasattr(row, "keys"):
        table = pa.table({str(name): _cells([row[name]]) for name in row.keys()})  # noqa: SIM118  # a Series iterates over its values
    if table is None or len(table) != 1:
        got = type(row).__name__ if table is None else f"{len(table)} rows"
        raise DataError(
            f"Autoencoder: expected one row with the names of its columns, got {got}. Give a frame of one row, "
            "or a dictionary."
        )
    return table


def _library(frame: Any) -> str:
    return type(frame).__module__.partition(".")[0]


def _columns_of(frame: Any) -> tuple[Column, ...] | None:
    """Columns of a frame of numbers, as they go out again; None where some are something else."""
    fields = list(frame.schema)
    if not all(is_number(field.type) for field in fields):
        return None
    return tuple(Column(field.name, "continuous", str(field.type)) for field in fields)


def _is_numbers(frame: Any) -> bool:
    """Whether every column holds numbers and no gap."""
    if _columns_of(frame) is None or any(column.null_count for column in frame.columns):
        return False
    floats = [column for column in frame.columns if pa.types.is_floating(column.type)]
    return not any(pc.any(pc.is_nan(column)).as_py() for column in floats)


def _cells(values: Any) -> Any:
    """Values of one column as Arrow holds them; NaN among other things is a gap."""
    return pa.array(list(values), from_pandas=True)


def _check_shape(X: Any, shape: tuple[int, ...]) -> None:
    """Rows that have axes must have those of the fit; a single channel may be left out."""
    axes: Any = getattr(X, "shape", ())
    got = tuple(int(side) for side in axes)[1:]
    if len(got) > 1 and shape not in (got, (*got, 1)):
        raise DataError(
            f"Autoencoder: expected rows of shape {shape_text(shape)}, got {shape_text(got)}. "
            "Give them as they were given to fit, or flat."
        )

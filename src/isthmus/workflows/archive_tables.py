"""A fitted model of tables, put to the columns of an archive."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.artifact import FittedModel
from isthmus.codec.bounded import GRID, Bounds, unbounded
from isthmus.codec.coding.chain_fit import symbol_fields
from isthmus.codec.coding.latent_table import LatentTableCoder
from isthmus.codec.coding.latent_table_fit import Features, latent_table_coder
from isthmus.codec.columns import Column, Columns
from isthmus.codec.contents.arrow_tables import ArrowForm
from isthmus.codec.contents.base import Form
from isthmus.codec.contents.text_tables import TextForm
from isthmus.errors import IsthmusError, ParameterError
from isthmus.preprocessing.table_scaling import TableScaling
from isthmus.sources.arrow import pc
from isthmus.sources.table_values import values_of


def is_table_model(model: FittedModel) -> bool:
    """Whether a model is one of tables with named columns."""
    return isinstance(model.scaling, TableScaling) and model.scaling.schema.table is not None


def table_coder(
    model: FittedModel, form: Form, bounds: Bounds | None, sample: Columns, name: str
) -> LatentTableCoder:
    """What codes a table as the model knows it.

    Parameters
    ----------
    model
        Of tables.
    form
        Of the content: what its columns are as an Arrow table.
    bounds
        Of grids that the columns' numbers are on.
    sample
        Columns that have a value a row, of rows from all over.
    name
        Of the data, for messages.

    Raises
    ------
    ParameterError
        Data that are no table, or none of the model's columns; or a model that gives values no probabilities.
    """
    scaling = model.scaling
    assert isinstance(scaling, TableScaling)
    if not isinstance(form, ArrowForm | TextForm):
        raise ParameterError(
            f"--model: expected a table, of which the model was fitted, got {name}. Give the model of these data, or "
            "leave --model out."
        )
    names: list[str] = form.names if isinstance(form, TextForm) else form.schema.names
    numbers = {f"{number}": label for number, label in enumerate(names)}
    of_model = {column.name: place for place, column in enumerate(scaling.columns)}
    places = dict[str, int]()
    features = dict[str, Features]()
    for key in sample:
        label = numbers.get(key.removesuffix(GRID))
        if label in of_model and of_model[label] not in places.values():
            places[key] = of_model[label]
            features[key] = _features(scaling, form, bounds, key, places[key])
    fields = [field for field in symbol_fields(sample) if field.name in places]
    return latent_table_coder(model, fields, places, features, sample)


def _features(
    scaling: TableScaling, form: ArrowForm | TextForm, bounds: Bounds | None, key: str, place: int
) -> Features:
    number = int(key.removesuffix(GRID))

    def of_values(values: Column) -> NDArray[np.float32]:
        columns: Columns = {key: values}
        try:
            plain = columns if bounds is None else unbounded(columns, bounds)
            array = form.array(number, plain)
            if scaling.columns[place].type == "count" and pa.types.is_floating(array.type):
                array = pc.round(array)  # a grid's places may lie between counts
            data = values_of(pa.chunked_array([array]), scaling.columns[place], "rows").values
            return scaling.features(place, data)
        except IsthmusError:
            return scaling.features(place, np.full(len(values), np.nan))

    return of_values

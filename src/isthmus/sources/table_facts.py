"""What the columns of a table hold, in figures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from isthmus.schema import Column
from isthmus.sources.table import TableSource
from isthmus.sources.table_dates import date_text
from isthmus.sources.table_values import Values


class ColumnFacts(NamedTuple):
    """One column of a table.

    Of numbers and dates ``lowest``, ``highest`` and, of numbers, ``mean`` are known; of categories and
    booleans ``counts``, how often each is there, most frequent first. ``is_constant`` columns are no
    part of a row.
    """

    name: str
    type: str
    dtype: str
    n_gaps: int
    n_distinct: int
    lowest: float | str | None = None
    highest: float | str | None = None
    mean: float | None = None
    counts: dict[str, int] | None = None
    is_constant: bool = False


def column_facts(source: TableSource) -> list[ColumnFacts]:
    """What each column holds, in the order in which they come back; columns that are left out are not among them.

    Examples
    --------
    >>> import pyarrow as pa
    >>> facts = column_facts(TableSource(pa.table({"age": [63.5, None, 41.0], "sex": ["f", "m", "f"]})))
    >>> facts[0].n_gaps, facts[0].lowest, facts[0].highest, facts[1].counts
    (1, 41.0, 63.5, {'f': 2, 'm': 1})
    """
    schema = source.schema
    rows: Any = source.read(slice(None))
    found = [_facts(column, rows[:, place]) for place, column in enumerate(schema.table or ())]
    for constant in sorted(schema.constants, key=lambda one: one.place):
        alone = np.full(len(source), constant.value)
        found.insert(constant.place, _facts(constant.column, alone)._replace(is_constant=True))
    return found


def _facts(column: Column, values: Values) -> ColumnFacts:
    there = values[~np.isnan(values)]
    single, how_many = np.unique(there, return_counts=True)
    facts = ColumnFacts(
        column.name, column.type, column.dtype, len(values) - len(there), len(single)
    )  # fmt: skip
    if column.categories is not None:
        by_frequency = np.argsort(-how_many, kind="stable")
        counts = {str(column.categories[int(single[at])]): int(how_many[at]) for at in by_frequency}
        return facts._replace(counts=counts)
    if not len(there):
        return facts
    if column.type == "date":
        midnights = bool((there % 86400.0 == 0.0).all())
        form = column.form or ("%Y-%m-%d" if midnights else "%Y-%m-%d %H:%M:%S")
        return facts._replace(lowest=date_text(single[0], form), highest=date_text(single[-1], form))
    return facts._replace(lowest=float(single[0]), highest=float(single[-1]), mean=float(there.mean()))

"""Whether a column can be learned from made rows as well as from real ones: both are tested on real rows held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import r2_score, roc_auc_score

from isthmus.errors import DataError, unknown_name
from isthmus.preprocessing.table_fit import columns_of
from isthmus.schema import Column, Schema

N_TREES, SMALLEST_LEAF = 100, 3
"""Of the forest; leaves of several rows give shares that rank."""
MOST_ROWS = 10_000
"""Rows of each set, the first ones."""

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Usefulness:
    """What a random forest that was trained on made rows says of a column of held-out real rows."""

    target: str
    """The column that is told from the others."""
    measure: str
    """``"AUROC"`` of a category or a boolean (of several words each against the rest, weighted by their
    rows): 0.5 is chance, 1 is best; ``"R2"`` of a number: 0 is the mean, 1 is best."""
    made: float
    """Trained on made rows."""
    real: float
    """Trained on as many training rows."""
    n_rows: int
    """Rows that either was trained on."""

    def to_dict(self) -> dict[str, Any]:
        """The documented keys; see ``docs/metrics.md``."""
        return {
            "target": self.target,
            "measure": self.measure,
            "made": self.made,
            "real": self.real,
            "rows": self.n_rows,
        }


def choose_target(schema: Schema, held_out: NDArray[Any]) -> str | None:
    """The last category or boolean of a table, without one its last column, of those that vary in held-out rows.

    None of a single column, or if none varies.

    >>> from isthmus.schema import Column
    >>> columns = (Column("ill", "boolean", "bool", (False, True)), Column("age", "count", "int64"))
    >>> choose_target(Schema("tables", (2,), "float64", table=columns), np.array([[0.0, 4.0], [1.0, 5.0]]))
    'ill'
    """
    columns = columns_of(schema)
    known = held_out.astype(np.float64)
    vary = [
        column
        for column, values in zip(columns, known.T, strict=True)
        if len(np.unique(values[~np.isnan(values)])) > 1
    ]
    words = [column for column in vary if column.categories is not None]
    if len(columns) < 2 or not vary:
        return None
    return (words or vary)[-1].name


def usefulness(
    made: NDArray[Any],
    training: NDArray[Any],
    held_out: NDArray[Any],
    schema: Schema,
    target: str,
    *,
    seed: int,
) -> Usefulness:
    """Train on synthetic, test on real (Esteban et al. 2017), beside trained on real.

    A random forest (Breiman 2001), which wants no settings of its own, is told the other columns: numbers as
    they are, one feature a category. Rows with a gap in the target are left out.

    Parameters
    ----------
    made, training, held_out
        ``(rows, columns)`` in data units, NaN for gaps.
    schema
        Of a table, or of vectors, whose features are numbers.
    target
        Name of a column.
    seed
        Of both forests.

    Raises
    ------
    UnknownNameError
        No such column.
    DataError
        A target that made, training or held-out rows do not have, or of which held-out rows have one value alone.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(300, 2))
    >>> rows[:, 1] += 3 * rows[:, 0]
    >>> found = usefulness(
    ...     rows[:100], rows[100:200], rows[200:], Schema("vectors", (2,), "float64"), "1", seed=0
    ... )
    >>> found.measure, round(found.made, 1), round(found.real, 1)
    ('R2', 0.9, 0.9)
    """
    columns = columns_of(schema)
    names = [column.name for column in columns]
    if target not in names:
        raise unknown_name("usefulness", "column", target, names)
    place = names.index(target)
    sets: list[Rows] = []
    for name, rows in (("made", made), ("training", training), ("held-out", held_out)):
        told = rows[~np.isnan(rows[:, place].astype(np.float64))][:MOST_ROWS].astype(np.float64)
        if not len(told):
            raise DataError(f"usefulness: no {name} row has a value of {target!r}. Choose another column.")
        sets.append(told)
    if len(np.unique(sets[2][:, place])) < 2:
        raise DataError(
            f"usefulness: expected held-out rows with different values of {target!r}, got one value alone. "
            "Choose another column, or give more rows."
        )
    n = min(len(sets[0]), len(sets[1]))
    even = np.linspace(0, len(sets[1]) - 1, n).round().astype(np.int64)
    scores = [_score(rows, sets[2], place, columns, seed=seed) for rows in (sets[0][:n], sets[1][even])]
    measure = "R2" if columns[place].categories is None else "AUROC"
    return Usefulness(target, measure, scores[0], scores[1], n)


def _score(rows: Rows, test: Rows, place: int, columns: tuple[Column, ...], *, seed: int) -> float:
    x, y = _features(rows, place, columns), rows[:, place]
    x_test, y_test = _features(test, place, columns), test[:, place]
    if columns[place].categories is None:
        forest = RandomForestRegressor(N_TREES, min_samples_leaf=SMALLEST_LEAF, random_state=seed)
        return float(r2_score(y_test, forest.fit(x, y).predict(x_test)))
    forest = RandomForestClassifier(N_TREES, min_samples_leaf=SMALLEST_LEAF, random_state=seed)
    said = forest.fit(x, y).predict_proba(x_test)
    places = {float(word): at for at, word in enumerate(forest.classes_)}
    total, n_rows = 0.0, 0
    words, counts = np.unique(y_test, return_counts=True)
    if len(words) == 2:
        words, counts = words[1:], counts[1:]
    for word, count in zip(words, counts, strict=True):
        share = said[:, places[word]] if word in places else np.zeros(len(test))
        total += int(count) * float(roc_auc_score(y_test == word, share))
        n_rows += int(count)
    return total / n_rows


def _features(rows: Rows, target: int, columns: tuple[Column, ...]) -> Rows:
    """The other columns: a number as it is, a category as zeros and ones, all zero in a gap."""
    found: list[Rows] = []
    for place, column in enumerate(columns):
        if place == target:
            continue
        values = rows[:, [place]]
        found.append(
            values if column.categories is None else (values == np.arange(len(column.categories))) * 1.0
        )
    return np.hstack(found) if found else np.zeros((len(rows), 1))

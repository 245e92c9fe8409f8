"""Made rows judged: how faithful they are, what they are good for, and whether they are copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, ParameterError
from isthmus.evaluation.fidelity import Likeness, likeness
from isthmus.evaluation.privacy import Privacy, privacy
from isthmus.evaluation.usefulness import Usefulness, choose_target, usefulness
from isthmus.preprocessing import Preprocessing
from isthmus.sources import Source, check_alike

MOST_ROWS = 50_000
"""Rows of each set, evenly spaced, whose columns are compared."""


@dataclass(frozen=True, slots=True)
class SampleQuality:
    """What was measured of made rows; what does not apply is None."""

    n_rows: int
    """Made rows."""
    n_training: int
    n_held_out: int | None
    to_training: Likeness | None
    """Made rows beside the training rows; of tables and vectors."""
    to_held_out: Likeness | None
    """Made rows beside held-out ones."""
    real: Likeness | None
    """Training rows beside held-out ones: what real rows reach."""
    usefulness: Usefulness | None
    """Of tables, and of vectors where a column is named."""
    privacy: Privacy

    def to_dict(self) -> dict[str, Any]:
        """The documented keys; see ``docs/metrics.md``."""
        parts = {
            "fidelity.training": self.to_training,
            "fidelity.held_out": self.to_held_out,
            "fidelity.real": self.real,
            "usefulness": self.usefulness,
            "privacy": self.privacy,
        }
        values: dict[str, Any] = {
            "rows": self.n_rows,
            "training_rows": self.n_training,
            "held_out_rows": self.n_held_out,
        }
        for key, part in parts.items():
            first, _, second = key.partition(".")
            found = None if part is None else part.to_dict()
            if second:
                values.setdefault(first, {})[second] = found
            else:
                values[first] = found
        return values


def measure_samples(
    made: NDArray[Any],
    training: Source,
    held_out: Source | None = None,
    *,
    scaling: Preprocessing,
    target: str | None = None,
    seed: int = 0,
) -> SampleQuality:
    """Fidelity, usefulness and privacy of made rows.

    Parameters
    ----------
    made
        ``(rows, *sample_shape)`` in data units: of a model, or of anything else.
    training
        The real rows that the model was fitted on.
    held_out
        Real rows that it never saw. Without them nothing is said of usefulness, nor of what real rows reach.
    scaling
        Of the model; its schema tells what the rows are.
    target
        Column that is to be learned from made rows; None takes the last category of a table.
    seed
        Of what learns it.

    Raises
    ------
    ParameterError
        A target without held-out rows, or of rows that have no columns.
    UnknownNameError
        A target that no column is called.
    DataError
        Rows of another kind, or none.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from isthmus.preprocessing import TableScaling
    >>> from isthmus.sources import TableSource
    >>> random = np.random.default_rng(0)
    >>> age = random.uniform(20, 80, 300)
    >>> ill = np.where(age + random.normal(0, 10, 300) > 60, "yes", "no")
    >>> people = TableSource(pa.table({"age": age, "ill": ill}))
    >>> training, held_out = people.take(np.arange(150)), people.take(np.arange(150, 300))
    >>> scaling = TableScaling.fit(training, np.arange(150))
    >>> copies = measure_samples(training.read(slice(None)), training, held_out, scaling=scaling)
    >>> copies.to_training.shapes, copies.privacy.n_copies, copies.privacy.nearer_share
    (1.0, 150, 1.0)
    """
    schema = scaling.schema
    if made.ndim == 0 or made.shape[1:] != schema.sample_shape or not len(made):
        raise DataError(
            f"measure_samples: expected rows of shape {schema.sample_shape}, at least one, got an array of shape "
            f"{made.shape}. Give rows as the model makes them."
        )
    for name, source in (("training", training), ("held-out", held_out)):
        if source is not None:
            check_alike(source.schema, schema, f"measure_samples: {name}")
    flat = schema.kind in ("tables", "vectors")
    if target is not None and (held_out is None or not flat):
        raise ParameterError(
            f"measure_samples: target {target!r} is learned from made rows and tested on held-out ones, got "
            f"{'no held-out rows' if flat else f'rows that are {schema.kind}'}. "
            f"{'Give some as held_out, at the command line --held-out SOURCE' if flat else 'Leave it out'}."
        )
    to_training = to_held_out = real = useful = None
    if flat:
        a, b = _spread(made), _read(training)
        to_training = likeness(b, a, schema)
        if held_out is not None:
            c = _read(held_out)
            to_held_out, real = likeness(c, a, schema), likeness(c, b, schema)
            learned = target
            if learned is None and schema.kind == "tables":
                learned = choose_target(schema, c)
            useful = None if learned is None else usefulness(a, b, c, schema, learned, seed=seed)
    return SampleQuality(
        len(made),
        len(training),
        None if held_out is None else len(held_out),
        to_training,
        to_held_out,
        real,
        useful,
        privacy(made, training, held_out, scaling),
    )


def _places(n_rows: int) -> NDArray[np.int64]:
    return np.linspace(0, n_rows - 1, min(n_rows, MOST_ROWS)).round().astype(np.int64)


def _spread(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[_places(len(rows))]


def _read(source: Source) -> NDArray[Any]:
    return source.read(_places(len(source)))

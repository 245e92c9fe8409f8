"""``isthmus impute``: a table with its gaps filled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Model, RowsOutput, Source
from isthmus.cli.output import note_lines, print_json, print_lines


def impute(
    model: Model,
    source: Source,
    /,
    *,
    output: RowsOutput,
    draw: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Draw each filling from the model instead of taking the best one; the likelihood must be a density.",
        ),
    ] = False,
    seed: Annotated[int | None, Parameter(help="Root of the draws; that of the model if left out.")] = None,
    labels: Labels = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a table with its gaps filled by a model, everything else as it was."""
    import numpy as np

    from isthmus.artifact import open_model
    from isthmus.cli.words import rows_words
    from isthmus.workflows.data_files import check_rows_output, means_folder, write_rows
    from isthmus.workflows.impute import impute as fill
    from isthmus.workflows.open_data import open_data

    fitted = open_model(model)
    schema, path, folder = fitted.scaling.schema, Path(output), means_folder(output)
    check_rows_output(path, folder=folder, schema=schema, force=force)
    rows = open_data(source, fitted.config.data, labels=labels, schema=schema)
    filled = fill(fitted, rows, n_draws=1 if draw else None, seed=seed)
    filled = filled[0] if draw else filled
    gaps = np.isnan(rows.read(slice(0, len(rows))))
    names = schema.columns or tuple(str(place) for place in range(schema.n_values))
    counts = {name: int(n) for name, n in zip(names, gaps.sum(axis=0), strict=True) if n}
    n_written = write_rows(path, filled, schema, folder=folder)
    if json:
        found = {"output": output, "rows": n_written, "filled": int(gaps.sum()), "columns": counts}
        print_json({**found, "notes": list(rows.notes)})
        return
    where = ", ".join(f"{name} {n:,}" for name, n in counts.items())
    print_lines(
        [
            ("filled", f"{int(gaps.sum()):,} gaps" + (f" ({where})" if where else "")),
            ("written", rows_words(output, n_written, filled, schema)),
            *note_lines(rows.notes),
        ]
    )

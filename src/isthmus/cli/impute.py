"""``isthmus impute``: a table with its gaps filled, by the best guess or by several draws."""

from __future__ import annotations

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
    draws: Annotated[
        int | None,
        Parameter(
            help="Fillings drawn from the model instead of the best one, whose likelihood must be a density. Of more "
            "than one, NAME.csv becomes NAME_1.csv, NAME_2.csv, ...",
        ),
    ] = None,
    seed: Annotated[int | None, Parameter(help="Root of the draws; that of the model if left out.")] = None,
    labels: Labels = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a table with its gaps filled by a model, everything else as it was."""
    from isthmus.artifact import open_model
    from isthmus.cli.words import many
    from isthmus.errors import ParameterError
    from isthmus.workflows.impute_files import check_outputs, notes_on_filling, write_filled
    from isthmus.workflows.open_data import open_data

    if draws is not None and draws < 1:
        raise ParameterError(f"impute: --draws must be at least 1, got {draws}. Try 10, or leave it out.")
    fitted = open_model(model)
    schema = fitted.scaling.schema
    paths = check_outputs(output, draws, schema, force=force)
    rows = open_data(source, fitted.config.data, labels=labels, schema=schema)
    written = write_filled(fitted, rows, paths, n_draws=draws, seed=seed)
    notes = [*notes_on_filling(rows), *written.notes]
    n_gaps, files = sum(written.gaps.values()), [str(path) for path in written.paths]
    if json:
        found = {"output": output, "files": files, "rows": written.n_rows, "filled": n_gaps}
        print_json({**found, "columns": written.gaps, "notes": notes})
        return
    where = ", ".join(f"{name} {n:,}" for name, n in written.gaps.items())
    names = files[0] if len(files) == 1 else f"{files[0]} to {files[-1]}"
    print_lines(
        [
            ("filled", f"{n_gaps:,} gaps" + (f" ({where})" if where else "")),
            ("written", f"{names}: {many(written.n_rows, 'row')} of {many(written.n_columns, 'column')}"),
            *note_lines(notes),
        ]
    )

"""``isthmus interpolate``: what lies between two examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Label, Model, RowsOutput, told
from isthmus.cli.output import note_lines, print_json, print_lines

End = Annotated[
    str,
    Parameter(help="One example: SOURCE:ROW, counted from 0, or data of a single row, such as one picture."),
]


@told
def interpolate(
    model: Model,
    a: End,
    b: End,
    /,
    *,
    output: RowsOutput,
    steps: int = 9,
    path: Literal["linear", "spherical"] = "linear",
    label: Label = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write examples between two: decoded codes between theirs.

    Parameters
    ----------
    steps
        How many examples, both ends included.
    path
        linear, or spherical: equal angles, the norm of the code changing linearly.
    """
    import numpy as np

    from isthmus.artifact import open_model
    from isthmus.cli.words import rows_words
    from isthmus.errors import DataError, ParameterError
    from isthmus.exploration.interpolation import path_between
    from isthmus.inference import Inference
    from isthmus.sources import Source
    from isthmus.workflows.data_files import check_rows_output, means_folder, write_rows
    from isthmus.workflows.open_data import notes_of, open_data

    fitted = open_model(model)
    schema, place, folder = fitted.scaling.schema, Path(output), means_folder(output)
    check_rows_output(place, folder=folder, schema=schema, force=force)
    inference = Inference(fitted)
    if label is not None and fitted.classes is None:
        raise ParameterError("--label: the model is not conditional on a label, got one. Leave --label out.")
    ends: list[np.ndarray] = []
    own: list[str] = []
    opened: list[tuple[str, Source]] = []
    for name in (a, b):
        source = open_data(name, fitted.config.data, schema=schema)
        opened.append((name, source))
        if len(source) != 1:
            raise DataError(
                f"{name}: expected one row to begin or end at, got {len(source)}. Say which: {name}:0."
            )
        source.labels = source.labels if label is None else np.array([label])
        own.append("" if source.labels is None else str(source.labels[0]))
        ends.append(inference.encode(source)[0])
    if fitted.classes is not None and own[0] != own[1]:
        raise DataError(
            f"interpolate: expected two examples of one label, for the model is conditional on one, got {own[0]!r} and "
            f"{own[1]!r}. Say with --label what both and all between are to be."
        )
    codes = path_between(ends[0], ends[1], steps, path)
    rows = inference.decode(codes, None if fitted.classes is None else np.repeat(own[:1], len(codes)))
    notes = notes_of(opened)
    n_written = write_rows(place, rows, schema, folder=folder, together=True, notes=notes)
    if json:
        print_json(
            {
                "output": output,
                "rows": n_written,
                "dtype": str(rows.dtype),
                "shape": list(rows.shape),
                "notes": notes,
                "path": path,
            }
        )
    else:
        print_lines(
            [
                ("interpolated", rows_words(output, n_written, rows, schema)),
                *note_lines(notes),
            ]
        )

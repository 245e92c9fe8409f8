"""``isthmus decode``: from codes to data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Model, RowsOutput
from isthmus.cli.output import print_json, print_lines


def decode(
    model: Model,
    codes: Annotated[Path, Parameter(help="A file that encode wrote: .npy, .npz or .csv.")],
    /,
    *,
    output: RowsOutput,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write what codes stand for, in the units of the data."""
    from isthmus.artifact import open_model
    from isthmus.cli.words import rows_words
    from isthmus.inference import Inference
    from isthmus.workflows.code_files import read_codes
    from isthmus.workflows.data_files import check_rows_output, means_folder, write_rows

    fitted = open_model(model)
    schema, path, folder = fitted.scaling.schema, Path(output), means_folder(output)
    check_rows_output(path, folder=folder, schema=schema, force=force)
    rows = Inference(fitted).decode(read_codes(codes))
    n_written = write_rows(path, rows, schema, folder=folder)
    if json:
        print_json({"output": output, "rows": n_written, "dtype": str(rows.dtype), "shape": list(rows.shape)})
    else:
        print_lines([("decoded", rows_words(output, n_written, rows))])

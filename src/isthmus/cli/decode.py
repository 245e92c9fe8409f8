"""``isthmus decode``: from codes to data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Label, Labels, Model, RowsOutput
from isthmus.cli.output import note_lines, print_json, print_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.artifact import FittedModel


def decode(
    model: Model,
    codes: Annotated[Path, Parameter(help="A file that encode wrote: .npy, .npz, .csv or .parquet.")],
    /,
    *,
    output: RowsOutput,
    label: Label = None,
    labels: Labels = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write what codes stand for, in the units of the data.

    A model that is conditional on a label decodes each code as --label or --labels says, else as the
    labels in the file of codes.
    """
    from isthmus.artifact import open_model
    from isthmus.cli.words import many, rows_words
    from isthmus.errors import DataError
    from isthmus.inference import Inference
    from isthmus.workflows.code_files import read_codes
    from isthmus.workflows.data_files import check_rows_output, means_folder, write_rows

    fitted = open_model(model)
    schema, path, folder = fitted.scaling.schema, Path(output), means_folder(output)
    check_rows_output(path, folder=folder, schema=schema, force=force)
    values = read_codes(codes)
    inference = Inference(fitted)
    if values.ndim != 2 or values.shape[1] != inference.code_size:
        raise DataError(
            f"{codes}: expected codes of {many(inference.code_size, 'unit')}, as {model} makes them, got an array of "
            f"shape {values.shape}. Give what 'encode' of this model wrote."
        )
    rows = inference.decode(values, _labels(fitted, codes, len(values), label, labels))
    notes: list[str] = []
    n_written = write_rows(path, rows, schema, folder=folder, notes=notes)
    if json:
        print_json(
            {
                "output": output,
                "rows": n_written,
                "dtype": str(rows.dtype),
                "shape": list(rows.shape),
                "notes": notes,
            }
        )
    else:
        print_lines([("decoded", rows_words(output, n_written, rows, schema)), *note_lines(notes)])


def _labels(
    model: FittedModel, codes: Path, n_rows: int, label: str | None, labels: Path | None
) -> NDArray[Any] | None:
    """What each code is to be decoded as; labels beside codes are for a conditional model alone."""
    import numpy as np

    from isthmus.sources.labels import read_labels
    from isthmus.workflows.code_files import read_code_labels

    if label is not None:
        return np.full(n_rows, label)
    if labels is not None:
        return read_labels(labels, n_rows)
    return None if model.classes is None else read_code_labels(codes)

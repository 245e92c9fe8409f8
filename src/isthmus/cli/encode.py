"""``isthmus encode``: from data to codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Model, Source
from isthmus.cli.output import note_lines, print_json, print_lines


def encode(
    model: Model,
    source: Source,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    scale: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    labels: Labels = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write the codes of data, one row each.

    Parameters
    ----------
    output
        NAME.npy: codes alone. NAME.npz: arrays codes, labels, scale, rows (names of files, where the
        data has them). NAME.csv, NAME.parquet: columns row, code_0, ..., label; of rows that came as
        lists NAME.parquet holds a column of lists, code.
    scale
        Write the standard deviations of a Gaussian code too, into .npz, .csv or .parquet.
    """
    from isthmus.artifact import open_model
    from isthmus.cli.words import many
    from isthmus.errors import ParameterError
    from isthmus.inference import Inference
    from isthmus.workflows.code_files import CODE_SUFFIXES, write_codes
    from isthmus.workflows.open_data import open_data
    from isthmus.workflows.outputs import check_file

    check_file(output, force=force, suffixes=CODE_SUFFIXES)
    if scale and output.suffix.lower() == ".npy":
        raise ParameterError(
            f"{output}: a .npy file holds codes alone, not their scale. Write .npz, .csv or .parquet."
        )
    fitted = open_model(model)
    rows = open_data(source, fitted.config.data, labels=labels, schema=fitted.scaling.schema)
    inference = Inference(fitted)
    if scale:
        codes, scales = inference.code_distribution(rows)
        if scales is None:
            raise ParameterError(
                "--scale: this model's code has no scale, only Gaussian codes do. Leave it out."
            )
    else:
        codes, scales = inference.encode(rows), None
    write_codes(
        output,
        codes,
        labels=rows.labels,
        scale=scales,
        row_names=rows.row_names,
        as_lists=bool(rows.schema.lists),
    )
    if json:
        print_json(
            {
                "output": str(output),
                "rows": len(codes),
                "code": {"size": codes.shape[1]},
                "notes": list(rows.notes),
            }
        )
    else:
        said = f"{output}: {many(len(codes), 'row')} of {many(codes.shape[1], 'unit')}"
        print_lines([("codes", said), *note_lines(rows.notes)])

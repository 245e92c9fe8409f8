"""``isthmus encode``: from data to codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Memory, Model, Source, told
from isthmus.cli.output import note_lines, print_json, print_lines

if TYPE_CHECKING:
    from isthmus.workflows.code_files import Block


@told
def encode(
    model: Model,
    source: Source,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    scale: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    labels: Labels = None,
    memory: Memory = "auto",
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
    from isthmus.workflows.code_files import CODE_SUFFIXES, write_code_blocks
    from isthmus.workflows.open_data import open_data, with_memory
    from isthmus.workflows.outputs import check_file, check_room

    check_file(output, force=force, suffixes=CODE_SUFFIXES)
    if scale and output.suffix.lower() == ".npy":
        raise ParameterError(
            f"{output}: a .npy file holds codes alone, not their scale. Write .npz, .csv or .parquet."
        )
    fitted = open_model(model)
    data = with_memory(fitted.config.data, memory)
    rows = open_data(source, data, labels=labels, schema=fitted.scaling.schema)
    inference = Inference(fitted)
    n_rows, size = len(rows), inference.code_size
    if output.suffix.lower() == ".npz":
        check_room(output, n_rows * size * 4 * (2 if scale else 1), data, "Write .npy, .csv or .parquet")

    def blocks() -> Iterator[Block]:
        for codes, scales in inference.codes_in_blocks(rows, scale=scale):
            if scale and scales is None:
                raise ParameterError(
                    "--scale: this model's code has no scale, only Gaussian codes do. Leave it out."
                )
            yield codes, scales

    write_code_blocks(
        output,
        blocks(),
        (n_rows, size),
        labels=rows.labels,
        row_names=rows.row_names,
        as_lists=bool(rows.schema.lists),
    )
    if json:
        print_json(
            {
                "output": str(output),
                "rows": n_rows,
                "code": {"size": size},
                "notes": list(rows.notes),
            }
        )
    else:
        said = f"{output}: {many(n_rows, 'row')} of {many(size, 'unit')}"
        print_lines([("codes", said), *note_lines(rows.notes)])

"""``isthmus reconstruct``: data as the model rebuilds them."""

from __future__ import annotations

from pathlib import Path

from isthmus.cli.options import Force, Json, Labels, Memory, Model, RowsOutput, Source
from isthmus.cli.output import note_lines, print_errors, print_json, print_lines


def reconstruct(
    model: Model,
    source: Source,
    /,
    *,
    output: RowsOutput,
    labels: Labels = None,
    memory: Memory = "auto",
    force: Force = False,
    json: Json = False,
) -> None:
    """Write data as the model rebuilds them, and tell how far they are off."""
    from isthmus.artifact import open_model
    from isthmus.cli.words import noun, rows_words
    from isthmus.evaluation.metrics import measure
    from isthmus.inference import Inference
    from isthmus.workflows.data_files import check_other_folder, check_rows_output, means_folder
    from isthmus.workflows.open_data import open_data, with_memory
    from isthmus.workflows.reconstruct import measured_within, write_reconstructions

    fitted = open_model(model)
    schema, path, folder = fitted.scaling.schema, Path(output), means_folder(output)
    check_rows_output(path, folder=folder, schema=schema, force=force)
    data = with_memory(fitted.config.data, memory)
    rows = open_data(source, data, labels=labels, schema=fitted.scaling.schema)
    if folder:
        check_other_folder(path, rows)
    inference = Inference(fitted)
    notes = list(rows.notes)
    rebuilt = write_reconstructions(path, inference, rows, data, folder=folder, notes=notes)
    measured_on = measured_within(inference, rows, data, notes)
    metrics = measure(inference, measured_on, clean=False).to_dict()
    n_written = rebuilt.n_written
    if json:
        shape = list(rebuilt.shape)
        print_json(
            {
                **metrics,
                "output": output,
                "rows": n_written,
                "dtype": str(rebuilt.dtype),
                "shape": shape,
                "metrics": metrics,
                "notes": notes,
            }
        )
        return
    print_errors(metrics, noun(fitted))
    if fitted.module.corruption is not None:
        print("(against the rows as given: of noisy ones this says how much was taken out)")
    print()
    print_lines([("rebuilt", rows_words(output, n_written, rebuilt, schema, rows)), *note_lines(notes)])

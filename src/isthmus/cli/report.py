"""``isthmus report``: what a model learned, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Model, Source, told
from isthmus.cli.output import note_lines, print_json, print_lines


@told
def report(
    model: Model,
    source: Source,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    labels: Labels = None,
    samples: int | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show what a model learned: one HTML page that needs nothing else.

    Parameters
    ----------
    output
        The page to write, NAME.html.
    samples
        Of a Gaussian code: draws of the code a row for the log-likelihood, on all rows, instead of a
        quick estimate.
    """
    from isthmus.workflows.outputs import check_file

    check_file(output, force=force, suffixes=(".html", ".htm"))
    from isthmus.artifact import open_model
    from isthmus.cli.words import many
    from isthmus.evaluation.evaluate import report_data
    from isthmus.evaluation.evidence import density_figures
    from isthmus.evaluation.metrics import measure
    from isthmus.evaluation.report import write_report
    from isthmus.evaluation.robustness import robustness
    from isthmus.inference import Inference
    from isthmus.workflows.open_data import open_data
    from isthmus.workflows.run import report_title

    fitted = open_model(model)
    rows = open_data(source, fitted.config.data, labels=labels, schema=fitted.scaling.schema)
    inference = Inference(fitted)
    measured = measure(inference, rows)
    figures = density_figures(inference, rows, measured, samples)
    robust = robustness(inference, rows)
    title = report_title(fitted)
    data = report_data(
        fitted, rows, title=title, rows_are="measured", measured=measured, figures=figures, robust=robust
    )
    write_report(data, output)
    if json:
        found = {"output": str(output), **measured.to_dict(), **figures, "robustness": robust.to_dict()}
        print_json({**found, "notes": list(rows.notes)})
    else:
        print_lines(
            [("report", f"{output}: {many(len(rows), 'row')}; open it in a browser"), *note_lines(rows.notes)]
        )

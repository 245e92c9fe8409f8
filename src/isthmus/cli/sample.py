"""``isthmus sample``: new examples from a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Label, Labels, Model, RowsOutput
from isthmus.cli.output import note_lines, print_json, print_lines


def sample(
    model: Model,
    /,
    *,
    n: Annotated[int, Parameter(name=["--number", "-n"])] = 100,
    output: RowsOutput,
    like: str | None = None,
    components: int | None = None,
    noise: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    label: Label = None,
    labels: Labels = None,
    seed: int | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write new examples: decoded draws from a prior of codes.

    Parameters
    ----------
    n
        How many.
    like
        Data whose codes a mixture of normal distributions is fitted to; needed unless the code is
        Gaussian, whose own prior is the default.
    components
        Size of that mixture, instead of one chosen by BIC.
    noise
        Draw each example from the likelihood instead of taking its mean, which is smoother than data.
    seed
        From which every draw derives; the model's own if not given.
    """
    import numpy as np

    from isthmus.artifact import open_model
    from isthmus.cli.words import rows_words
    from isthmus.errors import ParameterError
    from isthmus.exploration.priors import choose_prior
    from isthmus.exploration.sampling import sample as sampled
    from isthmus.inference import Inference
    from isthmus.workflows.data_files import check_rows_output, means_folder, write_rows
    from isthmus.workflows.open_data import open_data

    fitted = open_model(model)
    schema, path, folder = fitted.scaling.schema, Path(output), means_folder(output)
    check_rows_output(path, folder=folder, schema=schema, force=force)
    if labels is not None and like is None:
        raise ParameterError(
            f"--labels: expected data of --like to go with, got {labels} alone. Say what to make with --label NAME."
        )
    if components is not None and like is None:
        raise ParameterError(
            f"--components: a mixture of {components} is fitted to the codes of data, got none. Add --like SOURCE."
        )
    source = (
        None
        if like is None
        else open_data(like, fitted.config.data, labels=labels, schema=fitted.scaling.schema)
    )
    inference = Inference(fitted)
    root = (fitted.config.training.seed or 0) if seed is None else seed
    prior = choose_prior(inference, "auto" if components is None else components, source, seed=root)
    told = None if label is None else np.full(n, label)
    rows = fitted.scaling.to_data(sampled(inference, n, prior, seed=root, noise=noise, labels=told))
    notes = [] if source is None else list(source.notes)
    n_written = write_rows(path, rows, schema, folder=folder, notes=notes)
    if json:
        print_json(
            {
                "output": output,
                "rows": n_written,
                "dtype": str(rows.dtype),
                "shape": list(rows.shape),
                "notes": notes,
                "prior": prior.words,
                "seed": root,
            }
        )
    else:
        print_lines(
            [
                ("prior", prior.words),
                ("sampled", rows_words(output, n_written, rows, schema)),
                *note_lines(notes),
            ]
        )

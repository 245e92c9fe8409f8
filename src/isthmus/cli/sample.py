"""``isthmus sample``: new examples from a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Label, Labels, Model, RowsOutput, told
from isthmus.cli.output import note_lines, print_json, print_lines

QUALITY = ".quality.json"
"""What the name of the file ends in that says how good new rows are."""


@told
def sample(
    model: Model,
    /,
    *,
    n: Annotated[int, Parameter(name=["--number", "-n"])] = 100,
    output: RowsOutput,
    like: str | None = None,
    components: int | None = None,
    noise: Annotated[bool | None, Parameter(negative="--means", show_default=False)] = None,
    compare_with: str | None = None,
    held_out: str | None = None,
    target: str | None = None,
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
        Gaussian or quantised, whose own prior is the default.
    components
        Size of that mixture, instead of one chosen by BIC.
    noise
        Draw each example from the likelihood, or take its mean, which is smoother than data. Drawn if left
        out are tables of a likelihood that is a density, as that of a variational model.
    compare_with
        The rows that the model was fitted on: how faithful the new ones are and how near to these is
        written beside them, as NAME.quality.json. Those of --like if left out while --held-out is given.
    held_out
        Rows of the same source that the model never saw: what real rows reach, whether a column can be
        learned from the new rows, and whether they are nearer to training rows than they should be.
    target
        That column; the last category of a table if left out.
    seed
        From which every draw derives; the model's own if not given.
    """
    import numpy as np

    from isthmus.artifact import open_model
    from isthmus.cli.words import quality_lines, rows_words
    from isthmus.errors import ParameterError
    from isthmus.evaluation.samples import measure_samples
    from isthmus.exploration.priors import choose_prior
    from isthmus.exploration.sampling import sample as sampled
    from isthmus.inference import Inference
    from isthmus.workflows.data_files import check_rows_output, means_folder, write_rows
    from isthmus.workflows.open_data import notes_of, open_data
    from isthmus.workflows.outputs import check_file, notes_on_others

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
    compare_with = like if compare_with is None and held_out is not None else compare_with
    if compare_with is None and (held_out is not None or target is not None):
        raise ParameterError(
            f"--{'held-out' if target is None else 'target'}: new rows are compared with those of the fit, got none. "
            "Add --compare-with SOURCE."
        )
    beside = path.with_name(f"{path.stem}{QUALITY}")
    if compare_with is not None:
        check_file(beside, force=force)
    real, unseen = (
        None if each is None else open_data(each, fitted.config.data, schema=schema)
        for each in (compare_with, held_out)
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
    if noise is None:
        noise = schema.kind == "tables" and fitted.module.likelihood.unit == "nats"
    rows = fitted.scaling.to_data(sampled(inference, n, prior, seed=root, noise=noise, labels=told))
    notes = notes_of([(like, source), (compare_with, real), (held_out, unseen)])
    made = {"prior": prior.words, "seed": root, "noise": noise}
    quality = None
    if real is not None:
        measured = measure_samples(rows, real, unseen, scaling=fitted.scaling, target=target, seed=root)
        quality = {**made, **measured.to_dict()}
    n_written = write_rows(path, rows, schema, folder=folder, notes=notes)
    if quality is not None:
        _write(quality, beside)
    elif beside.is_file():
        notes += notes_on_others([beside])
    if json:
        print_json(
            {
                "output": output,
                "rows": n_written,
                "dtype": str(rows.dtype),
                "shape": list(rows.shape),
                "notes": notes,
                **made,
                **({} if quality is None else {"quality": {"output": str(beside), **quality}}),
            }
        )
    else:
        print_lines(
            [
                ("prior", prior.words),
                ("sampled", rows_words(output, n_written, rows, schema)),
                *([] if quality is None else [*quality_lines(quality), ("measured", str(beside))]),
                *note_lines(notes),
            ]
        )


def _write(document: dict[str, Any], path: Path) -> None:
    from json import dumps

    from isthmus.artifact.file import write_atomically
    from isthmus.journal import finite

    write_atomically((dumps(finite(document), indent=2, ensure_ascii=False) + "\n").encode(), path)

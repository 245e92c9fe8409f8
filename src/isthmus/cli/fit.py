"""``isthmus fit``: from data to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Source, told
from isthmus.cli.output import denoising_words, number, print_errors, print_json, print_lines

if TYPE_CHECKING:
    from isthmus.artifact import FittedModel
    from isthmus.sources import Source as Rows
    from isthmus.workflows.fit import Prepared
    from isthmus.workflows.run import Run


@told
def fit(
    source: Source,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    kind: str | None = None,
    code_size: int | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    config: Path | None = None,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    validation: str | None = None,
    labels: Labels = None,
    validation_labels: Path | None = None,
    run: Path | None = None,
    device: str | None = None,
    memory: str | None = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Train an autoencoder on data.

    What is not given is chosen from the data, and shown. With -o alone the model file is all that is
    written; else a run folder holds config, journal, model and report (made under runs/ and named
    after the data, unless --run names it).

    Parameters
    ----------
    output
        The model file to write, NAME.safetensors.
    kind
        basic, sparse, denoising, imputing, contractive, variational, convolutional or transformer.
    code_size
        Units of the code.
    epochs
        At most so many passes over the data.
    seed
        From which every random number derives; the same seed gives the same model.
    config
        TOML file to begin with, such as the config.toml of a run; other options come after it.
    settings
        KEY=VALUE for any key of the config, such as training.learning_rate=0.001,
        model.network.hidden_sizes=[256,64] or data.resize=[28,28]; may be repeated.
    validation
        Data to choose the best epoch by, instead of a tenth of SOURCE.
    validation_labels
        Their labels, as --labels; under model.condition=label.
    run
        The run folder to write.
    device
        cpu, cuda, mps or auto.
    memory
        What rows may take of it: 2GB, 500MB, 1.5GiB; auto: half of what is free. Rows that need more are read
        by block, in every pass anew.
    """
    from isthmus.cli.settings import read_config

    described = read_config(
        config,
        kind=kind,
        code_size=code_size,
        epochs=epochs,
        seed=seed,
        device=device,
        memory=memory,
        settings=settings or (),
    )
    from isthmus.errors import ParameterError
    from isthmus.workflows.outputs import check_file

    if output is not None:
        check_file(output, force=force, suffixes=(".safetensors",))
    from isthmus.training.progress import ProgressBar
    from isthmus.workflows.open_data import open_data
    from isthmus.workflows.run import check_places, run_fit

    check_places(output, run, force=force)
    rows = open_data(source, described.data, labels=labels)
    if validation is None and validation_labels is not None:
        raise ParameterError(
            f"--validation-labels: expected data of --validation to go with, got {validation_labels} alone. "
            "Leave it out, or add --validation SOURCE."
        )
    held_out = None if validation is None else open_data(validation, described.data, labels=validation_labels)

    def tell(prepared: Prepared) -> None:
        if not json:
            _print_prepared(source, rows, prepared)

    with ProgressBar() as bar:
        done = run_fit(
            rows,
            described,
            name=_name(source),
            output=output,
            folder=run,
            validation=held_out,
            force=force,
            callbacks=[bar],
            prepared=tell,
        )
    if json:
        print_json(_document(done))
    else:
        _print_result(done)
    return 130 if done.interrupted else 0


def _print_prepared(name: str, rows: Rows, prepared: Prepared) -> None:
    from isthmus.cli.words import model_lines, source_words, training_words

    model, held_out = prepared.model, prepared.validation
    n_held_out = 0 if held_out is None else len(held_out.source)
    lines = [
        ("data", source_words(name, rows)),
        ("rows", f"{len(prepared.training.source):,} to learn from, {n_held_out:,} for validation"),
        *model_lines(model),
        ("training", training_words(model.config)),
    ]
    print_lines(lines)
    print(flush=True)


def _print_result(run: Run) -> None:
    from isthmus.cli.words import many, noun
    from isthmus.training.progress import duration

    model, n_epochs = run.model, len(run.model.epochs)
    said = {
        "all epochs": many(n_epochs, "epoch"),
        "patience": f"{many(n_epochs, 'epoch')}, then no more progress",
        "interrupted": f"interrupted after {many(n_epochs, 'whole epoch')}",
    }.get(run.history.reason, run.history.reason)
    print_errors(model.metrics, noun(model))
    print()
    print_lines(
        [
            ("measured on", f"{model.metrics['rows']:,} {model.metrics['rows_are']} rows"),
            (
                "trained",
                f"{said} in {duration(run.seconds)}; the weights are those of epoch {model.best_epoch}",
            ),
            *_code_lines(model),
            ("model", str(run.model_path)),
            *([("run", f"{run.folder} (report.html shows what was learned)")] if run.folder else []),
        ]
    )


def _code_lines(model: FittedModel) -> list[tuple[str, str]]:
    from isthmus.config.catalogue import part_name

    metrics = model.metrics
    lines: list[tuple[str, str]] = []
    if metrics["code"]["dead"]:
        lines.append(("code", f"{metrics['code']['dead']} of {metrics['code']['size']} units carry nothing"))
    denoised = denoising_words(metrics)
    if denoised is not None:
        lines.append(("denoising", denoised))
    if "rate_nats" in metrics:
        lines.append(("rate", f"{number(metrics['rate_nats'])} nats"))
    if "elbo_nats" in metrics:
        bound = number(metrics["elbo_nats"])
        # Only the Gaussian is certainly a density of what it is given: Bernoulli's is one of zeros and ones.
        if part_name(model.config.model.likelihood) == "gaussian":
            lines.append(("evidence", f"at least {bound} nats, of x in model units (one draw of the code)"))
        else:
            lines.append(("-loss - rate", f"{bound} nats (one draw of the code)"))
    return lines


def _document(run: Run) -> dict[str, Any]:
    return {
        **run.model.metrics,
        "model": str(run.model_path),
        "run": None if run.folder is None else str(run.folder),
        "config": run.model.config.to_dict(),
        "metrics": run.model.metrics,
        "best_epoch": run.model.best_epoch,
        "epochs": len(run.model.epochs),
        "reason": run.history.reason,
        "seconds": round(run.seconds, 3),
        "notes": list(run.model.notes),
    }


def _name(source: str) -> str:
    """A short name for the data, for the run folder."""
    return Path(source).absolute().name.split(".")[0]

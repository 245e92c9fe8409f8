"""``isthmus fit``: from data to a model."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Source, told
from isthmus.cli.output import denoising_words, note_lines, number, print_errors, print_json, print_lines

if TYPE_CHECKING:
    from isthmus.artifact import FittedModel
    from isthmus.sources import Source as Rows
    from isthmus.workflows.fit import Prepared
    from isthmus.workflows.run import Run


@told
def fit(
    source: Source | None = None,
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
    resume: Path | None = None,
    device: str | None = None,
    memory: str | None = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Train an autoencoder on data.

    What is not given is chosen from the data, and shown. With -o alone the model file is all that is
    written; else a run folder holds config, journal, model and report (made under runs/ and named
    after the data, unless --run names it). A run that was interrupted (Ctrl-C) or killed goes on with --resume,
    and ends as one that was not.

    Parameters
    ----------
    output
        The model file to write, NAME.safetensors.
    kind
        basic, sparse, denoising, imputing, contractive, variational, quantised, convolutional or
        transformer.
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
    resume
        The folder of a run to go on with, from its last checkpoint. SOURCE and --validation need be given only if
        the data have moved; whatever else decided the run is as it was.
    device
        cpu, cuda, mps or auto.
    memory
        What rows may take of it: 2GB, 500MB, 1.5GiB; auto: half of what is free. Rows that need more are read
        by block, in every pass anew.
    """
    from isthmus.errors import ParameterError

    if resume is not None:
        given = {
            "--kind": kind, "--code-size": code_size, "--epochs": epochs, "--seed": seed, "--config": config,
            "--set": settings, "--run": run, "--device": device, "--memory": memory,
        }  # fmt: skip
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise ParameterError(
                f"--resume: a run goes on as it began, got {' and '.join(named)} too. Leave out what would change it, "
                "or begin a new run."
            )
        return _resume(resume, source, output, validation, labels, validation_labels, force=force, json=json)
    if source is None:
        raise ParameterError(
            "fit: expected data to learn from, got none. Name a file or folder, or a run to go on with: --resume DIR."
        )
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
    from isthmus.workflows.outputs import check_file

    if output is not None:
        check_file(output, force=force, suffixes=(".safetensors",))
    from isthmus.workflows.open_data import check_there, open_data

    check_there(source, validation)
    from isthmus.training.progress import ProgressBar
    from isthmus.workflows.run import check_places, run_fit
    from isthmus.workflows.run_record import Origin

    check_places(output, run, force=force)
    rows = open_data(source, described.data, labels=labels)
    if validation is None and validation_labels is not None:
        raise ParameterError(
            f"--validation-labels: expected data of --validation to go with, got {validation_labels} alone. "
            "Leave it out, or add --validation SOURCE."
        )
    held_out = None if validation is None else open_data(validation, described.data, labels=validation_labels)

    origin = Origin(
        source,
        None if labels is None else str(labels),
        validation,
        None if validation_labels is None else str(validation_labels),
    )

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
            prepared=None if json else partial(_print_prepared, source, rows),
            origin=origin,
            told=lambda text: bar.say(f"isthmus: {text}"),
        )
    return _tell_result(done, json=json)


def _resume(
    folder: Path,
    source: str | None,
    output: Path | None,
    validation: str | None,
    labels: Path | None,
    validation_labels: Path | None,
    *,
    force: bool,
    json: bool,
) -> int:
    """Go on with a run, with the data that it tells of unless others are named."""
    from isthmus.errors import ParameterError
    from isthmus.training.progress import ProgressBar
    from isthmus.workflows.open_data import open_data
    from isthmus.workflows.outputs import check_file
    from isthmus.workflows.run import check_resumable, resume_fit
    from isthmus.workflows.run_record import place_of, read_record

    if output is not None:
        check_file(output, force=force, suffixes=(".safetensors",))
    check_resumable(folder)
    record = read_record(place_of(folder))
    known = record.origin
    source = known.source if source is None and known is not None else source
    if source is None:
        raise ParameterError(f"--resume: {folder} does not tell whose rows it learns from. Name SOURCE too.")
    if known is not None:
        validation = known.validation if validation is None else validation
        labels = Path(known.labels) if labels is None and known.labels is not None else labels
        if validation_labels is None and known.validation_labels is not None:
            validation_labels = Path(known.validation_labels)
    rows = open_data(source, record.config.data, labels=labels)
    held_out = (
        None if validation is None else open_data(validation, record.config.data, labels=validation_labels)
    )

    with ProgressBar() as bar:
        done = resume_fit(
            folder,
            rows,
            validation=held_out,
            output=output,
            callbacks=[bar],
            prepared=None if json else partial(_print_prepared, source, rows),
            told=lambda text: bar.say(f"isthmus: {text}"),
        )
    return _tell_result(done, json=json)


def _tell_result(done: Run, *, json: bool) -> int:
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
            *([("go on", run.resume)] if run.resume else []),
            *note_lines(run.history.notes),
        ]
    )


def _code_lines(model: FittedModel) -> list[tuple[str, str]]:
    from isthmus.config.catalogue import part_name

    metrics = model.metrics
    lines: list[tuple[str, str]] = []
    denoised = denoising_words(metrics)
    if denoised is not None:
        lines.append(("denoising", denoised))
    if "rate_nats" in metrics:
        bits = f" ({number(metrics['rate_nats'] / math.log(2))} bits)" if _is_stored(model) else ""
        lines.append(("rate", f"{number(metrics['rate_nats'])} nats{bits}"))
    if "elbo_nats" in metrics:
        bound = number(metrics["elbo_nats"])
        # The Gaussian is a density of whatever it is given, a probability one of exact values alone.
        if part_name(model.config.model.likelihood) == "gaussian" or "bits_per_value" in metrics:
            lines.append(("evidence", f"at least {bound} nats, of x in model units (one draw of the code)"))
        else:
            lines.append(("-loss - rate", f"{bound} nats (one draw of the code)"))
    if "bits_per_value" in metrics:
        lines.append(("storage", f"{number(metrics['bits_per_value'])} bits a value, exactly, by that bound"))
    return lines


def _is_stored(model: FittedModel) -> bool:
    """Whether the rate is what the code itself costs to store."""
    from isthmus.codes.quantised import Quantised

    return isinstance(model.module.code, Quantised)


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
        "resume": run.resume,
    }


def _name(source: str) -> str:
    """A short name for the data, for the run folder."""
    return Path(source).absolute().name.split(".")[0]

"""``isthmus info``: what a model, a run or data are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from isthmus.cli.options import Json
from isthmus.cli.output import number, print_errors, print_json, print_lines

if TYPE_CHECKING:
    from isthmus.artifact import FittedModel
    from isthmus.sources import Source


def info(
    file: Annotated[str, Parameter(help="A model file, a run folder, or data as fit reads them.")],
    /,
    *,
    json: Json = False,
) -> None:
    """Tell what a model, a run or data are."""
    from isthmus.sources.open import is_there

    path = Path(file)
    is_folder = is_there(path) and path.is_dir()
    model_path = path / "model.safetensors" if is_folder else path
    if path.suffix == ".safetensors" or (is_folder and model_path.is_file()):
        from isthmus.artifact import open_model

        model = open_model(model_path)
        if json:
            print_json(_model_document(model, model_path))
        else:
            _print_model(model, model_path)
        return
    from isthmus.workflows.open_data import open_data

    source = open_data(file)
    found = _data_document(source)
    if json:
        print_json(found)
    else:
        _print_data(file, source, found)


def _model_document(model: FittedModel, path: Path) -> dict[str, Any]:
    from isthmus.artifact.file import FORMAT

    return {
        "what": "model",
        "model": str(path),
        "bytes": path.stat().st_size,
        "format": FORMAT,
        "parameters": model.n_parameters,
        "schema": model.scaling.schema.to_dict(),
        "scaling": model.scaling.method,
        "architecture": [stage._asdict() for stage in model.module.network.stages()],
        "classes": None if model.classes is None else model.classes.tolist(),
        "config": model.config.to_dict(),
        "metrics": model.metrics,
        "best_epoch": model.best_epoch,
        "epochs": len(model.epochs),
        "notes": list(model.notes),
    }


def _print_model(model: FittedModel, path: Path) -> None:
    from isthmus.artifact.file import FORMAT
    from isthmus.cli.words import many, model_lines, noun, stage_lines

    plan = model.config.training
    print_lines(
        [
            ("model", f"{path}: {path.stat().st_size:,} bytes, format {FORMAT}"),
            *model_lines(model),
            *stage_lines(model.module.network.stages()),
            ("data", f"{model.scaling.schema.describe()}; scaling {model.scaling.method}"),
            (
                "trained",
                f"{many(len(model.epochs), 'epoch')} of at most {plan.epochs}, weights of epoch "
                f"{model.best_epoch}; batches of {plan.batch_size}, learning rate {plan.learning_rate}, "
                f"seed {plan.seed}",
            ),
        ]
    )
    if model.metrics:
        metrics = model.metrics
        print()
        print_errors(metrics, noun(model))
        print()
        rest = [f"rate {number(metrics['rate_nats'])} nats"] if "rate_nats" in metrics else []
        words = [f"{metrics['code']['active']} of {metrics['code']['size']} units active", *rest]
        print_lines(
            [("measured on", f"{metrics['rows']:,} {metrics['rows_are']} rows"), ("code", ", ".join(words))]
        )


def _data_document(source: Source) -> dict[str, Any]:
    import numpy as np

    from isthmus.errors import DataError
    from isthmus.preprocessing import Scaling, infer_likelihood

    labels = None if source.labels is None else sorted(set(source.labels.tolist()))
    document: dict[str, Any] = {
        "what": "data",
        "rows": len(source),
        "schema": source.schema.to_dict(),
        "labels": None if labels is None else {"count": len(labels), "first": labels[:20]},
        "likelihood": None,
        "scaling": None,
        "notes": list(source.notes),
    }
    try:
        scaling = Scaling.fit(source, np.arange(len(source)))
        choice = infer_likelihood(source, scaling)
        document |= {"likelihood": {"name": choice.name, "reason": choice.reason}, "scaling": scaling.method}
        document["notes"] += list(scaling.notes)
    except DataError as error:
        document["notes"] += [f"A model cannot be fitted: {error}"]
    return document


def _print_data(name: str, source: Source, found: dict[str, Any]) -> None:
    from isthmus.cli.words import likelihood_words, source_words

    lines = [("data", source_words(name, source))]
    if source.schema.value_range is not None:
        low, high = source.schema.value_range
        lines.append(("values", f"from {low:g} to {high:g}"))
    if found["labels"] is not None:
        first = found["labels"]["first"]
        more = ", ..." if found["labels"]["count"] > len(first) else ""
        lines.append(("labels", ", ".join(map(str, first)) + more))
    if found["likelihood"] is not None:
        chosen = found["likelihood"]
        lines.append(("likelihood", likelihood_words(chosen["name"], chosen["reason"])))
        lines.append(("scaling", found["scaling"]))
    print_lines([*lines, *(("note", note) for note in found["notes"])])

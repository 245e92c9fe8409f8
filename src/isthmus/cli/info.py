"""``isthmus info``: what a model, a run or data are."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from isthmus.cli.options import Json, told
from isthmus.cli.output import cut, number, print_errors, print_json, print_lines, print_table
from isthmus.run_folder import MODEL, RECORD, TAKING_OVER, UNFINISHED

if TYPE_CHECKING:
    from isthmus.artifact import FittedModel
    from isthmus.config import Data
    from isthmus.schema import Schema
    from isthmus.sources import Source, TableSource
    from isthmus.sources.table_facts import ColumnFacts


@told
def info(
    file: Annotated[
        str, Parameter(help="A model file, a run folder, an archive, or data as fit reads them.")
    ],
    /,
    *,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    json: Json = False,
) -> None:
    """Tell what a model, a run, an archive or data are.

    Parameters
    ----------
    settings
        KEY=VALUE for the keys of data, as fit takes them, such as data.types.age=category or
        data.resize=[28,28]; may be repeated. For data alone.
    """
    from isthmus.cli.settings import read_data
    from isthmus.errors import ParameterError
    from isthmus.sources.open import is_there

    described = read_data(settings or ())

    path = Path(file)
    is_folder = is_there(path) and path.is_dir()
    if is_folder and (path / TAKING_OVER / RECORD).is_file():
        from isthmus.workflows.taking_over import settle

        settle(path)
    model_path = path / MODEL if is_folder else path
    is_run = is_folder and any((path / name / RECORD).is_file() for name in (".", UNFINISHED))
    is_model = path.suffix == ".safetensors" or (is_folder and model_path.is_file())
    if settings and (is_run or is_model or path.suffix == ".isth"):
        what = "an archive" if path.suffix == ".isth" else "a model"
        raise ParameterError(
            f"--set: settings are for data, got {file}, {what}, whose own are fixed. Leave --set out."
        )
    if is_run and not model_path.is_file():
        _print_run(path, json=json)
        return
    if is_model:
        from isthmus.artifact import open_model

        model = open_model(model_path)
        if json:
            run = {"run": _run_document(path)} if is_run else {}
            print_json({**_model_document(model, model_path), **run})
        else:
            _print_model(model, model_path)
            if is_run:
                print_lines(_run_lines(path))
        return
    if path.suffix == ".isth":
        from isthmus.cli.archive_info import print_archive

        print_archive(path, json=json)
        return
    _print_source(file, described, json=json)


def _print_source(file: str, described: Data, *, json: bool) -> None:
    from isthmus.sources import TableSource
    from isthmus.sources.table_facts import column_facts
    from isthmus.workflows.open_data import open_data

    source = open_data(file, described)
    if isinstance(source, TableSource):
        facts = column_facts(source)
        found = _table_document(source, facts)
        if json:
            print_json(found)
        else:
            _print_columns(file, found, facts)
        return
    found = _data_document(source)
    if json:
        print_json(found)
    else:
        _print_data(file, source, found)


def _print_run(folder: Path, *, json: bool) -> None:
    from isthmus.cli.words import model_lines
    from isthmus.workflows.run_record import prepared_model

    model = prepared_model(folder)
    if json:
        print_json({"what": "run", "run": _run_document(folder), "config": model.config.to_dict()})
    else:
        print_lines([*_run_lines(folder), *model_lines(model)])


def _run_document(folder: Path) -> dict[str, Any]:
    from isthmus.workflows.run_record import progress_of

    progress = progress_of(folder)
    return {"folder": str(folder), **progress._asdict()}


def _run_lines(folder: Path) -> list[tuple[str, str]]:
    """Where a run stands, and how it goes on."""
    from isthmus.workflows.run_record import progress_of

    progress = progress_of(folder)
    of = "" if progress.n_epochs is None else f" of at most {progress.n_epochs}"
    lines = [("run", f"{folder}: {progress.what}")]
    if progress.what == "finished":
        return lines
    kept = "no checkpoint yet" if progress.checkpoint is None else f"checkpoint {progress.checkpoint}"
    return [
        *lines,
        ("kept", f"{kept}, after epoch {progress.epoch}{of}"),
        *(("damaged", text) for text in progress.damaged),
        ("go on", f"isthmus fit --resume {shlex.quote(str(folder))}"),
    ]


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
            *_column_lines(model.scaling.schema),
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
            [
                ("measured on", f"{metrics['rows']:,} {metrics.get('rows_are', 'held-out')} rows"),
                ("code", ", ".join(words)),
            ]
        )


def _column_lines(schema: Schema) -> list[tuple[str, str]]:
    """The columns of a table by their types, or the list columns of vectors; nothing of other rows."""
    by_type: dict[str, list[str]] = {}
    for column in schema.table or ():
        by_type.setdefault(column.type, []).append(column.name)
    for constant in schema.constants:
        by_type.setdefault("constant", []).append(constant.column.name)
    lines = [f"{type_}: {', '.join(names)}" for type_, names in by_type.items()]
    if schema.lists:
        lines.append(", ".join(f"{name} ({length} values)" for name, length in schema.lists))
    return [("columns" if at == 0 else "", line) for at, line in enumerate(lines)]


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
        document["notes"] += scaling.notes
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


def _table_document(source: TableSource, facts: list[ColumnFacts]) -> dict[str, Any]:
    import numpy as np

    from isthmus.errors import DataError
    from isthmus.preprocessing import TableScaling, infer_likelihood

    n_rows = len(source)
    document: dict[str, Any] = {
        "what": "data",
        "rows": n_rows,
        "schema": source.schema.to_dict(),
        "columns": [each._asdict() | {"gap_share": each.n_gaps / n_rows} for each in facts],
        "labels": None,
        "likelihood": None,
        "scaling": None,
        "notes": list(source.notes),
    }
    try:
        scaling = TableScaling.fit(source, np.arange(n_rows))
        choice = infer_likelihood(source, scaling)
        document |= {"likelihood": {"name": choice.name, "reason": choice.reason}, "scaling": scaling.method}
        document["notes"] += scaling.notes
    except DataError as error:
        document["notes"].append(f"A model cannot be fitted: {error}")
    return document


def _print_columns(name: str, found: dict[str, Any], facts: list[ColumnFacts]) -> None:
    from isthmus.cli.words import likelihood_words, many

    n_rows = found["rows"]
    n_gaps = sum(each.n_gaps for each in facts)
    lines = [
        ("data", f"{name}: {many(n_rows, 'row')} of {many(len(facts), 'column')}"),
        ("gaps", f"{_share(n_gaps, n_rows * len(facts))} of the values"),
    ]
    if found["likelihood"] is not None:
        chosen = found["likelihood"]
        lines.append(("likelihood", likelihood_words(chosen["name"], chosen["reason"])))
        lines.append(("scaling", found["scaling"]))
    print_lines(lines)
    print()
    rows = [
        (cut(each.name, 32), _type(each), _share(each.n_gaps, n_rows), cut(_holds(each), 58))
        for each in facts
    ]
    print_table(["column", "type", "gaps", "holds"], rows, left=(0, 1, 3))
    if found["notes"]:
        print()
        print_lines(("note", note) for note in found["notes"])


def _type(facts: ColumnFacts) -> str:
    return "constant" if facts.is_constant else facts.type


def _holds(facts: ColumnFacts) -> str:
    """What a column holds: the ends of its numbers and their mean, or its categories and how often each is."""
    if facts.counts is not None:
        said = ", ".join(f"{word} ({n:,})" for word, n in facts.counts.items())
        return said if facts.type == "boolean" or len(facts.counts) == 1 else f"{len(facts.counts)}: {said}"
    if facts.mean is None:
        return f"{facts.lowest} to {facts.highest}"
    if facts.is_constant:
        return number(facts.mean)
    return f"{number(_figure(facts.lowest))} to {number(_figure(facts.highest))}, mean {number(facts.mean)}"


def _figure(value: float | str | None) -> float | None:
    return None if isinstance(value, str) else value


def _share(n: int, of: int) -> str:
    """A part of a whole in per cent; what is there at all is not told as none.

    >>> _share(0, 10), _share(1, 3), _share(1, 10000), _share(3, 3)
    ('0 %', '33.3 %', '<0.1 %', '100 %')
    """
    if n in (0, of):
        return f"{100 * n // max(1, of)} %"
    share = 100.0 * n / of
    return "<0.1 %" if share < 0.05 else f"{share:.1f} %"

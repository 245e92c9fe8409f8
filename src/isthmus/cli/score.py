"""``isthmus score``: how odd rows are, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Memory, Model, Source, told
from isthmus.cli.output import note_lines, number, print_json, print_lines, print_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from isthmus.artifact.anomaly import Usual

SHOWN = 10
BYTES_A_ROW = 400
"""What the names of three causes take where those of all rows are held."""


@told
def score(
    model: Model,
    source: Source,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    threshold: float | None = None,
    contamination: float | None = None,
    quantile: float | None = None,
    causes: Literal["all", "anomalies", "none"] = "all",
    reference: str | None = None,
    labels: Labels = None,
    memory: Memory = "auto",
    force: Force = False,
    json: Json = False,
) -> None:
    """Write how odd each row is to a model (larger is odder), and which of its values make it so.

    Parameters
    ----------
    output
        NAME.csv: columns row, anomaly, is_anomaly, cause_1 to cause_3, label. NAME.npy: the anomaly alone.
        NAME.npz: arrays anomaly, is_anomaly, causes, labels.
    threshold
        Rows above it are anomalies; the model's own if nothing else is asked for.
    contamination
        Instead of a threshold: the share of the training rows to lie above it.
    quantile
        Instead of a threshold: the share of the held-out rows to lie at or below it.
    causes
        Of which rows to look for causes, at some hundred reconstructions a row.
    reference
        Rows that say what is usual, instead of the model's training rows; needed for a model of an
        earlier isthmus.
    """
    from collections.abc import Iterator

    import numpy as np

    from isthmus.artifact import open_model
    from isthmus.exploration.anomaly import AnomalyScore
    from isthmus.inference import Inference
    from isthmus.sources.subset import Subset
    from isthmus.workflows.fit import usual_rows
    from isthmus.workflows.open_data import notes_of, open_data, with_memory
    from isthmus.workflows.outputs import check_file, check_room
    from isthmus.workflows.score_files import N_CAUSES, SCORE_SUFFIXES, row_names, write_scores

    asked = {"threshold": threshold, "contamination": contamination, "quantile": quantile}
    _check_one(asked)
    check_file(output, force=force, suffixes=SCORE_SUFFIXES)
    fitted = open_model(model)
    data = with_memory(fitted.config.data, memory)
    usual = None if reference is None else open_data(reference, data, schema=fitted.scaling.schema)
    if usual is not None:
        fitted.usual = usual_rows(fitted, usual)
    found = AnomalyScore(Inference(fitted))
    limit, rule = _limit(found.usual, asked)
    rows = open_data(source, data, labels=labels, schema=fitted.scaling.schema)
    notes = notes_of([(source, rows), (reference, usual)])
    if output.suffix.lower() == ".npz":
        check_room(output, len(rows) * BYTES_A_ROW, data, "Write .npy or .csv")
    anomaly = found.score_as_computed(rows)
    is_anomaly = anomaly > np.float64(limit)  # not rounded to the precision of the anomaly
    looked_at = None if causes == "all" else np.flatnonzero(is_anomaly & (causes == "anomalies"))

    def each_names() -> Iterator[list[str]]:
        chosen = rows if looked_at is None else Subset(rows, looked_at)
        names = found.each_names_of_causes(chosen, N_CAUSES)
        for odd in is_anomaly:
            yield next(names) if looked_at is None or (odd and len(looked_at)) else []

    write_scores(output, anomaly, is_anomaly, each_names(), rows)
    called, oddest = row_names(rows), _oddest(anomaly, SHOWN)
    of_oddest = iter(found.names_of_causes(Subset(rows, oddest), N_CAUSES) if causes != "none" else [])
    why = {row: next(of_oddest, []) for row in oddest}
    document: dict[str, Any] = {
        "output": str(output),
        "rows": len(anomaly),
        "anomalies": int(is_anomaly.sum()),
        "threshold": limit,
        "rule": rule,
        "measure": found.usual.measure,
        "median": _median(anomaly),
        "highest": float(anomaly.max()),
        "oddest": [
            {
                "row": str(called[row]),
                "anomaly": float(anomaly[row]),
                "causes": why[row] if causes == "all" or is_anomaly[row] else [],
            }
            for row in oddest
        ],
        "notes": notes,
    }
    if json:
        print_json(document)
    else:
        _print(document)


def _median(values: NDArray[np.float32]) -> float:
    """In the precision of Python's numbers, without a second array in it."""
    import numpy as np

    ends = [(len(values) - 1) // 2, len(values) // 2]
    return float(np.partition(values, ends)[ends].astype(float).mean())


def _oddest(values: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Places of the n largest, the largest first; of equal ones the first."""
    import numpy as np

    n = min(n, len(values))
    least = np.partition(values, len(values) - n)[len(values) - n]
    near = np.flatnonzero(values >= least)
    return near[np.argsort(-values[near], kind="stable")[:n]]


def _check_one(asked: dict[str, float | None]) -> None:
    from isthmus.errors import ParameterError

    given = [f"--{name}" for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise ParameterError(
            f"score: expected at most one of --threshold, --contamination and --quantile, got {' and '.join(given)}. "
            "Each decides which rows count as anomalies; leave all but one out."
        )
    value = asked["threshold"]
    if value is not None and not abs(value) < float("inf"):
        raise ParameterError(f"--threshold: expected a finite number, got {value}. Try --quantile 0.99.")


def _limit(usual: Usual, asked: dict[str, float | None]) -> tuple[float, str]:
    """The threshold that was asked for, and where it came from."""
    threshold, contamination, quantile = (asked[name] for name in ("threshold", "contamination", "quantile"))
    if threshold is not None:
        return threshold, "as asked for"
    if contamination is not None:
        said = f"{contamination:g} of the training rows lie above"
        return usual.above_share_of_training(contamination), said
    if quantile is not None:
        kind = "training" if usual.held_out is None else "held-out"
        return usual.at_quantile(quantile), f"the {quantile:g}-quantile of {kind} rows"
    return usual.threshold, usual.rule


def _print(found: dict[str, Any]) -> None:
    """For people what ``--json`` gives to programs."""
    from isthmus.cli.words import many

    print_table(
        ["oddest row", "anomaly", "because of"],
        [
            [each["row"], number(each["anomaly"]), "; ".join(each["causes"]) or "-"]
            for each in found["oddest"]
        ],
        left=(0, 2),
    )
    print()
    above = f"above {number(found['threshold'])} ({found['rule']})"
    print_lines(
        [
            ("anomalies", f"{found['anomalies']:,} of {many(found['rows'], 'row')} {above}"),
            ("written", f"{found['output']}: an anomaly a row, larger is odder"),
            *note_lines(found["notes"]),
        ]
    )

"""``isthmus group``: which rows belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Model, Source, told
from isthmus.cli.output import print_json, print_lines, print_table


@told
def group(
    model: Model,
    source: Source,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    groups: str = "auto",
    method: Literal["mixture", "k-means"] = "mixture",
    criterion: Literal["bic", "icl"] = "bic",
    examples: Path | None = None,
    save: Path | None = None,
    labels: Labels = None,
    seed: int | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write which rows belong together, found in their codes without labels.

    Parameters
    ----------
    output
        NAME.csv: columns row, group, probability, label. NAME.npy: groups alone. NAME.npz: arrays
        groups, probabilities (of every group), labels.
    groups
        How many, or auto: that of lowest criterion.
    method
        mixture of normal distributions, or k-means.
    criterion
        bic, or icl, which asks for groups that lie apart and takes fewer.
    examples
        NAME.png, for pictures: a group a line, its decoded centre, rows nearest to it, rows at its edge.
    save
        NAME.safetensors: model and groups, for AutoencoderClusterer.open.
    seed
        Of the starts; the model's own if not given.
    """
    import numpy as np

    from isthmus.artifact import open_model
    from isthmus.errors import ParameterError
    from isthmus.exploration.groups import agreement, find_groups
    from isthmus.exploration.groups import examples as examples_of
    from isthmus.exploration.groups_file import GroupedModel, save_groups
    from isthmus.inference import Inference
    from isthmus.workflows.group_files import (
        GROUP_SUFFIXES,
        N_CENTRE,
        check_examples_output,
        write_examples,
        write_groups,
    )
    from isthmus.workflows.open_data import open_data
    from isthmus.workflows.outputs import check_file
    from isthmus.workflows.score_files import row_names

    wanted = _number(groups)
    check_file(output, force=force, suffixes=GROUP_SUFFIXES)
    fitted = open_model(model)
    if fitted.classes is not None:
        raise ParameterError(
            f"{model}: expected a model that knows no labels, got one that is conditional on them, whose codes leave "
            "out what labels say. Fit without model.condition=label."
        )
    if examples is not None:
        check_examples_output(examples, fitted.scaling.schema, force=force)
    if save is not None:
        check_file(save, force=force, suffixes=(".safetensors",))
    rows = open_data(source, fitted.config.data, labels=labels, schema=fitted.scaling.schema)
    inference = Inference(fitted)
    codes = inference.encode(rows)
    root = (fitted.config.training.seed or 0) if seed is None else seed
    found = find_groups(
        codes,
        wanted,
        seed=root,
        method="k_means" if method == "k-means" else "mixture",
        criterion=criterion,
    )
    probabilities = found.probabilities(codes)
    members = found.members(codes)
    shown = examples_of(found, codes, N_CENTRE)
    write_groups(output, members, probabilities, rows)
    if examples is not None:
        write_examples(
            examples, shown, inference.decode(found.means.astype(np.float32)), rows, fitted.scaling.schema
        )
    if save is not None:
        save_groups(GroupedModel(fitted, found, members), save)
    document: dict[str, Any] = {
        "output": str(output),
        "rows": len(members),
        "groups": found.n_groups,
        "method": found.method,
        "criterion": criterion,
        "curve": {str(n): value for n, value in found.curve.items()},
        "each": [
            {
                "group": at,
                "rows": int(n),
                "probability": float(probabilities[members == at, at].mean()) if n else None,
                "centre": shown.centre[at].tolist(),
                "edge": shown.edge[at].tolist(),
            }
            for at, n in enumerate(np.bincount(members, minlength=found.n_groups))
        ],
        "agreement": None if rows.labels is None else agreement(members, rows.labels).to_dict(),
        "examples": None if examples is None else str(examples),
        "model": None if save is None else str(save),
        "seed": root,
        "notes": list(rows.notes),
    }
    if json:
        print_json(document)
    else:
        _print(document, list(row_names(rows)))


def _print(found: dict[str, Any], called: Sequence[Any]) -> None:
    """For people what ``--json`` gives to programs."""
    from isthmus.cli.words import many

    if len(found["curve"]) > 1:
        lines = [[n, f"{value:,.0f}"] for n, value in found["curve"].items()]
        print_table(["groups", found["criterion"].upper()], lines)
        print()
    print_table(
        ["group", "rows", "probability", "nearest rows"],
        [
            [
                str(each["group"]),
                f"{each['rows']:,}",
                "-" if each["probability"] is None else f"{each['probability']:.3f}",
                " ".join(str(called[row]) for row in each["centre"][:3]),
            ]
            for each in found["each"]
        ],
        left=(0, 3),
    )
    print()
    said = [
        ("groups", f"{found['output']}: {many(found['rows'], 'row')} in {many(found['groups'], 'group')}")
    ]
    known = found["agreement"]
    if known is not None:
        words = (
            f"normalised mutual information {known['nmi']:.3f}, adjusted {known['ami']:.3f}, adjusted Rand index "
            f"{known['ari']:.3f}, accuracy of the best matching {known['accuracy']:.3f}"
        )
        said.append(("labels", words))
    if found["examples"] is not None:
        words = f"{found['examples']}: a group a line: its centre, rows near it, rows at its edge"
        said.append(("examples", words))
    if found["model"] is not None:
        said.append(("model", f"{found['model']}: AutoencoderClusterer.open reads it"))
    print_lines([*said, *(("note", note) for note in found["notes"])])


def _number(groups: str) -> int | Literal["auto"]:
    """A number of groups, or ``"auto"``."""
    from isthmus.errors import ParameterError

    if groups == "auto":
        return "auto"
    if not groups.removeprefix("-").isdecimal():
        raise ParameterError(f"--groups: expected a number or auto, got {groups!r}. Try --groups auto.")
    return int(groups)

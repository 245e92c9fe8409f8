"""``isthmus compare``: kinds of autoencoders on the same rows, beside PCA."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Labels, Source, told
from isthmus.cli.output import note_lines, number, print_json, print_lines, print_table, ratio

if TYPE_CHECKING:
    from isthmus.workflows.compare import Compared


@told
def compare(
    source: Source,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    kinds: str | None = None,
    code_size: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    config: Path | None = None,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    labels: Labels = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train several kinds on the same rows and say which one to take.

    A fifth of the rows is held out and judges all: the kinds, PCA with as many numbers, and the mean
    row. What it will cost is said first. The folder takes comparison.csv, comparison.png and a model
    a kind.

    Parameters
    ----------
    output
        The folder to write.
    kinds
        Names with commas between, such as basic,variational; the simpler before the others. Without
        it those that suit the data.
    code_size
        Units of every code.
    epochs
        At most so many passes over the data.
    seed
        From which every random number derives.
    config
        TOML file to begin with; other options come after it.
    settings
        KEY=VALUE for any key of the config, for all kinds.
    """
    from isthmus.cli.settings import read_config
    from isthmus.config.recipes import RECIPES
    from isthmus.workflows.outputs import check_folder, notes_on_others

    chosen = None if kinds is None else [name.strip() for name in kinds.split(",") if name.strip()]

    def configs_of(names: list[str]) -> dict[str, Any]:
        return {
            name: read_config(
                config, kind=name, code_size=code_size, epochs=epochs, seed=seed, settings=settings or ()
            )
            for name in names
        }

    described = configs_of(chosen or ["basic"])
    check_folder(output, force=force)
    from isthmus.workflows.open_data import check_there, open_data

    check_there(source)
    from isthmus.artifact import save_model
    from isthmus.artifact.file import make_folder
    from isthmus.evaluation.comparison import draw_comparison, write_comparison
    from isthmus.training.progress import ProgressBar, duration
    from isthmus.workflows.compare import KINDS, candidates
    from isthmus.workflows.compare import compare as compare_all

    rows = open_data(source, next(iter(described.values())).data, labels=labels)
    if chosen is None:
        described = configs_of(list(KINDS[rows.schema.kind]))
    planned, test = candidates(rows, described)
    if not json:
        lines = [(one.kind, f"about {duration(max(1.0, one.seconds))} at most") for one in planned]
        total = duration(sum(max(1.0, one.seconds) for one in planned))
        size = planned[0].prepared.model.module.code.size
        about = f"{source}: {len(rows):,} rows, {len(test):,} of them held out, codes of {size} numbers"
        print_lines(
            [("data", about), *note_lines(rows.notes), *lines, ("together", f"about {total} at most")]
        )
        print()
    make_folder(output)

    def tell(one: Compared) -> None:
        if one.model is not None:
            save_model(one.model, output / f"{one.name}.safetensors")

    found = compare_all(planned, test, watch=ProgressBar, done=tell)
    table = [one.to_dict() for one in found.results]
    write_comparison(table, output / "comparison.csv")
    draw_comparison(found.results, found.code_size, output / "comparison.png")
    models = {name: output / f"{name}.safetensors" for name in RECIPES if name not in described}
    others = notes_on_others([path for path in models.values() if path.is_file()])
    if json:
        about = {
            "rows": {"training": found.n_training, "test": found.n_test},
            "code": {"size": found.code_size},
        }
        told = {"recommended": found.recommended, "words": found.words, "notes": [*rows.notes, *others]}
        print_json({"output": str(output), **about, "results": table, **told})
        return
    _print_table(table)
    print()
    print_lines(
        [
            ("take", found.words),
            ("written", f"{output}: comparison.csv, comparison.png, a model a kind"),
            *note_lines(others),
        ]
    )


def _print_table(table: list[dict[str, Any]]) -> None:
    pca = next((row["sse"] for row in table if row["kind"] == "PCA"), None)
    labelled = any(row["label_accuracy"] is not None for row in table)
    header = ["", "squared error a row", "against PCA", "active units", "zeros in codes", "seconds"]
    print_table(
        [*header, "labels by neighbours"] if labelled else header,
        [
            [
                row["kind"],
                number(row["sse"]),
                ratio(row["sse"], pca),
                "" if row["active_units"] is None else str(row["active_units"]),
                "" if row["zero_share"] is None else f"{row['zero_share']:.0%}",
                "" if row["seconds"] is None else f"{row['seconds']:.0f}",
                *(
                    ["" if row["label_accuracy"] is None else f"{row['label_accuracy']:.1%}"]
                    if labelled
                    else []
                ),
            ]
            for row in table
        ],
    )

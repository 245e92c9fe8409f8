"""``isthmus demo``: two autoencoders beside PCA on bundled digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, told
from isthmus.cli.output import number, print_json, print_lines, print_table, ratio

if TYPE_CHECKING:
    from isthmus.workflows.demo import DemoModel


@told
def demo(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("demo-report.html"),
    epochs: int | None = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train on bundled digits and compare with PCA.

    A dense and a convolutional autoencoder, both with default settings and codes of 32 numbers,
    learn from 8,000 handwritten digits and are tested on 2,000 others. Takes minutes.

    Parameters
    ----------
    output
        The report to write.
    epochs
        At most so many passes over the digits, for a quick try.
    """
    from isthmus.workflows.outputs import check_file

    check_file(output, force=force, suffixes=(".html", ".htm"))
    from isthmus.training.progress import ProgressBar, duration
    from isthmus.workflows.demo import CODE_SIZE, run_demo

    if not json:
        print_lines(
            [("demo", f"8,000 digits to learn from, 2,000 others to test on, codes of {CODE_SIZE} numbers")]
        )

    def tell(done: DemoModel) -> None:
        if not json:
            print_lines([(done.name, f"trained in {duration(done.seconds)}")])

    found = run_demo(output, epochs=epochs, watch=ProgressBar, done=tell)
    rows = _rows(found)
    if json:
        print_json({"report": str(output), "code": {"size": CODE_SIZE}, "models": rows})
        return
    print()
    print_table(
        ["", "squared error per image", "against PCA", "seconds"],
        [
            [
                "PCA" if name == "pca" else name,
                number(row["error"]["sse"]),
                ratio(row["error"]["sse"], rows["pca"]["error"]["sse"]),
                "" if row["seconds"] is None else f"{row['seconds']:.0f}",
            ]
            for name, row in rows.items()
        ],
    )
    print()
    print_lines([("report", f"{output} (the convolutional one; open it in a browser)")])
    print(
        "\nNext:\n"
        "  isthmus fit mnist-train --kind variational --code-size 8 -o digits.safetensors\n"
        "  isthmus reconstruct digits.safetensors mnist-test -o rebuilt.png\n"
        "  isthmus encode digits.safetensors mnist-test -o codes.csv"
    )


def _rows(found: list[DemoModel]) -> dict[str, dict[str, Any]]:
    baselines = found[0].metrics["baselines"]
    rows: dict[str, dict[str, Any]] = {
        name: {"error": baselines[name], "seconds": None} for name in ("mean", "pca")
    }
    for each in found:
        rows[each.name] = {"error": each.metrics["error"], "seconds": round(each.seconds, 3)}
    return rows

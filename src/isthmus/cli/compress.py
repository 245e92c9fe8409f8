"""``isthmus compress``: data into an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json
from isthmus.cli.output import note_lines, print_json, print_lines


def compress(
    source: Annotated[str, Parameter(help="A file or folder of data.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    model: Annotated[Path | None, Parameter(show_default=False)] = None,
    no_model: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    seconds: float = 120.0,
    resume: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Store data small; they come back to the last bit.

    Blocks of rows are coded by a model or by general means, whichever is smaller, and each is read back before it
    counts. 'isthmus decompress' gives all of them back, or some rows.

    Parameters
    ----------
    output
        The archive, NAME.isth.
    model
        A model that fit wrote for such data, with a Gaussian code and exact probabilities. Without one, arrays of
        bytes have one fitted if it saves more than its own size.
    no_model
        Fit none: general means alone.
    seconds
        That fitting a model should take, about.
    resume
        Go on with an archive that was not written to its end.
    """
    from isthmus.cli.words import many
    from isthmus.errors import ParameterError
    from isthmus.memory import bytes_text
    from isthmus.workflows.compress import compress as write

    if model is not None and no_model:
        raise ParameterError("--no-model: stands against --model. Give one of them.")
    done = write(
        source, output, model=model, fits=not no_model, seconds=seconds, force=force, resume=resume,
        told=lambda text: None if json else print_lines([("note", text)]),
    )  # fmt: skip
    ratio = done.n_bytes_before / max(1, done.n_bytes)
    alone = done.n_bytes_before / max(1, done.n_bytes - done.n_bytes_of_model)
    if json:
        print_json(
            {
                "output": str(done.path),
                "rows": done.n_rows,
                "bytes": done.n_bytes,
                "bytes_before": done.n_bytes_before,
                "bytes_of_model": done.n_bytes_of_model,
                "ratio": ratio,
                "ratio_without_model": alone,
                "blocks": done.codecs,
                "guarantee": "exact",
                "verified": True,
                "notes": list(done.notes),
            }
        )
        return
    size = f"{bytes_text(done.n_bytes)}, {ratio:.3g} times smaller than {bytes_text(done.n_bytes_before)}"
    within = f" (the model in it {bytes_text(done.n_bytes_of_model)}; without it {alone:.3g} times)"
    coded = ", ".join(f"{codec} {n:,}" for codec, n in done.codecs.items())
    print_lines(
        [
            ("archive", f"{done.path}: {many(done.n_rows, 'row')}"),
            ("size", size + (within if done.n_bytes_of_model else "")),
            ("blocks", coded or "none"),
            ("exact", "every block was read back and is equal to the last bit"),
            *note_lines(done.notes),
        ]
    )

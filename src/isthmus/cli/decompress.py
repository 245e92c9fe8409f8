"""``isthmus decompress``: an archive back into data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.options import Force, Json, Processes
from isthmus.cli.output import print_json, print_lines


def decompress(
    archive: Annotated[Path, Parameter(help="What compress wrote, NAME.isth.")],
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    model: Annotated[Path | None, Parameter(show_default=False)] = None,
    rows: Annotated[str | None, Parameter(show_default=False)] = None,
    processes: Processes = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write what an archive holds, as it came in.

    Parameters
    ----------
    output
        The file or folder, of the kind that was compressed.
    model
        The archive that carries the model, of one that was written with --apart.
    rows
        Some alone: START:STOP, counted from 0, such as 5000:6000. Only their blocks are read.
    """
    from isthmus.cli.preview_words import APPROXIMATE, CODEC
    from isthmus.cli.words import many
    from isthmus.codec.container import Archive
    from isthmus.workflows.compress import decompress as write

    n_rows = write(archive, output, model=model, rows=_range(rows), force=force, processes=processes)
    with Archive(archive) as opened:
        is_preview, footer = opened.header.get("coder") == CODEC, opened.footer
        is_exact = not is_preview and opened.header.get("bounds") is None
    if json:
        about = {"preview": footer.get(CODEC)} if is_preview else {}
        print_json({"output": str(output), "rows": n_rows, "exact": is_exact, **about})
    else:
        told = f"{APPROXIMATE}: 'isthmus info {archive}' tells how far it is from the data"
        lines = [(CODEC, told)] if is_preview else []
        print_lines([("data", f"{output}: {many(n_rows, 'row')}"), *lines])


def _range(text: str | None) -> tuple[int, int] | None:
    from isthmus.errors import ParameterError

    if text is None:
        return None
    start, colon, stop = text.partition(":")
    if not colon or not all(part.isascii() and part.isdigit() for part in (start, stop)):
        raise ParameterError(f"--rows: expected START:STOP, such as 5000:6000, got {text!r}.")
    return int(start), int(stop)

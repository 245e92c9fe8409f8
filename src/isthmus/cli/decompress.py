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
    rows
        Some alone: START:STOP, counted from 0, such as 5000:6000. Only their blocks are read.
    """
    from isthmus.cli.words import many
    from isthmus.workflows.compress import decompress as write

    n_rows = write(archive, output, rows=_range(rows), force=force, processes=processes)
    if json:
        print_json({"output": str(output), "rows": n_rows})
    else:
        print_lines([("data", f"{output}: {many(n_rows, 'row')}")])


def _range(text: str | None) -> tuple[int, int] | None:
    from isthmus.errors import ParameterError

    if text is None:
        return None
    start, colon, stop = text.partition(":")
    if not colon or not all(part.isascii() and part.isdigit() for part in (start, stop)):
        raise ParameterError(f"--rows: expected START:STOP, such as 5000:6000, got {text!r}.")
    return int(start), int(stop)

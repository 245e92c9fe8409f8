"""What is said of an archive from which data come back approximately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.cli.output import number

CODEC = "preview"
"""The codec of blocks that come back approximately, and the key of a footer with their errors."""
MOST_COLUMNS = 20
APPROXIMATE = "what comes back is approximate"


def preview_lines(preview: Any) -> list[tuple[str, str]]:
    """How far the columns of a preview are from what comes back.

    Parameters
    ----------
    preview
        What the footer says of it; from an archive it may be anybody's.

    Examples
    --------
    >>> age = {"name": "age", "n": 9, "rmse": 1.25, "largest": 4.0, "low": 20.0, "high": 80.0}
    >>> for line in preview_lines({"columns": [age], "exact": ["name"], "exact_rows": 0}):
    ...     print(*line)
    preview what comes back is approximate
    error age: root mean squared error 1.25 of 20..80, largest 4
    exact name
    """
    first = [(CODEC, APPROXIMATE)]
    try:
        columns = list(preview["columns"])
        lines = [("error", f"{each['name']}: {_words(each)}") for each in columns[:MOST_COLUMNS]]
        if len(columns) > MOST_COLUMNS:
            lines.append(("", f"and {len(columns) - MOST_COLUMNS:,} more columns; --json tells of all"))
        exact = ", ".join(str(name) for name in preview["exact"][:MOST_COLUMNS])
        n_exact = int(preview["exact_rows"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError):
        return [*first, ("error", "not known, the archive does not tell it")]
    if exact:
        lines.append(("exact", exact))
    if n_exact:
        lines.append(("exact", f"{n_exact:,} rows, which are kept to the last bit"))
    return [*first, *lines]


def _words(column: Mapping[str, Any]) -> str:
    n = int(column["n"])
    if not n:
        return "no values"
    if "different" in column:
        return f"{int(column['different']) / n:.2%} of {n:,} words differ"
    root, largest, low, high = (number(float(column[key])) for key in ("rmse", "largest", "low", "high"))
    return f"root mean squared error {root} of {low}..{high}, largest {largest}"

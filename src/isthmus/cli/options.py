"""Options that several verbs share, declared once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

Json = Annotated[
    bool, Parameter(negative=(), show_default=False, help="Print one JSON document on stdout, nothing else.")
]
Force = Annotated[
    bool, Parameter(negative=(), show_default=False, help="Overwrite what is already at the output.")
]
Labels = Annotated[
    Path | None,
    Parameter(
        help="File with one label a row, or filename,label lines; colours a report and goes along with codes. "
        "Training uses it under model.condition=label alone."
    ),
]
Label = Annotated[
    str | None,
    Parameter(help="Of a model that is conditional on a label: the one that is meant."),
]
Model = Annotated[str, Parameter(help="A .safetensors file that fit wrote, or a run folder.")]
Source = Annotated[
    str,
    Parameter(
        help="A folder of pictures, sounds or shards, one picture or sound, .npy, .npz (sparse too) or IDX (.gz too), "
        "a table (.csv, .tsv, .parquet, .arrow; lists too); mnist-train and mnist-test ship with isthmus. "
        "SOURCE:ROW is one row, counted from 0."
    ),
]
_Verb = TypeVar("_Verb", bound=Callable[..., Any])
_BROKEN_LINE = re.compile(r"(?m)^( {4}\S.*)\n {4}(?=\S)")


def told(verb: _Verb) -> _Verb:
    """A verb whose help has each parameter in one paragraph, wherever the lines of its docstring end."""
    text, n_joined = inspect.cleandoc(verb.__doc__ or ""), 1
    while n_joined:
        text, n_joined = _BROKEN_LINE.subn(r"\1 ", text)
    verb.__doc__ = text
    return verb


Memory = Annotated[
    str,
    Parameter(
        help="What rows may take of the memory: 2GB, 500MB, 1.5GiB; auto: half of what is free. Data that need more "
        "are read by block, and files are written as they come."
    ),
]
Processes = Annotated[
    int | None,
    Parameter(
        show_default=False,
        help="How many processes code or decode blocks; the result is the same. Without it as many as there are cores, "
        "8 at most, and fewer for small data.",
    ),
]
RowsOutput = Annotated[
    str,
    Parameter(
        name=["--output", "-o"],
        help="NAME.npy for any rows; for pictures also a folder (PNG files) or NAME.png (one sheet); for sounds also "
        "a folder (WAV files), NAME.wav or NAME.flac (all in a row); for tables and vectors also NAME.csv, .tsv, "
        ".parquet or .arrow.",
    ),
]

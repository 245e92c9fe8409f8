"""Everything that isthmus raises on purpose.

    IsthmusError
    |- ParameterError (ValueError)      a value that a caller chose is out of its range
    |- UnknownNameError (ValueError)    a name that no catalogue holds; nearest names are listed
    |- DataError (ValueError)           rows that cannot be used: shapes, NaN, infinity, too few
    |- SourceError (OSError)            a file or folder of data that cannot be read
    |- ArtifactError (OSError)          a model file or an archive that is damaged, foreign or from a newer version
    |- OutputError (OSError)            a place that cannot be written, or is already taken
    |- TrainingError (RuntimeError)     training cannot go on
    `- ProcessError (RuntimeError)      a process that shared the work could not be started, or was ended

Each message is one sentence of four parts: who, what was expected, what came, what to do.
At the command line every one of them is one line on stderr and exit status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 2000
"""Characters of a message: a file's own words in it may be of any length."""


class IsthmusError(Exception):
    """Root of the tree: catch this to catch everything that isthmus raises on purpose."""

    def __str__(self) -> str:
        """The message, of a very long one its beginning and its end, where it says what to do."""
        text = super().__str__()
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 500]} ... {text[-495:]}"


class ParameterError(IsthmusError, ValueError):
    """A value that a caller chose is out of its range."""


class UnknownNameError(IsthmusError, ValueError):
    """A name that no catalogue holds."""


class DataError(IsthmusError, ValueError):
    """Rows that cannot be used."""


class SourceError(IsthmusError, OSError):
    """A file or folder of data that cannot be read."""


class ArtifactError(IsthmusError, OSError):
    """A model file or an archive that is damaged, foreign, or written by a newer isthmus."""


class OutputError(IsthmusError, OSError):
    """A place that cannot be written, or that already holds something."""


class TrainingError(IsthmusError, RuntimeError):
    """Training cannot go on."""


class ProcessError(IsthmusError, RuntimeError):
    """A process that shared the work could not be started, or was ended."""


class IsthmusWarning(UserWarning):
    """Root of the warnings: what was done is what was asked for, and probably not what was meant."""


class OvercompleteWarning(IsthmusWarning):
    """A code with room for the whole input, and nothing that keeps the model from copying it."""


class DataWarning(IsthmusWarning):
    """Rows were read otherwise than they were given: columns left out, categories that became gaps."""


def unknown_name(who: str, what: str, got: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a name that is not in ``known``, with its nearest neighbours.

    >>> print(unknown_name("config", "penalty", "l3", ["l1", "l2", "contractive"]))
    config: unknown penalty 'l3'; did you mean 'l1' or 'l2'? Known: contractive, l1, l2.
    """
    names = sorted(known)
    near = sorted(difflib.get_close_matches(got, names, n=2, cutoff=0.5))
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else "."
    return UnknownNameError(f"{who}: unknown {what} {got!r}{hint} Known: {', '.join(names)}.")

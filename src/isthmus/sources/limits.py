"""How much a file may unpack to: sizes that are checked before memory is taken.

A file from a stranger may promise more than it holds, or hold a few runs that unpack to gigabytes. Honest data hardly
ever unpack to more than some tens of their size; what goes far beyond is refused, and small files may take a little
memory whatever they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

FREELY = 1 << 28
"""Bytes (256 MiB) that any file may unpack to."""
LARGEST_RATIO = 256
"""A file may unpack to so many times its own size where that is more."""
_TEXT_FREELY, _TEXT_RATIO = 1 << 24, 16
"""Characters that texts of one width may take, and how often their number beyond that."""


def most_unpacked(path: Path) -> int:
    """Bytes that a file may unpack to.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     most_unpacked(Path(file.name))
    268435456
    """
    return max(FREELY, LARGEST_RATIO * path.stat().st_size)


def texts(words: Sequence[str], who: str, what: str) -> NDArray[Any]:
    """Texts as an array, all as wide as the longest, unless that would take far more memory than they do.

    Parameters
    ----------
    words
        The texts.
    who, what
        The file, and what they are in it, for messages.

    Raises
    ------
    DataError
        A text that is far longer than all others.

    Examples
    --------
    >>> texts(["a", "bc"], "x.csv", "labels").tolist()
    ['a', 'bc']
    """
    longest = max(map(len, words), default=0)
    if longest * len(words) > max(_TEXT_FREELY, _TEXT_RATIO * sum(map(len, words))):
        raise DataError(
            f"{who}: expected {what} of about one length, got one of {longest:,} characters among {len(words):,}; "
            f"shorten it."
        )
    return np.array(words, dtype=str)

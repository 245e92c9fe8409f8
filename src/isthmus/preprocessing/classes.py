"""Labels to numbers of classes, for a model that is conditional on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.sources import Source

MOST_NAMED = 20
"""Classes that a sentence names."""


def classes_of(labels: NDArray[Any]) -> NDArray[Any]:
    """The different labels in order: integers, or strings.

    >>> classes_of(np.array(["b", "a", "b"])).tolist()
    ['a', 'b']
    """
    return np.unique(labels)


def class_numbers(classes: NDArray[Any], labels: NDArray[Any], who: str) -> NDArray[np.int64]:
    """The place of each label among ``classes``, ``(rows,)``; 3 and "3" are the same label.

    Raises
    ------
    DataError
        If a label is none of the classes.

    Examples
    --------
    >>> class_numbers(np.array([3, 8]), np.array(["8", "3", "8"]), "rows")
    array([1, 0, 1])
    """
    places = {str(name): place for place, name in enumerate(classes.tolist())}
    found, inverse = np.unique(labels, return_inverse=True)
    unknown = [str(label) for label in found.tolist() if str(label) not in places]
    if unknown:
        raise DataError(
            f"{who}: expected labels that the model was fitted on ({class_words(classes)}), got {unknown[0]!r}. "
            "Leave such rows out, or fit a model that has seen them."
        )
    numbers = np.array([places[str(label)] for label in found.tolist()], np.int64)
    return numbers[inverse.reshape(-1)]


def labels_of(source: Source, who: str) -> NDArray[Any]:
    """The labels of a source, ``(rows,)``.

    Raises
    ------
    DataError
        If it has none.
    """
    if source.labels is None:
        raise DataError(
            f"{who}: expected a label a row, for the model is conditional on one, got rows without any. "
            "Give --labels FILE, in Python y to fit and labels=y elsewhere, or fit with condition='none'."
        )
    return source.labels


def class_words(classes: NDArray[Any]) -> str:
    """The classes in a few words.

    >>> class_words(np.array([0, 1]))
    '2 classes: 0, 1'
    """
    named = ", ".join(str(name) for name in classes[:MOST_NAMED].tolist())
    kind = "class" if len(classes) == 1 else "classes"
    return f"{len(classes)} {kind}: {named}{', ...' if len(classes) > MOST_NAMED else ''}"

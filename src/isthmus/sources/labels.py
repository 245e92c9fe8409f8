"""Labels from a file of their own: IDX, .npy, one a line, or ``filename,label``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.errors import DataError, SourceError
from isthmus.sources.idx import GZIP_MAGIC, is_idx, read_idx
from isthmus.sources.limits import texts as texts_of
from isthmus.sources.npy import read_npy


def read_labels(path: Path, n_rows: int, names: Sequence[str] | None = None) -> NDArray[Any]:
    """One label a row: integers where all of them are, else strings.

    Parameters
    ----------
    path
        An IDX file, an ``.npy`` file, a text file with one label a line, or, for rows that have
        names, a CSV file of ``filename,label`` lines in any order. A heading above
        integers is left out.
    n_rows
        How many rows there are to label.
    names
        The rows' file names, relative to their folder.

    Raises
    ------
    SourceError
        A file that cannot be read.
    DataError
        Too many or too few labels, or a row without one.
    """
    try:
        return _read(path, n_rows, names)
    except (DataError, SourceError):
        raise
    except OSError as error:
        raise SourceError(
            f"{path}: expected a file of labels that may be read, got the answer {error.strerror!r}; "
            f"check its name and its mode."
        ) from error


def _read(path: Path, n_rows: int, names: Sequence[str] | None) -> NDArray[Any]:
    if not path.is_file():
        raise SourceError(f"{path}: expected a file of labels, got nothing of that name; check the path.")
    with path.open("rb") as file:
        start = file.read(6)
    if start[:2] == GZIP_MAGIC or is_idx(start):
        return _one_a_row(path, read_idx(path), n_rows)
    if start == b"\x93NUMPY":
        return _one_a_row(path, _read_npy(path), n_rows)
    lines = _read_lines(path)
    if names is not None and lines and len(lines[0]) == 2:
        return as_labels(_by_name(path, lines, names), str(path))
    return as_labels(_by_line(path, lines, n_rows), str(path))


def as_labels(texts: Sequence[str], who: str = "labels") -> NDArray[Any]:
    """Integers if every text is one as people write it, else strings.

    Raises
    ------
    DataError
        A text so much longer than the others that all of them could not be as wide.

    >>> as_labels(["3", "10"]), as_labels(["03", "10"])
    (array([ 3, 10]), array(['03', '10'], dtype='<U2'))
    """
    try:
        values = [int(text) for text in texts]
    except ValueError:
        return texts_of(texts, who, "labels")
    exact = all(str(value) == text for value, text in zip(values, texts, strict=True))
    in_range = all(abs(value) < 2**63 for value in values)
    return np.array(values, np.int64) if exact and in_range else texts_of(texts, who, "labels")


def labels_of(labels: ArrayLike, n_rows: int, who: str) -> NDArray[Any]:
    """Labels that are at hand, one a row: integers or strings.

    Raises
    ------
    DataError
        Another number of labels than of rows.

    Examples
    --------
    >>> labels_of([3, 1], 2, "rows"), labels_of([0.5, None], 2, "rows")
    (array([3, 1]), array(['0.5', 'None'], dtype='<U4'))
    """
    values: NDArray[Any] = np.asarray(labels)
    if values.shape != (n_rows,):
        raise DataError(
            f"{who}: expected one label a row, {n_rows} in all, got labels of shape {values.shape}; "
            f"give the labels of these rows."
        )
    return values if values.dtype.kind in "iuU" else as_labels([str(value) for value in values], who)


def _one_a_row(path: Path, labels: NDArray[Any], n_rows: int) -> NDArray[Any]:
    if labels.shape != (n_rows,):
        raise _wrong_count(path, n_rows, f"an array of shape {labels.shape}")
    kind = labels.dtype.kind
    with np.errstate(over="ignore"):  # long doubles
        wide = labels.astype(np.float64) if kind == "f" else np.zeros(0)
    whole = kind == "f" and bool(
        (np.isfinite(wide) & (wide == np.rint(labels)) & (np.abs(wide) < 2**53)).all()
    )
    if kind == "b" or whole:
        return np.asarray(labels, np.int64)
    if kind not in "iuU":
        raise DataError(
            f"{path}: labels must be integers or strings, got type {labels.dtype}; save them so, for example "
            f"labels.astype(str)."
        )
    return np.array(labels, labels.dtype.newbyteorder("="))


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        return read_npy(path)
    except SourceError as error:
        raise SourceError(
            f"{path}: expected an array of labels, got a file NumPy cannot read ({error.__cause__}); "
            f"save integers or strings."
        ) from error.__cause__


def _read_lines(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"{path}: expected text, one label a line or filename,label, got something else ({error}); "
            f"save it as UTF-8 text, IDX or .npy."
        ) from error
    return [line for line in lines if any(line)]


def _by_line(path: Path, lines: list[list[str]], n_rows: int) -> list[str]:
    wide = next((line for line in lines if len(line) != 1), None)
    if wide is not None:
        raise DataError(
            f"{path}: expected one label a line, got {','.join(wide)!r}; keep the labels' column alone."
        )
    texts = [line[0] for line in lines]
    if len(texts) == n_rows + 1 and _is_heading(texts[0], texts[1:]):
        texts = texts[1:]
    if len(texts) != n_rows:
        raise _wrong_count(path, n_rows, f"{len(texts)}")
    return texts


def _is_heading(first: str, others: Sequence[str]) -> bool:
    """Whether a line is of another kind than all others: no integer above integers.

    >>> _is_heading("label", ["3", "7"]), _is_heading("5", ["3", "7"]), _is_heading("label", ["cat", "dog"])
    (True, False, False)
    """
    return as_labels([first]).dtype.kind != "i" and as_labels(others).dtype.kind == "i"


def _by_name(path: Path, lines: list[list[str]], names: Sequence[str]) -> list[str]:
    broken = next((line for line in lines if len(line) != 2), None)
    if broken is not None:
        raise DataError(
            f"{path}: expected filename,label in every line, got {','.join(broken)!r}; mend that line."
        )
    known = {line[0].replace("\\", "/").removeprefix("./"): line[1] for line in lines}
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{path}: expected a label for each of {len(names)} files, got none for {missing[0]!r} "
            f"({len(missing)} in all); add its line, with the name relative to the folder."
        )
    return [known[name] for name in names]


def _wrong_count(path: Path, n_rows: int, got: str) -> DataError:
    return DataError(
        f"{path}: expected {n_rows} labels, one a row, got {got}; give the labels of these rows."
    )

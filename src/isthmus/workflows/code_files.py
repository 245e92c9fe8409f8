"""Codes as files: ``.npy``, ``.npz`` with labels and scales, ``.csv`` and ``.parquet`` for tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from isthmus.artifact.file import atomically, write_atomically
from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.sources.arrow import is_number, plain
from isthmus.sources.labels import labels_of
from isthmus.sources.limits import texts
from isthmus.sources.lists import list_names, values_of_lists
from isthmus.sources.npy import read_npy
from isthmus.sources.npz import open_npz
from isthmus.sources.seal import write_sealed
from isthmus.sources.table import read_arrow
from isthmus.sources.table_values import as_floats
from isthmus.workflows.npy_files import write_npy

CODE_SUFFIXES = (".npy", ".npz", ".csv", ".parquet")
ROW, LABEL = "row", "label"
"""Columns of the names of rows and of their labels."""
CODE, SCALE = "code", "scale"
"""What columns of codes and of their scales begin with, and what list columns of them are called."""
ROWS_A_GROUP = 1 << 17
"""Rows of a row group, and of what is made text at a time."""

Block = tuple[NDArray[Any], NDArray[Any] | None]
"""Codes and their scales, ``(n, code_size)`` each."""


def write_codes(
    path: Path,
    codes: NDArray[Any],
    *,
    labels: NDArray[Any] | None = None,
    scale: NDArray[Any] | None = None,
    row_names: NDArray[Any] | None = None,
    as_lists: bool = False,
) -> None:
    """Write codes, whole or not at all.

    Parameters
    ----------
    path
        ``.npy`` holds the codes alone; ``.npz`` arrays ``codes``, ``labels``, ``scale`` and ``rows``;
        ``.csv`` and ``.parquet`` columns ``row``, ``code_0``, ..., ``scale_0``, ... and ``label``.
    codes
        ``(rows, code_size)``.
    labels
        ``(rows,)``.
    scale
        Standard deviations of a Gaussian code, ``(rows, code_size)``.
    row_names
        What each row is called where it comes from, ``(rows,)``.
    as_lists
        Whether ``.parquet`` holds the codes, and their scales, as list columns ``code`` and ``scale`` instead.
    """
    if path.suffix.lower() == ".npy" and scale is not None:
        raise ParameterError(
            f"{path}: a .npy file holds codes alone, not their scale too. Write .npz, .csv or .parquet."
        )
    shape = (len(codes), codes.shape[1])
    write_code_blocks(
        path, [(codes, scale)], shape, codes.dtype, labels=labels, row_names=row_names, as_lists=as_lists
    )


def write_code_blocks(
    path: Path,
    blocks: Iterable[Block],
    shape: tuple[int, int],
    dtype: DTypeLike = np.float32,
    *,
    labels: NDArray[Any] | None = None,
    row_names: NDArray[Any] | None = None,
    as_lists: bool = False,
) -> None:
    """As :func:`write_codes`, from blocks of codes and their scales as they come; only ``.npz`` collects them.

    Parameters
    ----------
    blocks
        ``(n, code_size)`` and, where they have one, their standard deviations.
    shape, dtype
        Of all codes: ``(rows, code_size)``.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        write_npy(path, (codes for codes, _ in blocks), shape, dtype)
        return
    if suffix == ".npz":
        codes, scale = next(iter(_joined(blocks, shape[0])))
        buffer = io.BytesIO()
        named = {"codes": codes, "labels": labels, "scale": scale, "rows": row_names}
        np.savez(buffer, **{name: value for name, value in named.items() if value is not None})  # pyright: ignore[reportArgumentType]
        write_atomically(buffer.getvalue(), path)
        return
    write = _write_csv if suffix == ".csv" else _write_parquet
    with atomically(path) as file:
        write(file, _tables(blocks, labels, row_names, as_lists=as_lists and suffix != ".csv"))


def _joined(blocks: Iterable[Block], n_rows: int) -> Iterator[Block]:
    """Blocks put together until they have so many rows."""
    held: list[Block] = []
    for block in blocks:
        held.append(block)
        if sum(len(codes) for codes, _ in held) >= n_rows:
            yield _one(held)
            held = []
    if held:
        yield _one(held)


def _one(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    scales = [scale for _, scale in blocks if scale is not None]
    return np.concatenate([codes for codes, _ in blocks]), np.concatenate(scales) if scales else None


def _tables(
    blocks: Iterable[Block],
    labels: NDArray[Any] | None,
    row_names: NDArray[Any] | None,
    *,
    as_lists: bool,
) -> Iterator[dict[str, Any]]:
    """One array a column, in the order of a table, for some rows after the other."""
    start = 0
    for codes, scale in _joined(blocks, ROWS_A_GROUP):
        rows = slice(start, start + len(codes))
        start = rows.stop
        own, names = (None if values is None else values[rows] for values in (labels, row_names))
        yield _lists(codes, own, scale, names) if as_lists else _columns(codes, own, scale, names)


def read_codes(path: Path) -> NDArray[Any]:
    """Codes as :func:`write_codes` wrote them, ``(rows, code_size)``.

    Raises
    ------
    SourceError
        Nothing there, or not a file of codes.
    DataError
        Values that are not numbers.
    """
    if not path.is_file():
        raise SourceError(
            f"{path}: expected a file of codes, got nothing of that name. Give what 'encode' wrote."
        )
    suffix = path.suffix.lower()
    if suffix not in CODE_SUFFIXES:
        raise SourceError(
            f"{path}: expected codes as {', '.join(CODE_SUFFIXES)}, got {suffix or 'no ending'!r}. "
            "Give what 'encode' wrote."
        )
    codes = {".npy": read_npy, ".npz": _read_npz, ".csv": _read_csv, ".parquet": _read_parquet}[suffix](path)
    if codes.dtype.kind not in "biuf":
        raise DataError(f"{path}: codes must be numbers, got type {codes.dtype}. Give what 'encode' wrote.")
    return codes


def read_code_labels(path: Path) -> NDArray[Any] | None:
    """Labels that :func:`write_codes` wrote beside codes, ``(rows,)``; None where it wrote none."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        with open_npz(path) as file:
            if "labels" not in file:
                return None
            found = file.read("labels")
            return labels_of(found, len(found) if found.ndim else 1, str(path))
    if suffix == ".parquet":
        table = _parquet(path)
        return (
            labels_of(table[LABEL].to_pylist(), len(table), str(path))
            if LABEL in table.column_names
            else None
        )
    if suffix != ".csv":
        return None
    header, lines = _csv_lines(path)
    if LABEL not in header:
        return None
    at = header.index(LABEL)
    return texts([line[at] for line in lines], str(path), "labels")


def _read_npz(path: Path) -> NDArray[Any]:
    with open_npz(path) as file:
        if "codes" in file:
            return file.read("codes")
        held = ", ".join(file)
    raise SourceError(f"{path}: expected an array named codes, got {held}. Give what 'encode' wrote.")


def _read_csv(path: Path) -> NDArray[Any]:
    header, lines = _csv_lines(path)
    wanted = [header.index(name) for name in _units(header, path, "under a heading")]
    try:
        codes = np.array([[float(line[at]) for at in wanted] for line in lines], np.float64)
    except ValueError as error:
        raise SourceError(
            f"{path}: expected a table of numbers, got {error}. Give what 'encode' wrote."
        ) from None
    return codes.reshape(-1, len(wanted))


def _csv_lines(path: Path) -> tuple[list[str], list[list[str]]]:
    """The heading of a table of text, and its other lines, each of as many cells."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = [line for line in csv.reader(file, strict=True) if line] or [[]]
    except (ValueError, OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SourceError(
            f"{path}: expected a table of text in UTF-8, got {reason}. Give what 'encode' wrote."
        ) from None
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise SourceError(
                f"{path}: expected {len(header)} cells in each line, got {len(line)} in line {number}: the file is cut "
                "short or damaged. Give what 'encode' wrote."
            )
    return header, lines


def _units(names: Sequence[str], path: Path, where: str) -> list[str]:
    """Columns of a code's units in their order, none missing and none twice."""
    given = [name for name in names if name.startswith(f"{CODE}_")]
    found = set(given)
    units = [f"{CODE}_{unit}" for unit in range(len(found))]
    if not found:
        raise SourceError(
            f"{path}: expected columns code_0, code_1, ... {where}, got none of them. Give what 'encode' wrote."
        )
    if found != set(units) or len(given) > len(found):
        others = ", ".join(sorted(found - set(units))[:3]) or "one of them twice"
        raise SourceError(
            f"{path}: expected columns code_0 to {units[-1]}, each once, got {others}. Give what 'encode' wrote."
        )
    return units


def _parquet(path: Path) -> Any:
    try:
        return read_arrow(path)
    except SourceError as error:
        if error.__context__ is None:
            raise
        reason = str(error.__context__).splitlines()[0]
        raise SourceError(
            f"{path}: expected a Parquet file, got {reason!r}. Give what 'encode' wrote."
        ) from None


def _read_parquet(path: Path) -> NDArray[Any]:
    table = _parquet(path)
    if CODE in list_names(table.schema):
        return values_of_lists(table[CODE], CODE, str(path))
    wanted = _units(table.column_names, path, "or lists in a column code")
    if not all(is_number(table[name].type) for name in wanted):
        raise DataError(
            f"{path}: codes must be numbers, got columns of other types. Give what 'encode' wrote."
        )
    return np.stack([as_floats(plain(table[name])) for name in wanted], axis=1).astype(
        _float_type(table, wanted)
    )


def _float_type(table: Any, names: list[str]) -> Any:
    """The type that holds the numbers of all columns."""
    return np.result_type(*(table[name].type.to_pandas_dtype() for name in names))


def _columns(
    codes: NDArray[Any],
    labels: NDArray[Any] | None,
    scale: NDArray[Any] | None,
    row_names: NDArray[Any] | None,
) -> dict[str, NDArray[Any]]:
    """One array a column, in the order of a table."""
    found: dict[str, NDArray[Any]] = {} if row_names is None else {ROW: row_names}
    for name, block in ((CODE, codes), (SCALE, scale)):
        if block is not None:
            found |= {f"{name}_{unit}": values for unit, values in enumerate(block.T)}
    return found if labels is None else {**found, LABEL: labels}


def _lists(
    codes: NDArray[Any],
    labels: NDArray[Any] | None,
    scale: NDArray[Any] | None,
    row_names: NDArray[Any] | None,
) -> dict[str, Any]:
    """As :func:`_columns`, with one list a row for its code, and for its scale."""
    import pyarrow as pa

    blocks = {CODE: codes, SCALE: scale}
    lists = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(block).ravel()), block.shape[1])
        for name, block in blocks.items()
        if block is not None
    }
    columns = {ROW: row_names, **lists, LABEL: labels}
    return {name: values for name, values in columns.items() if values is not None}


def _write_parquet(file: IO[bytes], tables: Iterable[dict[str, Any]]) -> None:
    import pyarrow as pa

    write_sealed(file, map(pa.table, tables))


def _write_csv(file: IO[bytes], tables: Iterable[dict[str, Any]]) -> None:
    for number, columns in enumerate(tables):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        if number == 0:
            writer.writerow(columns)
        writer.writerows(zip(*(map(str, values) for values in columns.values()), strict=True))
        file.write(text.getvalue().encode())

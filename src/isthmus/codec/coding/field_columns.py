"""Blocks of a table of which a model codes some columns as symbols; what it does not know is left to general coders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from isthmus.codec import columns as plain
from isthmus.codec.coding.fields import TEXTS, Field, is_whole, symbols_of
from isthmus.codec.coding.stack import Ints
from isthmus.codec.columns import Column, Columns
from isthmus.errors import ArtifactError, DataError

CODED = "\0"
"""The name that what the model wrote has beside the columns that are left over: no column of a content has it."""
MOST_ROWS = 1 << 16
"""Of a block: their symbols may take no bytes at all."""
LOW, OTHER = "\0low", "\0other"
"""Beginnings of the names of lower bits and of values without a symbol."""


def packed_fields(fields: Sequence[Field], columns: Columns, code: Callable[[Ints], bytes]) -> bytes | None:
    """A block, of which the fields' symbols are coded and all else stands beside; None where a field is missing.

    Parameters
    ----------
    fields
        The columns that are known.
    columns
        Of the block.
    code
        Symbols ``(n, n_fields)`` as bytes.
    """
    symbols = symbols_of(fields, columns)
    if symbols is None or len(symbols) > MOST_ROWS:
        return None
    numbers = {field.name: number for number, field in enumerate(fields)}
    held: Columns = {CODED: [code(symbols)]}
    for name, column in columns.items():
        if name not in numbers:
            held[name] = column
            continue
        field, own = fields[numbers[name]], symbols[:, numbers[name]]
        held[name] = []  # where it stands among the others
        if field.n_bits:
            found = field.symbols(column)
            assert found is not None
            dtype = np.min_scalar_type((1 << field.n_bits) - 1) if field.n_bits <= 32 else np.int64
            held[LOW + name] = found[1].astype(dtype)
        others = field.others(column, own)
        if len(others):
            held[OTHER + name] = others
    return plain.packed(held)


def unpacked_fields(
    fields: Sequence[Field], payload: bytes, n_rows: int, decode: Callable[[bytes, int], Ints]
) -> Columns:
    """The columns that :func:`packed_fields` packed, in their order; ``decode`` is what undoes ``code``.

    Raises
    ------
    ArtifactError
        Bytes of no such block.
    """
    held = plain.unpacked(payload)
    coded = held.pop(CODED, None)
    if not isinstance(coded, list) or len(coded) != 1:
        raise ArtifactError(
            "archive: expected a block of columns that a model knows, got none; take another copy of it."
        )
    if n_rows > MOST_ROWS:
        raise ArtifactError(
            f"archive: expected a block of columns that a model knows with at most {MOST_ROWS:,} rows, got "
            f"{n_rows:,}; take another copy of it."
        )
    try:
        symbols = decode(coded[0], n_rows)
    except DataError as error:
        raise ArtifactError(str(error)) from None
    numbers, found = {field.name: number for number, field in enumerate(fields)}, Columns()
    for name, column in held.items():
        if name in numbers:
            found[name] = _column(fields[numbers[name]], symbols[:, numbers[name]], held)
        elif not name.startswith(CODED):
            found[name] = column
    return found


def _column(field: Field, symbols: Ints, held: Columns) -> Column:
    """The values of a field, of its symbols and of what is held beside them."""
    low = held.get(LOW + field.name, np.zeros(len(symbols), np.int64))
    nothing: Column = [] if field.dtype == TEXTS else np.zeros(0, field.dtype)
    try:
        if not is_whole(low) or len(low) != len(symbols):
            raise ValueError("lower bits that are none")
        return field.column(symbols, np.asarray(low).astype(np.int64), held.get(OTHER + field.name, nothing))
    except ValueError as error:
        raise ArtifactError(
            f"archive: expected a column that a model knows, got {error}; take another copy of it."
        ) from None

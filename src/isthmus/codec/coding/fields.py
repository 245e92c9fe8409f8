"""What a chain knows of a column, and symbols in place of its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.coding.distributions import Tables
from isthmus.codec.coding.observed import Levels, Observed, Symbols
from isthmus.codec.coding.stack import Ints
from isthmus.codec.columns import MOST_DIGITS, Column, Columns, as_decimals, from_decimals

MOST_MIXTURES = 64
MOST_SYMBOLS = 256
"""Of a column, the one for all others included."""
TEXTS = "texts"
"""In place of the type of a column of texts."""


@dataclass(frozen=True)
class Field:
    """What a chain knows of a column.

    Parameters
    ----------
    name
        Of the column.
    dtype
        Of its values: NumPy's code of a whole type or of floats, such as ``"i8"``; ``"texts"``.
    texts
        Of such a column the texts that have a symbol each, a character for each of their bytes (Latin-1).
    digits
        Of floats: the value is ``q / 10**digits``, and all that follows is about the whole number q.
    words
        The values that have a symbol each, in order; empty of a column that is cut into ranges.
    first, n_bits, n_ranges
        Of such a column: where ranges begin, how many bits of a value lie within one, and how many there are.
    n_mixtures
        Components of the distribution of ranges; 0 where each symbol has a logit.
    log_scale_ends, log_levels
        Of such a distribution, as :class:`~isthmus.codec.coding.observed.Levels` takes them.
    """

    name: str
    dtype: str
    texts: tuple[str, ...] = ()
    digits: int = 0
    words: tuple[int, ...] = ()
    first: int = 0
    n_bits: int = 0
    n_ranges: int = 0
    n_mixtures: int = 0
    log_scale_ends: tuple[int, int] = (0, 0)
    log_levels: int = 0

    @property
    def n_symbols(self) -> int:
        """With the last one, which stands for all other values."""
        return (len(self.texts) or len(self.words) or self.n_ranges) + 1

    @classmethod
    def of(cls, name: str, values: Ints, dtype: str, digits: int = 0) -> Field:
        """What fits some whole numbers of a column, or floats in units of their last digit."""
        words = np.unique(values)
        if len(words) < MOST_SYMBOLS:
            return cls(name, dtype, digits=digits, words=tuple(words.tolist()))
        first, spread = int(words[0]), int(words[-1]) - int(words[0])
        n_bits = max(0, spread.bit_length() - (MOST_SYMBOLS - 1).bit_length())
        while spread >> n_bits >= MOST_SYMBOLS - 1:
            n_bits += 1
        return cls(name, dtype, digits=digits, first=first, n_bits=n_bits, n_ranges=(spread >> n_bits) + 1)

    @property
    def n_outputs(self) -> int:
        """Of its network."""
        return 3 * self.n_mixtures or self.n_symbols

    def observed(self, point: int) -> Observed:
        """How its symbols are coded, given outputs with ``point`` bits after the point."""
        if not self.n_mixtures:
            return Symbols(Tables.made(), point)
        return Levels(
            Tables.made(), point, self.n_symbols, self.n_mixtures, 1, self.log_scale_ends, self.log_levels
        )

    def symbols(self, column: Column | None) -> tuple[Ints, Ints] | None:
        """The symbol of each value, and its lower bits; None of a column of another type."""
        none = self.n_symbols - 1
        if isinstance(column, list):
            if self.dtype != TEXTS:
                return None
            found = np.array([self._places.get(text, none) for text in column], np.int64)
            return found, np.zeros_like(found)
        if column is None or column.ndim != 1 or self.dtype == TEXTS or column.dtype != np.dtype(self.dtype):
            return None
        values, is_known = _whole(column, self.digits)
        if self.words:
            words = np.array(self.words)
            found = np.minimum(np.searchsorted(words, values), len(words) - 1)
            return np.where(is_known & (words[found] == values), found, none), np.zeros_like(values)
        beyond = values - self.first
        is_known &= (beyond >= 0) & (beyond >> self.n_bits < self.n_ranges)
        low = np.where(is_known, beyond & (1 << self.n_bits) - 1, 0)
        return np.where(is_known, beyond >> self.n_bits, none), low

    def others(self, column: Column, symbols: Ints) -> Column:
        """The values of the last symbol, in order."""
        is_other = symbols == self.n_symbols - 1
        if isinstance(column, list):
            return [column[at] for at in np.flatnonzero(is_other).tolist()]
        return column[is_other]

    def column(self, symbols: Ints, low: Ints, others: Column) -> Column:
        """The column of symbols, lower bits and the values of the last symbol.

        Raises
        ------
        ValueError
            Others that are more, fewer, or of another type.
        """
        is_other = symbols == self.n_symbols - 1
        if len(others) != is_other.sum() or isinstance(others, list) != (self.dtype == TEXTS):
            raise ValueError("values without a symbol that are more, fewer or others")
        if isinstance(others, list):
            texts = [*(text.encode("latin-1") for text in self.texts), b""]
            column = [texts[symbol] for symbol in symbols.tolist()]
            for at, text in zip(np.flatnonzero(is_other).tolist(), others, strict=True):
                column[at] = text
            return column
        if self.words:
            values = np.array(self.words)[np.minimum(symbols, len(self.words) - 1)]
        else:
            values = (np.minimum(symbols, self.n_ranges - 1) << self.n_bits) + low + self.first
        dtype = np.dtype(self.dtype)
        found = from_decimals(values, self.digits, dtype) if dtype.kind == "f" else values.astype(dtype)
        if len(others) and others.dtype != dtype:
            raise ValueError("values without a symbol that are others")
        found[is_other] = others
        return found

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {text.encode("latin-1"): place for place, text in enumerate(self.texts)}


def symbols_of(fields: Sequence[Field], columns: Columns) -> Ints | None:
    """Symbols of all fields, ``(rows, n_fields)``; None where a column is missing or of another type."""
    found = [field.symbols(columns.get(field.name)) for field in fields]
    known = [each[0] for each in found if each is not None]
    return (
        np.stack(known, axis=1)
        if len(known) == len(found) and len({len(one) for one in known}) == 1
        else None
    )


def is_whole(column: Any) -> bool:
    """Whether a column has one whole number a row, as a chain may know it."""
    return (
        isinstance(column, np.ndarray)
        and column.ndim == 1
        and column.dtype.kind in "iu"
        and column.dtype != np.uint64
    )


def _whole(column: NDArray[Any], digits: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Whole numbers, and which values they are those of."""
    if column.dtype.kind == "f":
        return as_decimals(column, digits)
    return column.astype(np.int64), np.ones(len(column), bool)


def field_from(told: Any) -> Field:
    """A field of what an archive tells.

    Raises
    ------
    KeyError, TypeError, ValueError
        It tells of none.
    """
    ends = tuple(told["log_scale_ends"])
    told = {**told, "texts": tuple(told["texts"]), "words": tuple(told["words"]), "log_scale_ends": ends}
    field = Field(**told)
    values = (*field.words, field.first)
    whole = (field.digits, field.n_bits, field.n_ranges, field.n_mixtures, *ends, field.log_levels)
    if not all(type(value) is int for value in (*values, *whole)):
        raise ValueError("numbers that are none")
    if not all(-(1 << 63) <= value < 1 << 63 for value in values) or not all(
        abs(value) < 1 << 62 for value in whole
    ):
        raise ValueError("numbers beyond all bounds")
    if not all(isinstance(text, str) for text in (field.name, *field.texts)):
        raise ValueError("texts that are none")
    is_text, kind = field.dtype == TEXTS, "" if field.dtype == TEXTS else np.dtype(field.dtype).kind
    if not (is_text or kind in "iuf") or is_text != bool(field.texts):
        raise ValueError("fields of something else")
    if not 0 <= field.digits <= (MOST_DIGITS if kind == "f" else 0):
        raise ValueError("decimals of other digits")
    if not 0 <= field.n_bits < 62 or not 0 <= field.n_ranges <= MOST_SYMBOLS:
        raise ValueError("ranges of something else")
    if not (field.n_mixtures == 0 or 2 <= field.n_mixtures <= MOST_MIXTURES) or len(ends) != 2:
        raise ValueError("fields of another mixture")
    if max(len(field.words), len(field.texts)) > MOST_SYMBOLS or field.n_symbols == 1:
        raise ValueError("fields without symbols")
    "".join(field.texts).encode("latin-1")
    return field

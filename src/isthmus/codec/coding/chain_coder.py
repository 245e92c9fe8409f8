"""Columns of whole numbers, coded with a chain of networks; what no network knows is left to general coders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from isthmus.codec import columns as plain
from isthmus.codec.coding.chain import Chain
from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.distributions import Tables
from isthmus.codec.coding.observed import Levels, Observed, Symbols
from isthmus.codec.coding.stack import Ints
from isthmus.codec.columns import Columns
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.errors import ArtifactError

MOST_MIXTURES = 64
MOST_SYMBOLS = 256
"""Of a column, the one for all others included."""
CODED = "\0"
"""The name that what the chain wrote has beside the columns that are left over: no column of a content has it."""
LOW, OTHER = "\0low", "\0other"
"""Beginnings of the names of lower bits and of values without a symbol."""


@dataclass(frozen=True)
class Field:
    """What a chain knows of a column.

    Parameters
    ----------
    name
        Of the column.
    dtype
        Of its values: NumPy's code of a whole type, such as ``"i8"``.
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
        return (len(self.words) or self.n_ranges) + 1

    @classmethod
    def of(cls, name: str, values: Ints, dtype: str) -> Field:
        """What fits some values of a column."""
        words = np.unique(values)
        if len(words) < MOST_SYMBOLS:
            return cls(name, dtype, tuple(words.tolist()))
        first, spread = int(words[0]), int(words[-1]) - int(words[0])
        n_bits = max(0, spread.bit_length() - (MOST_SYMBOLS - 1).bit_length())
        while spread >> n_bits >= MOST_SYMBOLS - 1:
            n_bits += 1
        return cls(name, dtype, (), first, n_bits, (spread >> n_bits) + 1)

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

    def symbols(self, values: Ints) -> tuple[Ints, Ints]:
        """The symbol of each value, and its lower bits."""
        none = self.n_symbols - 1
        if self.words:
            words = np.array(self.words)
            found = np.minimum(np.searchsorted(words, values), len(words) - 1)
            return np.where(words[found] == values, found, none), np.zeros_like(values)
        beyond = values - self.first
        is_known = (beyond >= 0) & (beyond >> self.n_bits < self.n_ranges)
        return np.where(is_known, beyond >> self.n_bits, none), np.where(
            is_known, beyond & (1 << self.n_bits) - 1, 0
        )

    def values(self, symbols: Ints, low: Ints) -> Ints:
        """Values of symbols and lower bits; of the last symbol any."""
        if self.words:
            return np.array(self.words)[np.minimum(symbols, len(self.words) - 1)]
        return (np.minimum(symbols, self.n_ranges - 1) << self.n_bits) + low + self.first


@final
class ChainCoder(Coder):
    """A chain for some columns of a table.

    Parameters
    ----------
    fields
        The columns that it knows, in the order of the chain.
    places
        Of each field, where networks see a symbol.
    networks
        One a field.
    """

    id: ClassVar[str] = "chain"

    def __init__(
        self,
        fields: Sequence[Field],
        places: Sequence[NDArray[np.float64]],
        networks: Sequence[FrozenNetwork],
    ) -> None:
        self.fields, self.places, self.networks = tuple(fields), tuple(places), tuple(networks)
        observed = [
            field.observed(network.output_bits) for field, network in zip(fields, networks, strict=True)
        ]
        self._chain = Chain(self.places, self.networks, observed)
        self._numbers = {field.name: number for number, field in enumerate(self.fields)}

    def section(self) -> bytes:
        """Fields, places and networks."""
        fields = [asdict(field) for field in self.fields]
        return plain.packed(
            {
                "fields": [json.dumps(fields, separators=(",", ":")).encode()],
                "networks": [network.to_bytes() for network in self.networks],
                **{f"places {at}": places.astype(np.int64) for at, places in enumerate(self.places)},
            }
        )

    @classmethod
    def of_section(cls, data: bytes) -> ChainCoder:
        """The coder that a section was written from."""
        try:
            held = plain.unpacked(data)
            (told,) = held["fields"]
            fields = [_field(each) for each in json.loads(told)]
            networks = [FrozenNetwork.from_bytes(bytes(each)) for each in held["networks"]]
            places = [np.asarray(held[f"places {at}"], np.float64) for at in range(len(fields))]
            widths = [0, *(each.shape[1] for each in places)]
            if len(networks) != len(fields) or not fields:
                raise ValueError("networks that are not its fields'")
            for at, (field, place, network) in enumerate(zip(fields, places, networks, strict=True)):
                n_in = sum(widths[: at + 1]) or 1
                fits = network.input_shape == (n_in,) and network.output_shape == (field.n_outputs,)
                if not fits or place.shape != (field.n_symbols, widths[at + 1]):
                    raise ValueError("parts that do not fit each other")
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            raise ArtifactError(
                f"archive: expected a chain of networks, got none ({error}); take another copy of it."
            ) from None
        return cls(fields, places, networks)

    def check(self) -> None:
        """All self-tests."""
        for network in self.networks:
            network.check()

    def packed(self, columns: Columns) -> bytes | None:
        """The columns that it knows by the chain, others beside; None where one of its own is missing."""
        symbols = symbols_of(self.fields, columns)
        if symbols is None:
            return None
        held: Columns = {CODED: [self._chain.packed(symbols)]}
        for name, column in columns.items():
            if name not in self._numbers:
                held[name] = column
                continue
            number = self._numbers[name]
            field, values = self.fields[number], _whole(column)
            held[name] = []  # where it stands among the others
            if field.n_bits:
                low = field.symbols(values)[1]
                held[LOW + name] = low.astype(np.min_scalar_type((1 << field.n_bits) - 1))
            others = values[symbols[:, number] == field.n_symbols - 1]
            if len(others):
                held[OTHER + name] = others
        return plain.packed(held)

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The columns again, in their order."""
        held = plain.unpacked(payload)
        coded = held.pop(CODED, None)
        if not isinstance(coded, list) or len(coded) != 1 or len(coded[0]) % 4:
            raise ArtifactError("archive: expected a block of a chain, got none; take another copy of it.")
        symbols = self._chain.unpacked(coded[0], n_rows)
        found = Columns()
        for name, column in held.items():
            if name in self._numbers:
                number = self._numbers[name]
                found[name] = self._values(self.fields[number], symbols[:, number], held)
            elif not name.startswith(CODED):
                found[name] = column
        return found

    def _values(self, field: Field, symbols: Ints, held: Columns) -> NDArray[Any]:
        """The values of a field, of its symbols and of what is held beside them."""
        low = held.get(LOW + field.name, np.zeros(len(symbols), np.int64))
        values = field.values(symbols, _whole(low))
        is_other = symbols == field.n_symbols - 1
        others = held.get(OTHER + field.name, np.zeros(0, np.int64))
        if len(others) != is_other.sum():
            raise ArtifactError("archive: expected each value without a symbol; take another copy of it.")
        values[is_other] = _whole(others)
        return values.astype(field.dtype)


def symbols_of(fields: Sequence[Field], columns: Columns) -> Ints | None:
    """Symbols of all fields, ``(rows, n_fields)``; None where a column is missing or of another type."""
    found: list[Ints] = []
    for field in fields:
        column = columns.get(field.name)
        if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype != np.dtype(field.dtype):
            return None
        found.append(field.symbols(_whole(column))[0])
    return np.stack(found, axis=1) if len({len(each) for each in found}) == 1 else None


def is_whole(column: Any) -> bool:
    """Whether a column is one that a chain may know: one whole number a row."""
    return (
        isinstance(column, np.ndarray)
        and column.ndim == 1
        and column.dtype.kind in "iu"
        and column.dtype != np.uint64
    )


def _whole(column: Any) -> Ints:
    if not is_whole(column):
        raise ArtifactError("archive: expected whole numbers in a block of a chain; take another copy of it.")
    return column.astype(np.int64)


def _field(told: Any) -> Field:
    field = Field(
        told["name"],
        told["dtype"],
        tuple(told["words"]),
        told["first"],
        told["n_bits"],
        told["n_ranges"],
        told["n_mixtures"],
        tuple(told["log_scale_ends"]),
        told["log_levels"],
    )
    ends = field.log_scale_ends
    whole = (
        *field.words,
        field.first,
        field.n_bits,
        field.n_ranges,
        field.n_mixtures,
        *ends,
        field.log_levels,
    )
    if not all(type(value) is int and abs(value) < 1 << 62 for value in whole) or not isinstance(
        field.name, str
    ):
        raise ValueError("fields that are none")
    if (
        np.dtype(field.dtype).kind not in "iu"
        or not 0 <= field.n_bits < 62
        or not 0 <= field.n_ranges <= MOST_SYMBOLS
    ):
        raise ValueError("fields of something else")
    if not (field.n_mixtures == 0 or 2 <= field.n_mixtures <= MOST_MIXTURES) or len(ends) != 2:
        raise ValueError("fields of another mixture")
    if len(field.words) > MOST_SYMBOLS or not (field.words or field.n_ranges):
        raise ValueError("fields without symbols")
    return field

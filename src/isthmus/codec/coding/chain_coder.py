"""Columns of numbers and words, coded with a chain of networks; what no network knows is left to general coders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from isthmus.codec import columns as plain
from isthmus.codec.coding.chain import Chain
from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.fields import TEXTS, Field, field_from, is_whole, symbols_of
from isthmus.codec.coding.stack import Ints
from isthmus.codec.columns import Column, Columns
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.errors import ArtifactError

CODED = "\0"
"""The name that what the chain wrote has beside the columns that are left over: no column of a content has it."""
MOST_ROWS = 1 << 16
"""Of a block: their symbols may take no bytes at all."""
LOW, OTHER = "\0low", "\0other"
"""Beginnings of the names of lower bits and of values without a symbol."""


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
    block_rows: ClassVar[int | None] = (
        4096  # half a percent more bytes than 65,536, a sixteenth of the time to a row
    )

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
            fields = [field_from(each) for each in json.loads(told)]
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
        if symbols is None or len(symbols) > MOST_ROWS:
            return None
        held: Columns = {CODED: [self._chain.packed(symbols)]}
        for name, column in columns.items():
            if name not in self._numbers:
                held[name] = column
                continue
            number = self._numbers[name]
            field, own = self.fields[number], symbols[:, number]
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

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The columns again, in their order."""
        held = plain.unpacked(payload)
        coded = held.pop(CODED, None)
        if not isinstance(coded, list) or len(coded) != 1 or len(coded[0]) % 4:
            raise ArtifactError("archive: expected a block of a chain, got none; take another copy of it.")
        if n_rows > MOST_ROWS:
            raise ArtifactError(
                f"archive: expected a block of a chain with at most {MOST_ROWS:,} rows, got {n_rows:,}; take another "
                "copy of it."
            )
        symbols = self._chain.unpacked(coded[0], n_rows)
        found = Columns()
        for name, column in held.items():
            if name in self._numbers:
                number = self._numbers[name]
                found[name] = _column(self.fields[number], symbols[:, number], held)
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
            f"archive: expected a column of a chain, got {error}; take another copy of it."
        ) from None

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
from isthmus.codec.coding.field_columns import packed_fields, unpacked_fields
from isthmus.codec.coding.fields import Field, field_from
from isthmus.codec.columns import Columns
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.errors import ArtifactError


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
        return packed_fields(self.fields, columns, self._chain.packed)

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The columns again, in their order."""
        return unpacked_fields(self.fields, payload, n_rows, self._chain.unpacked)

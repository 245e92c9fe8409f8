"""Columns of a table, coded with a model of a Gaussian code and a likelihood for each column by bits-back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from isthmus.codec import columns as plain
from isthmus.codec.coding.bits_back import GRID_BITS, BitsBack
from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.distributions import N_SCALES, Tables
from isthmus.codec.coding.field_columns import packed_fields, unpacked_fields
from isthmus.codec.coding.fields import Field, field_from
from isthmus.codec.coding.stack import WHOLE, Ints
from isthmus.codec.coding.table_row import FARTHEST, Known, TableRow
from isthmus.codec.columns import Columns
from isthmus.codec.frozen.network import FrozenNetwork
from isthmus.errors import ArtifactError


@dataclass(frozen=True, eq=False)
class KnownField:
    """A column of a table as a model has it.

    Parameters
    ----------
    field
        Its symbols.
    known
        What the decoder says of them.
    first
        Where among the encoder's inputs those of the column begin.
    inputs
        What the encoder reads of each symbol, whole numbers ``(n_symbols, n_inputs)``.
    """

    field: Field
    known: Known
    first: int
    inputs: NDArray[np.float64]


@final
class LatentTableCoder(Coder):
    """Bits-back for some columns of a table: the prior of the code, then every column given the code.

    Parameters
    ----------
    fields
        The columns that it knows, one at least.
    encoder, decoder
        From inputs to means and log variances, from the grid to what is said of columns.
    """

    id: ClassVar[str] = "latent-table"
    block_rows: ClassVar[int | None] = 4096  # as chains have them, for the same reason

    def __init__(self, fields: Sequence[KnownField], encoder: FrozenNetwork, decoder: FrozenNetwork) -> None:
        self.fields, self.encoder, self.decoder = tuple(fields), encoder, decoder
        self.size = encoder.output_shape[0] // 2
        self._plain = [each.field for each in fields]

    @cached_property
    def _coding(self) -> BitsBack:
        tables = Tables.made()
        row = TableRow(tables, self.decoder.output_bits, [each.known for each in self.fields])
        return BitsBack(self.encoder, self.decoder, self._read, row, tables, len(self.fields))

    def _read(self, symbols: Ints) -> NDArray[np.float64]:
        """What the encoder reads of rows of symbols; of columns that are not coded a zero."""
        found = np.zeros((len(symbols), self.encoder.input_shape[0]))
        for at, each in enumerate(self.fields):
            found[:, each.first : each.first + each.inputs.shape[1]] = each.inputs[symbols[:, at]]
        return found

    def section(self) -> bytes:
        """Fields, networks and tables."""
        told = [
            {
                **asdict(each.field),
                "others": each.known.others,
                "outputs": each.known.outputs.tolist(),
                "scale": each.known.scale,
                "place": each.first,
            }
            for each in self.fields
        ]
        return plain.packed(
            {
                "fields": [json.dumps(told, separators=(",", ":")).encode()],
                "networks": [self.encoder.to_bytes(), self.decoder.to_bytes()],
                **{f"edges {at}": each.known.edges for at, each in enumerate(self.fields)},
                **{f"inputs {at}": each.inputs.astype(np.int32) for at, each in enumerate(self.fields)},
            }
        )

    @classmethod
    def of_section(cls, data: bytes) -> LatentTableCoder:
        """The coder that a section was written from."""
        try:
            held = plain.unpacked(data)
            (told,), (encoder, decoder) = held["fields"], held["networks"]
            coder = cls(
                [_field(each, held, at) for at, each in enumerate(json.loads(told))],
                FrozenNetwork.from_bytes(bytes(encoder)),
                FrozenNetwork.from_bytes(bytes(decoder)),
            )
            coder.check_parts()
        except (KeyError, TypeError, ValueError, IndexError, RecursionError, AttributeError) as error:
            raise ArtifactError(
                f"archive: expected a model for bits-back coding of a table, got none ({error}); take another "
                "copy of it."
            ) from None
        return coder

    def check_parts(self) -> None:
        """Raise ValueError where the parts do not fit each other."""
        n_in, n_out = self.encoder.input_shape, self.decoder.output_shape
        networks = (
            len(n_in) == len(n_out) == len(self.decoder.input_shape) == len(self.encoder.output_shape) == 1
            and self.encoder.output_shape[0] == 2 * self.decoder.input_shape[0]
            and self.encoder.output_bits >= GRID_BITS
        )
        names = {each.field.name for each in self.fields}
        if not networks or len(names) != len(self.fields) or not self.fields:
            raise ValueError("its parts do not fit each other")
        for each in self.fields:
            known, n = each.known, each.field.n_symbols - 1
            fits = (
                0 < known.others < WHOLE
                and known.outputs.shape == ((1,) if known.is_number else (n,))
                and known.edges.shape == ((n + 1,) if known.is_number else (0,))
                and (np.diff(known.edges) >= 0).all()
                and (np.abs(known.edges) <= FARTHEST).all()
                and 0 <= known.scale < N_SCALES
                and -1 <= known.outputs.min() <= known.outputs.max() < n_out[0]
                and not (known.is_number and known.outputs[0] < 0)
                and each.inputs.ndim == 2
                and len(each.inputs) == n + 1
                and 0 <= each.first <= n_in[0] - each.inputs.shape[1]
            )
            if not fits:
                raise ValueError("a column's parts do not fit each other")

    def check(self) -> None:
        """Both networks' self-tests."""
        self.encoder.check()
        self.decoder.check()

    def packed(self, columns: Columns) -> bytes | None:
        """The columns that it knows by bits-back, others beside; None where one of its own is missing."""
        return packed_fields(self._plain, columns, self._coding.packed)

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The columns again, in their order."""
        return unpacked_fields(
            self._plain, payload, n_rows, lambda data, n: self._coding.unpacked(data, n, self.size)
        )


def _field(told: Any, held: Columns, at: int) -> KnownField:
    """A column from what a section tells; raises what :meth:`LatentTableCoder.of_section` catches."""
    own = {name: told.pop(name) for name in ("others", "scale", "place", "outputs")}
    outputs, edges, inputs = own.pop("outputs"), held[f"edges {at}"], held[f"inputs {at}"]
    if not all(type(value) is int and abs(value) <= FARTHEST for value in (*own.values(), *outputs)):
        raise ValueError("facts that are no whole numbers")
    if not isinstance(edges, np.ndarray) or not isinstance(inputs, np.ndarray):
        raise ValueError("tables that are none")
    if edges.dtype != np.int64 or inputs.dtype != np.int32:
        raise ValueError("tables of something else")
    known = Known(own["others"], np.array(outputs, np.int64), edges, own["scale"])
    return KnownField(field_from(told), known, own["place"], inputs.astype(np.float64))

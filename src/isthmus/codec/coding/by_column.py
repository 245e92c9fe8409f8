"""Some columns of a block, each by a coder of its own; the others are left to general coders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from isthmus.codec import columns as plain
from isthmus.codec.coding.coders import Coder
from isthmus.codec.coding.context_coder import ContextCoder
from isthmus.codec.coding.latent import COLUMN, LatentCoder
from isthmus.codec.columns import Columns
from isthmus.errors import ArtifactError

CODED = "\0"
"""The name of what coders wrote, beside the columns that are left over: no column of a content has it."""
OF_A_COLUMN: dict[str, type[Coder]] = {coder.id: coder for coder in (LatentCoder, ContextCoder)}
"""Coders of an array, which they know as the only column ``values``."""


@final
class ColumnCoder(Coder):
    """A coder for each of some columns that are arrays, by their names.

    A block may have some of the columns, with any number of entries: of a folder those of its pictures of each kind.

    Parameters
    ----------
    coders
        By the name of the column, of those in :data:`OF_A_COLUMN`.
    """

    id: ClassVar[str] = "columns"

    def __init__(self, coders: Mapping[str, Coder]) -> None:
        self.coders = dict(coders)

    def section(self) -> bytes:
        """Names of columns, and of each its codec and its section."""
        return plain.packed(
            {
                "names": [name.encode() for name in self.coders],
                "codecs": [coder.id.encode() for coder in self.coders.values()],
                "sections": [coder.section() for coder in self.coders.values()],
            }
        )

    @classmethod
    def of_section(cls, data: bytes) -> ColumnCoder:
        """The coder that a section was written from."""
        held = plain.unpacked(data)
        parts = [held.get(name) for name in ("names", "codecs", "sections")]
        texts = [part for part in parts if isinstance(part, list)]
        if len(texts) < 3 or not texts[0] or len({len(part) for part in texts}) > 1:
            raise _unfit("models of columns")
        names, codecs, sections = ([bytes(text) for text in part] for part in texts)
        known = [codec.decode("latin-1") for codec in codecs]
        if not set(known) <= set(OF_A_COLUMN):
            raise ArtifactError(
                f"archive: its columns are coded with {', '.join(sorted(set(known)))[:60]!r}, which this isthmus does "
                "not know. Install a newer one."
            )
        try:
            told = [name.decode() for name in names]
        except UnicodeDecodeError:
            raise _unfit("names of columns") from None
        if len(set(told)) < len(told) or any(name.startswith(CODED) for name in told):
            raise _unfit("names of columns")
        return cls(
            {
                name: OF_A_COLUMN[codec].of_section(section)
                for name, codec, section in zip(told, known, sections, strict=True)
            }
        )

    def check(self) -> None:
        """All self-tests."""
        for coder in self.coders.values():
            coder.check()

    def packed(self, columns: Columns) -> bytes | None:
        """The columns that it knows by their coders, others beside; None where it can code none."""
        coded, held = list[bytes](), Columns()
        for name, column in columns.items():
            payload = None
            if name in self.coders and isinstance(column, np.ndarray) and len(column):
                payload = self.coders[name].packed({COLUMN: column})
            if payload is None:
                held[name] = column
            else:
                held[name] = []  # where it stands among the others
                coded.append(len(column).to_bytes(4, "little") + payload)
        return plain.packed({CODED: coded, **held}) if coded else None

    def unpacked(self, payload: bytes, n_rows: int) -> Columns:
        """The columns again, in their order."""
        held = plain.unpacked(payload)
        coded = held.pop(CODED, None)
        is_empty = {name: isinstance(column, list) and not column for name, column in held.items()}
        places = [name for name in held if name in self.coders and is_empty[name]]
        if not isinstance(coded, list) or len(coded) != len(places):
            raise _unfit("a block of columns")
        for name, data in zip(places, coded, strict=True):
            n = int.from_bytes(data[:4], "little")
            if len(data) < 4 or not 0 < n <= n_rows:
                raise _unfit("entries of a column")
            held[name] = self.coders[name].unpacked(bytes(data[4:]), n)[COLUMN]
        return held


def _unfit(what: str) -> ArtifactError:
    return ArtifactError(f"archive: expected {what}, got none; take another copy of it.")

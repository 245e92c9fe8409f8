"""Several arrays, ``.npz``: those of the common length row by row, the others whole beside the first row."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, final

import numpy as np
from numpy.typing import NDArray

from isthmus.codec.columns import Columns
from isthmus.codec.contents.arrays import VALUES, ArrayContent, ArrayForm
from isthmus.codec.contents.base import Content, Facts, Form, beside, check_rows, fact, unfit
from isthmus.errors import DataError, SourceError
from isthmus.sources.npz import open_npz

REST = "rest"
"""Name of the column of the other arrays, as ``.npy`` files; only the block with the first row has it."""
_MOST_ARRAYS = 10_000
_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can tell: the same bytes from the same arrays."""


@final
class NpzForm(Form):
    """Several arrays.

    Parameters
    ----------
    facts
        ``n_rows``; ``arrays``, the facts and the ``name`` of each that has so many rows; ``rest``, the names of the
        others; ``order``, all names as the file has them; ``packed``, whether its members are.
    """

    kind = "arrays"

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        arrays, rest, order = (fact(facts, name, list) for name in ("arrays", "rest", "order"))
        if len(order) > _MOST_ARRAYS or not all(isinstance(one, dict) for one in arrays):
            raise unfit(f"{len(order):,} arrays")
        self.names = [fact(one, "name", str) for one in arrays]
        """Of the arrays with a row each."""
        self.arrays = [ArrayForm({**one, "n_rows": self.n_rows}) for one in arrays]
        self._rest, self._order, self._packed = rest, order, fact(facts, "packed", bool)
        known = [*self.names, *rest]
        if (
            not all(isinstance(name, str) for name in [*order, *rest])
            or Counter(order) != Counter(known)
            or not order
        ):
            raise unfit("arrays without names")
        if len(set(order)) < len(order) or any(array.file != "npy" for array in self.arrays):
            raise unfit("arrays of the same name")

    @property
    def suffix(self) -> str:
        """``.npz``."""
        return ".npz"

    def rows(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """Rows of the arrays that have so many, by name."""
        found = {
            name: array.rows({VALUES: columns.get(f"{place}", [])})
            for place, (name, array) in enumerate(zip(self.names, self.arrays, strict=True))
        }
        if len({len(rows) for rows in found.values()}) > 1:
            raise unfit("arrays of different lengths")
        return found

    def write(self, blocks: Iterable[Columns], path: Path) -> None:
        """Write a file of equal arrays, in order."""
        with beside(path) as place, ExitStack() as stack:
            spools: dict[str, IO[bytes]] = {}
            for name, array in zip(self.names, self.arrays, strict=True):
                spools[name] = stack.enter_context(tempfile.TemporaryFile())
                spools[name].write(array.header)
            n_rows, rest = 0, list[bytes]()
            for columns in blocks:
                rows = self.rows(columns)
                if not n_rows and self._rest:
                    rest = _rest(columns)
                n_rows += len(next(iter(rows.values()))) if rows else 1
                for name, part in rows.items():
                    spools[name].write(part.tobytes())
            check_rows(n_rows, self)
            if len(rest) != len(self._rest):
                raise unfit(f"{len(rest)} arrays where {len(self._rest)} were promised")
            spools |= {name: io.BytesIO(data) for name, data in zip(self._rest, rest, strict=True)}
            way = zipfile.ZIP_DEFLATED if self._packed else zipfile.ZIP_STORED
            with zipfile.ZipFile(place, "w", way) as archive:
                for name in self._order:
                    member = zipfile.ZipInfo(f"{name}.npy", _DATE)
                    member.compress_type = way
                    spools[name].seek(0)
                    with archive.open(member, "w", force_zip64=True) as file:
                        shutil.copyfileobj(spools[name], file)


def _rest(columns: Columns) -> list[bytes]:
    rest = columns.get(REST)
    if not isinstance(rest, list):
        raise unfit("no arrays beside the first row")
    return rest


@final
class NpzContent(Content):
    """Arrays by name.

    Parameters
    ----------
    arrays
        In order.
    packed
        Whether the file's members are.
    name
        What messages begin with.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], *, packed: bool, name: str) -> None:
        self.name, n_bytes = name, Counter[int]()
        for array in arrays.values():
            n_bytes[len(array) if array.ndim else 0] += array.nbytes
        n_rows = max((n for n in n_bytes if n), key=lambda n: (n_bytes[n], n), default=0)
        own = {key: array for key, array in arrays.items() if n_rows and array.ndim and len(array) == n_rows}
        self._rest = {key: array for key, array in arrays.items() if key not in own}
        self._own = [
            ArrayContent(np.ascontiguousarray(array), name=f"{name}: {key}") for key, array in own.items()
        ]
        listed: list[Facts] = [{"name": key, **one.facts} for key, one in zip(own, self._own, strict=True)]
        self.facts = {
            "kind": NpzForm.kind,
            "n_rows": n_rows or 1,
            "arrays": listed,
            "rest": list(self._rest),
            "order": list(arrays),
            "packed": packed,
        }
        self.form = NpzForm(self.facts)
        self.row_bytes = sum(one.row_bytes for one in self._own)

    @property
    def numbers(self) -> dict[str, int]:
        """The arrays of real numbers that have a row each."""
        return {f"{place}": 0 for place, one in enumerate(self._own) if one.numbers}

    def block(self, rows: slice) -> Columns:
        """Columns ``"0"``, ``"1"``, ... of the arrays that have a row each; with the first row the others."""
        columns: Columns = {f"{place}": one.block(rows)[VALUES] for place, one in enumerate(self._own)}
        if self._rest and rows.indices(self.n_rows)[0] == 0:
            columns[REST] = [_saved(array) for array in self._rest.values()]
        return columns


def _saved(array: NDArray[Any]) -> bytes:
    np.save(file := io.BytesIO(), array, allow_pickle=False)
    return file.getvalue()


def open_arrays(path: Path) -> NpzContent | None:
    """The content of an ``.npz`` file; None of one that is no zip file, or holds anything else.

    Raises
    ------
    SourceError
        Arrays that are damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        odd = any(not member.filename.endswith(".npy") for member in members)
        if odd or len(set(names)) < len(names) or len(names) > _MOST_ARRAYS:
            return None
        with open_npz(path) as file:
            arrays = {name: file.read(name) for name in names}
        packed = any(member.compress_type == zipfile.ZIP_DEFLATED for member in members)
        return NpzContent(arrays, packed=packed, name=str(path))
    except SourceError:
        raise
    except (DataError, zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None

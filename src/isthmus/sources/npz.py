"""Zip files of arrays, ``.npz``: what a member's header promises is held against the file first."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, final

from numpy.lib import format as npy
from numpy.typing import NDArray

from isthmus.errors import IsthmusError, SourceError
from isthmus.shapes import Shape
from isthmus.sources.limits import most_unpacked
from isthmus.sources.npy import NpyHeader, quiet, read_npy_header

MAX_BYTES = 1 << 32
"""An array that would take more memory than this (4 GiB) is refused: an ``.npy`` file needs none."""
_ENCRYPTED = 0x1
_END = struct.Struct("<4s6xH10x")
"""The end of a zip file: its name, and how many members it lists."""
_LARGEST_RATIO = 1032
"""No deflate stream unpacks to more than this many times its size."""
_NAMED = 10
"""Arrays that a message names."""


@final
class Npz:
    """The arrays of an open ``.npz`` file; only those that are asked for are unpacked.

    Parameters
    ----------
    path
        For messages.
    archive
        The open file.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        members = archive.infolist()
        self._members = {
            member.filename.removesuffix(".npy"): member
            for member in members
            if member.filename.endswith(".npy")
        }
        if not self._members:
            held = ", ".join(" ".join(member.filename.split()) for member in members[:3]) or "nothing"
            raise SourceError(
                f"{path}: expected a zip file of arrays as numpy.savez writes them, got one with "
                f"{held}{' and more' if len(members) > 3 else ''}; unpack it and give what is inside."
            )
        if _n_listed(archive) not in (None, len(members)):
            raise ValueError("its list of arrays is damaged")  # told by open_npz
        for member in members:  # of the two places where a name stands, one may be damaged
            if not member.flag_bits & _ENCRYPTED and member.compress_type in (0, zipfile.ZIP_DEFLATED):
                archive.open(member).close()

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of that name."""
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        """Names of the arrays."""
        return iter(self._members)

    def shape(self, name: str) -> Shape:
        """The shape that an array's header promises."""
        with self._opened(name) as file:
            return read_npy_header(file).shape

    def read(self, name: str) -> NDArray[Any]:
        """One array, whole; nothing is unpickled."""
        with self._opened(name) as file:
            header = read_npy_header(file)
            if not header.dtype.hasobject:
                self._check_size(name, header)
        with self._opened(name) as file, quiet():
            return npy.read_array(file, allow_pickle=False)

    def _opened(self, name: str) -> IO[bytes]:
        if self._members[name].flag_bits & _ENCRYPTED:
            raise SourceError(
                f"{self._path}: expected arrays that can be read, got an encrypted zip file; "
                f"unpack it with its password and save the numbers with numpy.savez."
            )
        if self._members[name].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("a way of packing that NumPy does not use")  # told by open_npz
        return self._archive.open(self._members[name])

    def _check_size(self, name: str, header: NpyHeader) -> None:
        member, shape, n_bytes = self._members[name], header.shape, header.n_bytes
        possible = min(member.file_size, member.compress_size * _LARGEST_RATIO) - header.offset
        if n_bytes > possible:
            raise SourceError(
                f"{self._path}: the header of {name} promises {n_bytes} bytes of values (shape {shape}), "
                f"got {max(0, possible)} at most; save the numbers again with numpy.savez."
            )
        if n_bytes > most_unpacked(self._path):
            raise SourceError(
                f"{self._path}: expected arrays as large as their file makes likely, got {n_bytes / 2**30:.3g} GiB in "
                f"{name}, {n_bytes // max(1, member.compress_size):,} times its size; save it as .npy if it "
                f"is meant so."
            )
        if n_bytes > MAX_BYTES:
            raise SourceError(
                f"{self._path}: arrays in an .npz file may take at most {MAX_BYTES / 2**30:.3g} GiB of "
                f"memory, got {n_bytes / 2**30:.3g} GiB in {name}; save it as .npy, which is read in pieces."
            )


def _n_listed(archive: zipfile.ZipFile) -> int | None:
    """Members that the end of a zip file tells of; None where a comment or a large file puts that elsewhere."""
    if archive.fp is None:
        return None
    archive.fp.seek(-_END.size, 2)
    name, n_listed = _END.unpack(archive.fp.read(_END.size))
    return n_listed if name == b"PK\x05\x06" and n_listed < 0xFFFF else None


@contextmanager
def open_npz(path: Path) -> Generator[Npz]:
    """The arrays of an ``.npz`` file, while it is open.

    Raises
    ------
    SourceError
        Damaged, encrypted, no zip file of arrays, or an array that cannot be held in memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield Npz(path, archive)
    except IsthmusError:
        raise
    except (
        ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, OSError,
        OverflowError, SyntaxError, LookupError, TokenError,
    ) as error:  # fmt: skip
        if isinstance(error, PermissionError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: expected a whole .npz file of numbers, got one that NumPy cannot read "
                          f"({reason}); save the numbers again with numpy.savez.") from error  # fmt: skip


def listed(names: Sequence[str]) -> str:
    """Names, of many the first.

    >>> listed(["a", "b"])
    'a, b'
    """
    return ", ".join(" ".join(name.split()) for name in names[:_NAMED]) + (
        f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    )

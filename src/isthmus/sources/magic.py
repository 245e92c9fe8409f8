"""What a file is by its first bytes, and whether its name says so."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from isthmus.errors import SourceError

GZIP = b"\x1f\x8b"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "parquet"),
    (b"\x89IST\r\n", "archive"),
    (b"ARROW1", "arrow"),
    (b"FEA1", "arrow"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (GZIP, "gzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old office"),
    (b"\x89HDF", "hdf5"),
    (b"%PDF", "pdf"),
    (b"SQLite format 3\0", "sqlite"),
    (b"\x89PNG\r\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"II*\0", "image"),
    (b"MM\0*", "image"),
    (b"fLaC", "sound"),
    (b"OggS", "sound"),
    (b"ID3", "sound"),
    (b"\x80\x03", "pickle"),
    (b"\x80\x04", "pickle"),
    (b"\x80\x05", "pickle"),
)
_WORDS = {
    "archive": ("an archive of isthmus", "give it to 'isthmus decompress', and what comes out here"),
    "parquet": ("a Parquet file", "name it .parquet"),
    "arrow": ("an Arrow file", "name it .arrow"),
    "npy": ("an array of NumPy's", "name it .npy"),
    "zip": ("a zip file", "unpack it and give what is inside"),
    "npz": ("arrays as numpy.savez writes them", "name it .npz"),
    "excel": ("an Excel workbook", "save its sheet as CSV"),
    "gzip": ("a gzip-ed file", "unpack it, or name it .csv.gz if it is a table"),
    "old office": ("an old Excel or Office file", "save its sheet as CSV"),
    "hdf5": ("an HDF5 file", "save its array with numpy.save"),
    "pdf": ("a PDF document", "give the data themselves"),
    "sqlite": ("an SQLite database", "save its table as CSV or Parquet"),
    "image": ("a picture", "name it as such, .png or .jpg"),
    "sound": ("a sound", "name it as such, .wav or .flac"),
    "pickle": (
        "a pickle",
        "it could run anything and is never read: save arrays with numpy.save, frames as Parquet",
    ),
    "json": ("JSON", "save it as CSV or Parquet"),
    "text": ("text", "name it .csv if it is a table"),
}
_TEXT, _IMAGE, _SOUND = {"text", "gzip"}, {"image"}, {"sound"}
_EXPECTED: dict[str, tuple[str, set[str]]] = {
    **{suffix: ("a table as text", {*_TEXT, "json"}) for suffix in (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")},
    ".parquet": ("a Parquet file", {"parquet"}),
    ".arrow": ("an Arrow file", {"arrow"}),
    ".feather": ("an Arrow file", {"arrow"}),
    ".npy": ("an array of NumPy's", {"npy", "npz"}),
    ".npz": ("a zip file of arrays", {"npz", "npy", "zip"}),
    **{suffix: ("an image", _IMAGE) for suffix in (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")},
    **{suffix: ("a sound", _SOUND) for suffix in (".wav", ".flac", ".ogg", ".mp3")},
}  # fmt: skip
"""By the ending of a name: what it says, and what the first bytes may then say."""
_LOOKED_AT = 2048
_CONTROLS = frozenset(range(32)) - {9, 10, 12, 13, 27}


def check_named(path: Path) -> None:
    """Refuse a file whose first bytes are certainly of another kind than its name says.

    Files of a name or of bytes that are not known are left to their reader.

    Raises
    ------
    SourceError
        With what the file is, and what to do.
    """
    found = kind_by_bytes(path)
    if found is None:
        return
    name = path.name.lower()
    suffix = next((ending for ending in _EXPECTED if name.endswith(ending)), None)
    what, advice = _WORDS[found]
    if suffix is None:
        if found not in ("npy", "npz", "zip", "gzip", "text"):
            raise SourceError(
                f"{path}: expected data that can be read, got {what} by its first bytes; {advice}."
            )
        return
    said, possible = _EXPECTED[suffix]
    if found not in possible:
        raise SourceError(
            f"{path}: expected {said}, as its name says, got {what} by its first bytes; {advice}."
        )


def kind_by_bytes(path: Path) -> str | None:
    """What a file is by its first bytes, in one word; None where they do not tell."""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if start[:4] == b"RIFF":
        return {b"WAVE": "sound", b"WEBP": "image"}.get(start[8:12])
    found = next((kind for first, kind in _STARTS if start.startswith(first)), None)
    if found == "zip":
        return _kind_of_zip(path)
    if found is not None or not start or not _is_text(start):
        return found
    return "json" if start.lstrip()[:2] in (b"[{", b'{"', b"[[") else "text"


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error, LookupError):
        return "zip"
    if any(name.startswith("xl/") for name in names):
        return "excel"
    return "npz" if any(name.endswith(".npy") for name in names) else "zip"


def _is_text(start: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters; a character may be cut at the end."""
    if _CONTROLS.intersection(start):
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 3 and len(start) == _LOOKED_AT
    return True

"""Folders: every file below them, pictures as pixels and sounds as samples where that is smaller, others as bytes.

A row is a piece: a picture, up to 65,536 frames of a sound, up to a megabyte of another file, or an empty folder.
Pieces stand in the order of their files' names. The columns of a block:

    how        what each piece is: see the constants below
    name       of the file that begins with a piece, relative to the folder, with forward slashes; else empty
    kind       of a picture or a sound, at each of its pieces; else empty
    head tail  what its file has before and behind pixels or samples, at its first piece; only where a file has any
    bytes      pieces of files that are kept, in order
    K          pixels or samples of all pieces of kind K, in order: pixels ``(n, height, width, channels)``; samples
               ``(n, frames, channels)`` where all pieces have as many, else ``(frames, channels)`` one after the other
    frames     of each piece of sound; only where one of its kind has others
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self, final

import numpy as np

from isthmus.codec.columns import Columns, packed
from isthmus.codec.contents.base import Content, Form, beside, check_rows, unfit
from isthmus.codec.contents.kept import PIECE, read_piece
from isthmus.codec.contents.pictures import PictureKind, picture_kind, png_bytes, read_picture
from isthmus.codec.contents.sounds import Sound, SoundKind, SoundWriter, open_sound
from isthmus.errors import SourceError
from isthmus.sources.folder import file_names, links_outside

BYTES, MORE_BYTES, PICTURE, SOUND, MORE_SOUND, FOLDER = range(6)
"""What a piece is: the first or another piece of a file that is kept, a picture, the first or another piece of a sound,
or a folder with nothing in it."""
WINDOW = 1 << 16
"""Frames of a piece of sound; the last of a file may have fewer."""
_SAMPLED, _SAMPLE_BYTES = 32, 1 << 22
"""Pictures, and bytes of them, by which it is told whether a kind of picture is smaller as pixels."""


class _File(NamedTuple):
    """A file, or an empty folder where it has no size."""

    name: str
    size: int | None
    kind: PictureKind | None = None
    sound: Sound | None = None

    @property
    def n_pieces(self) -> int:
        """Rows that it takes."""
        if self.sound is not None:
            return -(-self.sound.frames // WINDOW)
        return 1 if self.size is None or self.kind is not None else max(1, -(-self.size // PIECE))

    @property
    def n_bytes(self) -> int:
        """Bytes in memory."""
        if self.sound is not None:
            return self.sound.frames * self.sound.kind.channels * self.sound.kind.dtype.itemsize
        if self.kind is not None:
            return int(np.prod(self.kind.shape)) * self.kind.dtype.itemsize
        return self.size or 0


class Piece(NamedTuple):
    """A row of a block."""

    how: int
    name: bytes
    kind: str
    head: bytes
    tail: bytes
    values: Any
    """Bytes, pixels, samples, or None of a folder."""


@final
class FolderForm(Form):
    """A folder of files.

    Parameters
    ----------
    facts
        ``n_rows``.
    """

    kind = "folder"

    def rows(self, columns: Columns) -> Any:
        """Pixels of pictures of one kind, ``(n, height, width, channels)``; else a list of what the pieces are."""
        pieces = list(pieces_of(columns))
        if (
            pieces
            and all(piece.how == PICTURE for piece in pieces)
            and len({piece.kind for piece in pieces}) == 1
        ):
            return columns[pieces[0].kind]
        return [piece.values for piece in pieces]

    def write(self, blocks: Iterable[Columns], path: Path) -> None:
        """Write the folder with all its files; pictures with equal pixels, all others as sounds and bytes were."""
        n_rows = 0
        with beside(path) as place:
            place.mkdir()
            with _Writer(place) as writer:
                for columns in blocks:
                    for piece in pieces_of(columns):
                        writer.add(piece)
                        n_rows += 1
            check_rows(n_rows, self)


@final
class _Writer:
    """Makes files of pieces."""

    def __init__(self, root: Path) -> None:
        self._root, self._open = root, ExitStack()
        self._file: Any = None
        self._sound: SoundWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def add(self, piece: Piece) -> None:
        """Write a piece.

        Raises
        ------
        ArtifactError
            One that belongs to nothing, or a name that leads elsewhere.
        """
        if piece.how == MORE_BYTES and self._file is not None and self._sound is None:
            self._file.write(piece.values)
        elif piece.how == MORE_SOUND and self._sound is not None:
            self._sound.write(piece.values)
        elif piece.how in (MORE_BYTES, MORE_SOUND):
            raise unfit("a piece without the beginning of its file")
        else:
            self._finish()
            self._begin(piece, self._place(piece.name))

    def _begin(self, piece: Piece, place: Path) -> None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if piece.how == FOLDER:
                place.mkdir()
                return
            self._file = self._open.enter_context(place.open("xb"))
        except FileExistsError:
            raise unfit(f"two files of the name {place.name!r}") from None
        if piece.how == SOUND:
            sound = SoundWriter(self._file, SoundKind.parse(piece.kind), piece.head, piece.tail)
            self._sound = self._open.enter_context(sound)
            self._sound.write(piece.values)
        elif piece.how == PICTURE:
            kind = PictureKind.parse(piece.kind)
            self._file.write(png_bytes(piece.values, kind, piece.head, piece.tail))
        else:
            self._file.write(piece.values)

    def _finish(self) -> None:
        """Close the file that was being written."""
        self._sound = self._file = None
        self._open.close()

    def _place(self, name: bytes) -> Path:
        """Where a file goes, below the folder."""
        text = os.fsdecode(name)
        parts = PurePosixPath(text).parts
        drive = Path(*parts).drive if parts else ""
        wrong = {"..", "/", "//"}.intersection(parts) or "\0" in text or (os.sep != "/" and os.sep in text)
        if not parts or wrong or drive or "/".join(parts) != text:
            raise unfit(f"a file of the name {text[:60]!r}")
        return self._root.joinpath(*parts)


def pieces_of(columns: Columns) -> Iterator[Piece]:
    """The rows of a block.

    Raises
    ------
    ArtifactError
        Columns that are none of a folder.
    """
    hows: Any = columns.get("how")
    if not isinstance(hows, np.ndarray) or hows.dtype != np.uint8 or hows.ndim != 1:
        raise unfit("files without what they are")
    n = len(hows)
    texts = {name: _texts(columns, name, n) for name in ("name", "kind", "head", "tail")}
    frames: Any = columns.get("frames")
    lengths = [0] * n if frames is None else _lengths(frames, n)
    at = defaultdict[str, int](int)
    for row, how in enumerate(hows.tolist()):
        name, kind, head, tail = (column[row] for column in texts.values())
        if how > FOLDER:
            raise unfit(f"a piece that is {how}")
        key = {BYTES: "bytes", MORE_BYTES: "bytes", FOLDER: ""}.get(how, kind.decode("latin-1"))
        if how == FOLDER:
            values = None
        else:
            held, is_flat = columns.get(key, []), how in (SOUND, MORE_SOUND) and frames is not None
            is_flat = is_flat and isinstance(held, np.ndarray) and held.ndim == 2
            size = lengths[row] if is_flat else 1
            found = held[at[key] : at[key] + size] if key not in ("how", "frames", *texts) else []
            if len(found) != size or isinstance(held, list) != (key == "bytes"):
                raise unfit("fewer pieces than were promised")
            at[key] += size
            values = found if is_flat else found[0]
        yield Piece(how, name, kind.decode("latin-1"), head, tail, values)


def _texts(columns: Columns, name: str, n: int) -> list[bytes]:
    column: Any = columns.get(name, [b""] * n)
    if not isinstance(column, list) or len(column) != n:  # pyright: ignore[reportUnknownArgumentType]
        raise unfit(f"a column {name!r} of other length")
    return column  # pyright: ignore[reportUnknownVariableType]


def _lengths(frames: Any, n: int) -> list[int]:
    if (
        not isinstance(frames, np.ndarray)
        or frames.shape != (n,)
        or frames.dtype != np.int64
        or frames.min(initial=0) < 0
    ):
        raise unfit("lengths of sounds that are none")
    return frames.tolist()


@final
class FolderContent(Content):
    """All files below a folder; links are files if they lead to one in it.

    Parameters
    ----------
    path
        The folder.
    as_pixels
        Whether pictures are taken as pixels even where their files are smaller.

    Raises
    ------
    SourceError
        A folder in it that may not be read.
    """

    def __init__(self, path: Path, *, as_pixels: bool = False) -> None:
        self.name, self._path = str(path), path
        files = _files_of(path)
        self._files = files if as_pixels else _smaller_as_bytes(path, files)
        counts = [file.n_pieces for file in self._files]
        self._first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        n_rows = int(self._first[-1])
        self.facts = {"kind": FolderForm.kind, "n_rows": n_rows}
        self.form = FolderForm(self.facts)
        self.row_bytes = sum(file.n_bytes for file in self._files) / max(1, n_rows)
        n_left = links_outside(path, ("",))
        left = [f"{n_left} links that lead out of {path} are left out."] if n_left else []
        n_pictures = sum(file.kind is not None for file in self._files)
        n_sounds = sum(file.sound is not None for file in self._files)
        n_others = sum(file.size is not None for file in self._files) - n_pictures - n_sounds
        ways = (
            (f"pixels of pictures ({n_pictures:,}), in PNG files packed anew", n_pictures),
            (f"samples of sounds ({n_sounds:,})", n_sounds),
            (f"other files ({n_others:,}) byte for byte", n_others),
        )
        told = ", ".join(way for way, n in ways if n)
        self.notes = (*([f"What comes back: {told}."] if told else []), *left)

    @property
    def numbers(self) -> dict[str, int]:
        """Pixels and samples of every kind."""
        kinds = (str(file.kind or (file.sound and file.sound.kind) or "") for file in self._files)
        return {kind: 0 for kind in dict.fromkeys(kinds) if kind}

    def block(self, rows: slice) -> Columns:
        """The pieces of some rows."""
        start, stop, _ = rows.indices(self.n_rows)
        owners = np.searchsorted(self._first, np.arange(start, max(start, stop)), side="right") - 1
        pieces = [
            self._piece(self._files[owner], start + at - int(self._first[owner]))
            for at, owner in enumerate(owners.tolist())
        ]
        columns: Columns = {"how": np.array([piece.how for piece in pieces], np.uint8)}
        columns["name"] = [piece.name for piece in pieces]
        columns["kind"] = [piece.kind.encode() for piece in pieces]
        for name, column in (
            ("head", [piece.head for piece in pieces]),
            ("tail", [piece.tail for piece in pieces]),
        ):
            if any(column):
                columns[name] = column
        held = defaultdict[str, list[Any]](list)
        for piece in pieces:
            if piece.how != FOLDER:
                held[piece.kind or "bytes"].append(piece.values)
        for kind, values in held.items():
            if kind == "bytes":
                columns[kind] = values
            elif len({value.shape for value in values}) == 1:
                columns[kind] = np.stack(values)
            else:
                columns[kind] = np.concatenate(values)
                columns["frames"] = np.array(
                    [len(piece.values) if piece.how in (SOUND, MORE_SOUND) else 0 for piece in pieces],
                    np.int64,
                )
        return columns

    def _piece(self, file: _File, number: int) -> Piece:
        """A piece of a file."""
        name = os.fsencode(file.name) if os.name == "posix" else file.name.encode()
        place = self._path / file.name
        if file.size is None:
            return Piece(FOLDER, name, "", b"", b"", None)
        if file.sound is not None:
            sound = file.sound
            values = sound.read(number * WINDOW, min(sound.frames, (number + 1) * WINDOW))
            if number:
                return Piece(MORE_SOUND, b"", str(sound.kind), b"", b"", values)
            return Piece(SOUND, name, str(sound.kind), sound.head, sound.tail, values)
        read = None if file.kind is None else read_picture(place, file.kind)
        if file.kind is not None and read is not None:
            pixels, head, tail = read
            return Piece(PICTURE, name, str(file.kind), head, tail, pixels)
        if file.kind is not None:  # one that cannot be decoded
            return Piece(BYTES, name, "", b"", b"", place.read_bytes())
        how = MORE_BYTES if number else BYTES
        return Piece(how, b"" if number else name, "", b"", b"", read_piece(place, number * PIECE, file.size))


def _files_of(path: Path) -> list[_File]:
    def refuse(error: OSError) -> None:
        raise SourceError(f"{path}: a folder in it cannot be read: {error.strerror}; make it readable.")

    names = file_names(path, ("",), hidden=(), refuse=refuse)
    files = list[_File]()
    for name in names:
        place = path / name
        kind = picture_kind(place) if name.lower().endswith(".png") else None
        sound = open_sound(place) if name.lower().endswith((".wav", ".flac")) else None
        files.append(_File(name, place.stat().st_size, kind, sound))
    for folder, inside, held in os.walk(path):
        if not inside and not held and Path(folder) != path:
            files.append(_File(Path(folder).relative_to(path).as_posix(), None))
    return sorted(files, key=lambda file: file.name)


def _smaller_as_bytes(path: Path, files: list[_File]) -> list[_File]:
    """Files, of which kinds of pictures that are smaller as their own bytes are kept as these."""
    kinds = defaultdict[PictureKind, list[_File]](list)
    for file in files:
        if file.kind is not None:
            kinds[file.kind].append(file)
    larger = set[PictureKind]()
    for kind, alike in kinds.items():
        n = max(1, min(_SAMPLED, _SAMPLE_BYTES // int(np.prod(kind.shape))))
        some = alike[:: -(-len(alike) // n)]
        read = [one for file in some if (one := read_picture(path / file.name, kind)) is not None]
        own = sum((path / file.name).stat().st_size for file in some)
        beside_it: Columns = {"head": [one[1] for one in read], "tail": [one[2] for one in read]}
        if not read or len(packed({"": np.stack([one[0] for one in read]), **beside_it})) > own:
            larger.add(kind)
    return [file._replace(kind=None) if file.kind in larger else file for file in files]

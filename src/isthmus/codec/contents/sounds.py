"""Sound files: samples as whole numbers or floats, exactly; WAV comes back byte for byte, FLAC with equal samples."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, final

import numpy as np
import soundfile
from numpy.typing import NDArray

from isthmus.codec.columns import Columns
from isthmus.codec.contents.base import Content, Form, beside, check_rows, fact, unfit
from isthmus.errors import SourceError
from isthmus.sources.checksums import check_flac, check_flac_samples
from isthmus.sources.limits import most_unpacked

SAMPLES = "values"
"""Name of the column of samples, ``(frames, channels)``."""
_MOST_BESIDE = 1 << 20
"""Bytes beside the samples, before or after them."""
_BROKEN = (OSError, ValueError, RuntimeError, struct.error, soundfile.SoundFileError)
_STORED = {"u1": "u1", "i2": "i2", "i3": "i4", "i4": "i4", "f4": "f4", "f8": "f8"}
"""Types of samples as a file has them, and as columns do."""
_FLAC_BITS = {"PCM_16": "i2", "PCM_24": "i3"}


@dataclass(frozen=True, slots=True)
class SoundKind:
    """What samples are: the file's format, samples a second, channels, and the type of a sample (``i3``: 24 bits)."""

    format: str
    rate: int
    channels: int
    sample: str

    def __str__(self) -> str:
        return f"{self.format} {self.rate} {self.channels} {self.sample}"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of numbers that a sample is."""
        return np.dtype(_STORED[self.sample])

    @classmethod
    def parse(cls, text: str) -> SoundKind:
        """The kind that is written so.

        Raises
        ------
        ArtifactError
            None is.

        Examples
        --------
        >>> SoundKind.parse("wav 16000 1 i2").rate
        16000
        """
        parts = text.split(" ")
        if len(parts) != 4 or not (parts[1].isdecimal() and parts[2].isdecimal()) or len(text) > 60:
            raise unfit(f"sound of kind {text[:60]!r}")
        kind = cls(parts[0], int(parts[1]), int(parts[2]), parts[3])
        fits = kind.sample in (("i2", "i3") if kind.format == "flac" else _STORED)
        most = 8 if kind.format == "flac" else 1 << 16
        if (
            kind.format not in ("wav", "flac")
            or not fits
            or not (0 < kind.channels <= most and kind.rate < 1 << 32)
        ):
            raise unfit(f"sound of kind {text[:60]!r}")
        return kind


@final
class Sound:
    """The samples of a file, and what stands beside them; see :func:`open_sound`."""

    def __init__(self, path: Path, kind: SoundKind, frames: int, head: bytes, tail: bytes) -> None:
        self.path, self.kind, self.frames, self.head, self.tail = path, kind, frames, head, tail

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Some frames, ``(n, channels)``.

        Raises
        ------
        SourceError
            They are not there any more.
        """
        try:
            samples = self._flac(start, stop) if self.kind.format == "flac" else self._wav(start, stop)
        except _BROKEN as error:
            raise SourceError(
                f"{self.path}: expected sound, as at first, got {error}; leave it alone."
            ) from None
        if len(samples) != stop - start:
            raise SourceError(
                f"{self.path}: expected {self.frames:,} frames, as at first, got fewer; leave it alone."
            )
        return samples

    def _wav(self, start: int, stop: int) -> NDArray[Any]:
        width = int(self.kind.sample[1]) * self.kind.channels
        with self.path.open("rb") as file:
            file.seek(len(self.head) + start * width)
            data = file.read((stop - start) * width)
        return samples_of(self.kind, data[: len(data) // width * width])

    def _flac(self, start: int, stop: int) -> NDArray[Any]:
        with soundfile.SoundFile(str(self.path)) as file:
            file.seek(start)
            whole = np.asarray(file.read(stop - start, dtype="int32", always_2d=True), np.int32)
        return (whole >> (16 if self.kind.sample == "i2" else 8)).astype(self.kind.dtype)


def open_sound(path: Path) -> Sound | None:
    """The samples of a WAV or FLAC file; None of one that is neither, is damaged, or has samples of other types."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
            if start == b"RIFF":
                return _open_wav(path, file)
        return _open_flac(path) if start == b"fLaC" else None
    except _BROKEN:
        return None


def _open_wav(path: Path, file: IO[bytes]) -> Sound | None:
    file.seek(8)
    if file.read(4) != b"WAVE":
        return None
    size, form = path.stat().st_size, b""
    while len(chunk := file.read(8)) == 8 and file.tell() < _MOST_BESIDE:
        name, length = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"data":
            break
        at = file.tell()
        form = file.read(min(length, 40)) if name == b"fmt " else form
        file.seek(at + length + length % 2)
    else:
        return None
    tag, channels, rate, _, width, bits = struct.unpack_from("<HHIIHH", form)
    if tag == 0xFFFE and len(form) == 40:
        tag = int.from_bytes(form[24:26], "little")
    sample = {(1, 8): "u1", (1, 16): "i2", (1, 24): "i3", (1, 32): "i4", (3, 32): "f4", (3, 64): "f8"}.get(
        (tag, bits)
    )
    if sample is None or not channels or width != channels * bits // 8 or not rate:
        return None
    begin = file.tell()
    frames = min(length, size - begin) // width
    after = size - begin - frames * width
    if not frames or after > _MOST_BESIDE:
        return None
    file.seek(0)
    head = file.read(begin)
    file.seek(begin + frames * width)
    return Sound(path, SoundKind("wav", rate, channels, sample), frames, head, file.read(after))


def _open_flac(path: Path) -> Sound | None:
    check_flac(path)
    with soundfile.SoundFile(str(path)) as file:
        kind = _FLAC_BITS.get(file.subtype)
        needed = 4 * file.frames * file.channels
        if kind is None or not 0 < needed <= most_unpacked(path) or file.format != "FLAC":
            return None
        sound = Sound(path, SoundKind("flac", file.samplerate, file.channels, kind), file.frames, b"", b"")
        whole = file.read(dtype="int32", always_2d=True)  # once: its digest tells whether all of it is right
    check_flac_samples(path, np.asarray(whole, np.int32))
    with path.open("rb") as raw:
        blocks = flac_blocks(raw)
    sound.head = b"".join(block for block in blocks if block[0] & 127 in (2, 4, 5, 6))  # tags, cues, pictures
    return sound if len(whole) == sound.frames and len(sound.head) <= _MOST_BESIDE else None


def flac_blocks(file: IO[bytes]) -> list[bytes]:
    """The blocks before the frames of a FLAC file, with their heads; the file is left where its frames begin.

    Raises
    ------
    ValueError
        A file that ends in one.
    """
    blocks, is_last = list[bytes](), False
    file.seek(4)
    while not is_last:
        head = file.read(4)
        body = file.read(int.from_bytes(head[1:], "big"))
        if len(head) < 4 or len(body) < int.from_bytes(head[1:], "big"):
            raise ValueError("a FLAC file that ends before its frames")
        is_last = head[0] >= 128
        blocks.append(bytes([head[0] & 127]) + head[1:] + body)
    return blocks


def samples_of(kind: SoundKind, data: bytes) -> NDArray[Any]:
    """Samples of the bytes of a WAV file, ``(frames, channels)``.

    >>> samples_of(SoundKind("wav", 8000, 1, "i3"), bytes([1, 0, 0, 255, 255, 255])).tolist()
    [[1], [-1]]
    """
    if kind.sample != "i3":
        stored = np.frombuffer(data, kind.dtype.newbyteorder("<"))
        return (stored if stored.dtype.isnative else stored.byteswap().view(kind.dtype)).reshape(
            -1, kind.channels
        )
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return (wide.reshape(-1).view("<i4").astype(np.int32) >> 8).reshape(-1, kind.channels)


def bytes_of(kind: SoundKind, samples: NDArray[Any]) -> bytes:
    """Bytes of a WAV file of samples."""
    if kind.sample != "i3":
        return (samples if np.little_endian else samples.byteswap()).tobytes()
    return np.ascontiguousarray(samples, "<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


@final
class SoundWriter:
    """Writes a sound file, samples as they come; within ``with``, at whose end the file ends.

    Parameters
    ----------
    file
        Where to.
    kind, head, tail
        Of the sound.
    """

    def __init__(self, file: IO[bytes], kind: SoundKind, head: bytes, tail: bytes) -> None:
        self._file, self._kind, self._head, self._tail = file, kind, head, tail
        self._encoder: Any = None
        self._spool: Any = None

    def __enter__(self) -> Self:
        if self._kind.format == "wav":
            self._file.write(self._head)
            return self
        kind, self._spool = self._kind, tempfile.TemporaryFile()
        subtype = next(name for name, sample in _FLAC_BITS.items() if sample == kind.sample)
        try:
            self._encoder = soundfile.SoundFile(
                self._spool, "w", kind.rate, kind.channels, subtype, format="FLAC"
            )
        except _BROKEN as error:
            self._spool.close()
            raise unfit(f"sound that no FLAC file holds ({error})") from None
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._encoder is None:
            if error is None:
                self._file.write(self._tail)
            return
        with self._spool:
            self._encoder.close()
            if error is None:
                self._splice()

    def write(self, samples: NDArray[Any]) -> None:
        """Add some frames.

        Raises
        ------
        ArtifactError
            Samples of another type.
        """
        if not isinstance(samples, np.ndarray) or samples.dtype != self._kind.dtype or samples.ndim != 2:
            raise unfit("samples of another type")
        if samples.shape[1] != self._kind.channels:
            raise unfit("samples of other channels")
        if self._encoder is None:
            self._file.write(bytes_of(self._kind, samples))
        else:
            self._encoder.write(samples if self._kind.sample == "i2" else samples << 8)

    def _splice(self) -> None:
        """The heading and the frames of the encoder's file, and between them the other blocks of the first one."""
        try:
            blocks = [flac_blocks(self._spool)[0], *_parted(self._head)]
        except ValueError:
            raise unfit("a FLAC file without samples") from None
        blocks[-1] = bytes([blocks[-1][0] | 128]) + blocks[-1][1:]
        self._file.write(b"fLaC" + b"".join(blocks))
        shutil.copyfileobj(self._spool, self._file)


def _parted(head: bytes) -> list[bytes]:
    """Blocks of a FLAC file that stand one after the other."""
    blocks, file = list[bytes](), io.BytesIO(head)
    while start := file.read(4):
        blocks.append(start + file.read(int.from_bytes(start[1:], "big")))
    if any(len(block) != 4 + int.from_bytes(block[1:4], "big") for block in blocks):
        raise unfit("blocks of a FLAC file that are none")
    return blocks


@final
class SoundForm(Form):
    """A sound file, a row a frame.

    Parameters
    ----------
    facts
        ``n_rows``; ``sound``, its kind; ``head`` and ``tail``, the bytes before and behind the samples, in base64.
    """

    kind = "sound"

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        self.sound = SoundKind.parse(fact(facts, "sound", str))
        try:
            self._beside = [b64decode(fact(facts, name, str), validate=True) for name in ("head", "tail")]
        except ValueError:
            raise unfit("bytes beside sound that are none") from None

    @property
    def suffix(self) -> str:
        """``.wav`` or ``.flac``."""
        return f".{self.sound.format}"

    def rows(self, columns: Columns) -> NDArray[Any]:
        """Samples, ``(frames, channels)``."""
        samples: Any = columns.get(SAMPLES)
        if not isinstance(samples, np.ndarray) or samples.dtype != self.sound.dtype:
            raise unfit("sound without samples")
        if samples.shape[1:] != (self.sound.channels,):
            raise unfit("samples of other channels")
        return samples

    def write(self, blocks: Iterable[Columns], path: Path) -> None:
        """Write a WAV file byte for byte as it was; a FLAC file with equal samples and tags."""
        n_rows = 0
        head, tail = self._beside
        with (
            beside(path) as place,
            place.open("wb") as file,
            SoundWriter(file, self.sound, head, tail) as writer,
        ):
            for columns in blocks:
                samples = self.rows(columns)
                n_rows += len(samples)
                writer.write(samples)
            check_rows(n_rows, self)


@final
class SoundContent(Content):
    """A sound file."""

    def __init__(self, sound: Sound) -> None:
        self.name, self._sound = str(sound.path), sound
        beside_it = {"head": sound.head, "tail": sound.tail}
        self.facts = {
            "kind": SoundForm.kind,
            "n_rows": sound.frames,
            "sound": str(sound.kind),
            **{name: b64encode(data).decode() for name, data in beside_it.items()},
        }
        self.form = SoundForm(self.facts)
        self.row_bytes = float(sound.kind.channels * sound.kind.dtype.itemsize)

    @property
    def numbers(self) -> dict[str, int]:
        """The samples."""
        return {SAMPLES: 0}

    def block(self, rows: slice) -> Columns:
        """Some frames."""
        start, stop, _ = rows.indices(self.n_rows)
        return {SAMPLES: self._sound.read(start, max(start, stop))}

"""Sound files: decoded, brought to one rate, cut into windows, as waveforms or as spectrograms."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.memory import bytes_text
from isthmus.schema import Audio, Schema
from isthmus.sources.base import Indices, Rows, Source
from isthmus.sources.checksums import check_flac, check_flac_samples
from isthmus.sources.folder import file_names
from isthmus.sources.labels import as_labels, read_labels
from isthmus.sources.limits import most_unpacked
from isthmus.sources.spectrogram import frame_size, n_frames, rows_of
from isthmus.sources.wav_header import missing_share

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
HELD_BYTES = 1 << 29
"""Sounds and their rows that take no more memory than this (512 MiB) are read once and held."""
CACHE_BYTES = 1 << 28
"""Of larger ones, the files read last are kept up to this (256 MiB), and one file at least."""
MOST_FILE_BYTES = 1 << 32
"""One file that would take more than this (4 GiB) once decoded is refused."""
SLOWEST, FASTEST = 2, 1 << 24
"""Samples a second that a file may have, in Hz."""
_STARTS = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS")
_AT_A_TIME = 1 << 22
"""Samples of windows of which rows are made at a time."""
_A_WINDOW = 64
"""Bytes that a window takes beside its values, its name among them."""
FLOOR_DB = -80.0
WINDOW_SECONDS = 1.0
_NAMED = 5

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _File:
    """A sound file by its header."""

    path: Path
    name: str
    rate: int
    channels: int
    frames: int

    def length(self, rate: int) -> int:
        """Samples at another rate."""
        return max(1, (self.frames * rate + self.rate // 2) // self.rate)


class _BrokenError(Exception):
    """A file that cannot be used, and why."""


@final
class AudioSource(Source):
    """Windows of sound files, a row each; see :func:`open_audio`, which makes it.

    Parameters
    ----------
    files
        The files, in order.
    audio
        What a row is.
    labels
        One a file, or None.
    notes
        What people should know about the files.
    held
        The files' samples at the common rate, ``(samples, channels)`` each; None to read them when needed.
    """

    def __init__(
        self,
        who: str,
        files: Sequence[_File],
        audio: Audio,
        labels: NDArray[Any] | None,
        notes: tuple[str, ...],
        held: list[Samples] | None,
    ) -> None:
        self.name, self.notes = who, notes
        self.schema = Schema("sequences", _shape(audio), "float32", _range(audio), audio=audio)
        self.lengths = tuple(file.length(audio.rate) for file in files)
        """Samples of each file at the common rate."""
        self._files, self._audio = files, audio
        self._cache: OrderedDict[int, Samples] = OrderedDict()
        counts = [_n_windows(length, audio) for length in self.lengths]
        self._file_of = np.repeat(np.arange(len(files)), counts)
        first = np.cumsum([0, *counts[:-1]])
        self._start = (np.arange(len(self._file_of)) - first[self._file_of]) * audio.hop
        self.labels = None if labels is None else labels[self._file_of]
        self._held: Samples | None = None
        if held is not None:
            self._cache.update(enumerate(held))
            self._held = self._rows(np.arange(len(self)))

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self._file_of)

    def read(self, rows: slice | Indices) -> Rows:
        """The rows asked for, in the order asked, as ``(n, steps, channels)``."""
        if self._held is not None:
            return self._held[self._numbers(rows)]
        return self._rows(self._numbers(rows))

    def _rows(self, numbers: Indices) -> Samples:
        """Rows made of sound some windows at a time: their spectra take many times the memory of the rows."""
        result = np.empty((len(numbers), *self.schema.sample_shape), np.float32)
        step = max(1, _AT_A_TIME // (self._audio.window * self._audio.channels))
        for start in range(0, len(numbers), step):
            some = numbers[start : start + step]
            result[start : start + step] = rows_of(self.sounds(some), self._audio)
        return result

    def sounds(self, rows: slice | Indices) -> Samples:
        """The samples that rows were made of, ``(n, window, channels)``."""
        numbers = self._numbers(rows)
        audio = self._audio
        result = np.zeros((len(numbers), audio.window, audio.channels), np.float32)
        for at in np.argsort(numbers, kind="stable"):  # a file's windows one after the other
            start = self._start[numbers[at]]
            piece = self._samples(int(self._file_of[numbers[at]]))[start : start + audio.window]
            result[at, : len(piece)] = piece
        return result

    @cached_property
    def row_names(self) -> NDArray[Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The file and the second at which each window begins: ``"a.wav@0.500s"``."""
        names = [self._files[int(file)].name for file in self._file_of]
        starts = self._start / self._audio.rate
        return np.array([f"{name}@{start:.3f}s" for name, start in zip(names, starts, strict=True)])

    def recordings(self) -> list[tuple[str, slice, int]]:
        """Of each file its name, which windows are of it, and its samples at the common rate."""
        ends = np.searchsorted(self._file_of, np.arange(len(self._files)), side="right").tolist()
        return [
            (file.name, slice(start, end), length)
            for file, start, end, length in zip(self._files, [0, *ends[:-1]], ends, self.lengths, strict=True)
        ]

    def _numbers(self, rows: slice | Indices) -> Indices:
        try:
            return np.arange(len(self))[rows]
        except IndexError as error:
            raise DataError(
                f"{self.name}: row numbers must be below {len(self)}, got {rows}; the first row is 0."
            ) from error

    def _samples(self, number: int) -> Samples:
        """A file's samples, kept for the next window."""
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        file = self._files[number]
        try:
            samples = _decoded(file, self._audio.rate, self._audio.channels)
        except _BrokenError as why:
            raise SourceError(f"{file.path}: {why}; mend or remove it.") from None
        self._cache[number] = samples
        while len(self._cache) > 1 and sum(kept.nbytes for kept in self._cache.values()) > CACHE_BYTES:
            self._cache.popitem(last=False)
        return samples


def open_audio(
    path: Path,
    *,
    labels: Path | None = None,
    sound_rate: int | None = None,
    channels: Literal["auto", "mono", "all"] = "auto",
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    representation: Literal["auto", "waveform", "spectrogram"] = "auto",
    fft_size: int | None = None,
    fft_hop: int | None = None,
    floor_db: float | None = None,
    strict: bool = False,
) -> AudioSource:
    """Open all sound files below a folder, in the order of their names, or one sound file.

    Each file is brought to one rate, mixed to mono and cut into windows, from its beginning; what its
    last window lacks is silence. A window is a row. Small data are decoded at once and held in memory,
    larger ones file by file when they are read. Hidden files and folders are left out.

    Parameters
    ----------
    path
        A folder, searched to any depth, or one file: WAV, FLAC, OGG or MP3.
    labels
        A file of ``filename,label`` lines, or of one label a line in the order of the names. Without
        it the label is the first sub-folder's name, if every file lies in a sub-folder. All windows of a
        file have its label.
    sound_rate
        Samples a second, in Hz, that all files are brought to; None for the most common rate of the files,
        the lowest of several.
    channels
        ``"mono"``, and so ``"auto"``: the mean of a file's channels. ``"all"``: as they are; every file must
        have as many.
    window_seconds
        Seconds of sound a row; None for 1.
    hop_seconds
        Seconds from a window's beginning to the next one's, a window's length at most; None for that.
    representation
        ``"waveform"``: a step a sample, in [-1, 1]. ``"spectrogram"``, and so ``"auto"``: a step a frame, its
        loudness in dB at each frequency (:mod:`isthmus.sources.spectrogram`); phases are found anew on
        the way out.
    fft_size, fft_hop
        Samples of a spectrogram's frame, even, and from one to the next, a divisor of it that is half of it at most.
        None for the power of two nearest to 64 ms, but no longer than a window, and for a quarter of a frame.
    floor_db
        Loudness that counts as silence in a spectrogram, below 0 dB; None for -80.
    strict
        Refuse a file that cannot be decoded, ends early or holds no samples, instead of leaving it out with a note.

    Raises
    ------
    SourceError
        No sound files, or none that can be used; with ``strict``, one that cannot.
    DataError
        Samples that are NaN or infinite, files of several channel counts under ``"all"``, or nothing but silence.
    ParameterError
        Options that do not go together.
    """
    names = sound_names(path)
    places = [path / name for name in names] if path.is_dir() else [path]
    broken: dict[str, str] = {}
    files = _headers(places, names, broken)
    if not files:
        raise _unusable(path, places, names, broken)
    rate = _common_rate(files) if sound_rate is None else sound_rate
    n_channels = _n_channels(files) if channels == "all" else 1
    audio = _audio(rate, n_channels, window_seconds, hop_seconds, representation, fft_size, fft_hop, floor_db)
    for file in list(files):
        try:
            _check_windows(file, audio)
        except _BrokenError as why:
            broken[file.name] = str(why)
            files.remove(file)
    if not files:
        raise _unusable(path, places, names, broken)
    held = None
    if _n_bytes(files, audio) <= HELD_BYTES:
        files, held = _all_decoded(files, audio, broken)
        if not files:
            raise _unusable(path, places, names, broken)
    if broken and strict:
        name, why = next(iter(broken.items()))
        raise SourceError(
            f"{path / name if path.is_dir() else path}: {why}; mend or remove it, or leave such files out "
            f"with data.strict=false ({len(broken)} in all)."
        )
    all_labels = _labels(names, labels)
    kept = {file.name for file in files}
    own = None if all_labels is None else all_labels[[name in kept for name in names]]
    notes = _notes(files, names, broken, audio, chosen=sound_rate is None)
    source = AudioSource(str(path), files, audio, own, notes, held)
    if held is not None:
        source.notes += _silence(source, files, held)
    return source


def sound_names(path: Path) -> list[str]:
    """Names of the sound files below a folder, relative to it, with forward slashes, sorted; of a file its own."""
    if path.is_file():
        return [path.name]
    return sorted(file_names(path, SOUND_SUFFIXES))


def _headers(places: list[Path], names: list[str], broken: dict[str, str]) -> list[_File]:
    """The files that can be opened; why the others cannot goes into ``broken``."""
    files: list[_File] = []
    for place, name in zip(places, names, strict=True):
        try:
            if place.stat().st_size == 0:
                raise _BrokenError("expected sound, got an empty file of 0 bytes")
            if not _is_sound(place):
                raise _BrokenError(
                    "expected sound that can be decoded, got neither WAV, FLAC, OGG nor MP3 by its first bytes"
                )
            check_flac(place)
            info = soundfile.info(str(place))
            if not SLOWEST <= info.samplerate <= FASTEST:
                raise _BrokenError(
                    f"expected a rate from {SLOWEST} to {FASTEST:,} Hz, got {info.samplerate:,}"
                )
            lacks = missing_share(place)
            if info.frames < 1 or lacks == 1:
                raise _BrokenError("expected sound, got 0 s of it: a header without samples")
            if lacks:
                raise _ends_early(info.duration / (1 - lacks), info.duration)
            _check_size(place, 4 * info.frames * info.channels)
            file = _File(place, name, info.samplerate, info.channels, info.frames)
        except _BrokenError as why:
            broken[name] = str(why)
        except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
            broken[name] = _undecodable(error)
        else:
            files.append(file)
    return files


def _is_sound(path: Path) -> bool:
    """Whether the first bytes are of a format that is meant; the library would try two dozen others."""
    with path.open("rb") as file:
        start = file.read(4)
    return start in _STARTS or start[:3] == b"ID3" or (start[:1] == b"\xff" and start[1:2] >= b"\xe0")


def _check_size(path: Path, needed: int) -> None:
    """Refuse sound that its file makes unlikely."""
    most = min(MOST_FILE_BYTES, most_unpacked(path))
    if needed > most:
        raise _BrokenError(
            f"expected sound that takes at most {bytes_text(most)} in a file of its size, got "
            f"{bytes_text(needed)} by its header"
        )


def _check_windows(file: _File, audio: Audio) -> None:
    """Refuse a file that takes far more than its size at another rate, or in short windows."""
    length = file.length(audio.rate)
    steps, values = _shape(audio)
    row = _A_WINDOW + (4 * steps * values if audio.representation == "waveform" else 0)
    _check_size(file.path, 4 * length * audio.channels + row * _n_windows(length, audio))


def _ends_early(announced: float, there: float) -> _BrokenError:
    return _BrokenError(f"expected {announced:.3f} s of sound, got a file that ends at {there:.3f} s")


def _undecodable(error: Exception) -> str:
    text = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return f"expected sound that can be decoded, got {text or type(error).__name__!r}"


def _common_rate(files: Sequence[_File]) -> int:
    counts = Counter(file.rate for file in files)
    return min(counts, key=lambda rate: (-counts[rate], rate))


def _n_channels(files: Sequence[_File]) -> int:
    first = files[0]
    other = next((file for file in files if file.channels != first.channels), None)
    if other is not None:
        raise DataError(
            f"{first.path}: expected files of one number of channels, got {first.channels} here and "
            f'{other.channels} in {other.path}; mix them with data.channels="mono".'
        )
    return first.channels


def _audio(
    rate: int,
    channels: int,
    window_seconds: float | None,
    hop_seconds: float | None,
    representation: str,
    fft_size: int | None,
    fft_hop: int | None,
    floor_db: float | None,
) -> Audio:
    seconds = WINDOW_SECONDS if window_seconds is None else window_seconds
    window = round(seconds * rate)
    hop = window if hop_seconds is None else round(hop_seconds * rate)
    if window < 2:
        raise ParameterError(
            f"data.window_seconds: expected 2 samples or more, got {seconds:g} s, which is {window} at {rate} Hz; try "
            f"{max(1.0, 2 / rate):g}."
        )
    if not 1 <= hop <= window:
        raise ParameterError(
            f"data.hop_seconds: expected a sample or more and a window ({window / rate:g} s) at most, got "
            f"{hop_seconds}; leave it out for windows side by side."
        )
    if representation == "waveform":
        if (fft_size, fft_hop, floor_db) != (None, None, None):
            raise ParameterError(
                "data.representation: expected spectrograms where fft_size, fft_hop or floor_db is given, got "
                "'waveform'; leave these out, or choose 'spectrogram'."
            )
        return Audio(rate, window, hop, channels, "waveform")
    size = frame_size(rate, window) if fft_size is None else fft_size
    step = size // 4 if fft_hop is None else fft_hop
    if size % 2 or size % step or 2 * step > size:
        raise ParameterError(
            f"data.fft_hop: expected a divisor of an even fft_size, half of it at most, got {step} of {size}; "
            f"try {max(1, size // 4)}."
        )
    floor = FLOOR_DB if floor_db is None else floor_db
    return Audio(rate, window, hop, channels, "spectrogram", size, step, float(floor))


def _shape(audio: Audio) -> tuple[int, int]:
    if audio.representation == "waveform":
        return audio.window, audio.channels
    return n_frames(audio.window, audio.fft_hop), (audio.fft_size // 2 + 1) * audio.channels


def _range(audio: Audio) -> tuple[float, float] | None:
    """Of loudness what it can be, so that all frequencies share one scale; of samples none."""
    return None if audio.representation == "waveform" else (audio.floor_db, 0.0)


def _n_windows(length: int, audio: Audio) -> int:
    return 1 + max(0, -(-(length - audio.window) // audio.hop))


def _n_bytes(files: Sequence[_File], audio: Audio) -> int:
    """Memory of all samples and all rows together."""
    lengths = [file.length(audio.rate) for file in files]
    n_rows = sum(_n_windows(length, audio) for length in lengths)
    steps, values = _shape(audio)
    return 4 * (sum(lengths) * audio.channels + n_rows * steps * values)


def _decoded(file: _File, rate: int, channels: int) -> Samples:
    """All samples at ``rate``, ``(samples, channels)``."""
    needed = 4 * (file.frames * file.channels + file.length(rate) * channels)
    if needed > MOST_FILE_BYTES:
        raise _BrokenError(
            f"one file may take {MOST_FILE_BYTES / 2**30:.3g} GiB once decoded, got {needed / 2**30:.3g} GiB "
            f"({file.frames / file.rate:.0f} s)"
        )
    try:
        samples = _samples(file.path)
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise _BrokenError(_undecodable(error)) from None
    if len(samples) < file.frames and not file.name.lower().endswith(".mp3"):  # whose header is a guess
        raise _ends_early(file.frames / file.rate, len(samples) / file.rate)
    wrong = np.flatnonzero(~np.isfinite(samples).all(axis=1))
    if len(wrong):
        what = "NaN" if np.isnan(samples[wrong[0]]).any() else "infinity"
        raise DataError(
            f"{file.path}: samples must be finite, got {what} at {wrong[0] / file.rate:.3f} s "
            f"({len(wrong)} samples in all); mend or remove this file."
        )
    mixed = samples.mean(axis=1, keepdims=True, dtype=np.float32) if channels == 1 else samples
    if file.rate != rate:
        mixed = np.asarray(soxr.resample(mixed, file.rate, rate), np.float32)
    length = file.length(rate)
    if len(mixed) < length:
        mixed = np.pad(mixed, [(0, length - len(mixed)), (0, 0)])
    return mixed[:length]


def _samples(path: Path) -> Samples:
    """All samples of a file, ``(samples, channels)``, held against its digest where it has one."""
    if path.suffix.lower() != ".flac":
        read, _ = soundfile.read(str(path), dtype="float32", always_2d=True)
        return np.asarray(read, np.float32)
    read, _ = soundfile.read(str(path), dtype="int32", always_2d=True)
    whole = np.asarray(read, np.int32)
    check_flac_samples(path, whole)
    return whole.astype(np.float32) * np.float32(2.0**-31)  # exact: of at most 24 bits


def _all_decoded(
    files: list[_File], audio: Audio, broken: dict[str, str]
) -> tuple[list[_File], list[Samples]]:
    good: list[_File] = []
    held: list[Samples] = []
    for file in files:
        try:
            held.append(_decoded(file, audio.rate, audio.channels))
            good.append(file)
        except _BrokenError as why:
            broken[file.name] = str(why)
    return good, held


def _unusable(path: Path, places: list[Path], names: list[str], broken: dict[str, str]) -> SourceError:
    if not places:
        return SourceError(
            f"{path}: expected a folder with sounds ({', '.join(SOUND_SUFFIXES)}), got none; give another folder."
        )
    first = places[names.index(next(iter(broken)))]
    more = "" if len(places) == 1 else f" (and so with all {len(places)} files)"
    return SourceError(f"{first}: {broken[names[places.index(first)]]}{more}; give another file.")


def _labels(names: Sequence[str], labels: Path | None) -> NDArray[Any] | None:
    if labels is not None:
        return read_labels(labels, len(names), names)
    folders = [name.split("/", 1)[0] for name in names if "/" in name]
    return as_labels(folders) if len(folders) == len(names) else None


def _notes(
    files: Sequence[_File], names: Sequence[str], broken: dict[str, str], audio: Audio, *, chosen: bool
) -> tuple[str, ...]:
    notes: list[str] = []
    if broken:
        listed = [f"{name} ({broken[name]})" for name in list(broken)[:_NAMED]]
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        notes.append(f"{len(broken)} of {len(names)} files are left out: {'; '.join(listed)}{more}.")
    others = sorted({file.rate for file in files} - {audio.rate})
    if others:
        n = sum(file.rate != audio.rate for file in files)
        why = ", the most common rate" if chosen else ""
        notes.append(
            f"{n} of {len(files)} files are resampled to {audio.rate:,} Hz{why}, from "
            f"{', '.join(f'{rate:,}' for rate in others[:_NAMED])}{', ...' if len(others) > _NAMED else ''} Hz."
        )
    n_mixed = sum(file.channels > audio.channels for file in files)
    if n_mixed:
        notes.append(f"{n_mixed} of {len(files)} files have several channels and are mixed to mono.")
    return (*notes, *_padding(files, audio))


def _padding(files: Sequence[_File], audio: Audio) -> tuple[str, ...]:
    lengths = [file.length(audio.rate) for file in files]
    window = f"{audio.window / audio.rate:g} s"
    lacks = [(_n_windows(n, audio) - 1) * audio.hop + audio.window - n for n in lengths]
    padded = [lack for lack in lacks if lack]
    if not padded:
        return ()
    total = f"{sum(padded) / audio.rate:.3g} s"
    if max(lengths) < audio.window:
        return (
            f"Windows of {window} are longer than every file (the longest has {max(lengths) / audio.rate:.3g} s): "
            f"each is filled up with silence, {total} in all.",
        )
    return (
        f"The last window of {len(padded)} of {len(files)} files is filled up with silence, {total} in all.",
    )


def _silence(source: AudioSource, files: Sequence[_File], held: list[Samples]) -> tuple[str, ...]:
    """A note on files that are silent throughout; refuses nothing but silence."""
    silent = [
        file.name for file, samples in zip(files, held, strict=True) if not np.abs(samples).max(initial=0.0)
    ]
    rows = source.read(slice(0, len(source)))
    if len(silent) == len(files) or float(rows.min()) == float(rows.max()):
        floor = source.schema.audio.floor_db if source.schema.audio else 0.0
        below = f" (nothing is louder than {floor:g} dB)" if floor and len(silent) < len(files) else ""
        seconds = sum(source.lengths) / source.schema.audio.rate if source.schema.audio else 0.0
        raise DataError(
            f"{source.name}: expected sound, got silence from 0 to {seconds:.3f} s{below}; give other files."
        )
    if not silent:
        return ()
    more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
    return (
        f"{len(silent)} of {len(files)} files are silent throughout: {', '.join(silent[:_NAMED])}{more}.",
    )

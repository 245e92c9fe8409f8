"""Checkpoints: the state of a training in a folder, whole or not there, for a later process to go on from.

    checkpoints/
        000007/                     one checkpoint; the larger the number the later
            manifest.json           bytes and SHA-256 of the other files, written after them
            values.json             plain values, and whatever the run adds
            weights.safetensors     and a file for each other group of tensors
        log.jsonl                   what was kept and resumed when
        lock                        held by the process that trains

A checkpoint is written beside its place, synced, and renamed; the last two are kept, each with the best
weights so far. What is damaged does not match its manifest, and the one before it is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
import torch

from isthmus.artifact.file import from_bytes, sync_folder, to_bytes
from isthmus.errors import ArtifactError, OutputError
from isthmus.journal import Journal
from isthmus.training.state import Keeper, State, Tensors

FORMAT = 1
N_KEPT = 2
SHARE_OF_TIME = 0.02
"""Of the training's time, what writing checkpoints may take."""
SECONDS_BETWEEN = 10.0
"""Between two checkpoints, at least."""
Found = TypeVar("Found")
MANIFEST, VALUES, LOG, LOCK = "manifest.json", "values.json", "log.jsonl", "lock"


class Checkpoint(NamedTuple):
    """One that was read and found whole."""

    number: int
    state: State
    added: dict[str, Any]
    """What the run added to it."""
    damaged: tuple[str, ...]
    """Of each later one what is wrong with it, a sentence."""


class Known(NamedTuple):
    """What can be told of one without its tensors."""

    number: int
    values: dict[str, Any]
    """The plain ones of its state."""
    damaged: tuple[str, ...]
    """Of each later one what is wrong with it, a sentence."""


class Checkpoints(Keeper):
    """Keeps the state of a training in a folder, as often as a share of its time allows.

    Used as a context: it holds the folder's lock.

    Parameters
    ----------
    folder
        Made if it is not there.
    added
        What to keep beside each state, as JSON knows it.
    stop
        Whether the training is to stop, its state kept.
    told
        Called with a sentence when a checkpoint cannot be written, the first time of several.
    seconds
        Between two checkpoints, at least, and more where writing one takes long; 0 writes one after every step.

    Raises
    ------
    OutputError
        The folder cannot be written, or another process trains in it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        added: Callable[[], dict[str, Any]] = dict,
        stop: Callable[[], bool] = bool,
        told: Callable[[str], None] = lambda text: None,
        seconds: float = SECONDS_BETWEEN,
    ) -> None:
        super().__init__(stop)
        self._folder, self._added, self._told, self._seconds = folder, added, told, seconds
        self._due = time.monotonic() + seconds
        self._failed = False
        try:
            folder.mkdir(exist_ok=True)
            self._lock = _locked(folder)
            _clear(folder)
            self.log = Journal(folder / LOG)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"{folder}: cannot be written: {error.strerror}. Choose another place for the run."
            ) from None

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()
        self._lock.close()

    def offer(self, state: Callable[[], State], *, now: bool = False) -> None:
        """Write a checkpoint if one is due; where that fails the training goes on, and it is tried again."""
        begin = time.monotonic()
        if not (now or begin >= self._due):
            return
        try:
            number = write_checkpoint(self._folder, state(), self._added())
        except (OutputError, OSError) as error:
            self._tell_failure(error)
        else:
            self._failed = False
            self.log.write("kept", number=number, seconds=round(time.monotonic() - begin, 3))
        cost = time.monotonic() - begin
        if self._seconds:
            self._due = time.monotonic() + max(self._seconds, cost / SHARE_OF_TIME)

    @property
    def any(self) -> bool:
        """Whether there is a checkpoint."""
        return bool(_numbers(self._folder))

    def _tell_failure(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        self.log.write("failed", reason=reason)
        if not self._failed:
            self._told(
                f"no checkpoint could be written to {self._folder}: {reason}. The training goes on, and it will be "
                "tried again; earlier checkpoints are kept."
            )
        self._failed = True


def write_checkpoint(folder: Path, state: State, added: dict[str, Any]) -> int:
    """Write a checkpoint after those that are there, remove the oldest, and return its number."""
    number = max(_numbers(folder), default=0) + 1
    beside = folder / f".new-{secrets.token_hex(8)}"
    listed: dict[str, Any] = {}
    try:
        beside.mkdir()
        values = json.dumps({"values": state.values, "added": added}).encode()
        _write(beside / VALUES, values, listed)
        for name, tensors in state.groups.items():
            arrays = {key: value.detach().cpu().contiguous().numpy() for key, value in tensors.items()}
            _write(beside / f"{name}.safetensors", to_bytes({}, arrays), listed)
        manifest = {"format": FORMAT, "groups": list(state.groups), "files": listed}
        _write(beside / MANIFEST, json.dumps(manifest, indent=1).encode(), {})
        sync_folder(beside)
        beside.rename(folder / f"{number:06d}")
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(folder)
    for old in _numbers(folder)[N_KEPT:]:
        shutil.rmtree(folder / f"{old:06d}", ignore_errors=True)
    return number


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The latest checkpoint that is whole; None where there is none.

    Raises
    ------
    ArtifactError
        There are checkpoints, and every one is damaged, or of a newer isthmus.
    """
    found = _latest(folder, _read)
    if found is None:
        return None
    number, (state, added), damaged = found
    return Checkpoint(number, state, added, damaged)


def look_at_checkpoint(folder: Path) -> Known | None:
    """What :func:`read_checkpoint` would find, without its tensors: their bytes are checked block by block.

    Raises
    ------
    ArtifactError
        As there.
    """
    found = _latest(folder, _look)
    return None if found is None else Known(*found)


def remove_checkpoints(folder: Path) -> None:
    """Remove them all: the training has ended, and its result is kept."""
    # At once, for half of a checkpoint that is left would be a damaged one.
    gone = folder.with_name(f".{folder.name}-{secrets.token_hex(8)}")
    with suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _latest(folder: Path, read: Callable[[Path], Found]) -> tuple[int, Found, tuple[str, ...]] | None:
    """Number of the latest checkpoint that can be read, what was read, and what is wrong with later ones."""
    damaged: list[str] = []
    for number in _numbers(folder):
        try:
            found = read(folder / f"{number:06d}")
        except ArtifactError as error:
            damaged.append(str(error))
            continue
        return number, found, tuple(damaged)
    if damaged:
        raise ArtifactError(
            f"{folder}: expected a checkpoint that is whole, got {len(damaged)} that are not; the last: {damaged[0]} "
            "Begin the run anew."
        )
    return None


def _read(place: Path) -> tuple[State, dict[str, Any]]:
    with _told_as_damage(place):
        manifest = _manifest(place)
        found = json.loads(_checked(place / VALUES, manifest))
        groups = {name: _tensors(place / f"{name}.safetensors", manifest) for name in manifest["groups"]}
        return State(found["values"], groups), found["added"]


def _look(place: Path) -> dict[str, Any]:
    with _told_as_damage(place):
        manifest = _manifest(place)
        for name in manifest["groups"]:
            path = place / f"{name}.safetensors"
            _check_size(path, manifest)
            with path.open("rb") as file:
                _check(path, manifest, hashlib.file_digest(file, "sha256").hexdigest())
        return json.loads(_checked(place / VALUES, manifest))["values"]


@contextmanager
def _told_as_damage(place: Path) -> Generator[None]:
    try:
        yield
    except ArtifactError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ArtifactError(f"{place}: expected a checkpoint, but it is damaged: {why}.") from None


def _manifest(place: Path) -> dict[str, Any]:
    manifest = json.loads((place / MANIFEST).read_bytes())
    if manifest["format"] != FORMAT:
        raise ArtifactError(
            f"{place}: is of checkpoint format {manifest['format']!r}, and this isthmus reads {FORMAT}. "
            "Resume with the isthmus that began the run."
        )
    return manifest


def _checked(path: Path, manifest: dict[str, Any]) -> bytes:
    """A file's bytes, which are those that the manifest tells of."""
    _check_size(path, manifest)
    data = path.read_bytes()
    _check(path, manifest, hashlib.sha256(data).hexdigest())
    return data


def _check_size(path: Path, manifest: dict[str, Any]) -> None:
    """Before its bytes are taken into memory."""
    listed, size = manifest["files"][path.name]["bytes"], path.stat().st_size
    if size != listed:
        raise ArtifactError(
            f"{path}: expected {listed:,} bytes as its manifest says, got {size:,}. It is damaged."
        )


def _check(path: Path, manifest: dict[str, Any], digest: str) -> None:
    if digest != manifest["files"][path.name]["sha256"]:
        raise ArtifactError(f"{path}: its digest is not the one that its manifest tells. It is damaged.")


def _tensors(path: Path, manifest: dict[str, Any]) -> Tensors:
    _, arrays = from_bytes(_checked(path, manifest), str(path))
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}


def _write(path: Path, data: bytes, listed: dict[str, Any]) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    listed[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _numbers(folder: Path) -> list[int]:
    """Numbers of the checkpoints in a folder, the latest first."""
    with suppress(OSError):
        return sorted(_numbers_in(folder), reverse=True)
    return []


def _numbers_in(folder: Path) -> Iterator[int]:
    for path in folder.iterdir():
        if path.name.isdecimal() and path.is_dir():
            yield int(path.name)


def _clear(folder: Path) -> None:
    """Remove what killed processes left of checkpoints and of files beside their folder."""
    for left in (*folder.glob(".*"), *folder.parent.glob(f".{folder.name}-*")):
        shutil.rmtree(left, ignore_errors=True)
    for left in (*folder.glob(".isthmus-*.tmp"), *folder.parent.glob(".isthmus-*.tmp")):
        with suppress(OSError):
            left.unlink()


def _locked(folder: Path) -> IO[bytes]:
    """The lock of a folder, held as long as the file is open; elsewhere than on Unix nothing is locked."""
    lock = (folder / LOCK).open("ab")
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise OutputError(
                f"{folder}: another process trains in this run. Wait for its end, or stop it first."
            ) from None
    return lock

"""Bytes of a model file: safetensors, one JSON document in its header, one digest over both."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import struct
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from isthmus.errors import ArtifactError, IsthmusError, OutputError
from isthmus.version import __version__

FORMAT = 1
KEY = "isthmus"
LARGEST_HEADER = 32 * 2**20
LARGEST_NUMBER = 2**64
LONGEST_REASON = 600
"""Letters of what is told of a file's contents."""

Tensors = dict[str, NDArray[Any]]


def to_bytes(document: dict[str, Any], tensors: Tensors) -> bytes:
    """The file's bytes: a function of the contents alone."""
    if (unfit := _unfit(document)) is not None:
        raise OutputError(
            f"model: cannot be written: {unfit}. Give columns, categories and labels other names."
        )
    return _packed(document, tensors)


def _packed(document: dict[str, Any], tensors: Tensors) -> bytes:
    tensors = {name: np.asarray(value, order="C") for name, value in sorted(tensors.items())}
    envelope = {"format": FORMAT, "digest": _digest(document, tensors), "document": document}
    data = save(tensors, metadata={KEY: json.dumps(envelope, sort_keys=True, ensure_ascii=True)})
    (length,) = struct.unpack("<Q", data[:8])
    if length > LARGEST_HEADER:
        raise OutputError(
            f"model: what it tells of itself takes {length:,} bytes, more than the {LARGEST_HEADER:,} that a "
            "model file may have. Fit fewer epochs, or give columns shorter names."
        )
    return data


def from_bytes(data: bytes, who: str) -> tuple[dict[str, Any], Tensors]:
    """Document and tensors of a file's bytes, checked against the digest; nothing is executed."""
    envelope = _envelope(data, who)
    found = envelope.get("format")
    if type(found) is not int or found < 1:
        raise _damaged(who, f"its format is {found!r}")
    if found > FORMAT:
        raise ArtifactError(
            f"{who}: is of model format {_short(repr(found))}, and this isthmus reads up to {FORMAT}. "
            f"Install a newer isthmus to open it{_writer(envelope.get('document'))}; this is {__version__}."
        )
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise _damaged(who, _short(_line(str(error)))) from None
    document = envelope.get("document")
    if not isinstance(document, dict) or not _matches(envelope.get("digest"), document, tensors):
        raise _damaged(who, "its digest does not match its contents")
    if (unfit := _unfit(document)) is not None:  # pyright: ignore[reportUnknownArgumentType]
        raise _damaged(who, unfit)
    return document, tensors


def check_names(tensors: Iterable[str], known: Sequence[str]) -> None:
    """Raise unless each tensor's name is one of ``known``, or begins with one of them that ends in a point."""
    for name in tensors:
        if not any(name.startswith(one) if one.endswith(".") else name == one for one in known):
            raise ArtifactError(
                f"expected tensors that a model has, got one of the name {_short(repr(name))}. "
                f"It was written by a program other than isthmus, or by an isthmus newer than {__version__}."
            )


@contextmanager
def told_as_mismatch(who: str) -> Generator[None]:
    """Whatever fails while an object is made of a sound file's contents, as one sentence about the file."""
    try:
        yield
    except ArtifactError as error:
        told = str(error)
        if told.startswith(f"{who}: "):
            raise
        raise ArtifactError(f"{who}: {_short(told.removeprefix('open: '))}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        why = _short(_line(str(error) or type(error).__name__).rstrip(".:"))
        raise ArtifactError(
            f"{who}: its contents do not fit each other ({why}). "
            "It was written by a program other than isthmus, or by an isthmus that had a bug."
        ) from None


def write_atomically(data: bytes, path: Path) -> None:
    """Put ``data`` at ``path`` whole or not at all: a new file beside it, synced, then renamed."""
    with atomically(path) as file:
        file.write(data)


@contextmanager
def atomically(path: Path) -> Generator[IO[bytes]]:
    """A file to write to that becomes ``path`` once all is written, and else was never there."""
    beside = path.parent / f".isthmus-{secrets.token_hex(8)}.tmp"
    try:
        try:
            with beside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError, ValueError):
                beside.unlink(missing_ok=True)
            raise
    except IsthmusError:  # of what is being written
        raise
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: cannot be written: {_reason(error)}. Nothing was changed; choose another place."
        ) from None


def make_folder(path: Path) -> None:
    """Make a folder, if it is not there."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made: {_reason(error)}. Choose another place.") from None


def sync_folder(folder: Path) -> None:
    """Have the disk know what a folder holds now: a new name is not safe before."""
    with suppress(OSError):  # where folders cannot be opened or synced, nothing more can be done
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def read(path: Path) -> bytes:
    """All bytes of a model file: its header is checked against its size before the rest is read."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ArtifactError(f"{path}: cannot be read: it is no regular file. Give a model file.")
        with path.open("rb") as file:
            start = file.read(8)
            n_header = _header_length(start, found.st_size, str(path))
            header = file.read(n_header)
            n_values = _n_value_bytes(header, str(path))
            if found.st_size != 8 + n_header + n_values:
                size = f"{found.st_size:,} bytes where its header tells of {8 + n_header + n_values:,}"
                raise _damaged(str(path), f"it has {size}")
            return start + header + file.read(n_values)
    except ArtifactError:  # a sentence of its own already
        raise
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {_reason(error)}. Give a model file.") from None


def _envelope(data: bytes, who: str) -> dict[str, Any]:
    length = _header_length(data[:8], len(data), who)
    try:
        metadata = _parse(data[8 : 8 + length].decode("utf-8"))["__metadata__"][KEY]
        envelope = _parse(metadata)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(who, "it holds no isthmus model") from None
    if not isinstance(envelope, dict):
        raise _damaged(who, "it holds no isthmus model")
    return envelope  # pyright: ignore[reportUnknownVariableType]


def _header_length(start: bytes, n_bytes: int, who: str) -> int:
    """Bytes of the header, which the first eight of a file's ``n_bytes`` tell."""
    if len(start) < 8:
        raise _damaged(who, f"it has {len(start)} bytes")
    (length,) = struct.unpack("<Q", start)
    if length > min(LARGEST_HEADER, n_bytes - 8):
        raise _damaged(who, "its header is longer than the file, or no header at all")
    return length


def _n_value_bytes(header: bytes, who: str) -> int:
    """Bytes of all tensors, which the header tells."""
    try:
        entries = _parse(header.decode("utf-8")).items()
        ends = [entry["data_offsets"][1] for name, entry in entries if name != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _damaged(who, "its header tells of no tensors") from None
    if not all(type(end) is int for end in ends):
        raise _damaged(who, "its header tells of no tensors")
    return max(ends, default=0)


def _parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once each: of two, readers would choose differently."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice")
    return values


def _writer(document: Any) -> str:
    """Which isthmus wrote a file of a format to come, as far as it says so where it does now."""
    version = document.get("version") if isinstance(document, dict) else None  # pyright: ignore[reportUnknownVariableType]
    return f", such as the {version} that wrote it" if isinstance(version, str) and len(version) < 40 else ""


def _unfit(document: dict[str, Any]) -> str | None:
    """What no file, terminal or array could hold of a document: words that are no text, numbers without end."""
    left: list[Any] = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*value, *value.values()]  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, (list, tuple)):
            left += value
        elif isinstance(value, str) and not _is_text(value):
            return "a word in it is no Unicode text"
        elif isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
            return "a whole number in it has more than 64 bits"
    return None


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _line(text: str) -> str:
    """A text that may quote a file, on one line and without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _short(text: str) -> str:
    """A sentence without its middle, if what it quotes of a file is long."""
    return (
        text
        if len(text) <= LONGEST_REASON
        else f"{text[: LONGEST_REASON // 2]} ... {text[-LONGEST_REASON // 2 :]}"
    )


def _damaged(who: str, why: str) -> ArtifactError:
    return ArtifactError(
        f"{who}: expected a model written by isthmus, but {why}. "
        "It is truncated, damaged or another program's; give the file that 'isthmus fit' wrote."
    )


def _digest(document: dict[str, Any], tensors: Tensors) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _matches(digest: Any, document: dict[str, Any], tensors: Tensors) -> bool:
    try:
        return digest == _digest(document, tensors)
    except (RecursionError, ValueError):  # nested deeper, or a number longer, than can be written
        return False


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

"""What a WAV file's header announces: decoders read a file that was cut off to its end and say nothing."""

from __future__ import annotations

from pathlib import Path

UNKNOWN_FROM = 0x7FFFF000
"""Lengths from here on stand for an unknown one, as programs write them that cannot go back to the header."""
_COUNTED_TOO = 64
"""Bytes that may lack: some programs count the header, or the byte that fills up, among the samples'."""


def missing_share(path: Path) -> float:
    """Share of the samples that the header of a WAV file announces and the file lacks, in [0, 1].

    It is 0 of a whole file, of one whose header leaves the length open, and of whatever is no plain WAV file.

    Parameters
    ----------
    path
        The file.

    Examples
    --------
    >>> import tempfile
    >>> header = b"RIFF" + bytes(4) + b"WAVEfmt " + (16).to_bytes(4, "little") + bytes(16)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cut.wav"
    ...     _ = path.write_bytes(header + b"data" + (4000).to_bytes(4, "little") + bytes(1000))
    ...     missing_share(path)
    0.75
    """
    there = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return 0.0
        while len(chunk := file.read(8)) == 8:
            announced = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                lacks = announced - (there - file.tell())
                known = announced < UNKNOWN_FROM and lacks > _COUNTED_TOO
                return lacks / announced if known else 0.0
            file.seek(announced + announced % 2, 1)
    return 0.0

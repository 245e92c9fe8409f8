"""Pictures and sounds that tell of themselves twice."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from isthmus.errors import SourceError
from isthmus.sources.checksums import check_flac, check_flac_samples, check_png
from isthmus.sources.image_file import read_pixels

PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8)


def test_a_picture_whose_checksum_does_not_match_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    check_png(path)
    assert np.array_equal(read_pixels(path, grey=True, deep=False)[..., 0], PIXELS)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"IDAT") + 20] ^= 4
    path.write_bytes(whole)
    with pytest.raises(SourceError, match=r"a\.png: .*the checksum of its chunk IDAT does not match"):
        read_pixels(path, grey=True, deep=False)


def test_chunks_that_say_nothing_of_the_pixels_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    whole = path.read_bytes()
    note = b"tEXtTitle\0x"
    chunk = struct.pack(">I", len(note) - 4) + note + struct.pack(">I", zlib.crc32(note) ^ 1)
    path.write_bytes(whole[:33] + chunk + whole[33:])
    check_png(path)
    path.write_bytes(b"no picture")
    check_png(path)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (12345, 1)])
def test_the_digest_of_a_sound_is_checked(tmp_path: Path, subtype: str, rate: int, channels: int) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(size=(3000, channels)) / 5, rate, subtype=subtype)
    samples, _ = soundfile.read(path, dtype="int32", always_2d=True)
    check_flac(path)
    check_flac_samples(path, samples)
    with pytest.raises(ValueError, match="do not match its digest"):
        check_flac_samples(path, samples[:-1])
    samples[7, 0] ^= 1 << 30
    with pytest.raises(ValueError, match="do not match its digest"):
        check_flac_samples(path, samples)


def test_a_heading_that_its_frames_belie_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(3000), 8000, subtype="PCM_16")
    whole = path.read_bytes()
    for place, match in ((19, "and its first frame of 8000 Hz"), (21, "more than its bytes can hold")):
        damaged = bytearray(whole)
        damaged[place] ^= 2
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=match):
            check_flac(path)

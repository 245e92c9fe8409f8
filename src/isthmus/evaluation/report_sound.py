"""Sounds on the report's page: a spectrogram to look at and a player to listen with."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from isthmus.evaluation.pictures import png_uri
from isthmus.evaluation.report_data import Numbers, ReportData, SoundExample
from isthmus.evaluation.words import number_text
from isthmus.sources.spectrogram import decibels, frame_size

MOST_BYTES = 400_000
"""Samples of all players together."""
MOST_RATE = 16_000
"""Hz of a player, at most."""
MOST_SECONDS = 2.0
DEPTH_DB = 70.0
"""How far below the loudest place of the original a spectrogram reaches."""
MOST_BINS, MOST_FRAMES = 160, 320
_COLOURS = (
    (0.00, 0.00, 0.02), (0.19, 0.07, 0.36), (0.45, 0.12, 0.51), (0.72, 0.21, 0.47),
    (0.94, 0.38, 0.36), (0.99, 0.65, 0.43), (0.99, 0.99, 0.75),
)  # fmt: skip
"""From silent to loud, evenly spaced: dark to light without a turn."""


def sound_view(data: ReportData) -> dict[str, Any] | None:
    """Groups of sounds by role, each with a spectrogram and a player for original, model and PCA."""
    if not data.sounds:
        return None
    n = sum(len(example.sounds) for example in data.sounds)
    rate = min(data.sounds[0].rate, MOST_RATE)
    seconds = min(MOST_SECONDS, MOST_BYTES / (2 * rate * n), data.sounds[0].seconds)
    return {
        "groups": [_group(example, rate, seconds) for example in data.sounds],
        "seconds": number_text(seconds),
        "whole": seconds >= data.sounds[0].seconds,
        "rate": rate,
        "span": number_text(data.sounds[0].seconds),
        "top": number_text(data.sounds[0].rate / 2000.0),
        "depth": f"{DEPTH_DB:.0f}",
    }


def _group(example: SoundExample, rate: int, seconds: float) -> dict[str, Any]:
    names = {"original": "Original", "model": "Model", "pca": "PCA"}
    size = frame_size(example.rate, len(example.sounds["original"]))
    loudness = {
        key: decibels(np.asarray(sound), size, size // 4, -120.0) for key, sound in example.sounds.items()
    }
    top = float(loudness["original"].max())
    return {
        "role": example.role,
        "row": example.row,
        "lines": [
            {
                "key": key,
                "name": names[key],
                "picture": spectrogram_uri(loudness[key], top),
                "player": player_uri(sound, example.rate, rate, seconds),
                "distance": example.distances.get(key),
            }
            for key, sound in example.sounds.items()
        ],
    }


def spectrogram_uri(loudness: Numbers, top: float) -> str:
    """A data URI of loudness ``(frames, bins)`` in dB: time to the right, low frequencies below.

    ``top`` is the lightest, 70 dB below it the darkest; what is finer than the page shows is averaged.
    """
    share = np.clip((np.asarray(loudness, np.float64) - top) / DEPTH_DB + 1.0, 0.0, 1.0)
    picture = _averaged(_averaged(share, MOST_FRAMES).T, MOST_BINS)[::-1]
    stops = np.linspace(0.0, 1.0, len(_COLOURS))
    colours = np.stack(
        [np.interp(picture, stops, channel) for channel in zip(*_COLOURS, strict=True)], axis=-1
    )
    return png_uri(np.rint(colours * 255.0).astype(np.uint8))


def player_uri(sound: Numbers, rate: int, played_rate: int, seconds: float) -> str:
    """A data URI of the beginning of a mono sound ``(samples,)`` as a WAV file of 16 bits.

    It is made softer where it would be clipped.
    """
    start: NDArray[np.float32] = np.asarray(sound, np.float32)[: round(seconds * rate)]
    if played_rate != rate:
        start = np.asarray(soxr.resample(start, rate, played_rate), np.float32)
    start = start / np.float32(max(1.0, float(np.abs(start).max(initial=0.0))))
    buffer = io.BytesIO()
    soundfile.write(buffer, start, played_rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _averaged(values: Numbers, most: int) -> Numbers:
    """Neighbours along the first axis averaged until there are ``most`` at most; the last few that are left go."""
    block = -(-len(values) // most)
    kept = max(1, len(values) // block)
    return values[: kept * block].reshape(kept, block, -1).mean(axis=1)

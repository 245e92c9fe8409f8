"""Rows of sound as files that can be heard: WAV or FLAC of 16 bits."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from isthmus.schema import Audio
from isthmus.sources.spectrogram import sounds_of

SOUND_FILES = (".wav", ".flac")
PAUSE_SECONDS = 0.1
"""Silence between sounds that stand in one file, one after the other."""
FADE_SECONDS = 0.005
"""How long such a sound takes to come and to go, so that nothing clicks."""
HEADROOM = 0.999
"""The loudest sample of sounds that had to be scaled down."""

_NAMED = 3
"""Sounds that a note names."""

Sounds = NDArray[np.float32]


def sounds_to_write(rows: NDArray[Any], audio: Audio) -> tuple[Sounds, tuple[str, ...]]:
    """Rows as sounds whose samples stay within [-1, 1], and what had to be done for it.

    Parameters
    ----------
    rows
        ``(rows, steps, channels)`` in data units.
    audio
        What a row is.

    Returns
    -------
    Sounds, tuple of str
        ``(rows, window, channels)``; all scaled down alike where one would be clipped, which a note says.
    """
    sounds = sounds_of(rows, audio)
    peak = float(np.abs(sounds).max(initial=0.0))
    if peak <= 1.0:
        return sounds, ()
    note = (
        f"The loudest sample is {peak:.3g}, beyond full scale: all sounds are made "
        f"{decibels_softer(peak):.2f} dB softer, so that none is clipped."
    )
    return sounds * np.float32(HEADROOM / peak), (note,)


def decibels_softer(peak: float) -> float:
    """By how much a sound with this loudest sample is made softer; 0 where it is within full scale.

    >>> decibels_softer(0.5), round(decibels_softer(2.0), 2)
    (0.0, 6.03)
    """
    return 20.0 * float(np.log10(peak / HEADROOM)) if peak > 1.0 else 0.0


def recordings_to_write(
    rows: NDArray[Any], audio: Audio, recordings: Sequence[tuple[str, slice, int]]
) -> tuple[list[Sounds], tuple[str, ...]]:
    """Whole recordings of their windows, each within [-1, 1] by itself, and what had to be done for it.

    Parameters
    ----------
    rows
        ``(rows, steps, channels)`` in data units.
    audio
        What a row is.
    recordings
        Of each its name, which rows are its windows, and its samples.

    Returns
    -------
    list of Sounds, tuple of str
        ``(samples, channels)`` each; notes name those that were scaled down.
    """
    sounds = sounds_of(rows, audio)
    whole = [joined(sounds[place], audio, length) for _, place, length in recordings]
    peaks = [float(np.abs(sound).max(initial=0.0)) for sound in whole]
    softer = [
        f"{name} by {decibels_softer(peak):.2f} dB"
        for (name, _, _), peak in zip(recordings, peaks, strict=True)
        if peak > 1.0
    ]
    if not softer:
        return whole, ()
    more = f" and {len(softer) - _NAMED} more" if len(softer) > _NAMED else ""
    said = f"{len(softer)} of {len(whole)} sounds go beyond full scale and are made softer, so that none is clipped: "
    scaled = [
        sound * np.float32(HEADROOM / peak) if peak > 1.0 else sound
        for sound, peak in zip(whole, peaks, strict=True)
    ]
    return scaled, (f"{said}{', '.join(softer[:_NAMED])}{more}.",)


def encoded(sound: Sounds, rate: int, suffix: str = ".wav") -> bytes:
    """The bytes of a WAV or FLAC file of 16 bits; ``sound`` is ``(samples, channels)``."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format=suffix.removeprefix(".").upper(), subtype="PCM_16")
    return buffer.getvalue()


def one_after_another(sounds: Sounds, rate: int) -> Sounds:
    """Sounds ``(n, samples, channels)`` in a row, each faded at its ends, with short pauses between."""
    n_fade = min(round(FADE_SECONDS * rate), sounds.shape[1] // 2)
    rise = (np.arange(n_fade, dtype=np.float32) + 1.0) / (n_fade + 1.0)
    fade = np.ones(sounds.shape[1], np.float32)
    fade[:n_fade] = rise
    fade[len(fade) - n_fade :] = rise[::-1]
    pause = np.zeros((round(PAUSE_SECONDS * rate), sounds.shape[2]), np.float32)
    parts = [part for sound in sounds for part in (sound * fade[:, None], pause)]
    return np.concatenate(parts[:-1])


def joined(sounds: Sounds, audio: Audio, length: int) -> Sounds:
    r"""The windows of one recording, put back over each other.

    .. math:: x_n = \sum_i w_{n - iH}\, y_{i, n - iH} \Big/ \sum_i w_{n - iH}

    with a Hann window w that is lifted above 0, so that windows without overlap are set side by side.

    Parameters
    ----------
    sounds
        ``(n, window, channels)``, each a hop H after the one before.
    audio
        What a row is.
    length
        Samples of the recording.
    """
    weight = 1e-3 + np.sin(np.pi * (np.arange(audio.window) + 0.5) / audio.window) ** 2
    total = np.zeros(((len(sounds) - 1) * audio.hop + audio.window, 1))
    result = np.zeros((len(total), audio.channels))
    for at, sound in enumerate(sounds):
        place = slice(at * audio.hop, at * audio.hop + audio.window)
        result[place] += weight[:, None] * sound
        total[place] += weight[:, None]
    return (result / total)[:length].astype(np.float32)


def files_of(sounds: Sounds, audio: Audio) -> Iterator[bytes]:
    """A WAV file for each sound."""
    for sound in sounds:
        yield encoded(sound, audio.rate)

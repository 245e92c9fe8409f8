"""How near rebuilt sound is to sound, in stated units: spectral distance and signal-to-noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.inference import Inference
from isthmus.schema import Audio
from isthmus.sources import Source
from isthmus.sources.spectrogram import sounds_of, stft
from isthmus.sources.subset import Subset

SIZES = (512, 1024, 2048)
"""Samples of a frame, those of Yamamoto et al. (2020); a frame moves by a quarter of it."""
QUIETEST = 1e-4
"""Amplitude, as a share of full scale, below which differences are not heard: -80 dB."""
MOST_ROWS = 32
MOST_SECONDS = 16.0
"""Rows, and seconds of sound, that are measured at most: finding phases takes its time."""

Sounds = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class SoundQuality:
    """What is lost of sound, on evenly spaced rows."""

    rows: int
    """How many were measured."""
    spectral_distance: float
    """Of the model's sound to the original, see :func:`spectral_distance`; mean over rows."""
    pca_spectral_distance: float | None
    """The same for PCA at the same code size."""
    phase_spectral_distance: float | None
    """The same for the original's own spectrogram with new phases: what a perfect model of spectrograms
    has. None for waveforms, where it is 0."""
    snr_db: float | None
    """Signal to noise of the model's samples, see :func:`snr_db`; None for spectrograms, whose phases are not
    the original's, and where nothing is wrong."""
    pca_snr_db: float | None
    """The same for PCA."""

    def to_dict(self) -> dict[str, Any]:
        """The documented keys; what does not apply is left out."""
        values = {
            "rows": self.rows,
            "spectral_distance": self.spectral_distance,
            "pca_spectral_distance": self.pca_spectral_distance,
            "phase_spectral_distance": self.phase_spectral_distance,
            "snr_db": self.snr_db,
            "pca_snr_db": self.pca_snr_db,
        }
        return {name: value for name, value in values.items() if value is not None}


def spectral_distance(reference: Sounds, other: Sounds) -> NDArray[np.float64]:
    r"""Multi-resolution distance between the magnitudes of two sounds, no unit, 0 where they are alike.

    .. math:: \frac{1}{3} \sum_{N} \left( \frac{\lVert S_N - \hat S_N \rVert_F}{\lVert S_N \rVert_F}
              + \mathrm{mean} \left| \ln S_N - \ln \hat S_N \right| \right)

    over frames of N = 512, 1024 and 2048 samples (Hann, moved by N / 4), where S are magnitudes relative to
    full scale. Nothing below -80 dB counts. The first part is that of Arık et al. (2018), the whole
    that of Yamamoto, Song and Kim, "Parallel WaveGAN" (2020), equations 4 to 7, whose hops are
    slightly smaller.

    Parameters
    ----------
    reference, other
        ``(..., samples)``.

    Returns
    -------
    NDArray[np.float64]
        ``(...)``. A step of 0.115 in the second part is one dB.

    Examples
    --------
    >>> sound = np.sin(np.arange(4000.0))
    >>> float(spectral_distance(sound, sound)), round(float(spectral_distance(sound, np.zeros(4000))), 1)
    (0.0, 1.7)
    """
    parts = [_distance(reference, other, size) for size in SIZES]
    return np.mean(parts, axis=0)


def _distance(reference: Sounds, other: Sounds, size: int) -> NDArray[np.float64]:
    full = size / 2.0  # the sum of a Hann window
    s, found = (
        np.maximum(np.abs(stft(np.asarray(sound, np.float64), size, size // 4)) / full, QUIETEST)
        for sound in (reference, other)
    )
    norm = np.linalg.norm(s, axis=(-2, -1))
    share = np.linalg.norm(s - found, axis=(-2, -1)) / norm
    return share + np.abs(np.log(s) - np.log(found)).mean(axis=(-2, -1))


def snr_db(reference: Sounds, other: Sounds) -> float:
    r"""Signal-to-noise ratio over all samples given, in dB; infinite where nothing differs.

    .. math:: 10 \log_{10} \frac{\sum x^2}{\sum (x - \hat x)^2}

    Examples
    --------
    >>> round(snr_db(np.ones(8), 0.9 * np.ones(8)), 6)
    20.0
    """
    x = np.asarray(reference, np.float64)
    noise = float(np.square(x - np.asarray(other, np.float64)).sum())
    signal = float(np.square(x).sum())
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def original_sounds(source: Source, audio: Audio) -> Sounds:
    """The samples behind all rows; of rows that come without, what their spectrograms sound like."""
    every = slice(0, len(source))
    found = source.sounds(every)
    return sounds_of(source.read(every), audio) if found is None else found


def measure_sound(inference: Inference, source: Source) -> SoundQuality | None:
    """Quality of a model's sound on evenly spaced rows of a source; None for rows that are no sound."""
    scaling, baseline = inference.model.scaling, inference.model.baseline
    audio = scaling.schema.audio
    if audio is None:
        return None
    n = max(1, min(MOST_ROWS, int(MOST_SECONDS * audio.rate / audio.window), len(source)))
    some = Subset(source, np.unique(np.linspace(0, len(source) - 1, n).round().astype(np.int64)))
    original = original_sounds(some, audio)
    rebuilt = sounds_of(inference.reconstruct(some), audio)
    rows = some.read(slice(0, len(some)))
    pca = None
    if baseline is not None:
        pca = sounds_of(scaling.to_data(baseline.reconstruct(scaling.to_model(rows))), audio)
    waveform = audio.representation == "waveform"
    return SoundQuality(
        rows=len(some),
        spectral_distance=_mean_distance(original, rebuilt),
        pca_spectral_distance=None if pca is None else _mean_distance(original, pca),
        phase_spectral_distance=None if waveform else _mean_distance(original, sounds_of(rows, audio)),
        snr_db=_finite(snr_db(original, rebuilt)) if waveform else None,
        pca_snr_db=_finite(snr_db(original, pca)) if waveform and pca is not None else None,
    )


def _mean_distance(original: Sounds, other: Sounds) -> float:
    """Over rows and channels, a row at a time."""
    return float(np.mean([spectral_distance(a.T, b.T).mean() for a, b in zip(original, other, strict=True)]))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

r"""Sound as loudness over time and frequency, and back: pure functions of NumPy arrays.

The short-time Fourier transform of a sound :math:`x` of n samples, with a periodic Hann window w of
N samples moved by H, H a divisor of N that is N / 2 at most:

.. math:: X_{tk} = \sum_{m=0}^{N-1} w_m\, x_{tH + m - N/2}\, e^{-2 \pi i k m / N},
          \quad t = 0 \dots \lceil n / H \rceil, \quad k = 0 \dots N / 2

with x zero outside. A frame is centred at its sample tH, so that every sample lies under a window
and :func:`istft`, the least-squares inverse, gives the sound back exactly.

Decibels are of a frame's amplitude, :math:`20 \log_{10}(|X| / \sum w)`: 0 dB is a constant of 1, the most
that samples in [-1, 1] can reach, and a sine of full scale reaches -6 dB.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from isthmus.schema import Audio

ROUNDS = 32
"""Rounds of the search for phases."""
MOMENTUM = 0.99
"""Alpha of Perraudin et al. (2013), section 4, who find values just below 1 to be best."""
FRAME_SECONDS = 0.064
"""What a frame is near to, where nothing else is asked for."""

FRAMES_VALUES = 1 << 22
"""Values of frames that are transformed at a time: copies and spectra take several times their memory."""

Real = NDArray[np.floating[Any]]
Complex = NDArray[np.complexfloating[Any, Any]]


@functools.cache
def _hann(size: int) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)


def frame_size(rate: int, n_samples: int) -> int:
    """Samples of a frame that suits a rate: the power of two nearest to 64 ms, no longer than the sound.

    >>> frame_size(16000, 16000), frame_size(44100, 44100), frame_size(16000, 100)
    (1024, 2048, 64)
    """
    longest = max(4, 1 << (n_samples.bit_length() - 1))
    return min(longest, 1 << max(2, round(math.log2(FRAME_SECONDS * rate))))


def n_frames(n_samples: int, hop: int) -> int:
    """Frames of a sound of so many samples.

    >>> n_frames(16000, 256)
    64
    """
    return 1 + -(-n_samples // hop)


def stft(sound: Real, size: int, hop: int) -> Complex:
    """Spectra of a sound's frames.

    Parameters
    ----------
    sound
        ``(..., n_samples)``; float32 gives complex64.
    size, hop
        Samples of a frame and from one to the next.

    Returns
    -------
    Complex
        ``(..., frames, size / 2 + 1)``.
    """
    return _spectra(_frames(sound, size, hop))


def _frames(sound: Real, size: int, hop: int) -> Real:
    """The frames of a sound, ``(..., frames, size)``: no copies."""
    count = n_frames(sound.shape[-1], hop)
    after = (count - 1) * hop + size // 2 - sound.shape[-1]
    edges = [(0, 0)] * (sound.ndim - 1) + [(size // 2, after)]
    return np.lib.stride_tricks.sliding_window_view(np.pad(sound, edges), size, axis=-1)[..., ::hop, :]


def _spectra(frames: Real) -> Complex:
    return np.asarray(fft.rfft(frames * _hann(frames.shape[-1]).astype(frames.dtype), axis=-1))


def istft(spectra: Complex, n_samples: int, size: int, hop: int) -> Real:
    r"""The sound whose spectra are nearest in squared error (Griffin and Lim 1984, equation 6).

    .. math:: x_n = \sum_t w_{n - tH + N/2}\, y_{t, n - tH + N/2} \Big/ \sum_t w^2_{n - tH + N/2}

    where :math:`y_t` is the inverse Fourier transform of frame t.

    Parameters
    ----------
    spectra
        ``(..., frames, size / 2 + 1)``.
    n_samples
        Samples to give back.
    size, hop
        As :func:`stft` had them.

    Examples
    --------
    >>> sound = np.random.default_rng(0).normal(size=1000)
    >>> bool(np.allclose(istft(stft(sound, 64, 16), 1000, 64, 16), sound))
    True
    """
    frames: Real = np.asarray(fft.irfft(spectra, size, axis=-1))
    window = _hann(size).astype(frames.dtype)
    added = _overlapped(frames * window, hop)
    weight = _overlapped(np.broadcast_to(_hann(size) ** 2, (spectra.shape[-2], size)), hop)
    kept = slice(size // 2, size // 2 + n_samples)
    return added[..., kept] / weight[kept].astype(frames.dtype)


def _overlapped(frames: Real, hop: int) -> Real:
    """Frames ``(..., frames, size)`` added up, each ``hop`` after the one before."""
    *front, count, size = frames.shape
    parts = size // hop
    blocks = frames.reshape(*front, count, parts, hop)
    result = np.zeros((*front, count + parts - 1, hop), frames.dtype)
    for part in range(parts):
        result[..., part : part + count, :] += blocks[..., part, :]
    return result.reshape(*front, -1)


def decibels(sound: Real, size: int, hop: int, floor_db: float) -> Real:
    """Loudness of each frame at each frequency in dB, nothing below ``floor_db``.

    Returns
    -------
    Real
        ``(..., frames, size / 2 + 1)``.

    Examples
    --------
    >>> sine = np.sin(2 * np.pi * np.arange(1024) / 8)
    >>> round(float(decibels(sine, 64, 16, -80.0).max()), 2)
    -6.02
    """
    frames = _frames(sound, size, hop)
    *front, count, _ = frames.shape
    found = np.empty((*front, count, size // 2 + 1), sound.dtype)
    step = max(1, FRAMES_VALUES // (size * max(1, math.prod(front))))
    for start in range(0, count, step):
        some = np.s_[..., start : start + step, :]
        loud = np.abs(_spectra(frames[some])) / _hann(size).sum().astype(sound.dtype)
        found[some] = 20.0 * np.log10(np.maximum(loud, 10.0 ** (floor_db / 20.0)))
    return found


def magnitude_of(loudness: Real, size: int, floor_db: float) -> Real:
    """Magnitudes that have this loudness in dB; what is no louder than the floor is silent, nothing above 0 dB."""
    loud = 10.0 ** (np.minimum(loudness, 0.0) / 20.0) * _hann(size).sum()
    return np.where(loudness > floor_db, loud, 0.0).astype(loudness.dtype)


def start_phases(magnitude: Real, size: int, hop: int) -> Real:
    """Phases of steady tones, frame after frame: where the search for phases begins.

    Each bin belongs to the nearest peak of its frame and takes its phase, seen from the middle of the
    frame, where a Hann window's main lobe has one. A peak goes on from the frame before by the
    frequency that it has: the ratio of a peak to its larger neighbour tells it, exactly for one tone.
    After Beauregard, Harish and Wyse, "Single pass spectrogram inversion" (2015), whose peaks are
    parabolas. No chance is in it: the same magnitudes give the same phases.

    Parameters
    ----------
    magnitude
        ``(frames, size / 2 + 1)``.
    size, hop
        As :func:`stft` had them.
    """
    bins = np.arange(magnitude.shape[-1])
    phase = np.zeros(len(bins))
    phases = np.empty(magnitude.shape)
    for at, frame in enumerate(magnitude.astype(np.float64)):
        left, here, right = frame[:-2], frame[1:-1], frame[2:]
        peaks = 1 + np.flatnonzero((here > left) & (here >= right))
        if len(peaks):
            above, below = frame[peaks + 1], frame[peaks - 1]
            ratio = np.maximum(above, below) / frame[peaks]
            beside = np.where(above > below, 1.0, -1.0) * np.clip((2 * ratio - 1) / (ratio + 1), 0.0, 0.5)
            now = phase[peaks] + 2.0 * np.pi * hop / size * (peaks + beside)
            phase = now[np.searchsorted((peaks[1:] + peaks[:-1]) / 2.0, bins)]
        # Seen from a frame's first sample, its middle is half a turn further in every second bin.
        phases[at] = phase + np.pi * (bins % 2)
    return phases.astype(magnitude.dtype)


def griffin_lim(
    magnitude: Real, n_samples: int, size: int, hop: int, *, rounds: int = ROUNDS, momentum: float = MOMENTUM
) -> Real:
    r"""A sound of these magnitudes, its phases found by going to and fro.

    .. math:: c_n = \mathrm{stft}(\mathrm{istft}(s\, t_{n-1} / |t_{n-1}|)), \quad
              t_n = c_n + \alpha\, (c_n - c_{n-1})

    where s are the magnitudes. With :math:`\alpha = 0` this is the algorithm of Griffin and Lim (1984), whose
    distance from s never grows; above 0 the fast one of Perraudin, Balazs and Søndergaard, "A fast
    Griffin-Lim algorithm" (2013), which gets nearer and need not do so in every round.

    Parameters
    ----------
    magnitude
        ``(frames, size / 2 + 1)``, at least 0.
    n_samples
        Samples of the sound.
    size, hop
        As :func:`stft` had them.
    rounds
        At least 0. Each costs a :func:`stft` and an :func:`istft`.
    momentum
        Alpha, at least 0.

    Returns
    -------
    Real
        ``(n_samples,)`` of the magnitudes' type.
    """
    turned = np.multiply(magnitude, np.exp(1j * start_phases(magnitude, size, hop)))
    before: Complex | None = None
    for _ in range(rounds):
        consistent = stft(istft(_with(magnitude, turned), n_samples, size, hop), size, hop)
        turned = consistent if before is None else consistent + momentum * (consistent - before)
        before = consistent
    return istft(_with(magnitude, turned), n_samples, size, hop)


def _with(magnitude: Real, spectra: Complex) -> Complex:
    """The phases of ``spectra`` with these magnitudes; a phase of nothing is 0."""
    size = np.abs(spectra)
    turns = np.where(size > 0, spectra / np.where(size > 0, size, 1.0), np.ones_like(spectra))
    return np.multiply(magnitude, turns)


def spectral_convergence(magnitude: Real, sound: Real, size: int, hop: int) -> float:
    """How far a sound's magnitudes are from those wanted, as a share of these (Frobenius norms)."""
    found = np.abs(stft(sound, size, hop))
    return float(np.linalg.norm(found - magnitude) / np.linalg.norm(magnitude))


def rows_of(sounds: Real, audio: Audio) -> Real:
    """Sounds ``(rows, window, channels)`` as rows ``(rows, steps, channels)`` of the representation."""
    if audio.representation == "waveform":
        return sounds
    found = decibels(np.moveaxis(sounds, -1, 1), audio.fft_size, audio.fft_hop, audio.floor_db)
    rows, channels, steps, bins = found.shape
    return np.moveaxis(found, 1, 2).reshape(rows, steps, channels * bins)


def sounds_of(rows: NDArray[Any], audio: Audio, *, rounds: int = ROUNDS) -> NDArray[np.float32]:
    """Rows ``(rows, steps, channels)`` in data units as sounds ``(rows, window, channels)``.

    Of a spectrogram the phases are found by :func:`griffin_lim`, about 0.1 s of time a second of sound.
    """
    if audio.representation == "waveform":
        return rows.astype(np.float32)
    size, hop = audio.fft_size, audio.fft_hop
    split = rows.astype(np.float32).reshape(len(rows), rows.shape[1], audio.channels, size // 2 + 1)
    result = np.empty((len(rows), audio.window, audio.channels), np.float32)
    for row, both in enumerate(split):
        for channel in range(audio.channels):
            magnitude = magnitude_of(both[:, channel], size, audio.floor_db)
            result[row, :, channel] = griffin_lim(magnitude, audio.window, size, hop, rounds=rounds)
    return result

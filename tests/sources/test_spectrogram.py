"""Sound to loudness and back: exact where it can be, and never farther away by a round."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.schema import Audio
from isthmus.sources.spectrogram import (
    decibels,
    griffin_lim,
    istft,
    magnitude_of,
    n_frames,
    rows_of,
    sounds_of,
    spectral_convergence,
    stft,
)

RATE = 8000


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE + 0.3)


def frequency_of(sound: np.ndarray) -> float:
    """The highest peak of a long, windowed spectrum, between bins by a parabola through the logarithms."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 16 * len(sound)))
    k = int(spectrum.argmax())
    a, b, c = np.log(spectrum[k - 1 : k + 2])
    return (k + 0.5 * (a - c) / (a - 2 * b + c)) * RATE / (16 * len(sound))


@given(
    n=st.integers(1, 300),
    sides=st.sampled_from([(16, 4), (16, 8), (32, 8), (12, 3), (64, 1)]),
    seed=st.integers(0, 99),
)
def test_a_sound_comes_back(n, sides, seed):
    sound = np.random.default_rng(seed).normal(size=(2, n))
    spectra = stft(sound, *sides)
    assert spectra.shape == (2, n_frames(n, sides[1]), sides[0] // 2 + 1)
    np.testing.assert_allclose(istft(spectra, n, *sides), sound, atol=1e-12)


def test_the_spectra_are_the_sum_that_is_stated():
    sound = np.random.default_rng(0).normal(size=50)
    size, hop = 16, 4
    w = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    slow = np.zeros((n_frames(50, hop), size // 2 + 1), complex)
    for t, k in np.ndindex(slow.shape):
        for m in range(size):
            place = t * hop + m - size // 2
            x = sound[place] if 0 <= place < 50 else 0.0
            slow[t, k] += w[m] * x * np.exp(-2j * np.pi * k * m / size)
    np.testing.assert_allclose(stft(sound, size, hop), slow, atol=1e-12)


def test_the_inverse_is_the_nearest_sound():
    """Least squares over all sounds, solved directly."""
    rng = np.random.default_rng(1)
    n, size, hop = 20, 8, 2
    wanted = rng.normal(size=(n_frames(n, hop), 5)) + 1j * rng.normal(size=(n_frames(n, hop), 5))
    # Ends of a real spectrum are real, and inner bins count twice.
    wanted[:, [0, -1]] = wanted[:, [0, -1]].real
    twice = np.sqrt(np.array([1, 2, 2, 2, 1]))
    columns = [(stft(row, size, hop) * twice).ravel() for row in np.eye(n)]
    a = np.concatenate([np.real(columns), np.imag(columns)], axis=1).T
    b = (wanted * twice).ravel()
    best = np.linalg.lstsq(a, np.concatenate([b.real, b.imag]), rcond=None)[0]
    np.testing.assert_allclose(istft(wanted, n, size, hop), best, atol=1e-10)


def test_decibels_are_of_full_scale():
    constant = np.ones(400)
    assert decibels(constant, 64, 16, -80.0).max() == pytest.approx(0.0, abs=1e-9)
    sine = np.sin(2 * np.pi * np.arange(400) / 8)
    assert decibels(sine, 64, 16, -80.0)[5:20].max() == pytest.approx(-20 * np.log10(2), abs=1e-9)
    assert (decibels(np.zeros(400), 64, 16, -60.0) == pytest.approx(-60.0)) is True
    loud = decibels(sine, 64, 16, -80.0)
    exact = np.abs(stft(sine, 64, 16))
    heard = loud > -80.0
    np.testing.assert_allclose(magnitude_of(loud, 64, -80.0)[heard], exact[heard], rtol=1e-9)
    assert not magnitude_of(loud, 64, -80.0)[~heard].any()
    louder = magnitude_of(np.array([0.0, 20.0]), 64, -80.0)
    assert louder[0] == louder[1] == pytest.approx(32.0)  # the sum of the window: no sample is beyond 1


@pytest.mark.parametrize("kind", ["noise", "tones"])
def test_griffin_lim_gets_nearer_with_every_round(kind):
    rng = np.random.default_rng(3)
    sound = rng.normal(size=1500) if kind == "noise" else (tone(431.0) + tone(997.0))[:1500]
    magnitude = np.abs(stft(sound, 128, 32))
    found = [
        spectral_convergence(
            magnitude, griffin_lim(magnitude, 1500, 128, 32, rounds=rounds, momentum=0.0), 128, 32
        )
        for rounds in range(16)
    ]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(found))
    assert found[-1] < 0.9 * found[0]
    fast = griffin_lim(magnitude, 1500, 128, 32, rounds=15)
    assert spectral_convergence(magnitude, fast, 128, 32) < found[-1]


@pytest.mark.parametrize("frequency", [220.0, 441.3, 1234.5, 2999.9])
def test_a_pure_tone_keeps_its_frequency(frequency):
    sound = tone(frequency)
    loud = decibels(sound, 512, 128, -80.0)
    back = griffin_lim(magnitude_of(loud, 512, -80.0), len(sound), 512, 128)
    assert abs(1200 * np.log2(frequency_of(back) / frequency_of(sound))) < 1.0
    assert np.sqrt(np.mean(back**2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=0.01)


def test_rows_of_two_channels_keep_them_apart():
    sounds = np.stack([tone(400.0, 0.25), 0.1 * tone(900.0, 0.25)], axis=-1)[None]
    audio = Audio(RATE, 2000, 2000, 2, "spectrogram", 256, 64, -80.0)
    rows = rows_of(sounds, audio)
    assert rows.shape == (1, n_frames(2000, 64), 2 * 129)
    back = sounds_of(rows, audio)
    assert back.shape == sounds.shape
    assert back.dtype == np.float32
    for channel in range(2):
        assert frequency_of(back[0, :, channel]) == pytest.approx(
            frequency_of(sounds[0, :, channel]), rel=1e-3
        )
    np.testing.assert_array_equal(sounds_of(rows, audio), back)
    plain = Audio(RATE, 2000, 2000, 2, "waveform")
    np.testing.assert_array_equal(sounds_of(rows_of(sounds, plain), plain), sounds.astype(np.float32))


def test_silence_stays_silent():
    audio = Audio(RATE, 500, 500, 1, "spectrogram", 64, 16, -80.0)
    rows = rows_of(np.zeros((1, 500, 1)), audio)
    assert not sounds_of(rows, audio).any()

"""Distances of sounds: closed forms, and what a perfect and an empty model reach."""

from __future__ import annotations

import base64
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from isthmus.config import Config
from isthmus.evaluation.evaluate import report_data
from isthmus.evaluation.metrics import measure
from isthmus.evaluation.report import render_report
from isthmus.evaluation.report_sound import player_uri, spectrogram_uri
from isthmus.evaluation.sound import measure_sound, snr_db, spectral_distance
from isthmus.inference import Inference
from isthmus.schema import Audio
from isthmus.sources import ArraySource
from isthmus.sources.audio import open_audio
from isthmus.sources.spectrogram import sounds_of
from isthmus.workflows.fit import fit

torch.set_num_threads(1)
RATE = 2000


def test_signal_to_noise_is_of_energies():
    x = np.random.default_rng(0).normal(size=1000)
    assert snr_db(x, 0.5 * x) == pytest.approx(20 * math.log10(2))
    assert snr_db(x, 0 * x) == pytest.approx(0.0)
    assert snr_db(x, x) == math.inf
    assert snr_db(0 * x, x) == -math.inf


@pytest.mark.parametrize("gain", [0.5, 0.9, 2.0])
def test_a_gain_has_a_closed_form(gain):
    """Magnitudes g S: the first part is |1 - g|, the second |ln g|, where all is well above -80 dB."""
    x = 0.2 * np.random.default_rng(1).normal(size=8000)
    assert spectral_distance(x, gain * x) == pytest.approx(abs(1 - gain) + abs(math.log(gain)), rel=1e-3)


def test_phases_and_what_is_too_soft_do_not_count():
    x = np.random.default_rng(2).normal(size=(2, 8000))
    np.testing.assert_allclose(spectral_distance(x, -x), 0.0, atol=1e-12)
    assert spectral_distance(1e-7 * x, 0 * x) == pytest.approx(0.0, abs=1e-9)
    assert spectral_distance(x, x[::-1]).min() > 0.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones of two timbres and many pitches, 0.5 s each."""
    place = tmp_path_factory.mktemp("tones")
    time = np.arange(RATE // 2) / RATE
    for number, frequency in enumerate(np.geomspace(100, 400, 24)):
        sound = np.sin(2 * np.pi * frequency * time) + (number % 2) * 0.5 * np.sin(
            4 * np.pi * frequency * time
        )
        soundfile.write(place / f"{number:02d}.wav", 0.4 * np.exp(-4 * time) * sound, RATE)
    return place


@pytest.fixture(scope="module", params=["waveform", "spectrogram"])
def fitted(request, folder):
    source = open_audio(folder, window_seconds=0.5, representation=request.param)
    config = Config.from_dict(
        {
            "model": {"code_size": 3, "network": {"type": "dense", "hidden_sizes": [16]}},
            "training": {"epochs": 2, "seed": 0},
            "data": {"representation": request.param, "window_seconds": 0.5},
        }
    )
    return fit(source, config)[0], source


def test_a_model_of_sound_is_measured(fitted):
    model, source = fitted
    found = measure_sound(Inference(model), source)
    assert found is not None
    assert found.rows == 24
    assert found.spectral_distance > 0
    waveform = model.config.data.representation == "waveform"
    assert (found.snr_db is not None) == waveform
    assert (found.phase_spectral_distance is None) == waveform
    if waveform:
        x, y = source.read(slice(0, 24)), Inference(model).reconstruct(source)
        assert found.snr_db == pytest.approx(snr_db(x, y))
    else:
        assert found.phase_spectral_distance < found.spectral_distance
    assert measure(Inference(model), source).to_dict()["sound"] == found.to_dict()
    assert model.metrics["sound"]["rows"] >= 1
    plain = ArraySource(source.read(slice(0, 24)), row_kind="sequences")
    again = measure_sound(Inference(model), plain)
    assert again is not None
    if waveform:
        assert again == found


def test_the_config_opens_other_files_alike(fitted):
    model, source = fitted
    data = model.config.data
    assert (data.sound_rate, data.window_seconds, data.channels) == (RATE, 0.5, "mono")
    audio = source.schema.audio
    if data.representation == "spectrogram":
        assert (data.fft_size, data.fft_hop, data.floor_db) == (audio.fft_size, audio.fft_hop, -80.0)


def test_the_report_shows_and_plays(fitted):
    model, source = fitted
    page = render_report(report_data(model, source, title="tones"))
    assert page.count("<audio controls") == page.count('alt="Spectrogram of row') == 9
    assert "media-src data:" in page
    assert len(page) < 1_500_000
    assert "all 0.500 s at 2,000 Hz, mono" in page


def test_a_player_holds_the_beginning_and_is_not_clipped():
    sound = 3.0 * np.sin(2 * np.pi * 50 * np.arange(4000) / 4000)
    data = base64.b64decode(player_uri(sound, 4000, 2000, 0.25).partition(",")[2])
    played, rate = soundfile.read(io.BytesIO(data))
    assert (rate, len(played)) == (2000, 500)
    wanted = np.sin(2 * np.pi * 50 * np.arange(500) / 2000)
    np.testing.assert_allclose(played[50:-50], wanted[50:-50], atol=0.02)


def test_low_frequencies_are_below_and_light_is_loud():
    loudness = np.full((6, 10), -200.0)
    loudness[:, 0] = 0.0
    png = base64.b64decode(spectrogram_uri(loudness, 0.0).partition(",")[2])
    width, height = struct.unpack(">II", png[16:24])
    start = png.index(b"IDAT") + 4
    lines = np.frombuffer(zlib.decompress(png[start:-16]), np.uint8).reshape(height, 1 + 3 * width)
    pixels = lines[:, 1:].reshape(height, width, 3)
    assert (width, height) == (6, 10)
    assert pixels[-1].min() > 180
    assert pixels[:-1].max() < 10


def test_sounds_of_rows_are_those_of_the_schema():
    audio = Audio(RATE, 100, 100, 1, "waveform")
    rows = np.ones((2, 100, 1))
    np.testing.assert_array_equal(sounds_of(rows, audio), rows)

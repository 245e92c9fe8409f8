"""The verbs on sound, from files to files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from isthmus.artifact import open_model

RATE = 2000
QUICK = ("--epochs", "1", "--seed", "0", "--code-size", "3", "--set", "data.window_seconds=0.5")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sound") / "tones"
    rng = np.random.default_rng(0)
    for number, frequency in enumerate(np.geomspace(100, 600, 16)):
        sound = 0.5 * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE) + 0.01 * rng.normal(size=RATE)
        (place / ("low" if number < 8 else "high")).mkdir(parents=True, exist_ok=True)
        soundfile.write(place / ("low" if number < 8 else "high") / f"{number:02d}.wav", sound, RATE)
    (place / "low" / "broken.flac").write_bytes(b"no sound")
    return place


def test_from_files_to_files(isthmus, tones, tmp_path):
    model = tmp_path / "m.safetensors"
    done = isthmus("fit", tones, "--kind", "convolutional", *QUICK, "-o", model)
    assert done.status == 0, done.err
    assert "spectrograms of 0.5 s at 2,000 Hz, mono" in " ".join(done.out.split())
    assert "conv1d" in done.out
    assert "1 of 17 files are left out: low/broken.flac" in " ".join(done.out.split())
    assert "spectral distance" in done.out
    assert open_model(model).scaling.schema.audio.rate == RATE
    file = tones / "low" / "00.wav"
    done = isthmus("reconstruct", model, file, "-o", tmp_path / "one.wav", "--json")
    assert done.json["sound"]["rows"] == 2
    assert soundfile.info(tmp_path / "one.wav").frames == RATE
    done = isthmus("reconstruct", model, tones, "-o", tmp_path / "all")
    assert "16 sounds, 16 s in all at 2,000 Hz" in " ".join(done.out.split())
    assert soundfile.info(tmp_path / "all/high/15.wav").frames == RATE
    assert isthmus("reconstruct", model, tones, "-o", tones, "--force").status == 2
    done = isthmus(
        "interpolate",
        model,
        f"{file}:0",
        f"{tones / 'high' / '15.wav'}:1",
        "--steps",
        "3",
        "-o",
        tmp_path / "walk",
    )
    assert "3 sounds, each 0.5 s at 2,000 Hz, mono" in " ".join(done.out.split())
    assert {path.name for path in (tmp_path / "walk").iterdir()} == {
        "000000.wav", "000001.wav", "000002.wav", "all.wav",
    }  # fmt: skip
    done = isthmus("encode", model, file, "-o", tmp_path / "c.npy", "--json")
    assert done.json["rows"] == 2
    done = isthmus("decode", model, tmp_path / "c.npy", "-o", tmp_path / "back.flac")
    assert done.status == 0
    assert soundfile.info(tmp_path / "back.flac").frames == RATE + 200
    done = isthmus("sample", model, "--like", tones, "-n", "2", "-o", tmp_path / "new")
    assert done.status == 0
    assert len(list((tmp_path / "new").iterdir())) == 2
    done = isthmus("report", model, tones, "-o", tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text().count("<audio") == 9


def test_files_of_another_rate_are_resampled_for_a_model(isthmus, tones, tmp_path):
    model = tmp_path / "m.safetensors"
    wave = ("--set", "data.representation=waveform", "--set", "model.network.hidden_sizes=[8]")
    assert isthmus("fit", tones, *QUICK, *wave, "-o", model).status == 0
    other = tmp_path / "other.flac"
    soundfile.write(other, 0.5 * np.sin(2 * np.pi * 200 * np.arange(8000) / 8000), 8000)
    done = isthmus("encode", model, other, "-o", tmp_path / "c.npy", "--json")
    assert done.json["rows"] == 2


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("data.sound_rate=0", r"sound_rate must be in \[1, 10000000\], got 0"),
        ("data.window_seconds=0", r"window_seconds must be in \(0, 86400\], got 0"),
        ("data.strict=true", r"low/broken\.flac: expected sound that can be decoded"),
        ("data.row_kind=vectors", "holds sounds, which are sequences"),
        ("data.resize=[8,8]", r"data\.resize: only "),
    ],
)
def test_one_sentence_for_what_cannot_be(isthmus, tones, tmp_path, option, said):
    done = isthmus("fit", tones, *QUICK, "--set", option, "-o", tmp_path / "m.safetensors")
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1
    assert re.search(said, done.err)


def test_options_of_sound_want_sound(isthmus, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 5)))
    done = isthmus("fit", tmp_path / "x.npy", "--set", "data.floor_db=-60", "-o", tmp_path / "m.safetensors")
    assert done.status == 2
    assert "data.floor_db: expected files of sound to go with, got -60.0 for vectors 5" in done.err

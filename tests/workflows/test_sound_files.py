"""Sound goes out as it came in: peaks, windows put back together, files in a folder."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from isthmus.errors import OutputError
from isthmus.schema import Audio, Schema
from isthmus.sources.audio import open_audio
from isthmus.workflows.data_files import check_rows_output, write_rows
from isthmus.workflows.sound_files import (
    encoded,
    joined,
    one_after_another,
    recordings_to_write,
    sounds_to_write,
)

RATE = 1000
PLAIN = Audio(RATE, 400, 400, 1, "waveform")


def schema(audio: Audio) -> Schema:
    return Schema("sequences", (audio.window, audio.channels), "float32", audio=audio)


def noise(*shape: int, peak: float = 0.9) -> np.ndarray:
    return np.random.default_rng(0).uniform(-peak, peak, shape).astype(np.float32)


def test_what_would_be_clipped_is_made_softer_together():
    rows = noise(3, 400, 1)
    rows[1, 5] = 2.0
    sounds, notes = sounds_to_write(rows, PLAIN)
    np.testing.assert_allclose(sounds, rows * (0.999 / 2.0), rtol=1e-6)
    assert notes == (
        "The loudest sample is 2, beyond full scale: all sounds are made 6.03 dB softer, so that none is clipped.",
    )
    same, none = sounds_to_write(noise(3, 400, 1), PLAIN)
    np.testing.assert_array_equal(same, noise(3, 400, 1))
    assert none == ()


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_holds_sixteen_bits(suffix):
    sound = noise(400, 2)
    data = encoded(sound, RATE, suffix)
    assert data == encoded(sound, RATE, suffix)
    read, rate = soundfile.read(io.BytesIO(data))
    assert rate == RATE
    np.testing.assert_allclose(read, sound, atol=2.0**-15)


@pytest.mark.parametrize("hop", [400, 300, 200, 100])
def test_windows_of_a_recording_are_put_back(hop, tmp_path):
    audio = Audio(RATE, 400, hop, 1, "waveform")
    sound = noise(1330)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    source = open_audio(
        tmp_path / "a.wav", window_seconds=0.4, hop_seconds=hop / RATE, representation="waveform"
    )
    back = joined(source.read(slice(0, len(source))), audio, 1330)
    np.testing.assert_allclose(back[:, 0], sound, atol=1e-6)
    assert source.recordings() == [("a.wav", slice(0, len(source)), 1330)]
    write_rows(
        tmp_path / "b.wav", source.read(slice(0, len(source))), source.schema, folder=False, source=source
    )
    np.testing.assert_allclose(soundfile.read(tmp_path / "b.wav")[0], sound, atol=2.0**-14)


@pytest.mark.parametrize("hop", [0.2, 0.1])
def test_recordings_of_a_folder_come_back_by_their_names(hop, tmp_path):
    sounds = {"a.wav": noise(1, 1330, 1)[0, :, 0], "low/b.flac": noise(1, 300, 1)[0, :, 0] / 2}
    (tmp_path / "in/low").mkdir(parents=True)
    for name, sound in sounds.items():
        soundfile.write(tmp_path / "in" / name, sound, RATE, subtype="PCM_16")
    source = open_audio(tmp_path / "in", representation="waveform", window_seconds=0.2, hop_seconds=hop)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "000003.wav").write_bytes(b"of an earlier writing")
    rows = source.read(slice(0, len(source)))
    assert write_rows(folder, rows, source.schema, folder=True, source=source) == len(source)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.wav")}
    assert found == {"a.wav", "low/b.wav"}
    for name, sound in sounds.items():
        back = soundfile.read((folder / name).with_suffix(".wav"))[0]
        np.testing.assert_allclose(back, sound, atol=2.0**-13)


def test_a_loud_recording_does_not_soften_the_others():
    audio = Audio(RATE, 400, 200, 1, "waveform")
    rows = noise(5, 400, 1)
    rows[3] *= 4
    recordings = [("a.wav", slice(0, 3), 700), ("b.wav", slice(3, 5), 600)]
    whole, said = recordings_to_write(rows, audio, recordings)
    np.testing.assert_array_equal(whole[0], joined(rows[:3], audio, 700))
    peak = np.abs(joined(rows[3:], audio, 600)).max()
    assert peak > 1.0 > np.abs(whole[1]).max() > 0.99
    assert said == (
        "1 of 2 sounds go beyond full scale and are made softer, so that none is clipped: "
        f"b.wav by {20 * np.log10(peak / 0.999):.2f} dB.",
    )


def test_sounds_in_a_row_fade_and_pause():
    row = one_after_another(np.ones((3, 400, 1), np.float32), RATE)
    assert row.shape == (3 * 400 + 2 * 100, 1)
    assert not row[400:500].any()
    assert (row[5:395] == 1.0).all()
    assert 0 < row[0, 0] < row[1, 0] < 1
    np.testing.assert_array_equal(row[:400], row[:400][::-1])


def test_a_folder_of_sounds(tmp_path):
    folder, rows = tmp_path / "out", noise(4, 400, 1)
    assert write_rows(folder, rows, schema(PLAIN), folder=True, together=True) == 4
    assert {file.name for file in folder.iterdir()} == {*(f"00000{i}.wav" for i in range(4)), "all.wav"}
    np.testing.assert_allclose(soundfile.read(folder / "000002.wav")[0], rows[2, :, 0], atol=2.0**-15)
    assert soundfile.info(folder / "all.wav").frames == 4 * 400 + 3 * 100
    notes: list[str] = []
    write_rows(folder, rows[:2], schema(PLAIN), folder=True, notes=notes)
    said = f"{folder / 'all.wav'} was there before and stays: it is no part of what was written now."
    assert notes[-1:] == [said]
    assert {file.name for file in folder.iterdir()} == {"000000.wav", "000001.wav", "all.wav"}


def test_where_sounds_can_go(tmp_path):
    for name in ("a.wav", "a.flac", "a.npy"):
        check_rows_output(tmp_path / name, folder=False, schema=schema(PLAIN))
    check_rows_output(tmp_path / "a", folder=True, schema=schema(PLAIN))
    with pytest.raises(
        OutputError, match=r"expected a name that ends in \.npy or \.wav or \.flac, got '\.mp3'"
    ):
        check_rows_output(tmp_path / "a.mp3", folder=False, schema=schema(PLAIN))
    with pytest.raises(OutputError, match=r"go into a \.npy file"):
        check_rows_output(tmp_path / "a.wav", folder=False, schema=Schema("sequences", (400, 1), "float32"))
    rows = noise(2, 400, 1)
    write_rows(tmp_path / "a.npy", rows, schema(PLAIN), folder=False)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), rows)

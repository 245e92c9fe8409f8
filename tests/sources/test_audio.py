"""Folders of sounds: one rate, windows, labels, and one sentence for every broken file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.schema import Schema
from isthmus.sources import audio as audio_room
from isthmus.sources import check_alike, open_source
from isthmus.sources.audio import AudioSource, open_audio
from isthmus.sources.spectrogram import decibels
from isthmus.sources.subset import Subset

RATE = 8000


def tone(frequency: float = 440.0, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path: Path, sound: np.ndarray, rate: int = RATE, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, **options)
    return path


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_every_format_is_a_waveform(tmp_path, suffix):
    file = write(tmp_path / f"a{suffix}", tone(seconds=1.0))
    source = open_source(file, sound={"representation": "waveform"})
    assert source.schema.sample_shape == (RATE, 1)
    assert source.schema.kind == "sequences"
    exact = suffix in (".wav", ".flac")
    middle = slice(1000, 7000)
    got = source.read(slice(0, 1))[0, middle, 0]
    np.testing.assert_allclose(got, tone(seconds=1.0)[middle], atol=1e-4 if exact else 0.1)


def test_windows_cover_a_file_and_the_last_is_filled_up(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.9, 0.9, 1000).astype(np.float32)
    file = write(tmp_path / "a.wav", sound, subtype="FLOAT")
    source = open_audio(file, window_seconds=400 / RATE, hop_seconds=300 / RATE, representation="waveform")
    assert len(source) == 3
    assert source.lengths == (1000,)
    rows = source.read(slice(0, 3))[..., 0]
    np.testing.assert_array_equal(rows[1], sound[300:700])
    np.testing.assert_array_equal(rows[2], sound[600:])
    longer = open_audio(file, window_seconds=450 / RATE, hop_seconds=300 / RATE, representation="waveform")
    last = longer.read(np.array([2]))[0, :, 0]
    np.testing.assert_array_equal(last, np.concatenate([sound[600:], np.zeros(50)]))
    assert "The last window of 1 of 1 files is filled up with silence, 0.00625 s in all." in longer.notes


def test_windows_longer_than_every_file(tmp_path):
    write(tmp_path / "a.wav", tone(seconds=0.25))
    source = open_source(tmp_path, sound={"window_seconds": 2.0})
    assert len(source) == 1
    assert "Windows of 2 s are longer than every file (the longest has 0.25 s)" in source.notes[0]


def test_files_come_to_the_most_common_rate(tmp_path):
    for name, rate in (("a", RATE), ("b", RATE), ("c", 22050)):
        write(tmp_path / f"{name}.wav", tone(rate=rate, seconds=1.0), rate)
    source = open_audio(tmp_path, representation="waveform")
    assert source.schema.audio is not None
    assert source.schema.audio.rate == RATE
    assert len(source) == 3
    rows = source.read(slice(0, 3))[..., 0]
    np.testing.assert_allclose(rows[2, 500:-500], tone(seconds=1.0)[500:-500], atol=1e-3)
    assert source.notes == ("1 of 3 files are resampled to 8,000 Hz, the most common rate, from 22,050 Hz.",)
    assert open_audio(tmp_path, sound_rate=4000).schema.audio.rate == 4000  # type: ignore[union-attr]


def test_channels_are_mixed_or_kept(tmp_path):
    both = np.stack([tone(400.0), tone(900.0)], axis=1)
    write(tmp_path / "a.wav", both, subtype="FLOAT")
    mono = open_audio(tmp_path, representation="waveform", window_seconds=0.5)
    np.testing.assert_allclose(mono.read(slice(0, 1))[0, :, 0], both.mean(axis=1), atol=1e-6)
    assert "several channels and are mixed to mono" in mono.notes[0]
    kept = open_audio(tmp_path, channels="all", representation="waveform", window_seconds=0.5)
    np.testing.assert_allclose(kept.read(slice(0, 1))[0], both, atol=1e-6)
    write(tmp_path / "b.wav", tone())
    with pytest.raises(
        DataError, match=r"a\.wav: expected files of one number of channels, got 2 here and 1 in "
    ):
        open_audio(tmp_path, channels="all")


def test_spectrograms_are_of_the_windows(tmp_path):
    file = write(tmp_path / "a.wav", tone(seconds=1.0), subtype="FLOAT")
    source = open_audio(file)
    audio = source.schema.audio
    assert audio is not None
    assert (audio.fft_size, audio.fft_hop, audio.floor_db) == (512, 128, -80.0)
    wanted = decibels(tone(seconds=1.0), 512, 128, -80.0)
    np.testing.assert_allclose(source.read(slice(0, 1))[0], wanted, atol=0.01)
    assert source.schema.value_range == (-80.0, 0.0)
    np.testing.assert_allclose(source.sounds(slice(0, 1))[0, :, 0], tone(seconds=1.0), atol=1e-6)
    assert "spectrograms of 1 s at 8,000 Hz, mono" in source.schema.describe()


def test_labels_of_folders_and_of_a_file(tmp_path):
    for name in ("dog/a.wav", "cat/b.wav"):
        write(tmp_path / "in" / name, tone(seconds=1.5))
    source = open_source(tmp_path / "in")
    assert source.labels is not None
    assert source.labels.tolist() == ["cat", "cat", "dog", "dog"]
    labels = tmp_path / "labels.csv"
    labels.write_text("dog/a.wav,1\ncat/b.wav,2\n")
    told = open_source(tmp_path / "in", labels=labels)
    assert told.labels is not None
    assert told.labels.tolist() == [2, 2, 1, 1]
    labels.write_text("7\n8\n")
    (tmp_path / "in" / "cat" / "a.wav").write_bytes(b"")
    labels.write_text("6\n7\n8\n")
    some = open_source(tmp_path / "in", labels=labels)
    assert some.labels is not None
    assert some.labels.tolist() == [7, 7, 8, 8]


def test_broken_files_are_left_out_or_refused(tmp_path):
    write(tmp_path / "good.wav", tone())
    (tmp_path / "empty.wav").write_bytes(b"")
    write(tmp_path / "header.wav", np.zeros(0))
    (tmp_path / "text.flac").write_bytes(b"not a sound at all")
    source = open_source(tmp_path)
    assert len(source) == 1
    assert source.notes[0].startswith(
        "3 of 4 files are left out: empty.wav (expected sound, got an empty file"
    )
    assert "header.wav (expected sound, got 0 s of it" in source.notes[0]
    assert "text.flac (expected sound that can be decoded" in source.notes[0]
    with pytest.raises(
        SourceError, match=r"empty\.wav: expected sound, .*data\.strict=false \(3 in all\)\.$"
    ):
        open_source(tmp_path, strict=True)
    with pytest.raises(SourceError, match=r"text\.flac: expected a sound, as its name says, got text"):
        open_source(tmp_path / "text.flac")


def test_a_file_that_ends_early_is_told_with_its_place(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).uniform(-1, 1, 4 * RATE)
    whole = write(tmp_path / "whole.flac", noise)
    (tmp_path / "cut.flac").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "1 of 2 files are left out: cut.flac" in open_source(tmp_path).notes[0]
    with pytest.raises(SourceError, match=r"cut\.flac: expected "):
        open_source(tmp_path / "cut.flac")
    monkeypatch.setattr(audio_room, "HELD_BYTES", 0)
    lazy = open_source(tmp_path)
    assert len(lazy) == 8
    with pytest.raises(SourceError, match=r"cut\.flac: expected .*; mend or remove it\.$"):
        lazy.read(slice(0, 1))


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "IMA_ADPCM"])
def test_a_wav_file_that_lacks_what_its_header_announces(tmp_path, subtype):
    """Its decoder reads what is there and takes that for all."""
    whole = write(tmp_path / "whole.wav", tone(seconds=2.0), subtype=subtype)
    data = whole.read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    source = open_source(tmp_path)
    assert len(source.lengths) == 1
    assert source.notes[0].startswith("1 of 2 files are left out: cut.wav (expected ")
    place = source.notes[0].partition("ends at ")[2].split()[0]
    assert float(place) == pytest.approx(1.0, abs=0.1)
    says = rf"cut\.wav: expected (2\.0|1\.9)\d\d s of sound, got a file that ends at {place} s"
    for where, options in ((tmp_path, {"strict": True}), (tmp_path / "cut.wav", {})):
        with pytest.raises(SourceError, match=says):
            open_source(where, **options)


@pytest.mark.parametrize("announced", [0xFFFFFFFF, 0x7FFFFFFF - 36, None])
def test_a_header_that_leaves_the_length_open_is_no_fault(tmp_path, announced):
    """As of sound from a pipe; and of programs that count the header's 44 bytes too."""
    file = write(tmp_path / "a.wav", tone(seconds=1.0))
    data = bytearray(file.read_bytes())
    said = len(data) if announced is None else announced
    data[40:44] = said.to_bytes(4, "little")
    file.write_bytes(bytes(data))
    source = open_source(file, sound={"representation": "waveform"})
    assert source.schema.sample_shape == (RATE, 1)
    assert not any("left out" in note for note in source.notes)


def test_a_rate_of_nothing(tmp_path):
    file = write(tmp_path / "a.wav", tone())
    data = bytearray(file.read_bytes())
    data[24:28] = bytes(4)
    file.write_bytes(bytes(data))
    with pytest.raises(SourceError, match=r"a\.wav: expected "):
        open_source(file)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_samples_that_are_no_numbers(tmp_path, value, word):
    sound = tone()
    sound[2000] = value
    write(tmp_path / "a.wav", sound, subtype="FLOAT")
    with pytest.raises(
        DataError, match=rf"a\.wav: samples must be finite, got {word} at 0\.250 s \(1 samples"
    ):
        open_source(tmp_path)


def test_silence(tmp_path):
    write(tmp_path / "a.wav", np.zeros(RATE))
    with pytest.raises(
        DataError, match=r"expected sound, got silence from 0 to 1\.000 s; give other files\.$"
    ):
        open_source(tmp_path)
    write(tmp_path / "b.wav", tone(seconds=1.0))
    assert open_source(tmp_path).notes == ("1 of 2 files are silent throughout: a.wav.",)
    write(tmp_path / "c" / "a.wav", 1e-5 * tone(), subtype="FLOAT")
    with pytest.raises(DataError, match=r"nothing is louder than -80 dB"):
        open_source(tmp_path / "c")


def test_what_does_not_fit_in_memory_is_read_alike(tmp_path, monkeypatch):
    for name, seconds in (("a", 1.3), ("b", 0.4), ("c", 2.0)):
        write(tmp_path / f"{name}.wav", tone(seconds=seconds, rate=11025), 11025)
    held = open_audio(tmp_path, sound_rate=RATE, window_seconds=0.5)
    monkeypatch.setattr(audio_room, "HELD_BYTES", 0)
    monkeypatch.setattr(audio_room, "CACHE_BYTES", 1)
    lazy = open_audio(tmp_path, sound_rate=RATE, window_seconds=0.5)
    rows = np.array([6, 0, 3, 2, 0])
    np.testing.assert_array_equal(lazy.read(rows), held.read(rows))
    assert len(lazy._cache) == 1
    assert len(held) == len(lazy) == 8
    with pytest.raises(DataError, match="row numbers must be below 8"):
        lazy.read(np.array([8]))


def test_a_folder_holds_what_most_of_its_files_are(tmp_path):
    from PIL import Image

    write(tmp_path / "a.wav", tone())
    write(tmp_path / "b.wav", tone())
    Image.new("L", (4, 4)).save(tmp_path / "cover.png")
    assert isinstance(open_source(tmp_path), AudioSource)
    Image.new("L", (4, 4)).save(tmp_path / "other.png")
    assert open_source(tmp_path).schema.kind == "pictures"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window_seconds": 1e-6}, r"data\.window_seconds: expected 2 samples or more, got 1e-06 s"),
        ({"hop_seconds": 2.0}, r"data\.hop_seconds: expected .* got 2\.0"),
        ({"fft_size": 512, "fft_hop": 300}, r"data\.fft_hop: expected a divisor"),
        ({"representation": "waveform", "floor_db": -60.0}, r"data\.representation: expected spectrograms"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, said):
    write(tmp_path / "a.wav", tone())
    with pytest.raises(ParameterError, match=said):
        open_source(tmp_path, sound=options)


def test_other_rows_are_refused_for_sounds(tmp_path):
    write(tmp_path / "a.wav", tone())
    with pytest.raises(ParameterError, match=r"data\.row_kind: .* holds sounds"):
        open_source(tmp_path, row_kind="pictures")
    with pytest.raises(ParameterError, match=r"data\.resize: only images"):
        open_source(tmp_path, resize=(4, 4))


def test_a_schema_of_sound_comes_back_and_knows_its_like(tmp_path):
    write(tmp_path / "a.wav", tone())
    schema = open_source(tmp_path).schema
    assert Schema.from_dict(schema.to_dict()) == schema
    for name, value in (
        ("rate", 0),
        ("fft_hop", 100),
        ("window", 7),
        ("representation", "mp3"),
        ("floor_db", 3.0),
    ):
        values = schema.to_dict()
        values["audio"][name] = value
        with pytest.raises(OSError, match="damaged"):
            Schema.from_dict(values)
    other = open_source(tmp_path, sound={"floor_db": -60.0}).schema
    with pytest.raises(DataError, match="the data options of the model's config"):
        check_alike(other, schema, "model")
    check_alike(open_source(tmp_path, sound={"hop_seconds": 0.5}).schema, schema, "model")


def test_a_part_of_a_source_keeps_notes_and_sounds(tmp_path):
    write(tmp_path / "a.wav", tone(seconds=1.5))
    source = open_source(tmp_path)
    part = Subset(source, np.array([1]))
    assert part.notes == source.notes
    assert part.notes
    sounds = part.sounds(slice(0, 1))
    assert sounds is not None
    assert np.array_equal(sounds, source.sounds(np.array([1])))

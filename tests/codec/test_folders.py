import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, PngImagePlugin

from isthmus.codec.columns import packed, unpacked
from isthmus.codec.contents import content_from, content_of, folders, sounds
from isthmus.codec.contents.pictures import PictureKind, picture_kind, png_bytes, read_picture
from isthmus.errors import ArtifactError, OutputError, SourceError

RANDOM = np.random.default_rng(0)


def brought_back(content, path, step=3):
    form = content_from(json.loads(json.dumps(content.facts)))
    blocks = [packed(content.block(slice(at, at + step))) for at in range(0, content.n_rows, step)]
    form.write((unpacked(block) for block in blocks), path)
    return [unpacked(block) for block in blocks]


def smooth(*shape):
    """Values with the order of pictures and sounds."""
    waves = np.sin(np.linspace(0, 3, int(np.prod(shape)))).reshape(shape)
    return np.clip(120 + 60 * waves + RANDOM.normal(0, 1, shape), 0, 255)


def all_files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("RGB", 3), ("LA", 2), ("RGBA", 4), ("P", 1), ("I;16", 1)]
)
@given(data=st.data())
@settings(deadline=None, max_examples=5)
def test_pixels_and_chunks_of_png_come_back(tmp_path_factory, mode, channels, data):
    folder = tmp_path_factory.getbasetemp()
    dtype = np.uint16 if mode == "I;16" else np.uint8
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))
    pixels = data.draw(hnp.arrays(dtype, (*shape, channels)))
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, "L" if mode == "P" else None)
    info = PngImagePlugin.PngInfo()
    if mode == "P":
        image = Image.frombytes("P", image.size, pixels.tobytes())
        image.putpalette(bytes(range(256)) * 3)
    info.add_text("title", "a picture")
    image.save(
        folder / "a.png", pnginfo=info, dpi=(300, 300), **({"transparency": 5} if mode in "LP" else {})
    )
    kind = picture_kind(folder / "a.png")
    got, head, tail = read_picture(folder / "a.png", kind)
    assert np.array_equal(got, pixels)
    made = png_bytes(got, kind, head, tail)
    with Image.open(io.BytesIO(made)) as back, Image.open(folder / "a.png") as first:
        assert (back.mode, back.size, back.info) == (first.mode, first.size, first.info)
        assert back.tobytes() == first.tobytes()
        assert back.getpalette() == first.getpalette()


def test_filters_of_png_are_worth_it(monkeypatch):
    pixels = smooth(60, 80, 1).astype(np.uint8)
    header = struct.pack(">I4sIIBBBBB", 13, b"IHDR", 80, 60, 8, 0, 0, 0, 0)
    header += struct.pack(">I", zlib.crc32(header[4:]))
    made = png_bytes(pixels, PictureKind(60, 80, 0, 8), header, b"\0\0\0\0IEND\xaeB`\x82")
    held = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(held, "PNG", optimize=True)
    assert len(made) < 1.05 * len(held.getvalue())
    with Image.open(io.BytesIO(made)) as image:
        assert np.array_equal(np.asarray(image), pixels[:, :, 0])


@pytest.fixture
def folder(tmp_path):
    """Pictures of two kinds, sounds, and whatever else lies about."""
    root = tmp_path / "all"
    for name in ("cats", "dogs/small", "sounds", "empty/inside"):
        (root / name).mkdir(parents=True)
    for number in range(8):
        Image.fromarray(smooth(16, 12).astype(np.uint8)).save(root / f"cats/{number}.png")
        Image.fromarray(smooth(9, 9, 3).astype(np.uint8)).save(root / f"dogs/small/{number}.png")
        soundfile.write(root / f"sounds/{number}.flac", smooth(500 + 10 * number, 2).astype(np.int16), 8000)
    Image.fromarray(smooth(40, 40, 3).astype(np.uint8)).save(root / "dogs/photo.jpg")
    (root / "broken.png").write_bytes((root / "cats/0.png").read_bytes()[:-20])
    (root / "notes.txt").write_text("no picture")
    (root / ".hidden").write_bytes(b"")
    (root / "big.bin").write_bytes(RANDOM.bytes(700))
    soundfile.write(root / "sounds/a.wav", smooth(1500, 1).astype(np.int16), 16000)
    soundfile.write(root / "sounds/b.wav", smooth(700, 1) / 300, 16000, "FLOAT")
    return root


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_nothing_of_a_folder_is_lost(folder, tmp_path, monkeypatch, step):
    monkeypatch.setattr(folders, "WINDOW", 400)
    for room in (folders, __import__("isthmus.codec.contents.kept", fromlist=["kept"])):
        monkeypatch.setattr(room, "PIECE", 256)
    content, back = content_of(folder), tmp_path / "back"
    brought_back(content, back, step)
    said = (
        "What comes back: pixels of pictures (17), in PNG files packed anew, samples of sounds (10), "
        "other files (4) byte for byte."
    )
    assert content.notes == (said,)
    assert all_files(back) == all_files(folder)
    for name in all_files(folder):
        one, other = folder / name, back / name
        if one.is_dir():
            continue
        if name.endswith(".png") and name != "broken.png":
            with Image.open(one) as first, Image.open(other) as second:
                assert (first.mode, first.size, first.tobytes()) == (
                    second.mode,
                    second.size,
                    second.tobytes(),
                )
        elif name.endswith(".flac"):
            assert soundfile.info(str(other)).subtype == "PCM_16"
            assert np.array_equal(
                soundfile.read(one, dtype="int32")[0], soundfile.read(other, dtype="int32")[0]
            )
        else:
            assert one.read_bytes() == other.read_bytes()


def test_pictures_of_one_kind_are_one_array(tmp_path):
    for number in range(12):
        Image.fromarray(np.full((5, 4), 20 * number, np.uint8)).save(tmp_path / f"{number:02}.png")
    content = content_of(tmp_path)
    block = content.block(slice(2, 7))
    assert block["5 4 0 8"].shape == (5, 5, 4, 1)
    assert content.form.rows(block)[:, 0, 0, 0].tolist() == [40, 60, 80, 100, 120]
    assert content.numbers == {"5 4 0 8": 0}


def test_what_is_smaller_as_a_file_is_kept_as_it_is(tmp_path):
    pixels = (
        np.tile(RANDOM.integers(0, 256, (1, 40), np.uint8), (40, 1)) + np.arange(40, dtype=np.uint8)[:, None]
    )
    for number in range(8):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png", optimize=True)
    content = content_of(tmp_path)
    assert content.block(slice(None))["how"].tolist() == [folders.PICTURE] * 8
    for number in range(8):
        (tmp_path / f"{number}.png").unlink()
    noise = RANDOM.integers(0, 256, (200, 200), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    assert len(packed(content_of(tmp_path).block(slice(None)))) < path.stat().st_size + 60


def test_a_picture_that_changes_into_something_else_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(smooth(30, 30).astype(np.uint8)).save(path)
    monkeypatch.setattr(folders, "_smaller_as_bytes", lambda path, files: files)
    content = content_of(tmp_path)
    path.write_bytes(b"no picture any more")
    block = content.block(slice(None))
    assert (block["how"].tolist(), block["bytes"]) == ([folders.BYTES], [b"no picture any more"])


def test_links_out_of_a_folder_are_left_out_and_told(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "a").write_text("a")
    (inside / "b").symlink_to("a")
    content = content_of(inside)
    brought_back(content, tmp_path / "back")
    assert all_files(tmp_path / "back") == ["a", "b"]
    assert "1 links that lead out" in content.notes[1]


def test_an_empty_folder_and_one_of_odd_names(tmp_path):
    (tmp_path / "none").mkdir()
    brought_back(content_of(tmp_path / "none"), tmp_path / "back0")
    assert all_files(tmp_path / "back0") == []
    odd = tmp_path / "odd"
    odd.mkdir()
    for name in (b"a\\b", "ü \n".encode(), b"\xff\xfe", b"-rf", b"..."):
        (odd / os.fsdecode(name)).write_bytes(name)
    brought_back(content_of(odd), tmp_path / "back1")
    assert all_files(tmp_path / "back1") == all_files(odd)


@pytest.mark.parametrize(
    "name", [b"", b"/etc/x", b"../x", b"a/../../x", b"a//b", b"./a", b"a/", b".", b"..", b"a\0b", b"//a"]
)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    columns = {"how": np.zeros(1, np.uint8), "name": [name], "kind": [b""], "bytes": [b"evil"]}
    with pytest.raises(ArtifactError) as caught:
        content_from({"kind": "folder", "n_rows": 1}).write([columns], tmp_path / "out")
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_columns_of_nobody_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "WINDOW", 400)
    content = content_of(folder)
    good = content.block(slice(None))
    n = len(good["how"])
    wide = next(name for name in good if name.endswith(" 2 i2"))
    bad = [
        {"how": good["how"].astype(int)}, {"how": np.full(n, 9, np.uint8)},
        {"how": np.full(n, folders.MORE_SOUND, np.uint8)},
        {"how": np.full(n, folders.MORE_BYTES, np.uint8)}, {"how": np.full(n, folders.PICTURE, np.uint8)},
        {"name": [b"a"] * n}, {"name": good["name"][1:]}, {"kind": [b"name"] * n}, {"kind": [b"how"] * n},
        {"frames": good["frames"] + 1}, {"frames": -good["frames"]}, {"frames": np.full(n, 2**62)}, {"head": [b""] * n},
        {"head": [b"xxxx"] * n}, {"bytes": []}, {wide: good[wide][:, :1]}, {wide: good[wide].astype(np.int32)},
        {"16 12 0 8": good["16 12 0 8"][:, :5]}, {"16 12 0 8": [b"x"] * 8},
    ]  # fmt: skip
    for changed in bad:
        with pytest.raises(ArtifactError) as caught:
            content.form.write([{**good, **changed}], tmp_path / "out")
        assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob("out.part*"))


def test_a_folder_with_files_is_not_written_over(folder, tmp_path):
    content = content_of(folder)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine").write_text("mine")
    with pytest.raises(OutputError):
        brought_back(content, taken, 100)
    assert all_files(taken) == ["mine"]


# ---------------------------------------------------------------- sounds


def wav(bits, channels=2, tag=1, n=50, rate=8000, after=b"", extensible=False):
    """A WAV file, written by hand."""
    data = RANDOM.bytes(n * channels * bits // 8)
    form = struct.pack(
        "<HHIIHH", tag, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits
    )
    if extensible:
        guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
        form = struct.pack("<H", 0xFFFE) + form[2:] + struct.pack("<HHI", 22, bits, 3) + guid
    body = b"WAVE" + b"LIST\3\0\0\0abc\0" + b"fmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("after", [b"", b"x", b"LIST\4\0\0\0tail"])
@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(("tag", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
def test_wav_comes_back_byte_for_byte(tmp_path, tag, bits, extensible, after):
    path, back = tmp_path / "a.wav", tmp_path / "b.wav"
    path.write_bytes(wav(bits, tag=tag, after=after, extensible=extensible))
    content = content_of(path)
    assert (content.kind, content.n_rows, content.form.suffix) == ("sound", 50, ".wav")
    brought_back(content, back, 7)
    assert back.read_bytes() == path.read_bytes()
    if tag == 1:
        expected = soundfile.read(path, dtype="int32", always_2d=True)[0] >> (32 - bits)
        got = content.form.rows(content.block(slice(None))).astype(int) - (128 if bits == 8 else 0)
        assert np.array_equal(got, expected)


def test_a_wav_that_ends_early_comes_back_as_it_is(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(16)[:-33])
    brought_back(content_of(path), tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "data",
    [
        wav(12),
        wav(16, tag=6),
        wav(16, n=0),
        wav(16)[:40],
        b"RIFF\0\0\0\0WAVE",
        b"RIFX" + wav(16)[4:],
        b"fLaC",
        b"",
    ],
)
def test_other_sounds_are_kept_as_bytes(tmp_path, data):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    content = content_of(path)
    assert content.kind == "file"
    brought_back(content, tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_bytes() == data


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_flac_has_equal_samples_and_tags(tmp_path, subtype, bits):
    path, back = tmp_path / "a.flac", tmp_path / "b.flac"
    samples = RANDOM.integers(-(2**31), 2**31, (3000, 2)) >> (32 - bits) << (32 - bits)
    with soundfile.SoundFile(path, "w", 44100, 2, subtype) as file:
        file.title = "a tune"
        file.write(samples.astype(np.int32))
    content = content_of(path)
    brought_back(content, back, 999)
    got, rate = soundfile.read(back, dtype="int32")
    assert rate == 44100
    assert np.array_equal(got, samples)
    with soundfile.SoundFile(back) as file:
        assert (file.title, file.subtype) == ("a tune", subtype)
    assert np.array_equal(content.form.rows(content.block(slice(5, 9))), samples[5:9] >> (32 - bits))


def test_a_flac_whose_digest_is_another_is_kept_as_bytes(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, smooth(500).astype(np.int16), 8000)
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    assert sounds.open_sound(path) is None


def test_a_sound_that_changes_is_told(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(16))
    content = content_of(path)
    path.write_bytes(wav(16)[:100])
    with pytest.raises(SourceError, match="leave it alone"):
        content.block(slice(None))


@pytest.mark.parametrize(
    "sound",
    ["", "wav 1 1 i9", "flac 8000 1 f4", "flac 8000 99 i2", "wav 8000 0 i2", "wav x 1 i2", "mp3 1 1 i2"],
)
def test_facts_of_nobody_are_refused(tmp_path, sound):
    facts = {"kind": "sound", "n_rows": 3, "sound": sound, "head": "", "tail": ""}
    with pytest.raises(ArtifactError, match="sound of kind"):
        content_from(facts)
    with pytest.raises(ArtifactError, match="beside"):
        content_from({**facts, "sound": "wav 8000 1 i2", "head": "!"})
    form = content_from({**facts, "sound": "flac 8000 1 i2", "head": "AAAA"})
    with pytest.raises(ArtifactError, match="none"):
        form.write([{"values": np.zeros((3, 1), np.int16)}], tmp_path / "x")

import re
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from isthmus.errors import SourceError
from isthmus.sources import image_file
from isthmus.sources.image_file import FEWEST, MAX_PIXELS, SMALLEST, read_all, read_header, read_pixels

GREY = np.array([[0, 80, 255], [10, 20, 30]], np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)


def png_of(height, width):
    """A PNG whose header promises any size and that has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 9) + b"IDAT"


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff"])
def test_lossless_formats_come_back_exactly(tmp_path, suffix):
    for array, grey in ((GREY, True), (COLOUR, False)):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(array).save(path)
        assert read_header(path).grey is grey
        assert read_header(path).sides == (2, 3)
        assert np.array_equal(read_pixels(path, grey, deep=False).reshape(array.shape), array)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "gif", "webp"])
def test_the_other_formats_are_read(tmp_path, suffix):
    flat = np.full((4, 5), 128, np.uint8)
    Image.fromarray(flat).save(tmp_path / f"a.{suffix}")
    pixels = read_pixels(tmp_path / f"a.{suffix}", grey=True, deep=False)
    assert pixels.shape == (4, 5, 1)
    assert np.abs(pixels.astype(int) - 128).max() <= 2


def test_modes(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(GREY > 50).save(path)
    assert read_header(path).grey
    assert np.array_equal(read_pixels(path, grey=True, deep=False)[..., 0], (GREY > 50) * 255)
    Image.fromarray(COLOUR).quantize(16).save(path)
    assert not read_header(path).grey
    assert np.array_equal(read_pixels(path, grey=False, deep=False), COLOUR)


def test_grey_among_colour_has_three_equal_channels(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert np.array_equal(read_pixels(tmp_path / "a.png", grey=False, deep=False), np.stack([GREY] * 3, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(tmp_path, mode):
    alpha = np.array([[0, 255, 128]], np.uint8)
    colour = [np.full((1, 3), 100, np.uint8)] * (3 if mode == "RGBA" else 1)
    Image.fromarray(np.stack([*colour, alpha], -1), mode=None).save(tmp_path / "a.png")
    grey = read_header(tmp_path / "a.png").grey
    assert grey is (mode == "LA")
    expected = np.rint(100 * (alpha / 255) + 255 * (1 - alpha / 255))
    got = read_pixels(tmp_path / "a.png", grey, deep=False)
    assert np.abs(got[..., 0] - expected).max() <= 1
    assert got.shape[-1] == (1 if grey else 3)


def test_a_transparent_colour_of_a_palette_is_white(tmp_path):
    image = Image.fromarray(COLOUR).quantize(16)
    image.save(tmp_path / "a.gif", transparency=image.getpixel((0, 0)))
    got = read_pixels(tmp_path / "a.gif", grey=False, deep=False)
    assert got[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(got[1:], COLOUR[1:])


@pytest.mark.parametrize(("tag", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_exif_rotation_is_applied(tmp_path, tag, turns):
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    got = read_pixels(tmp_path / "a.png", grey=True, deep=False)[..., 0]
    assert np.array_equal(got, np.rot90(GREY, turns))


def test_sixteen_bits(tmp_path):
    deep = np.array([[0, 257, 65535], [300, 30_000, 1]], np.uint16)
    for suffix in ("png", "tif"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(deep).save(path)
        assert read_header(path).deep
        got = read_pixels(path, grey=True, deep=True)
        assert (got.dtype, got[..., 0].tolist()) == (np.uint16, deep.tolist())
        shallow = read_pixels(path, grey=True, deep=False)
        assert (shallow.dtype, shallow[..., 0].tolist()) == (np.uint8, [[0, 1, 255], [1, 117, 0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_resizing_is_antialiased(tmp_path, dtype):
    """A checkerboard of single pixels becomes even grey; picking pixels would leave it black or white."""
    top = np.iinfo(dtype).max
    board = (np.indices((64, 64)).sum(axis=0) % 2 * top).astype(dtype)
    Image.fromarray(board).save(tmp_path / "a.png")
    got = read_pixels(tmp_path / "a.png", grey=True, deep=dtype == np.uint16, resize=(8, 16))
    assert (got.shape, got.dtype) == ((8, 16, 1), dtype)
    assert np.abs(got[1:-1, 1:-1] / top - 0.5).max() < 0.02


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((3, 3), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_pixels(tmp_path / "a.gif", grey=True, deep=False).max() == 10


def test_pixel_counts_are_capped_before_decoding(tmp_path):
    for height, width, got in ((8193, 8192, "8193 x 8192"), (50_000, 50_000, "several times as many")):
        (tmp_path / "a.png").write_bytes(png_of(height, width))
        message = f"a.png: an image may have at most 67108864 pixels, got {got}; make it smaller"
        with pytest.raises(SourceError, match=message):
            read_header(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png_of(8192, 8192))
    assert read_header(tmp_path / "a.png").sides == (8192, 8192)


def test_files_that_are_no_images(tmp_path):
    path = tmp_path / "a.png"
    for content in (b"", b"hello, I am text\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        path.write_bytes(content)
        with pytest.raises(
            SourceError, match=re.escape(f"{path}: expected an image, got a file that cannot be decoded")
        ):
            read_header(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_truncated_images(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=re.escape(f"{path}: expected an image")):
        read_pixels(path, grey=False, deep=False)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_of_32_bits_are_refused(tmp_path, dtype):
    Image.fromarray(np.zeros((2, 2), dtype)).save(tmp_path / "a.tif")
    with pytest.raises(SourceError, match="expected pixels of 8 or 16 bits, got 32"):
        read_header(tmp_path / "a.tif")


@pytest.mark.parametrize(("n_files", "n_cores"), [(3 * FEWEST, 3), (3 * FEWEST, 1), (FEWEST - 1, 3)])
def test_many_files_come_in_order_and_those_that_are_broken_in_their_place(
    tmp_path, monkeypatch, n_files, n_cores
):
    monkeypatch.setattr(image_file, "n_cores", lambda: n_cores)
    files, broken = [tmp_path / f"{number}.png" for number in range(n_files)], (2, n_files - 1)
    for number, file in enumerate(files):
        Image.fromarray(np.full((2, 3), number, np.uint8)).save(file)
        if number in broken:
            file.write_bytes(file.read_bytes()[:40])
    filters = list(warnings.filters)
    found = list(read_all(files, grey=True, deep=False, largest=SMALLEST))
    assert warnings.filters == filters
    for number, pixels in enumerate(found):
        if number in broken:
            assert isinstance(pixels, SourceError)
            assert str(files[number]) in str(pixels)
        else:
            assert np.array_equal(pixels, np.full((2, 3, 1), number))
    assert len(found) == n_files


def test_no_more_is_decoded_than_somebody_waits_for_and_large_and_small_ones_one_at_a_time(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(image_file, "n_cores", lambda: 3)
    files, seen = [tmp_path / f"{number}.png" for number in range(200)], []
    for file in files:
        Image.fromarray(GREY).save(file)
    own = image_file._pixels
    monkeypatch.setattr(
        image_file,
        "_pixels",
        lambda file, *rest: (seen.append(threading.get_ident()), own(file, *rest))[1],
    )
    for largest, most in ((SMALLEST, 8), (SMALLEST - 1, 1), (MAX_PIXELS, 1)):
        seen.clear()
        reading = read_all(files, grey=True, deep=False, largest=largest)
        next(reading)
        reading.close()
        assert 1 <= len(seen) <= most
        assert (threading.get_ident() in seen) is (most == 1)

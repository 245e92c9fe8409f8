import os
import re

import numpy as np
import pytest
from PIL import Image

from isthmus.errors import DataError, ParameterError, SourceError
from isthmus.sources import ArraySource, open_source
from isthmus.sources.image_file import _pixels
from isthmus.sources.images import ImageFiles, open_images


def save(path, value=7, size=(4, 6), dtype=np.uint8, channels=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, *channels), value, dtype)).save(path)


def first_values(source):
    return source.read(slice(None))[:, 0, 0, 0].tolist()


def test_a_folder_in_the_order_of_names(tmp_path):
    for value, name in enumerate(["b.png", "a/z.PNG", "a.bmp", "c/d/e.tif"]):
        save(tmp_path / name, value)
    save(tmp_path / ".hidden.png", 99)
    save(tmp_path / ".git" / "x.png", 99)
    (tmp_path / "notes.txt").write_text("not an image")
    source = open_images(tmp_path)
    assert source.schema.describe() == "pictures 4 x 6 x 1, uint8"
    assert source.schema.value_range == (0.0, 255.0)
    assert first_values(source) == [2, 1, 0, 3]
    assert source.labels is None


def test_one_colour_image_makes_all_colour(tmp_path):
    save(tmp_path / "a.png", 1)
    save(tmp_path / "b.png", 2, channels=(3,))
    save(tmp_path / "c.png", 2570, dtype=np.uint16)
    source = open_images(tmp_path)
    assert source.schema.sample_shape == (4, 6, 3)
    assert source.read(slice(None))[:, 0, 0].tolist() == [[1] * 3, [2] * 3, [10] * 3]


def test_sixteen_bits_only_if_all_are(tmp_path):
    save(tmp_path / "a.png", 514, dtype=np.uint16)
    assert open_images(tmp_path).schema.dtype == "uint16"
    assert first_values(open_images(tmp_path)) == [514]
    save(tmp_path / "b.png", 3)
    assert open_images(tmp_path).schema.dtype == "uint8"
    assert first_values(open_images(tmp_path)) == [2, 3]


def test_sub_folders_are_labels_if_every_image_is_in_one(tmp_path):
    save(tmp_path / "dog" / "1.png")
    save(tmp_path / "cat" / "deep" / "2.png")
    assert open_images(tmp_path).labels.tolist() == ["cat", "dog"]
    save(tmp_path / "loose.png")
    assert open_images(tmp_path).labels is None


def test_sub_folders_named_by_numbers(tmp_path):
    for name in ("0/a.png", "7/b.png", "10/c.png"):
        save(tmp_path / name)
    assert open_images(tmp_path).labels.tolist() == [0, 10, 7]


def test_labels_from_a_file(tmp_path):
    for name in ("x/a.png", "b.png"):
        save(tmp_path / name)
    path = tmp_path / "labels.csv"
    path.write_text("filename,label\nx/a.png,one\nb.png,two\n")
    assert open_images(tmp_path, labels=path).labels.tolist() == ["two", "one"]
    path.write_text("5\n6\n")
    assert open_images(tmp_path, labels=path).labels.tolist() == [5, 6]


def test_mixed_sizes_name_two_files_and_the_way_out(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "in" / "b.png", size=(5, 6))
    with pytest.raises(DataError) as caught:
        open_images(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'a.png'}: expected images of one size, got 4 x 6 here and 5 x 6 in {tmp_path / 'in' / 'b.png'} "
        f"(height x width); to resize them all, set data.resize = [4, 6], "
        f"at the command line --set data.resize=[4,6]."
    )
    source = open_images(tmp_path, resize=[3, 2])
    assert source.schema.sample_shape == (3, 2, 1)
    assert first_values(source) == [7, 7]


def test_sizes_are_compared_as_people_see_them(tmp_path):
    """An EXIF rotation can make two sizes one, or one size two."""
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.png", size=(4, 6))
    Image.fromarray(np.full((6, 4), 9, np.uint8)).save(tmp_path / "b.png", exif=exif)
    assert first_values(open_images(tmp_path)) == [7, 9]
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(tmp_path / "b.png", exif=exif)
    with pytest.raises(DataError, match=re.escape("got 4 x 6 here and 6 x 4 in")):
        open_images(tmp_path)


@pytest.mark.parametrize("content", [b"text", None])
def test_one_bad_file_is_named(tmp_path, content):
    save(tmp_path / "a.png")
    save(tmp_path / "b.png", size=(4, 6))
    path = tmp_path / "b.png"
    path.write_bytes(path.read_bytes()[:45] if content is None else content)
    with pytest.raises(SourceError, match=re.escape(f"{path}: expected an image")):
        open_images(tmp_path, strict=True)
    source = open_images(tmp_path)
    assert len(source) == 1
    assert source.notes == ("1 of 2 images cannot be decoded and are left out: b.png.",)


def test_without_a_good_file(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"text")
    with pytest.raises(SourceError, match=re.escape(f"{tmp_path / 'a.png'}: expected an image")):
        open_images(tmp_path)
    with pytest.raises(SourceError, match="expected an image"):
        open_images(tmp_path / "a.png")


def test_names_and_labels_go_with_the_files_that_are_left(tmp_path):
    for value, name in enumerate(["a/1.png", "b/2.png", "b/3.png"]):
        save(tmp_path / name, value)
    (tmp_path / "b" / "2.png").write_bytes(b"")
    source = open_images(tmp_path)
    assert source.row_names.tolist() == ["a/1.png", "b/3.png"]
    assert source.labels.tolist() == ["a", "b"]
    assert first_values(source) == [0, 2]


def test_what_was_done_to_the_pixels_is_said(tmp_path):
    save(tmp_path / "deep.png", 2570, dtype=np.uint16)
    save(tmp_path / "grey.png")
    Image.new("CMYK", (6, 4)).save(tmp_path / "print.jpg")
    Image.new("RGBA", (6, 4)).save(tmp_path / "glass.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (4, 6)).save(tmp_path / "phone.jpg", exif=turned)
    Image.new("RGB", (12, 8)).save(tmp_path / "large.png")
    frames = [Image.new("L", (6, 4), shade) for shade in (0, 99)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    source = open_images(tmp_path, resize=(4, 6))
    assert source.notes == (
        "1 of 7 images: an animation or several pages, of which the first is taken.",
        "1 of 7 images: turned upright as their EXIF tag says.",
        "1 of 7 images: transparency laid over white.",
        "1 of 7 images: CMYK brought to RGB without a colour profile.",
        "2 of 7 images: grey, taken as colour like the others.",
        "1 of 7 images: 16 bits brought to 8.",
        "2 of 7 images: stretched or squeezed to 4 x 6.",
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_proportions_kept(tmp_path, dtype):
    picture = np.full((8, 16), 50, dtype)
    picture[:, 4:12] = 200
    Image.fromarray(picture).save(tmp_path / "a.png")
    rows = {
        by: open_images(tmp_path, resize=(8, 8), resize_by=by).read(slice(None))[0, :, :, 0]
        for by in ("crop", "pad")
    }
    assert rows["crop"].tolist() == [[200] * 8] * 8
    assert (rows["pad"][[0, 1, 6, 7]] == 50).all()
    np.testing.assert_allclose(rows["pad"][4, [0, 4]], [50, 200], atol=3)


def test_a_folder_without_images(tmp_path):
    with pytest.raises(SourceError, match=r"expected a folder with images .* got an empty one; give"):
        open_images(tmp_path)
    for name in ("w.csv", "x.npy", "y.txt", "z.txt"):
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match=re.escape("got a folder with w.csv, x.npy, y.txt and more;")):
        open_images(tmp_path)


@pytest.mark.parametrize("resize", [[28], [0, 3], [1, 2, 3]])
def test_a_resize_that_is_none(tmp_path, resize):
    with pytest.raises(ParameterError, match=re.escape(f"two positive integers, got {resize}; try [28, 28]")):
        open_images(tmp_path, resize=resize)


def test_images_that_memory_does_not_hold_are_decoded_as_they_are_read(tmp_path):
    for number in range(6):
        save(tmp_path / "ab"[number % 2] / f"{number}.png", 10 * number, channels=(3,))
    (tmp_path / "a" / "broken.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:45])
    held = open_images(tmp_path, budget=7 * 4 * 6 * 3)
    read = open_images(tmp_path, budget=6 * 4 * 6 * 3)
    assert isinstance(held, ArraySource)
    assert isinstance(read, ImageFiles)
    assert read.schema == held.schema
    assert len(read) == len(held) == 6
    for rows in (slice(None), slice(2, 4), slice(0, 0), np.array([5, 0, 5]), slice(None, None, -1)):
        np.testing.assert_array_equal(read.read(rows), held.read(rows))
    assert read.labels.tolist() == held.labels.tolist()
    assert read.row_names.tolist() == held.row_names.tolist()
    *same, more = read.notes
    assert tuple(same) == held.notes
    assert more == "Images: 6 take 504 B, more than memory holds: decoded as they are read."
    with pytest.raises(DataError, match="row numbers must be below 6"):
        read.read(np.array([6]))
    save(tmp_path / "a" / "0.png", size=(8, 8), channels=(3,))
    with pytest.raises(DataError, match="expected images of one size"):
        read.read(slice(0, 1))


def test_held_images_are_decoded_once(tmp_path, monkeypatch):
    decoded = []
    for number in range(4):
        save(tmp_path / f"{number}.png", number)
    monkeypatch.setattr(
        "isthmus.sources.image_file._pixels",
        lambda file, *rest: (decoded.append(file), _pixels(file, *rest))[1],
    )
    source = open_images(tmp_path)
    source.read(slice(None))
    source.read(np.array([2]))
    assert len(decoded) == 4


def test_an_image_that_memory_does_not_hold_is_refused(tmp_path):
    save(tmp_path / "a.png")
    words = (
        "expected images of which memory holds one, 1 GB, got 50000 x 100000 pixels, 5 GB; make them smaller"
    )
    with pytest.raises(SourceError, match=words):
        open_images(tmp_path, resize=(50_000, 100_000), budget=10**9)


def test_one_image_is_one_row(tmp_path):
    save(tmp_path / "a.png", 5)
    assert first_values(open_images(tmp_path / "a.png")) == [5]


def test_a_folder_that_may_not_be_read_does_not_vanish(tmp_path, monkeypatch):
    for name in ("a", "b"):
        save(tmp_path / name / "0.png")
    listed = os.scandir

    def refused(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(SourceError, match="may be read, got the answer 'Permission denied'") as caught:
        open_source(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'b'}: ")

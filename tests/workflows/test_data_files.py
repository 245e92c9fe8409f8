"""Rows as pictures in files, and what an earlier writing left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from isthmus.preprocessing import Scaling
from isthmus.schema import Schema
from isthmus.sources import ArraySource
from isthmus.workflows.data_files import pixels_of, write_rows


def schema_of(pictures: NDArray[np.generic], **options: str) -> Schema:
    return Scaling.fit(ArraySource(pictures), np.arange(len(pictures)), **options).schema  # type: ignore[arg-type]


def test_flags_are_black_and_white() -> None:
    flags = np.array([[[0, 1], [1, 0]], [[1, 1], [0, 0]]], np.uint8)
    np.testing.assert_array_equal(pixels_of(flags[..., None], schema_of(flags))[..., 0], flags * 255)
    shades = flags * np.uint8(200)
    np.testing.assert_array_equal(pixels_of(shades[..., None], schema_of(shades))[..., 0], shades)


def test_pictures_as_they_are_fill_their_own_range() -> None:
    values = np.array([-1.0, 0.0, 1.0, 3.0, 0.0, 0.5, 1.0, 0.2]).reshape(2, 2, 2, 1)
    schema = schema_of(values, method="none")
    np.testing.assert_array_equal(pixels_of(values[:1], schema).ravel(), [0, 64, 128, 255])
    np.testing.assert_array_equal(pixels_of(values[1:], schema).ravel(), [0, 128, 255, 51])


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_holds_the_pictures_written_last(tmp_path: Path, there: bool) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (12, 3, 4, 1)).astype(np.uint8)
    schema, folder = schema_of(pictures), tmp_path / "out"
    if there:
        folder.mkdir()
        for name in ("notes.txt", "1.png", "cover.png"):
            (folder / name).write_bytes(b"kept")
    assert write_rows(folder, pictures, schema, folder=True) == 12
    assert write_rows(folder, pictures[9:], schema, folder=True) == 3
    kept = {"notes.txt", "1.png", "cover.png"} if there else set()
    assert {file.name for file in folder.iterdir()} == kept | {f"{row:06d}.png" for row in range(3)}
    with Image.open(folder / "000002.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pictures[11, :, :, 0])
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_nothing_is_written_beside_a_folder_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = tmp_path / "out", []
    folder.mkdir()
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append(self)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    pictures = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    write_rows(folder, pictures, schema_of(pictures), folder=True)
    assert len(seen) == 2
    assert all(folder in file.parents for file in seen)

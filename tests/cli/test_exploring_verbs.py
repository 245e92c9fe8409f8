"""``sample`` and ``interpolate``: what they write is what the model says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isthmus.artifact import open_model
from isthmus.exploration.priors import StandardNormal
from isthmus.exploration.sampling import sample
from isthmus.inference import Inference

Command = Callable[..., Any]


def test_samples_of_a_gaussian_code(place: Path, isthmus: Command) -> None:
    done = isthmus("sample", "gaussian.safetensors", "-n", "7", "--seed", "3", "-o", "new.npy", "--json")
    assert done.status == 0, done.err
    assert done.json == {
        "notes": [],
        "output": "new.npy", "rows": 7, "dtype": "float64", "shape": [7, 5],
        "prior": "standard normal", "seed": 3, "noise": False,
    }  # fmt: skip
    fitted = open_model("gaussian.safetensors")
    expected = fitted.scaling.to_data(sample(Inference(fitted), 7, StandardNormal(3), seed=3))
    np.testing.assert_array_equal(np.load("new.npy"), expected)
    done = isthmus("sample", "gaussian.safetensors", "-o", "more.npy")
    assert (done.status, np.load("more.npy").shape) == (0, (100, 5))
    assert "standard normal" in done.out


def test_samples_of_another_code_from_a_mixture(place: Path, isthmus: Command) -> None:
    options = ("--like", "pictures.npy", "--components", "2")
    done = isthmus("sample", "model.safetensors", "-n", "5", *options, "-o", "new.png", "--json")
    assert (done.status, done.json["prior"]) == (0, "mixture of 2 normal components"), done.err
    with Image.open("new.png") as image:
        assert image.size == (3 * 10 - 2, 2 * 10 - 2)


def test_what_was_made_of_the_ends_is_said(tmp_path: Path, place: Path, isthmus: Command) -> None:
    for name, shade in (("grey", (9, 9, 9)), ("red", (9, 0, 0))):
        Image.new("RGBA", (8, 8), (*shade, 99)).convert("LA").save(tmp_path / f"{name}.png")
    ends = [str(tmp_path / f"{name}.png") for name in ("grey", "red")]
    done = isthmus("interpolate", "model.safetensors", *ends, "-o", "between.npy", "--json")
    assert done.json["notes"] == [f"{end}: 1 of 1 images: transparency laid over white." for end in ends]
    done = isthmus("score", "model.safetensors", ends[0], "-o", "odd.csv")
    assert "1 of 1 images: transparency laid over white." in " ".join(done.out.split())
    done = isthmus("score", "model.safetensors", ends[0], "-o", "odd.npy", "--json")
    assert done.json["notes"] == ["1 of 1 images: transparency laid over white."]


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_interpolation_begins_and_ends_at_reconstructions(place: Path, isthmus: Command, path: str) -> None:
    isthmus("reconstruct", "model.safetensors", "labelled.npz", "-o", "rebuilt.npy")
    done = isthmus(
        "interpolate", "model.safetensors", "labelled.npz:2", "labelled.npz:7", "--steps", "5", "--path", path,
        "-o", "between.npy", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert done.json == {
        "notes": [],
        "output": "between.npy", "rows": 5, "dtype": "uint8", "shape": [5, 8, 8, 1], "path": path,
    }  # fmt: skip
    np.testing.assert_array_equal(np.load("between.npy")[[0, -1]], np.load("rebuilt.npy")[[2, 7]])
    done = isthmus("interpolate", "model.safetensors", "labelled.npz:2", "labelled.npz:7", "-o", "between/")
    assert (done.status, len(list(Path("between").iterdir()))) == (0, 9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sample", "model.safetensors", "-o", "x.npy"), "fitted to the codes of rows, got none"),
        (("sample", "model.safetensors", "--components", "2", "-o", "x.npy"), "Add --like SOURCE"),
        (("sample", "gaussian.safetensors", "-n", "0", "-o", "x.npy"), "must be at least 1, got 0"),
        (("sample", "gaussian.safetensors", "--noise", "-o", "x.npy"), "from a density alone"),
        (("sample", "gaussian.safetensors", "-o", "table.npy"), "--force"),
        (("interpolate", "model.safetensors", "labelled.npz", "labelled.npz:1", "-o", "x.npy"), "got 20. Say which"),
        (("interpolate", "model.safetensors", "labelled.npz:1", "labelled.npz:99", "-o", "x.npy"), "below 20, got 99"),
        (("interpolate", "model.safetensors", "labelled.npz:1", "labelled.npz:2", "--steps", "1", "-o", "x.npy"),
         "at least 2"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(place: Path, isthmus: Command, arguments: tuple[str, ...], said: str) -> None:
    done = isthmus(*arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("x.npy").exists()

"""Verbs of a model that is conditional on a label: what they ask for, and what they make of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isthmus.artifact import open_model
from isthmus.cli.main import run
from isthmus.inference import Inference
from isthmus.sources import ArraySource

torch.set_num_threads(1)

Command = Callable[..., Any]
Y = np.array(["cat", "dog"])[np.arange(120) % 2]
X = np.random.default_rng(0).normal(size=(120, 4)) + 4 * (Y == "dog")[:, None]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditional")
    np.save(folder / "x.npy", X)
    (folder / "y.txt").write_text("\n".join(Y))
    np.savez(folder / "own.npz", x=X, y=Y)
    parts = ["--kind", "variational", "--code-size", "2", "--set", "model.condition=label"]
    plan = ["--epochs", "100", "--seed", "0", "--set", "training.learning_rate=0.01"]
    rows = ["fit", str(folder / "x.npy"), "--labels", str(folder / "y.txt")]
    assert run([*rows, *parts, *plan, "-o", str(folder / "m.safetensors")]) == 0
    return folder


@pytest.fixture
def place(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inference() -> Inference:
    return Inference(open_model("m.safetensors"))


def test_info_names_the_labels(place: Path, isthmus: Command) -> None:
    assert "a label of 2 classes: cat, dog" in isthmus("info", "m.safetensors").out
    assert isthmus("info", "m.safetensors", "--json").json["classes"] == ["cat", "dog"]


def test_codes_go_there_and_back_with_their_labels(place: Path, isthmus: Command) -> None:
    expected = inference().reconstruct(ArraySource(X, Y))
    labels = ("--labels", "y.txt")
    for codes, more in (("h.npz", ()), ("h.csv", ()), ("h.npy", labels)):
        done = isthmus("encode", "m.safetensors", "x.npy", *labels, "-o", codes)
        assert done.status == 0, done.err
        done = isthmus("decode", "m.safetensors", codes, *more, "-o", "r.npy", "--force")
        assert done.status == 0, done.err
        np.testing.assert_array_equal(np.load("r.npy"), expected)
    done = isthmus("reconstruct", "m.safetensors", "x.npy", *labels, "-o", "r2.npy")
    assert done.status == 0, done.err
    np.testing.assert_array_equal(np.load("r2.npy"), expected)


def test_samples_are_of_the_label_asked_for(place: Path, isthmus: Command) -> None:
    for name in ("cat", "dog"):
        done = isthmus("sample", "m.safetensors", "-n", "200", "--label", name, "-o", f"{name}.npy")
        assert done.status == 0, done.err
    assert np.load("dog.npy").mean() - np.load("cat.npy").mean() > 1
    like = ("--like", "x.npy", "--labels", "y.txt", "--components", "1")
    assert isthmus("sample", "m.safetensors", *like, "--label", "dog", "-o", "l.npy").status == 0


def test_between_two_of_one_label(place: Path, isthmus: Command) -> None:
    done = isthmus("interpolate", "m.safetensors", "x.npy:0", "x.npy:2", "--label", "cat", "-o", "b.npy")
    assert done.status == 0, done.err
    ends = inference().reconstruct(ArraySource(X[[0, 2]], ["cat", "cat"]))
    np.testing.assert_array_equal(np.load("b.npy")[[0, -1]], ends)


def test_a_report_of_labelled_rows(place: Path, isthmus: Command) -> None:
    done = isthmus("report", "m.safetensors", "x.npy", "--labels", "y.txt", "-o", "r.html", "--json")
    assert done.status == 0, done.err
    assert done.json["error"]["mse"] < done.json["baselines"]["mean"]["mse"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("encode", "m.safetensors", "x.npy", "-o", "n.npy"), "expected a label a row"),
        (("reconstruct", "m.safetensors", "x.npy", "-o", "n.npy"), "expected a label a row"),
        (("report", "m.safetensors", "x.npy", "-o", "n.html"), "expected a label a row"),
        (("sample", "m.safetensors", "-o", "n.npy"), "expected a label a code (2 classes: cat, dog)"),
        (("sample", "m.safetensors", "--label", "cow", "-o", "n.npy"), "got 'cow'"),
        (("sample", "m.safetensors", "--label", "cat", "--labels", "y.txt", "-o", "n.npy"), "--like"),
        (("interpolate", "m.safetensors", "x.npy:0", "x.npy:1", "-o", "n.npy"), "expected a label a row"),
        (("fit", "x.npy", "--set", "model.condition=label", "-o", "n.safetensors"), "expected a label a row"),
        (("fit", "x.npy", "--validation-labels", "y.txt", "-o", "n.safetensors"), "--validation SOURCE"),
    ],
)
def test_no_label_is_guessed(place: Path, isthmus: Command, arguments: tuple[str, ...], said: str) -> None:
    done = isthmus(*arguments)
    assert done.status == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(place.glob("n.*"))


def test_between_two_labels_there_is_no_path(place: Path, isthmus: Command) -> None:
    names = (place / "own.npz").name
    done = isthmus("interpolate", "m.safetensors", f"{names}:0", f"{names}:1", "-o", "n.npy")
    assert done.status == 2
    assert "two examples of one label" in done.err


def test_validation_rows_bring_their_labels(place: Path, isthmus: Command) -> None:
    np.save("v.npy", X[:10] + 1)
    Path("v.txt").write_text("\n".join(Y[:10]))
    fit = ("fit", "x.npy", "--labels", "y.txt", "--set", "model.condition=label", "--epochs", "1")
    own = ("--validation", "v.npy", "--validation-labels", "v.txt")
    done = isthmus(*fit, *own, "-o", "v.safetensors", "--json")
    assert (done.status, done.json["rows"]) == (0, 10), done.err
    assert isthmus(*fit, "--validation", "v.npy", "-o", "w.safetensors").status == 2


def test_a_label_is_for_a_conditional_model(place: Path, isthmus: Command) -> None:
    parts = ("--kind", "variational", "--code-size", "2", "--epochs", "1")
    assert isthmus("fit", "x.npy", *parts, "-o", "plain.safetensors").status == 0
    np.save("h.npy", np.zeros((2, 2)))
    for verb in (("sample", "plain.safetensors"), ("decode", "plain.safetensors", "h.npy")):
        done = isthmus(*verb, "--label", "cat", "-o", "n.npy")
        assert done.status == 2
        assert "not conditional" in done.err
    assert (
        isthmus(
            "interpolate", "plain.safetensors", "x.npy:0", "x.npy:1", "--label", "cat", "-o", "n.npy"
        ).status
        == 2
    )

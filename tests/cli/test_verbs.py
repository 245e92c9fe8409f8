"""The verbs that use a model: what they write is what the model says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isthmus.artifact import open_model
from isthmus.cli.main import VERBS
from isthmus.inference import Inference
from isthmus.sources import open_source

Command = Callable[..., Any]


@pytest.fixture
def codes(place: Path) -> np.ndarray:
    return Inference(open_model("model.safetensors")).encode(open_source("labelled.npz"))


def test_codes_in_every_format(place: Path, isthmus: Command, codes: np.ndarray) -> None:
    for name in ("c.npy", "c.npz", "c.csv"):
        done = isthmus("encode", "model.safetensors", "labelled.npz", "-o", name, "--json")
        assert (done.status, done.json) == (0, {"output": name, "rows": 20, "code": {"size": 3}, "notes": []})
    np.testing.assert_array_equal(np.load("c.npy"), codes)
    with np.load("c.npz") as file:
        np.testing.assert_array_equal(file["codes"], codes)
        np.testing.assert_array_equal(file["labels"], np.arange(20) % 4)
    header, first, *_ = Path("c.csv").read_text("utf-8").splitlines()
    assert header == "code_0,code_1,code_2,label"
    assert [np.float32(text) for text in first.split(",")] == [*codes[0], 0]


def test_one_row_has_the_code_that_it_has_among_others(
    place: Path, isthmus: Command, codes: np.ndarray
) -> None:
    assert isthmus("encode", "model.safetensors", "labelled.npz:7", "-o", "c.npy").status == 0
    np.testing.assert_array_equal(np.load("c.npy"), codes[7:8])


def test_scale_of_a_gaussian_code(place: Path, isthmus: Command) -> None:
    assert isthmus("encode", "gaussian.safetensors", "table.npy", "-o", "c.npz", "--scale").status == 0
    mean, scale = Inference(open_model("gaussian.safetensors")).code_distribution(open_source("table.npy"))
    with np.load("c.npz") as file:
        np.testing.assert_array_equal(file["codes"], mean)
        np.testing.assert_array_equal(file["scale"], scale)
    assert isthmus("encode", "gaussian.safetensors", "table.npy", "-o", "c.csv", "--scale").status == 0
    assert Path("c.csv").read_text("utf-8").startswith("code_0,code_1,code_2,scale_0,scale_1,scale_2\n")
    assert isthmus("decode", "gaussian.safetensors", "c.csv", "-o", "x.npy").status == 0
    assert np.load("x.npy").shape == (50, 5)


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_decoded_codes_are_the_reconstruction(place: Path, isthmus: Command, suffix: str) -> None:
    assert isthmus("encode", "model.safetensors", "labelled.npz", "-o", f"c.{suffix}").status == 0
    assert isthmus("decode", "model.safetensors", f"c.{suffix}", "-o", "decoded.npy").status == 0
    assert isthmus("reconstruct", "model.safetensors", "labelled.npz", "-o", "rebuilt.npy").status == 0
    assert np.load("decoded.npy").dtype == np.uint8
    np.testing.assert_array_equal(np.load("decoded.npy"), np.load("rebuilt.npy"))


@pytest.mark.parametrize("output", ["pictures", "pictures/", "pictures.of/"])
def test_a_folder_of_pictures(place: Path, isthmus: Command, output: str) -> None:
    assert isthmus("reconstruct", "model.safetensors", "labelled.npz", "-o", "rebuilt.npy").status == 0
    done = isthmus("reconstruct", "model.safetensors", "labelled.npz", "-o", output, "--json")
    assert done.status == 0, done.err
    assert (done.json["rows"], done.json["metrics"]["rows"]) == (20, 20)
    source = open_source(output)
    np.testing.assert_array_equal(source.read(slice(0, 20)), np.load("rebuilt.npy"))
    assert isthmus("reconstruct", "model.safetensors", "labelled.npz", "-o", output, "--force").status == 0
    assert sorted(path.name for path in Path(output).iterdir())[:2] == ["000000.png", "000001.png"]
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


def test_a_folder_of_pictures_keeps_their_names(place: Path, isthmus: Command) -> None:
    assert isthmus("decode", "model.safetensors", *_codes_of(isthmus, "labelled.npz"), "-o", "in").status == 0
    for old, new in (("000000.png", "cat/a.png"), ("000001.png", "cat/b.png"), ("000002.png", "dog/a.png")):
        Path("in", new).parent.mkdir(exist_ok=True)
        Path("in", old).rename(Path("in", new))
    assert isthmus("reconstruct", "model.safetensors", "in", "-o", "out").status == 0
    names = [
        {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.png")}
        for folder in ("in", "out")
    ]
    assert names[0] == names[1] >= {"cat/a.png", "cat/b.png", "dog/a.png", "000019.png"}
    assert isthmus("reconstruct", "model.safetensors", "in", "-o", "rebuilt.npy").status == 0
    np.testing.assert_array_equal(open_source("out").read(slice(0, 20)), np.load("rebuilt.npy"))
    done = isthmus("reconstruct", "model.safetensors", "in:3", "-o", "in/", "--force")
    assert (done.status, "expected a folder other than that of the data" in done.err) == (2, True)


def _codes_of(isthmus: Command, name: str) -> tuple[str]:
    assert isthmus("encode", "model.safetensors", name, "-o", "codes.npy").status == 0
    return ("codes.npy",)


def test_a_sheet_of_pictures(place: Path, isthmus: Command) -> None:
    assert isthmus("reconstruct", "model.safetensors", "labelled.npz", "-o", "rebuilt.npy").status == 0
    done = isthmus("reconstruct", "model.safetensors", "labelled.npz", "-o", "sheet.png")
    assert (done.status, "20 of shape 8 x 8 x 1, uint8" in done.out) == (0, True)
    with Image.open("sheet.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape == (4 * 10 - 2, 5 * 10 - 2)
    np.testing.assert_array_equal(sheet[10:18, 20:28], np.load("rebuilt.npy")[7, :, :, 0])


def test_reconstruct_tells_the_error(place: Path, isthmus: Command) -> None:
    done = isthmus("reconstruct", "gaussian.safetensors", "table.npy", "-o", "x.npy", "--json")
    rows = np.load("table.npy")
    scaled = (rows - np.load("x.npy")) / open_model("gaussian.safetensors").scaling.scale
    assert done.json["metrics"]["error"]["sse"] == pytest.approx(
        np.square(scaled).sum(axis=1).mean(), rel=1e-4
    )


def test_info_of_a_model(place: Path, isthmus: Command) -> None:
    found = isthmus("info", "model.safetensors", "--json").json
    model = open_model("model.safetensors")
    assert found["what"] == "model"
    assert found["bytes"] == Path("model.safetensors").stat().st_size
    assert found["parameters"] == sum(value.numel() for value in model.module.state_dict().values())
    assert found["metrics"] == model.metrics
    assert found["schema"]["sample_shape"] == [8, 8, 1]
    text = isthmus("info", "model.safetensors").out
    for word in ("dense", "8 x 8 x 1", f"{found['parameters']:,} parameters", "against PCA", "seed 0"):
        assert word in text


def test_info_of_data(place: Path, isthmus: Command) -> None:
    found = isthmus("info", "labelled.npz", "--json").json
    assert (found["what"], found["rows"], found["labels"]) == (
        "data",
        20,
        {"count": 4, "first": [0, 1, 2, 3]},
    )
    assert found["likelihood"]["name"] in ("bernoulli", "squared_error")
    assert "20 pictures 8 x 8 x 1, uint8" in isthmus("info", "labelled.npz").out
    assert "cannot be fitted" in isthmus("info", "labelled.npz:3").out


def test_a_report(place: Path, isthmus: Command) -> None:
    done = isthmus("report", "model.safetensors", "labelled.npz", "-o", "page.html", "--json")
    assert done.status == 0, done.err
    rebuilt = isthmus("reconstruct", "model.safetensors", "labelled.npz", "-o", "x.npy", "--json").json
    found = done.json
    robust = found.pop("robustness")
    assert found == {"output": "page.html", **rebuilt["metrics"], "notes": []}
    assert robust.keys() == {"code", "reconstruction", "rows"}
    assert done.json["rows"] == 20
    assert done.json["error"] == rebuilt["error"]
    assert set(done.json["baselines"]) == {"pca", "mean"}
    assert "<html" in Path("page.html").read_text("utf-8")


@pytest.mark.parametrize(("likelihood", "said"), [("squared_error", ""), ("bernoulli", "-loss - rate"),
                                                  ("gaussian", "of x in model units")])  # fmt: skip
def test_evidence_is_said_of_a_density_alone(
    place: Path, isthmus: Command, quick: tuple[str, ...], likelihood: str, said: str
) -> None:
    data = "pictures.npy" if likelihood == "bernoulli" else "table.npy"
    chosen = ("--kind", "variational", "--set", f"model.likelihood={likelihood}")
    done = isthmus("fit", data, "-o", "v.safetensors", *quick, *chosen)
    assert done.status == 0, done.err
    assert ("evidence" in done.out) == (likelihood == "gaussian")
    assert said in done.out
    assert ("one draw of the code" in done.out) == bool(said)


def test_a_likelihood_is_said_once(place: Path, isthmus: Command) -> None:
    line = next(each for each in isthmus("info", "table.npy").out.splitlines() if "likelihood" in each)
    assert line.split(maxsplit=1)[1] == "squared_error (not all values are exactly 0 or 1)"


def test_labels_are_described_alike_for_codes_and_reports(isthmus: Command) -> None:
    for verb in ("fit", "encode", "report"):
        assert "report alone" not in " ".join(isthmus(verb, "--help").out.split())


def test_a_quick_demo(place: Path, isthmus: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from isthmus.sources import ArraySource, bundled

    def few(name: str) -> ArraySource:
        source = bundled(name)
        return ArraySource(source.read(slice(0, 200)), labels=source.labels[:200])  # pyright: ignore

    monkeypatch.setattr("isthmus.workflows.demo.bundled", few)
    found = isthmus("demo", "--epochs", "1", "-o", "demo.html", "--json").json
    assert list(found["models"]) == ["mean", "pca", "dense", "convolutional"]
    assert found["code"]["size"] == 32
    assert Path("demo.html").is_file()
    done = isthmus("demo", "--epochs", "1", "-o", "demo.html", "--force")
    assert done.status == 0
    for word in ("dense", "convolutional", "PCA", "demo.html", "Next:"):
        assert word in done.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_json(isthmus: Command, verb: str) -> None:
    done = isthmus(verb, "--help")
    assert (done.status, done.err) == (0, "")
    assert "--json" in done.out
    assert verb in ("info",) or "--force" in done.out

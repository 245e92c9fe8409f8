"""``sample`` says how good what it made is, in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus.artifact import open_model
from isthmus.cli.main import run
from isthmus.evaluation.samples import measure_samples
from isthmus.sources import conform, open_source

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients to learn from and others, and two models of them."""
    folder = tmp_path_factory.mktemp("clinic")
    random = np.random.default_rng(0)
    for name, n in (("train", 80), ("test", 40)):
        ages = random.uniform(20, 80, n).round(1)
        rows = [
            f"{age},{ward},{'yes' if age > 50 else 'no'}"
            for age, ward in zip(ages, random.choice(["north", "south", "west"], n), strict=True)
        ]
        (folder / f"{name}.csv").write_text("\n".join(["age,ward,ill", *rows]) + "\n", "utf-8")
    quick = ("--epochs", "2", "--seed", "0", "--set", "model.network.hidden_sizes=[8]", "--code-size", "2")
    for kind in ("variational", "basic"):
        to = str(folder / f"{kind}.safetensors")
        assert run(["fit", str(folder / "train.csv"), "-o", to, "--kind", kind, *quick]) == 0
    return folder


@pytest.fixture
def here(clinic: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(clinic)
    return clinic


def test_new_rows_are_measured_beside_the_file(here: Path, isthmus: Command) -> None:
    options = ("-n", "50", "--compare-with", "train.csv", "--held-out", "test.csv")
    done = isthmus("sample", "variational.safetensors", *options, "-o", "new.csv", "--json")
    assert done.status == 0, done.err
    written = json.loads((here / "new.quality.json").read_text("utf-8"))
    assert done.json["quality"] == {"output": "new.quality.json", **written}
    assert (written["prior"], written["noise"], written["rows"]) == ("standard normal", True, 50)
    model = open_model("variational.safetensors")
    schema = model.scaling.schema
    made, training, held_out = (
        conform(open_source(Path(name)), schema) for name in ("new.csv", "train.csv", "test.csv")
    )
    expected = measure_samples(
        made.read(slice(None)), training, held_out, scaling=model.scaling, seed=0
    ).to_dict()
    assert {key: written[key] for key in expected} == expected
    assert expected["usefulness"]["target"] == "ill"
    done = isthmus("sample", "variational.safetensors", *options, "-o", "again.csv", "--target", "age")
    for about in ("shapes", "trends", "use", "copies", "closest", "measured"):
        assert f"\n{about} " in done.out
    assert "R2" in done.out
    assert "again.quality.json" in done.out


def test_rows_of_the_prior_are_those_of_the_comparison(here: Path, isthmus: Command) -> None:
    options = ("--like", "train.csv", "--held-out", "test.csv")
    done = isthmus("sample", "variational.safetensors", *options, "-o", "like.csv", "--json")
    assert (done.status, done.json["quality"]["training_rows"]) == (0, 80), done.err


def test_without_held_out_rows_less_is_said(here: Path, isthmus: Command) -> None:
    done = isthmus("sample", "variational.safetensors", "--compare-with", "train.csv", "-o", "less.csv")
    assert done.status == 0, done.err
    assert "\nuse " not in done.out
    assert "held-out" not in done.out


def test_tables_are_drawn_where_there_is_a_density(here: Path, isthmus: Command) -> None:
    for name, options in (("drawn", ()), ("noise", ("--noise",)), ("means", ("--means",))):
        assert isthmus("sample", "variational.safetensors", *options, "-o", f"{name}.npy").status == 0
    drawn, noise, means = (np.load(f"{name}.npy") for name in ("drawn", "noise", "means"))
    np.testing.assert_array_equal(drawn, noise)
    assert (drawn != means).any()
    # Squared error of numbers is no density.
    done = isthmus("sample", "basic.safetensors", "--like", "train.csv", "-o", "basic.npy", "--json")
    assert (done.status, done.json["noise"]) == (0, False), done.err


def test_pictures_are_told_from_copies(place: Path, isthmus: Command) -> None:
    options = ("--like", "pictures.npy", "--compare-with", "pictures.npy", "-n", "5")
    done = isthmus("sample", "model.safetensors", *options, "-o", "new/")
    assert done.status == 0, done.err
    found = json.loads((place / "new.quality.json").read_text("utf-8"))
    assert found["fidelity"] == {"training": None, "held_out": None, "real": None}
    assert found["privacy"]["copies"] == 0
    assert "shapes" not in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--held-out", "test.csv"), "--held-out: new rows are compared with those of the fit"),
        (("--target", "ill"), "Add --compare-with SOURCE"),
        (("--compare-with", "train.csv", "--target", "ill"), "no held-out rows"),
        (
            ("--compare-with", "train.csv", "--held-out", "test.csv", "--target", "sick"),
            "unknown column 'sick'",
        ),
        (("--compare-with", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    here: Path, isthmus: Command, options: tuple[str, ...], said: str
) -> None:
    done = isthmus("sample", "variational.safetensors", *options, "-o", "wrong.csv")
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert not list(here.glob("wrong*"))


def test_nothing_is_overwritten(here: Path, isthmus: Command) -> None:
    (here / "kept.quality.json").write_text("mine", "utf-8")
    options = ("sample", "variational.safetensors", "--compare-with", "train.csv", "-o", "kept.csv")
    done = isthmus(*options)
    assert done.status == 2
    assert "kept.quality.json" in done.err
    assert not (here / "kept.csv").exists()
    assert isthmus(*options, "--force").status == 0


def test_what_was_measured_of_other_rows_is_said_to_stay(here: Path, isthmus: Command) -> None:
    again = ("sample", "variational.safetensors", "-n", "50", "-o", "again.csv", "--force")
    assert isthmus(*again, "--compare-with", "train.csv").status == 0
    assert "again.quality.json was there before and stays" in " ".join(isthmus(*again).out.split())
    assert "again.quality.json was there" in isthmus(*again, "--json").json["notes"][0]
    assert "was there before" not in isthmus(*again, "--compare-with", "train.csv").out

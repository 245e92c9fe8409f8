"""``score``: an anomaly a row, by the threshold that was asked for, with what makes it odd."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus.artifact import open_model, save_model

Command = Callable[..., Any]
OUT = ("-o", "odd.csv")


@pytest.fixture
def odd(place: Path) -> Path:
    """The table with a row that is odd in its fourth column."""
    rows = np.load("table.npy")
    rows[7, 3] = 40.0
    np.save("odd.npy", rows)
    return place


def read(path: str = "odd.csv") -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_odd_row_is_found_and_its_cause_is_named(odd: Path, isthmus: Command) -> None:
    done = isthmus("score", "gaussian.safetensors", "odd.npy", *OUT, "--json")
    assert done.status == 0, done.err
    found = done.json
    assert (found["output"], found["rows"], found["measure"]) == ("odd.csv", 50, "relative_error")
    assert found["rule"] == "the 0.99-quantile of held-out rows"
    assert found["oddest"][0]["row"] == "7"
    assert found["oddest"][0]["causes"][0] == "column 3"
    lines = read()
    assert [*lines[0]] == ["row", "anomaly", "is_anomaly", "cause_1", "cause_2", "cause_3"]
    anomaly = np.array([float(line["anomaly"]) for line in lines])
    assert (anomaly.argmax(), lines[7]["is_anomaly"], lines[7]["cause_1"]) == (7, "1", "column 3")
    assert found["anomalies"] == (anomaly > found["threshold"]).sum()
    assert found["highest"] == pytest.approx(anomaly.max(), rel=1e-5)

    said = isthmus("score", "gaussian.safetensors", "odd.npy", "-o", "odd.npz")
    assert said.status == 0
    assert "column 3" in said.out
    arrays = np.load("odd.npz")
    np.testing.assert_allclose(arrays["anomaly"], anomaly, rtol=1e-5)
    assert arrays["causes"][7, 0] == "column 3"
    assert isthmus("score", "gaussian.safetensors", "odd.npy", "-o", "scores.npy").status == 0
    np.testing.assert_array_equal(np.load("scores.npy"), arrays["anomaly"])


def test_each_threshold_is_what_it_says(odd: Path, isthmus: Command) -> None:
    def anomalies(*options: str) -> int:
        done = isthmus("score", "model.safetensors", "pictures.npy", *OUT, "--force", "--json", *options)
        assert done.status == 0, done.err
        return done.json["anomalies"]

    assert anomalies("--threshold", "-1") == 40
    assert anomalies("--threshold", "1e9") == 0
    # 36 of the 40 rows were trained on; those held out may lie above too.
    assert round(0.25 * 36) <= anomalies("--contamination", "0.25") <= round(0.25 * 36) + 4
    assert anomalies("--quantile", "0.001") >= 3
    assert anomalies("--causes", "none", "--threshold", "1e9") == 0
    assert {line["cause_1"] for line in read()} == {""}


def test_causes_of_pictures_are_patches(place: Path, isthmus: Command) -> None:
    done = isthmus(
        "score", "model.safetensors", "labelled.npz", *OUT, "--causes", "anomalies", "--threshold", "0"
    )
    assert done.status == 0, done.err
    assert read()[0]["cause_1"].startswith("rows ")
    assert read()[5]["label"] == "1"


def test_an_old_model_asks_for_rows_to_compare_with(odd: Path, isthmus: Command) -> None:
    old = open_model("gaussian.safetensors")
    old.usual = None
    save_model(old, "old.safetensors")
    done = isthmus("score", "old.safetensors", "odd.npy", *OUT)
    assert (done.status, done.out) == (2, "")
    assert "--reference SOURCE" in done.err
    done = isthmus("score", "old.safetensors", "odd.npy", *OUT, "--reference", "table.npy", "--json")
    assert done.status == 0, done.err
    assert done.json["oddest"][0]["row"] == "7"
    assert done.json["rule"] == "the 0.99-quantile of training rows"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("odd.npy", "--threshold", "1", "--quantile", "0.9"), "got --threshold and --quantile"),
        (("odd.npy", "--threshold", "nan"), "expected a finite number"),
        (("odd.npy", "--contamination", "0.9"), "contamination: must be in (0, 0.5], got 0.9"),
        (("odd.npy", "--quantile", "0"), "quantile: must be in (0, 1], got 0.0"),
        (("odd.npy", "--causes", "some"), "causes"),
        (("pictures.npy",), "expected vectors 5"),
        (("nowhere.npy",), "nowhere.npy"),
        (("odd.npy", "--reference", "pictures.npy"), "expected vectors 5"),
    ],
)
def test_mistakes_are_one_line(odd: Path, isthmus: Command, arguments: tuple[str, ...], said: str) -> None:
    done = isthmus("score", "gaussian.safetensors", *arguments, *OUT)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("odd.csv").exists()


def test_nothing_is_overwritten_unasked(odd: Path, isthmus: Command) -> None:
    for output in ("odd.npy", "odd.txt"):
        done = isthmus("score", "gaussian.safetensors", "table.npy", "-o", output)
        assert done.status == 2, done.out

"""``--memory``: files that need more are read by block, and what is written comes as it comes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus.artifact import open_model
from isthmus.exploration.anomaly import AnomalyScore
from isthmus.inference import Inference
from isthmus.inference import rows as inference_rows
from isthmus.sources import ArraySource

Command = Callable[..., Any]
QUICK = ("--epochs", "1", "--seed", "0", "--set", "model.network.hidden_sizes=[8]", "--code-size", "3")
ROWS = np.random.default_rng(0).normal(size=(9000, 24)).astype(np.float32)


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isthmus: Command) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", ROWS)
    done = isthmus("fit", "rows.npy", "-o", "m.safetensors", *QUICK, "--memory", "1MB")
    assert done.status == 0, done.err
    assert "Memory: 8,1" in done.out
    assert "they are read by block" in " ".join(done.out.split())
    return tmp_path


def test_files_are_those_of_rows_that_are_held(
    fitted: Path, isthmus: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small blocks or in one: codes, reconstructions and anomalies are the same bytes."""
    model = open_model("m.safetensors")
    assert model.config.data.memory == 10**6
    inference, source = Inference(model), ArraySource(ROWS)
    monkeypatch.setattr(inference_rows, "MOST_BATCHES", 3)
    for verb, expected in (
        ("encode", inference.encode(source)),
        ("reconstruct", inference.reconstruct(source)),
        ("score", AnomalyScore(inference).score(source)),
    ):
        done = isthmus(verb, "m.safetensors", "rows.npy", "-o", f"{verb}.npy", "--memory", "1MB", "--json")
        assert done.status == 0, done.err
        assert done.json["rows"] == 9000
        np.save("whole.npy", expected)
        assert Path(f"{verb}.npy").read_bytes() == Path("whole.npy").read_bytes()


def test_figures_are_of_some_rows_where_there_is_no_room_for_all(fitted: Path, isthmus: Command) -> None:
    done = isthmus("reconstruct", "m.safetensors", "rows.npy", "-o", "r.npy", "--memory", "1MB", "--json")
    assert done.json["metrics"]["rows"] == 2604
    assert done.json["notes"] == [
        "Errors are of 2,604 of 9,000 rows, evenly spaced, for which there is room."
    ]
    whole = isthmus("reconstruct", "m.safetensors", "rows.npy", "-o", "s.npy", "--json").json
    assert whole["metrics"]["rows"] == 9000
    assert whole["notes"] == []
    assert done.json["error"]["mse"] == pytest.approx(whole["error"]["mse"], rel=0.03)


def test_tables_of_codes_are_written_group_by_group(
    fitted: Path, isthmus: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.workflows.code_files.ROWS_A_GROUP", 1000)
    monkeypatch.setattr(inference_rows, "MOST_BATCHES", 3)
    from pyarrow import parquet

    expected = Inference(open_model("m.safetensors")).encode(ArraySource(ROWS))
    assert isthmus("encode", "m.safetensors", "rows.npy", "-o", "c.parquet", "--memory", "1MB").status == 0
    assert parquet.ParquetFile("c.parquet").metadata.num_row_groups == 8
    columns = parquet.read_table("c.parquet").to_pydict()
    np.testing.assert_array_equal(np.array([*columns.values()], np.float32).T, expected)
    assert isthmus("encode", "m.safetensors", "rows.npy", "-o", "c.csv", "--memory", "1MB").status == 0
    with Path("c.csv").open(encoding="utf-8") as file:
        heading, *lines = list(csv.reader(file))
    assert heading == ["code_0", "code_1", "code_2"]
    np.testing.assert_array_equal(np.array(lines, np.float32), expected)


def test_what_must_be_held_is_refused_where_there_is_no_room(fitted: Path, isthmus: Command) -> None:
    done = isthmus("score", "m.safetensors", "rows.npy", "-o", "odd.npz", "--memory", "1MB")
    assert done.status == 2
    assert done.err.startswith(
        "isthmus: error: odd.npz: expected a file that is written as it comes, got one that takes"
    )
    assert "Write .npy or .csv, or raise --memory." in done.err
    assert not Path("odd.npz").exists()


def test_causes_are_found_as_they_are_written(fitted: Path, isthmus: Command) -> None:
    for causes in ("anomalies", "none"):
        options = ("--causes", causes, "--memory", "1MB", "--force", "--json")
        done = isthmus("score", "m.safetensors", "rows.npy", "-o", "odd.csv", *options)
        assert done.status == 0, done.err
        with Path("odd.csv").open(encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        named = [line["cause_1"] != "" for line in lines]
        odd = [line["is_anomaly"] == "1" for line in lines]
        assert named == (odd if causes == "anomalies" else [False] * 9000)
        top = done.json["oddest"]
        order = sorted(range(9000), key=lambda row: -float(lines[row]["anomaly"]))
        assert {each["row"] for each in top} == {str(row) for row in order[:10]}
        assert [bool(each["causes"]) for each in top] == [causes == "anomalies"] * 10
        assert done.json["anomalies"] == sum(odd)


@pytest.mark.parametrize("verb", ["fit", "encode", "reconstruct", "score"])
@pytest.mark.parametrize(
    ("size", "words"), [("lots", "expected a size such as"), ("2", "expected 1 MB or more")]
)
def test_nonsense_is_one_line(
    trained: Path, isthmus: Command, verb: str, size: str, words: str, tmp_path: Path
) -> None:
    model = () if verb == "fit" else (trained / "model.safetensors",)
    out = tmp_path / ("x.safetensors" if verb == "fit" else "x.npy")
    done = isthmus(verb, *model, trained / "pictures.npy", "-o", out, "--memory", size)
    assert done.status == 2
    assert done.err.startswith(f"isthmus: error: --memory: {words}")
    assert len(done.err.strip().splitlines()) == 1

"""``impute`` at the command line: gaps filled, cells kept as they were, draws repeatable."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.cli.main import run

HEADER = ["age", "ward", "smoker"]


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("impute")
    rows = [
        [
            "" if at % 7 == 0 else f"{30 + at * 1.7:.1f}",
            "" if at % 5 == 0 else "nsw"[at % 3] + "ard",
            "yn"[at > 25],
        ]
        for at in range(50)
    ]
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
    small = ("--epochs", "1", "--seed", "0", "--set", "model.network.hidden_sizes=[8]")
    for name, kind in (("m", "denoising"), ("v", "variational")):
        assert (
            run(
                [
                    "fit",
                    str(folder / "people.csv"),
                    "-o",
                    f"{folder / name}.safetensors",
                    "--kind",
                    kind,
                    *small,
                ]
            )
            == 0
        )
    return folder


def test_gaps_are_filled_and_cells_kept(folder: Path, isthmus: Callable[..., Any]) -> None:
    output = folder / "filled.csv"
    done = isthmus("impute", folder / "m.safetensors", folder / "people.csv", "-o", output)
    assert done.status == 0
    assert "18 gaps (age 8, ward 10)" in done.out
    before, after = cells(folder / "people.csv"), cells(output)
    assert after[0] == HEADER
    for old, new in zip(before, after, strict=True):
        assert all(new)
        assert [b for a, b in zip(old, new, strict=True) if a] == [a for a in old if a]
        assert new[1] in ("nard", "sard", "ward")


def test_programs_are_told_the_same(folder: Path, isthmus: Callable[..., Any]) -> None:
    found = isthmus(
        "impute", folder / "m.safetensors", folder / "people.csv", "-o", folder / "j.csv", "--json"
    ).json
    assert (found["rows"], found["filled"], found["columns"]) == (50, 18, {"age": 8, "ward": 10})


def test_draws_are_a_function_of_the_seed(folder: Path, isthmus: Callable[..., Any]) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = isthmus(
            "impute",
            folder / "v.safetensors",
            folder / "people.csv",
            "-o",
            folder / f"{name}.csv",
            "--draw",
            "--seed",
            seed,
        )
        assert done.status == 0
    a, b, c = (cells(folder / f"{name}.csv") for name in "abc")
    assert a == b
    assert a != c
    done = isthmus(
        "impute", folder / "m.safetensors", folder / "people.csv", "-o", folder / "d.csv", "--draw"
    )
    assert done.status == 2
    assert "drawn from a density alone" in done.err


def test_a_model_that_knows_no_gaps_fills_none(folder: Path, isthmus: Callable[..., Any]) -> None:
    model = folder / "digits.safetensors"
    small = ("--epochs", "1", "--seed", "0", "--set", "model.network.hidden_sizes=[8]")
    assert isthmus("fit", "mnist-test", "-o", model, *small).status == 0
    done = isthmus("impute", model, "mnist-test", "-o", folder / "x.npy")
    assert done.status == 2
    assert "expected a model that knows gaps" in done.err
    assert not (folder / "x.npy").exists()

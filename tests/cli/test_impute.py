"""``impute`` at the command line: gaps filled, cells kept as they were, draws repeatable."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
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


def test_cells_stay_to_the_letter(folder: Path, isthmus: Callable[..., Any]) -> None:
    """Written forms, columns that the model does not know, their order, words that it has not seen."""
    source, output = folder / "odd.csv", folder / "odd_filled.csv"
    lines = [["smoker", "note", "ward", "age"], ["y", "a b", "nard", "30.50"], ["n", "", "moon", ""]]
    lines += [["", "c", "", "7e0"], ["NA", "d", "?", "+41"]]
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    done = isthmus("impute", folder / "m.safetensors", source, "-o", output, "--json")
    assert done.json["columns"] == {"smoker": 2, "ward": 2, "age": 1}
    after = cells(output)
    for old, new in zip(lines, after, strict=True):
        for name, a, b in zip(lines[0], old, new, strict=True):
            gap = a in ("", "NA", "?")
            assert (b == a) if name == "note" or not gap else b
    assert isthmus("impute", folder / "m.safetensors", source, "-o", folder / "odd.parquet").status == 0
    typed = pq.read_table(folder / "odd.parquet")
    assert typed["age"].to_pylist()[0::2] == [30.5, 7.0]
    assert str(typed["age"].type) == "double"
    assert typed["note"].to_pylist() == ["a b", None, "c", "d"]
    assert typed["ward"].to_pylist()[1] == "moon"


def test_a_file_is_written_as_its_country_writes(folder: Path, isthmus: Callable[..., Any]) -> None:
    source, output = folder / "german.csv", folder / "german_filled.csv"
    lines = ("smoker;ward;age;note", "y;nard;30,50;1,2 µm", "n;ward;;a.b", "y;;41;", "")
    source.write_bytes("\r\n".join(lines).encode("latin-1"))
    done = isthmus("impute", folder / "m.safetensors", source, "-o", output)
    said = " ".join(done.out.split())
    assert "Kept as they are, for the model does not know them: 'note'." in said
    assert "Left out" not in said
    header, first, second, third, end = output.read_bytes().decode("utf-8").split("\r\n")
    assert end == ""
    assert (header, first) == ("smoker;ward;age;note", "y;nard;30,50;1,2 µm")
    assert re.fullmatch(r"n;ward;\d+,\d+;a\.b", second)
    assert re.fullmatch(r"y;[nsw]ard;41;", third)
    assert isthmus("impute", folder / "m.safetensors", source, "-o", folder / "german.tsv").status == 0
    assert (folder / "german.tsv").read_text("utf-8").splitlines()[1] == "y\tnard\t30,50\t1,2 µm"
    assert isthmus("impute", folder / "m.safetensors", source, "-o", folder / "german.parquet").status == 0
    assert pq.read_table(folder / "german.parquet")["age"].to_pylist()[::2] == [30.5, 41.0]


def test_draws_are_a_function_of_the_seed(folder: Path, isthmus: Callable[..., Any]) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        output = folder / f"{name}.csv"
        asked = ("--draws", 2, "--seed", seed, "--json")
        found = isthmus("impute", folder / "v.safetensors", folder / "people.csv", "-o", output, *asked).json
        assert found["files"] == [str(folder / f"{name}_{at}.csv") for at in (1, 2)]
        assert not output.exists()
    a, b, c = ([cells(folder / f"{name}_{at}.csv") for at in (1, 2)] for name in "abc")
    assert a == b
    assert a[0] != a[1]
    assert a != c
    one = folder / "one.csv"
    args = ("impute", folder / "v.safetensors", folder / "people.csv", "-o", one, "--draws")
    done = isthmus(*args, 1, "--seed", 1)
    assert done.status == 0
    assert cells(one) == a[0]
    assert "--draws must be at least 1, got 0" in isthmus(*args, 0, "--force").err
    done = isthmus(
        "impute", folder / "m.safetensors", folder / "people.csv", "-o", folder / "d.csv", "--draws", 1
    )
    assert done.status == 2
    assert "drawn from a density alone" in done.err


def test_no_draw_is_overwritten(folder: Path, isthmus: Callable[..., Any]) -> None:
    (folder / "taken_2.csv").write_text("kept", "utf-8")
    args = ("impute", folder / "v.safetensors", folder / "people.csv", "-o", folder / "taken.csv")
    done = isthmus(*args, "--draws", 3)
    assert done.status == 2
    assert "taken_2.csv" in done.err
    assert not (folder / "taken_1.csv").exists()
    assert isthmus(*args, "--draws", 3, "--force").status == 0
    assert len(cells(folder / "taken_2.csv")) == 51


def test_a_model_that_knows_no_gaps_fills_none(folder: Path, isthmus: Callable[..., Any]) -> None:
    model = folder / "digits.safetensors"
    small = ("--epochs", "1", "--seed", "0", "--set", "model.network.hidden_sizes=[8]")
    assert isthmus("fit", "mnist-test", "-o", model, *small).status == 0
    done = isthmus("impute", model, "mnist-test", "-o", folder / "x.npy")
    assert done.status == 2
    assert "expected a model that knows gaps" in done.err
    assert not (folder / "x.npy").exists()


def test_files_of_more_draws_are_said_to_stay(folder: Path, isthmus: Callable[..., Any]) -> None:
    """They would be pooled with the new ones by who reads all that are numbered."""
    output, said = folder / "pool.csv", "were there before and stay"
    args = ("impute", folder / "v.safetensors", folder / "people.csv", "-o", output, "--force")
    assert said not in isthmus(*args, "--draws", 5).out
    before = (folder / "pool_3.csv").read_bytes()
    assert said in " ".join(isthmus(*args, "--draws", 2, "--seed", 9).out.split())
    stay = ", ".join(str(folder / f"pool_{at}.csv") for at in (3, 4, 5))
    (note,) = isthmus(*args, "--draws", 2, "--json").json["notes"]
    assert note.startswith(f"{stay} {said}")
    assert (folder / "pool_3.csv").read_bytes() == before
    found = isthmus(*args, "--draws", 10, "--json").json
    (note,) = found["notes"]
    assert note.startswith(f"{folder / 'pool_1.csv'} to {folder / 'pool_5.csv'} (5 files) {said}")
    assert isthmus(*args, "--json").json["notes"] == []  # one filling has a name of its own

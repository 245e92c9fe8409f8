"""Tables at the command line: looked at, learned from, read again by names, and written as tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from isthmus.cli.main import run

RANDOM = np.random.default_rng(0)
N = 60
HEADER = "id,age,ward,smoker,site,since"


def lines(n: int = N) -> list[str]:
    ages = RANDOM.normal(50.0, 10.0, n).round(1)
    wards = RANDOM.choice(["north", "south", "west"], n)
    cells = [
        f"{at},{'' if at % 6 == 0 else age},{ward},{'yes' if age > 50 else 'no'},Ulm,2020-01-{1 + at % 28:02d}"
        for at, (age, ward) in enumerate(zip(ages, wards, strict=True))
    ]
    return [HEADER, *cells]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    (folder / "people.csv").write_text("\n".join(lines()) + "\n", "utf-8")
    options = ("--epochs", "1", "--seed", "0", "--set", "model.network.hidden_sizes=[8]", "--code-size", "2")
    assert run(["fit", str(folder / "people.csv"), "-o", str(folder / "m.safetensors"), *options]) == 0
    return folder


def test_info_shows_every_column(hospital: Path, isthmus: Callable[..., Any]) -> None:
    done = isthmus("info", hospital / "people.csv")
    assert done.status == 0
    shown = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "column type gaps holds" in shown
    assert any(line.startswith("age continuous 16.7 % ") and "mean" in line for line in shown)
    assert any(line.startswith("ward category 0 % 3: ") for line in shown)
    assert "site constant 0 % Ulm (60)" in shown
    assert "since date 0 % 2020-01-01 to 2020-01-28" in shown
    assert (
        "note Column 'id' is left out: it is an identifier: it is named like one, and all its values" in shown
    )
    assert max(map(len, done.out.splitlines())) <= 110


def test_info_tells_programs_the_same(hospital: Path, isthmus: Callable[..., Any]) -> None:
    found = isthmus("info", hospital / "people.csv", "--json").json
    assert (found["what"], found["rows"], found["likelihood"]["name"]) == ("data", N, "mixed")
    columns = {column["name"]: column for column in found["columns"]}
    assert list(columns) == ["age", "ward", "smoker", "site", "since"]
    assert columns["age"]["n_gaps"] == 10
    assert columns["age"]["gap_share"] == 10 / N
    assert sum(columns["ward"]["counts"].values()) == N
    assert columns["site"]["is_constant"]
    assert columns["since"]["lowest"] == "2020-01-01"
    assert len(found["notes"]) == 2


def test_info_shows_no_control_characters(tmp_path: Path, isthmus: Callable[..., Any]) -> None:
    (tmp_path / "a.csv").write_text("a\x1b[31m,b\n1.5,x\x07\n2.5,y\n", "utf-8")
    done = isthmus("info", tmp_path / "a.csv")
    assert done.status == 0
    assert "a?[31m" in done.out
    assert not {"\x1b", "\x07"} & set(done.out)


def test_new_rows_are_read_by_names_and_written_as_a_table(
    hospital: Path, tmp_path: Path, isthmus: Callable[..., Any]
) -> None:
    new = tmp_path / "new.csv"
    new.write_text("ward,since,smoker,age,city\nnorth,2020-05-05,no,44,A\nmoon,,?,,B\n", "utf-8")
    model = hospital / "m.safetensors"
    done = isthmus("reconstruct", model, new, "-o", tmp_path / "out.csv")
    assert done.status == 0
    assert "Column 'ward': 1 value is none of its 3 categories and counts as a gap" in " ".join(
        done.out.split()
    )
    header, *rest = (tmp_path / "out.csv").read_text("utf-8").splitlines()
    assert header == "age,ward,smoker,site,since"
    assert len(rest) == 2
    for line in rest:
        age, ward, smoker, site, since = line.split(",")
        assert np.isfinite(float(age))
        assert (ward in {"north", "south", "west"}, smoker in {"yes", "no"}, site) == (True, True, "Ulm")
        assert len(since) == 10
    done = isthmus("encode", model, f"{new}:0", "-o", tmp_path / "c.npy", "--json")
    assert done.json["notes"][-1:] == ["Left out, for the model does not know them: 'city'."]
    made = tmp_path / "s.parquet"
    assert isthmus("sample", model, "-n", "3", "--like", hospital / "people.csv", "-o", made).status == 0
    assert parquet.read_table(made).column_names == header.split(",")


def test_what_is_wrong_is_one_line(hospital: Path, tmp_path: Path, isthmus: Callable[..., Any]) -> None:
    new = tmp_path / "new.csv"
    model = hospital / "m.safetensors"
    for text, says in (
        (
            "ward,age\nnorth,1\n",
            "expected the 4 columns that the model is fitted on, got none named 'smoker', 'since'",
        ),
        (
            "ward,since,smoker,age\nnorth,2020-05-05,no,old\n",
            "column 'age': expected numbers, got 'old' in row 0",
        ),
        (
            "ward,since,smoker,age\nnorth,2020-05-05,no\n",
            "line 2: expected 4 fields, as in the first line, got 3",
        ),
    ):
        new.write_text(text, "utf-8")
        done = isthmus("encode", model, new, "-o", tmp_path / "c.npy")
        assert (done.status, done.out) == (2, "")
        assert says in done.err
        assert done.err.count("\n") == 1
    assert not (tmp_path / "c.npy").exists()
    done = isthmus("sample", model, "-n", "3", "-o", tmp_path / "folder/")
    assert done.status == 2
    assert "a table goes into .csv" in done.err

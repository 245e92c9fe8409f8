"""``isthmus compress`` and ``decompress``: as people use them, and misuse them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import golden_archives

Command = Callable[..., Any]

TABLE = "id,city,height\n" + "".join(f"{n},{('Ulm', 'Hof')[n % 2]},{150 + n / 10:.1f}\n" for n in range(300))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text(TABLE)
    return path


def test_a_table_comes_back_byte_for_byte(table: Path, tmp_path: Path, isthmus: Command) -> None:
    done = isthmus("compress", table, "-o", tmp_path / "p.isth")
    assert done.status == 0
    said = " ".join(done.out.split())
    assert "300 rows" in said
    assert "equal to the last bit" in said
    table.unlink()
    assert isthmus("decompress", tmp_path / "p.isth", "-o", table).status == 0
    assert table.read_text() == TABLE
    assert (
        isthmus("decompress", tmp_path / "p.isth", "-o", tmp_path / "some.csv", "--rows", "7:9").status == 0
    )
    assert (tmp_path / "some.csv").read_text() == "id,city,height\n7,Hof,150.7\n8,Ulm,150.8\n"


def test_within_an_error(table: Path, tmp_path: Path, isthmus: Command) -> None:
    told = isthmus("compress", table, "-o", tmp_path / "p.isth", "--max-error", "0.5", "--json").json
    assert told["guarantee"] == {"exact": False, "max_error": 0.5, "relative": False}
    assert told["rows"] == 300
    assert told["bytes"] == (tmp_path / "p.isth").stat().st_size
    assert isthmus("decompress", tmp_path / "p.isth", "-o", tmp_path / "back.csv").status == 0
    rows = [line.split(",") for line in (tmp_path / "back.csv").read_text().splitlines()[1:]]
    assert max(abs(float(row[2]) - (150 + n / 10)) for n, row in enumerate(rows)) <= 0.5 + 1e-9
    assert [row[0] for row in rows] == [str(n) for n in range(300)]


def test_an_array_and_some_of_its_rows(tmp_path: Path, isthmus: Command) -> None:
    array = np.random.default_rng(0).integers(0, 9, (200, 7)).astype(np.int32)
    np.save(tmp_path / "a.npy", array)
    assert isthmus("compress", tmp_path / "a.npy", "-o", tmp_path / "a.isth").status == 0
    assert isthmus("decompress", tmp_path / "a.isth", "-o", tmp_path / "b.npy").status == 0
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()
    assert isthmus("decompress", tmp_path / "a.isth", "-o", tmp_path / "c.npy", "--rows", "50:60").status == 0
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), array[50:60])


def test_info_tells_what_is_in_it(table: Path, tmp_path: Path, isthmus: Command) -> None:
    isthmus("compress", table, "-o", tmp_path / "p.isth")
    said = " ".join(isthmus("info", tmp_path / "p.isth").out.split())
    assert "300 rows" in said
    assert "to the last bit" in said
    size, before = (path.stat().st_size for path in (tmp_path / "p.isth", table))
    assert f"{before / size:.3g} times smaller than {before / 1000:.3g} kB" in said
    told = isthmus("info", tmp_path / "p.isth", "--json").json
    assert told["what"] == "archive"
    assert told["bytes_before"] == before
    assert told["rows"] == 300
    assert told["bytes"]["total"] == (tmp_path / "p.isth").stat().st_size
    data = bytearray((tmp_path / "p.isth").read_bytes())
    data[-100] ^= 1
    (tmp_path / "p.isth").write_bytes(data)
    assert "damage" in isthmus("info", tmp_path / "p.isth").out
    (tmp_path / "p.isth").write_bytes(data[:600])
    said = " ".join(isthmus("info", tmp_path / "p.isth").out.split())
    assert "0 of 300 rows of a table of text" in said
    assert "verified not known" in said


def test_info_tells_by_how_much_numbers_may_differ(table: Path, tmp_path: Path, isthmus: Command) -> None:
    for error, said in (
        ("0.5", "numbers within 0.5; the rest to the last bit"),
        ("1%", "numbers within 0.2 to 2, each column by its own"),
        ("0.001", "to the last bit, as no number was to differ"),
    ):
        isthmus("compress", table, "-o", tmp_path / "p.isth", "--max-error", error, "--force")
        assert said in " ".join(isthmus("info", tmp_path / "p.isth").out.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("compress", "none.csv", "-o", "p.isth"), "none.csv"),
        (("compress", "people.csv", "-o", "p.zip"), ".isth"),
        (("compress", "people.csv", "-o", "p.isth", "--max-error", "small"), "--max-error"),
        (("compress", "people.csv", "-o", "p.isth", "--max-error", "-1"), "above 0"),
        (("compress", "people.csv", "-o", "p.isth", "--max-error", "nan"), "above 0"),
        (("compress", "people.csv", "-o", "p.isth", "--max-error", "100%"), "below 1"),
        (
            ("compress", "people.csv", "-o", "p.isth", "--model", "m.safetensors"),
            "m.safetensors: cannot be read",
        ),
        (("compress", "people.csv", "-o", "p.isth", "--model", "m", "--no-model"), "--no-model"),
        (("compress", "people.csv", "-o", "p.isth", "--apart"), "--apart: expected --model ARCHIVE"),
        (("compress", "people.csv", "-o", "p.isth", "--apart", "--model", "people.csv"), "got people.csv"),
        (("compress", "people.csv", "-o", "p.isth", "--model", "there.isth"), "an archive with a model"),
        (("decompress", "there.isth", "-o", "q.csv", "--model", "there.isth"), "--model: expected none"),
        (("compress", "people.csv", "-o", "p.isth", "--quality", "80"), "--preview"),
        (("compress", "people.csv", "-o", "p.isth", "--preview", "--quality", "100"), "between 0 and 100"),
        (("compress", "people.csv", "-o", "p.isth", "--preview", "--max-error", "1"), "--max-error"),
        (("compress", "people.csv", "-o", "p.isth", "--preview", "--no-model"), "--no-model"),
        (("compress", "people.csv", "-o", "p.isth", "--preview", "--model", "m.safetensors"), "--model"),
        (("compress", "there.isth", "-o", "p.isth", "--preview"), "kept as bytes"),
        (("compress", "people.csv", "-o", "p.isth", "--preview", "--processes", "2"), "--processes"),
        (("compress", "people.csv", "-o", "p.isth", "--processes", "0"), "--processes"),
        (("decompress", "there.isth", "-o", "q.csv", "--processes", "-1"), "--processes"),
        (("compress", "people.csv", "-o", "p.isth", "--seconds", "nan"), "seconds"),
        (("compress", "people.csv", "-o", "p.isth", "--seconds", "-1"), "seconds"),
        (("decompress", "people.csv", "-o", "q.csv"), "archive"),
        (("decompress", "none.isth", "-o", "q.csv"), "none.isth"),
        (("decompress", "there.isth", "-o", "q.csv", "--rows", "5"), "--rows"),
        (("decompress", "there.isth", "-o", "q.csv", "--rows", "5:900"), "0:300"),
        (("decompress", "there.isth", "-o", "q.parquet"), ".csv"),
        (("decompress", "there.isth", "-o", "people.csv"), "people.csv"),
        (("compress", "people.csv", "-o", "there.isth"), "there.isth"),
        (("compress", ".", "-o", "all.isth"), "in the folder that it is made of"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    isthmus: Command,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isthmus("compress", "people.csv", "-o", "there.isth").status == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = isthmus(*arguments)
    assert done.status == 2
    said = done.err
    assert expected in said
    assert said.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_archive_that_names_its_model_says_so(tmp_path: Path, isthmus: Command) -> None:
    carrier, named = golden_archives.PLACE / "chain.isth", tmp_path / "named.isth"
    (tmp_path / "more.csv").write_text(golden_archives.columns(400, seed=5), newline="\n")
    words = ("compress", tmp_path / "more.csv", "-o", named, "--model", carrier, "--apart")
    done = isthmus(*words)
    assert done.status == 0
    assert f"apart; it is read with '--model {carrier}'" in " ".join(done.out.split())
    told, of_carrier = (json.loads(isthmus("info", path, "--json").out)["model"] for path in (named, carrier))
    assert told == {**of_carrier, "apart": True}
    assert not of_carrier["apart"]
    for path, text in ((named, "carried by another archive"), (carrier, "")):
        lines = " ".join(isthmus("info", path).out.split())
        assert f"digest {told['digest']}" in lines
        assert text in lines
    assert isthmus("decompress", named, "-o", tmp_path / "back.csv").status == 2
    assert isthmus("decompress", named, "-o", tmp_path / "back.csv", "--model", carrier).status == 0
    assert (tmp_path / "back.csv").read_bytes() == (tmp_path / "more.csv").read_bytes()
    assert json.loads(isthmus(*words, "--force", "--json").out)["bytes_of_model_apart"] == told["bytes"]


def test_a_preview_says_what_it_is(tmp_path: Path, isthmus: Command) -> None:
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(300, 2)) @ chance.normal(size=(2, 6))
    np.save(tmp_path / "a.npy", rows)
    quick = ("--preview", "--seconds", "0.05", "--quality", "95")
    done = isthmus("compress", tmp_path / "a.npy", "-o", tmp_path / "a.isth", *quick)
    assert done.status == 0
    back = tmp_path / "b.npy"
    told = isthmus("decompress", tmp_path / "a.isth", "-o", back)
    assert "approximate" in told.out
    apart = np.load(back) - rows
    root = f"{np.sqrt(np.mean(apart**2)):.4g}"
    about = isthmus("info", tmp_path / "a.isth")
    for out in (done.out, about.out):
        said = " ".join(out.split())
        assert "what comes back is approximate" in said
        assert f"root mean squared error {root} of {rows.min():.4g}..{rows.max():.4g}" in said
        assert f"largest {np.abs(apart).max():.4g}" in said
        assert "to the last bit" not in said
    document = isthmus("info", tmp_path / "a.isth", "--json").json
    assert document["guarantee"] == {"exact": False, "bounds": None}
    assert document["preview"]["columns"][0]["largest"] == np.abs(apart).max()
    again = isthmus("compress", tmp_path / "a.npy", "-o", tmp_path / "c.isth", *quick, "--json").json
    assert again["preview"] == document["preview"]
    assert again["guarantee"]["exact"] is False
    assert isthmus("decompress", tmp_path / "a.isth", "-o", back, "--force", "--json").json["exact"] is False


def test_exact_archives_say_so_when_they_are_unpacked(table: Path, tmp_path: Path, isthmus: Command) -> None:
    isthmus("compress", table, "-o", tmp_path / "p.isth")
    back = tmp_path / "back.csv"
    assert isthmus("decompress", tmp_path / "p.isth", "-o", back, "--json").json["exact"] is True
    isthmus("compress", table, "-o", tmp_path / "q.isth", "--max-error", "0.5")
    told = isthmus("decompress", tmp_path / "q.isth", "-o", back, "--force", "--json").json
    assert told["exact"] is False


@pytest.mark.parametrize(
    "preview",
    [None, 5, {}, {"columns": [{}]}, {"columns": [{"name": 1, "n": 1}], "exact": [], "exact_rows": 0}],
)
def test_errors_of_anybody_are_told_or_not_known(preview: object) -> None:
    from isthmus.cli.preview_words import preview_lines

    assert preview_lines(preview)[-1] == ("error", "not known, the archive does not tell it")

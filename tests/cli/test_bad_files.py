"""Files as people have them, good and bad, through the command line: a note, or one clear line with file and place."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
import pytest
import soundfile
import torch
from PIL import Image

torch.set_num_threads(1)
RANDOM = np.random.default_rng(0)
ROWS = [f"{20 + 3 * at % 50},{RANDOM.normal():.3f},{'nsw'[at % 3]}" for at in range(40)]
HEADING = "age,score,ward\n"
GOOD = HEADING + "\n".join(ROWS) + "\n"
VECTORS = RANDOM.normal(size=(30, 6)).astype(np.float32)


def with_row(row: str, at: int = 12) -> str:
    return HEADING + "\n".join([*ROWS[:at], row, *ROWS[at:]]) + "\n"


def workbook(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("xl/workbook.xml", "<x/>")
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files and bad ones, and a model of the good table."""
    place = tmp_path_factory.mktemp("files")
    texts = {
        "good.csv": GOOD,
        "ragged.csv": with_row("1,2"),
        "wide.csv": with_row("1,2,n,4"),
        "empty-column.csv": "age,none\n" + "".join(f"{at % 7},\n" for at in range(20)),
        "all-empty.csv": "a,b\n" + ",\n" * 9,
        "unseen.csv": HEADING + "50,1.5,moon\n51,0.5,n\n",
        "words.csv": with_row("fifty,0.5,n"),
        "new-words.csv": HEADING + "50,0.5,n\nfifty,0.5,n\n",
        "infinite.csv": with_row("50,inf,n"),
        "twice.csv": GOOD.replace("score", "age", 1),
        "missing.csv": "age,score\n50,1.5\n",
        "reordered.csv": "ward,more,score,age\nn,9,1.5,50\n",
        "one-row.csv": HEADING + "50,1.5,n\n",
        "constant.csv": HEADING + "50,1.5,n\n" * 9,
        "one-constant.csv": "age,same\n" + "".join(f"{at % 7},5\n" for at in range(20)),
        "german.csv": GOOD.replace(",", ";").replace(".", ","),
        "empty.csv": "",
        "blank.csv": "\n \n\n",
        "names.csv": "a,b\n",
        "no-names.csv": "\n".join(ROWS) + "\n",
        "quote.csv": HEADING + '50,"1.5,n\n51,2.5,s\n',
        "table.parquet": GOOD,
        "table.npy": GOOD,
        "picture.png": GOOD,
        "data.json": '[{"a": 1}]',
        "dates.csv": "age,since\n" + "".join(f"{at % 7},{1 + at}.05.2021\n" for at in range(40)),
    }
    for name, text in texts.items():
        (place / name).write_text(text, "utf-8")
    (place / "latin.csv").write_bytes(GOOD.replace("w\n", "S\xfcd\n").encode("latin-1"))
    (place / "mark.csv").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    (place / "good.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    (place / "packed.csv").write_bytes(gzip.compress(GOOD.encode()))
    (place / "cut.csv.gz").write_bytes(gzip.compress(GOOD.encode())[:-20])
    (place / "book.csv").write_bytes(workbook(place / "book.xlsx"))
    (place / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99))
    (place / "data.pkl").write_bytes(b"\x80\x04N.")
    (place / "rows.isth").write_bytes(b"\x89IST\r\n\x1a\n" + bytes(99))
    for name in ("sounds", "bad-sounds", "pictures", "bad-pictures", "mixed", "nothing", "readme"):
        (place / name).mkdir()
    (place / "readme/readme.md").write_text("hello", "utf-8")
    time = np.arange(4000) / 8000
    for at in range(3):
        soundfile.write(place / f"sounds/{at}.wav", np.sin(2 * np.pi * (300 + 99 * at) * time) / 3, 8000)
        pixels = RANDOM.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"pictures/{at}.png")
        Image.fromarray(pixels).save(place / f"mixed/{at}.png")
    soundfile.write(place / "mixed/0.wav", time, 8000)
    (place / "sounds/empty.wav").write_bytes(b"")
    (place / "sounds/junk.wav").write_bytes(b"RIFF\x10\0\0\0WAVEjunk")
    (place / "bad-sounds/empty.wav").write_bytes(b"")
    (place / "pictures/empty.png").write_bytes(b"")
    (place / "bad-pictures/empty.png").write_bytes(b"")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "picture.wav", "PNG")
    soundfile.write(place / "nan.wav", np.array([0.1] * 4000 + [np.nan] * 9), 8000, subtype="FLOAT")
    bad = VECTORS.copy()
    bad[7, 2] = np.inf
    np.save(place / "infinite.npy", bad)
    np.save(place / "vectors.npy", VECTORS)
    np.savez(place / "two.npz", query=VECTORS, passage=VECTORS[:, :3])
    lists = pa.array(list(VECTORS))
    arrow_parquet.write_table(pa.table({"e": lists, "text": ["a"] * 30}), place / "lists.parquet")
    ragged = [*VECTORS[:5].tolist(), [1.0], *VECTORS[6:].tolist()]
    arrow_parquet.write_table(pa.table({"e": ragged}), place / "ragged.parquet")
    return place


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch, isthmus: Callable[..., Any]) -> Path:
    """That folder as the current one, with its model."""
    monkeypatch.chdir(folder)
    if not Path("m.safetensors").exists():
        assert isthmus("fit", "good.csv", "-o", "m.safetensors", *QUICK).status == 0
    return folder


QUICK = ("--epochs", "1", "--seed", "0", "--code-size", "2", "--set", "model.network.hidden_sizes=[8]")
FIT = ("-o", "out.safetensors", *QUICK)
ENCODE = ("-o", "out.npy")
REFUSED: dict[tuple[str, ...], str] = {
    ("fit", "ragged.csv", *FIT): r"ragged.csv: line 14: expected 3 fields, as in the first line, got 2",
    ("fit", "wide.csv", *FIT): r"wide.csv: line 14: expected 3 fields, .* got 4",
    ("fit", "quote.csv", *FIT): r"quote.csv: line 3: expected 3 fields",
    ("fit", "all-empty.csv", *FIT): r"expected a column to learn from, .* 'a' is left out: it holds no value",
    ("fit", "words.csv", *FIT): r"words.csv: column 'age': expected numbers, got 'fifty' in row 12 .*data.types.age=",
    ("fit", "dates.csv", *FIT): r"'since': expected dates like 31.12.2020, got '32.05.2021' in row 31 \(9 such",
    ("fit", "infinite.csv", *FIT): r"infinite.csv: column 'score': .* got infinity in row 12",
    ("fit", "twice.csv", *FIT): r"twice.csv: expected columns of different names, got 'age' more than once",
    ("fit", "one-row.csv", *FIT): r"at least 2 different rows, got 1",
    ("fit", "constant.csv", *FIT): r"got one value alone in each \('age', 'score', 'ward'\); give rows that differ",
    ("fit", "empty.csv", *FIT): r"empty.csv: expected a table, got an empty file",
    ("fit", "blank.csv", *FIT): r"blank.csv: expected a table, got an empty file",
    ("fit", "names.csv", *FIT): r"names.csv: expected rows below the names",
    ("fit", "no-names.csv", *FIT): r"no-names.csv: expected the names of the columns .* got a row like the others",
    ("fit", "table.parquet", *FIT): r"table.parquet: expected a Parquet file, as its name says, got text .* \.csv",
    ("fit", "table.npy", *FIT): r"table.npy: expected an array of NumPy's, as its name says, got text",
    ("fit", "picture.png", *FIT): r"picture.png: expected an image, as its name says, got text",
    ("fit", "picture.wav", *FIT): r"picture.wav: expected a sound, as its name says, got a picture",
    ("fit", "book.csv", *FIT): r"book.csv: expected a table as text, .* got an Excel workbook .* save its sheet as CSV",
    ("fit", "book.xlsx", *FIT): r"book.xlsx: expected data that can be read, got an Excel workbook",
    ("fit", "old.xls", *FIT): r"old.xls: .* got an old Excel or Office file",
    ("fit", "data.json", *FIT): r"data.json: .* got JSON",
    ("fit", "rows.isth", *FIT): r"rows.isth: .* got an archive of isthmus by its first bytes; give it to 'isthmus dec",
    ("fit", "data.pkl", *FIT): r"data.pkl: .* got a pickle by its first bytes; it could run anything and is never read",
    ("fit", "cut.csv.gz", *FIT): r"cut.csv.gz: expected a whole gzip-ed table, got a damaged or truncated one",
    ("fit", "nothing", *FIT): r"nothing: expected a folder with images .* got an empty one",
    ("fit", "readme", *FIT): r"got a folder with readme.md",
    ("fit", "bad-sounds", *FIT): r"bad-sounds.empty.wav: expected sound, got an empty file of 0 bytes",
    ("fit", "bad-pictures", *FIT): r"bad-pictures.empty.png: expected an image, got a file that cannot be decoded",
    ("fit", "sounds", *FIT, "--set", "data.strict=true"): r"sounds.empty.wav: expected sound, got an empty file",
    ("fit", "pictures", *FIT, "--set", "data.strict=true"): r"pictures.empty.png: expected an image",
    ("fit", "mixed", *FIT, "--set", "data.strict=true"): r"files of one kind, got 3 image files beside 1 sound file",
    ("fit", "nan.wav", *FIT): r"nan.wav: samples must be finite, got NaN at 0.500 s \(9 samples",
    ("fit", "infinite.npy", *FIT): r"infinite.npy: values must be finite, got infinity .* in row 7, column 2",
    ("fit", "two.npz", *FIT): r"two.npz: .* got query \(30, 6\), passage \(30, 3\); .*--set data.array=query",
    ("fit", "two.npz", *FIT, "--set", "data.array=answer"): r"data.array: .* one array of two.npz, got 'answer'",
    ("fit", "vectors.npy", *FIT, "--set", "data.array=x"): r"data.array: only .* several arrays, got vectors.npy",
    ("fit", "ragged.parquet", *FIT): r"ragged.parquet: column 'e': .* got 6 values in row 0 and 1 in row 5",
    ("fit", "good.csv", *FIT, "--set", "data.types.agee=count"): r"columns of good.csv, got 'agee'; did you mean 'age'",
    ("fit", "good.csv", *FIT, "--set", "data.types.age=number"): r"column 'age' must be one of .* got 'number'",
    ("fit", "good.csv", *FIT, "--set", "data.types.ward=date"): r"'ward' cannot be a date, .*, got 'n' in row 0",
    ("fit", "good.csv", *FIT, "--set", "data.types.score=count"): r"'score' cannot be a count, .* whole numbers from 0",
    ("fit", "vectors.npy", *FIT, "--set", "data.types.a=count"): r"only tables have columns of types, got vectors.npy",
    ("info", "good.csv", "--set", "model.code_size=3"): r"expected a key of data",
    ("info", "m.safetensors", "--set", "data.strict=true"): r"settings are for data, got m.safetensors, a model",
    ("encode", "m.safetensors", "new-words.csv", *ENCODE): r"column 'age': expected numbers, got 'fifty' in row 1",
    ("encode", "m.safetensors", "missing.csv", *ENCODE): r"missing.csv: .* got none named 'ward'",
    ("encode", "m.safetensors", "infinite.csv", *ENCODE): r"infinite.csv: column 'score': .* infinity in row 12",
    ("encode", "good.csv", "good.csv", *ENCODE): r"error: good.csv: expected a model written by isthmus, [^:]*wrote\.$",
    ("impute", "m.safetensors", "good.csv", "-o", "out.csv", "--draws", "2"): r"as the kinds imputing and variational",
    ("encode", "m.safetensors", "vectors.npy", *ENCODE): r"vectors.npy: expected rows of 3 columns, got vectors 6",
}  # fmt: skip
NOTED: dict[tuple[str, ...], str] = {
    ("fit", "empty-column.csv", *FIT): r"Column 'none' is left out: it holds no value",
    ("fit", "one-constant.csv", *FIT): r"Column 'same' is no part of the rows",
    ("fit", "german.csv", *FIT): r"separated by a semicolon\.(.|\n)*Decimal commas are read as points",
    ("fit", "latin.csv", *FIT): r"read as Latin-1",
    ("fit", "mark.csv", *FIT): r"mark.csv: 40 rows of 3 columns",
    ("fit", "good.csv.gz", *FIT): r"good.csv.gz: 40 rows of 3 columns",
    ("fit", "packed.csv", *FIT): r"packed.csv: 40 rows of 3 columns",
    ("fit", "sounds", *FIT): r"2 of 5 files are left out: empty.wav",
    ("fit", "pictures", *FIT): r"1 of 4 images cannot be decoded and are left out: empty.png",
    ("fit", "mixed", *FIT): r"Left out: 1 sound file in the folder",
    ("fit", "lists.parquet", *FIT): r"Left out, for they stand beside the lists: 'text'",
    ("fit", "good.csv", *FIT, "--set", "data.types.age=category"): r"Set by data.types: 'age' \(category\)",
    ("info", "good.csv", "--set", "data.types.age=category"): r"age +category +0 % +\d+: ",
    (
        "info",
        "good.csv",
        "--set",
        "data.types.score=ignore",
    ): r"Column 'score' is left out: data.types says so",
    ("info", "two.npz", "--set", "data.array=passage"): r"two.npz: 30 vectors 3, float32",
    (
        "encode",
        "m.safetensors",
        "unseen.csv",
        *ENCODE,
    ): r"1 value is none of its 3 categories and counts as a gap \('moon'\)",
    (
        "encode",
        "m.safetensors",
        "reordered.csv",
        *ENCODE,
    ): r"Left out, for the model does not know them: 'more'",
    ("encode", "m.safetensors", "one-row.csv", *ENCODE): r"out.npy: 1 row of 2 units",
}


@pytest.mark.parametrize("command", REFUSED, ids=lambda command: "-".join((*command[:2], *command[-1:])))
def test_one_clear_line_and_nothing_written(
    here: Path, isthmus: Callable[..., Any], contents: Callable[[Path], Any], command: tuple[str, ...]
) -> None:
    before = contents(here)
    done = isthmus(*command)
    assert (done.status, done.out) == (2, ""), done
    assert done.err.count("\n") == 1, done.err
    assert re.search(REFUSED[command], done.err), done.err
    assert contents(here) == before


@pytest.mark.parametrize("command", NOTED, ids=lambda command: "-".join((*command[:2], *command[-1:])))
def test_what_was_done_to_the_data_is_said(
    here: Path, isthmus: Callable[..., Any], command: tuple[str, ...]
) -> None:
    done = isthmus(*command)
    for written in here.glob("out.*"):
        written.unlink()
    assert (done.status, done.err) == (0, ""), done
    assert re.search(NOTED[command], re.sub(r"\s*\n +", " ", done.out)), done.out


def test_types_stay_with_the_model(here: Path, isthmus: Callable[..., Any]) -> None:
    told = ("--set", "data.types.age=category")
    assert isthmus("fit", "good.csv", "-o", "out.safetensors", *QUICK, *told).status == 0
    shown = isthmus("info", "out.safetensors", "--json").json
    assert shown["config"]["data"]["types"] == {"age": "category"}
    assert [column["type"] for column in shown["schema"]["table"]] == ["category", "continuous", "category"]
    assert "category: age, ward" in isthmus("info", "out.safetensors").out
    assert isthmus("reconstruct", "out.safetensors", "good.csv", "-o", "out.csv").status == 0
    ages = {line.split(",")[0] for line in Path("out.csv").read_text("utf-8").splitlines()[1:]}
    assert ages <= {row.split(",")[0] for row in ROWS}
    for written in here.glob("out.*"):
        written.unlink()


def test_lists_go_in_and_out(here: Path, isthmus: Callable[..., Any]) -> None:
    model = "out.safetensors"
    assert isthmus("fit", "lists.parquet", "-o", model, *QUICK).status == 0
    assert isthmus("encode", model, "lists.parquet", "-o", "out.parquet").status == 0
    assert arrow_parquet.read_schema("out.parquet").names == ["code"]
    assert isthmus("decode", model, "out.parquet", "-o", "out2.parquet").status == 0
    assert isthmus("reconstruct", model, "lists.parquet", "-o", "out3.parquet").status == 0
    assert isthmus("reconstruct", model, "vectors.npy", "-o", "out4.csv").status == 0
    decoded, rebuilt = (arrow_parquet.read_table(f"out{at}.parquet") for at in (2, 3))
    assert decoded.schema.field("e").type == pa.list_(pa.float32(), 6)
    assert decoded.equals(rebuilt)
    assert Path("out4.csv").read_text("utf-8").startswith("value_0,value_1,")
    for written in here.glob("out*"):
        written.unlink()

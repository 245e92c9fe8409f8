"""Every mistake is one clear line on stderr and exit status 2; nothing is written, nothing lost."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (20, 8, 8), dtype=np.uint8)
TABLE = RANDOM.normal(size=(20, 4))


def images(folder: Path, *sides: tuple[int, int]) -> None:
    folder.mkdir()
    for at, side in enumerate(sides):
        Image.fromarray(RANDOM.integers(0, 256, side, dtype=np.uint8)).save(folder / f"{at}.png")


def spoilt(values: np.ndarray, what: float) -> np.ndarray:
    copy = values.astype(np.float64) / 255.0 if values.dtype == np.uint8 else values.copy()
    copy.reshape(len(copy), -1)[3, 1] = what
    return copy


def idx(values: np.ndarray) -> bytes:
    return struct.pack(">HBB3I", 0, 8, 3, *values.shape) + values.tobytes()


@pytest.fixture
def prepared(place: Path) -> Path:
    """The folder with two models and their data, and with everything that can be wrong with data."""
    np.save("nan-pictures.npy", spoilt(PICTURES, np.nan))
    np.save("infinite-pictures.npy", spoilt(PICTURES, np.inf))
    np.save("infinite-table.npy", spoilt(TABLE, -np.inf))
    np.save("nan-table.npy", spoilt(TABLE, np.nan))
    np.save("one.npy", PICTURES[:1])
    np.save("constant.npy", np.full((20, 4), 1.5))
    np.save("wide.npy", TABLE)
    np.save("objects.npy", np.array([[1, "a"], [2, None]], dtype=object), allow_pickle=True)
    np.savez("objects.npz", x=np.array([[1, "a"], [2, None]], dtype=object))
    np.save("four.npy", np.zeros((5, 4)))
    np.save("codes.npy", np.zeros((5, 3)))
    np.save("nan-codes.npy", np.full((5, 3), np.nan))
    Path("empty").mkdir()
    images(Path("mixed"), (8, 8), (9, 8))
    images(Path("images"), (8, 8), (8, 8))
    images(Path("not-images"), (8, 8))
    Path("not-images/words.png").write_text("words", "utf-8")
    Path("digits-idx3-ubyte").write_bytes(idx(PICTURES)[:-10])
    Path("digits-idx3-ubyte.gz").write_bytes(gzip.compress(idx(PICTURES))[:-10])
    Path("words.txt").write_text("words", "utf-8")
    Path("labels.txt").write_text("1\n2\n", "utf-8")
    Path("broken.toml").write_text("[model\nkind = ", "utf-8")
    Path("unknown.toml").write_text("[model]\ncode_sise = 3\n", "utf-8")
    Path("section.toml").write_text("[modle]\nkind = 'basic'\n", "utf-8")
    Path("truncated.safetensors").write_bytes(Path("model.safetensors").read_bytes()[:-100])
    Path("stub.safetensors").write_bytes(b"12")
    header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    Path("foreign.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")
    Path("run").mkdir()
    Path("run/model.safetensors").write_bytes(Path("model.safetensors").read_bytes())
    Path("folder.safetensors").mkdir()
    return place


OUT = ("-o", "out.safetensors", "--epochs", "1")
CASES: dict[str, tuple[tuple[str, ...], str]] = {
    # data
    "missing path": (("fit", "nowhere.npy", *OUT), r"nowhere.npy: expected a file or folder, got nothing"),
    "nearly a path": (("fit", "picture.npy", *OUT), r"did you mean pictures.npy"),
    "nearly a bundled name": (("fit", "mnist-trai", *OUT), r"mnist-trai: expected a file or folder"),
    "empty folder": (("fit", "empty", *OUT), r"expected a folder with images .* got an empty one"),
    "text named .png": (("fit", "not-images", *OUT, "--set", "data.strict=true"),
                        r"words.png: expected an image, .*no known image format"),
    "text": (("fit", "words.txt", *OUT), r"words.txt: expected rows below the names of .*, got the names alone"),
    "mixed sizes": (("fit", "mixed", *OUT), r"one size, got 8 x 8 .* --set data.resize=\[8,8\]"),
    "NaN in pictures": (("fit", "nan-pictures.npy", *OUT), r"got NaN in 1 of 20 rows, first in row 3"),
    "infinity in pictures": (("fit", "infinite-pictures.npy", *OUT), r"got infinity in 1 of 20 rows"),
    "infinity in a table": (("fit", "infinite-table.npy", *OUT), r"got infinity"),
    "NaN in a table": (("fit", "nan-table.npy", *OUT), r"got NaN"),
    "objects in .npy": (("fit", "objects.npy", *OUT), r"objects.npy: expected a whole .npy file of numbers"),
    "objects in .npz": (("fit", "objects.npz", *OUT), r"objects.npz: expected a whole .npz file of numbers"),
    "one row": (("fit", "one.npy", *OUT), r"at least 2 different rows, got 1"),
    "one row of many": (("fit", "pictures.npy:3", *OUT), r"at least 2 different rows, got 1"),
    "no such row": (("encode", "model.safetensors", "pictures.npy:40", "-o", "c.npy"), r"a row below 40, got 40"),
    "constant columns": (("fit", "constant.npy", *OUT), r"constant|at least 2 different rows"),
    "truncated IDX": (("fit", "digits-idx3-ubyte", *OUT), r"promises 1280 bytes .* got a truncated file"),
    "truncated gzip": (("fit", "digits-idx3-ubyte.gz", *OUT), r"got a damaged or truncated one"),
    "labels that do not fit": (("fit", "pictures.npy", "--labels", "labels.txt", *OUT), r"expected 40 labels"),
    "labels missing": (("fit", "pictures.npy", "--labels", "none.txt", *OUT), r"none.txt: expected a file of labels"),
    "labels of bundled data": (("fit", "mnist-test", "--labels", "labels.txt", *OUT), r"brings its own labels"),
    "validation of another shape": (
        ("fit", "pictures.npy", "--validation", "wide.npy", *OUT),
        r"validation: expected pictures 8 x 8 x 1, uint8, got vectors 4",
    ),
    "NaN in validation": (("fit", "table.npy", "--validation", "nan5.npy", *OUT), r"validation: .* got NaN"),
    "a model as data": (("fit", "model.safetensors", *OUT), r"expected data, got a model"),
    "a run as data": (("fit", "run", *OUT), r"expected data, got a model"),
    # choices
    "code size 0": (("fit", "pictures.npy", "--code-size", "0", *OUT), r"code_size must be in \[1, inf\), got 0"),
    "code size in words": (("fit", "pictures.npy", "--code-size", "few", *OUT), r"--code-size: .*\"few\""),
    "epochs 0": (("fit", "pictures.npy", "-o", "out.safetensors", "--epochs", "0"), r"epochs must be in \[1, inf\)"),
    "negative seed": (("fit", "pictures.npy", "--seed", "-1", *OUT), r"seed must be in \[0, 4294967295\], got -1"),
    "unknown kind": (("fit", "pictures.npy", "--kind", "denoisng", *OUT), r"did you mean 'denoising'"),
    "unknown device": (("fit", "pictures.npy", "--device", "gqu", *OUT), r"device 'gqu' cannot be used here"),
    "unknown option": (("fit", "pictures.npy", "--code-sise", "3", *OUT), r"Did you mean --code-size\?"),
    "unknown verb": (("fitt", "pictures.npy"), r"Did you mean \"fit\"\?"),
    "one argument too many": (("fit", "pictures.npy", "more.npy"), r"Unexpected argument 'more.npy'"),
    "no argument": (("encode", "model.safetensors"), r"SOURCE requires an argument"),
    "no output": (("encode", "model.safetensors", "pictures.npy"), r"--output.* requires an argument"),
    "unknown key": (("fit", "pictures.npy", "--set", "model.code_sise=3", *OUT), r"did you mean 'code' or 'code_size'"),
    "unknown section": (("fit", "pictures.npy", "--set", "modle.code_size=3", *OUT), r"did you mean 'model'"),
    "unknown part": (("fit", "pictures.npy", "--set", "model.network=dens", *OUT), r"did you mean 'dense'"),
    "unknown parameter": (
        ("fit", "pictures.npy", "--set", "model.network.hiden_sizes=[3]", *OUT),
        r"did you mean 'hidden_sizes'",
    ),
    "no key": (("fit", "pictures.npy", "--set", "code_size", *OUT), r"--set: expected KEY=VALUE"),
    "resize of an array": (("fit", "words.txt", "--set", "data.resize=[8]", *OUT), r"resize"),
    "broken TOML": (("fit", "pictures.npy", "--config", "broken.toml", *OUT), r"broken.toml: is not valid TOML"),
    "missing TOML": (("fit", "pictures.npy", "--config", "none.toml", *OUT), r"none.toml cannot be read"),
    "unknown key in TOML": (("fit", "pictures.npy", "--config", "unknown.toml", *OUT), r"mean .code. or .code_size."),
    "unknown section in TOML": (("fit", "pictures.npy", "--config", "section.toml", *OUT), r"did you mean 'model'"),
    # outputs
    "no folder": (("fit", "pictures.npy", "-o", "no/out.safetensors"), r"but no does not exist"),
    "a file for a folder": (("fit", "pictures.npy", "-o", "words.txt/out.safetensors"), r"words.txt is a file"),
    "a folder for a file": (("fit", "pictures.npy", "-o", "folder.safetensors"), r"the name of a file, got a folder"),
    "no ending": (("fit", "pictures.npy", "-o", "model"), r"ends in .safetensors"),
    "existing model": (("fit", "pictures.npy", "-o", "model.safetensors"), r"a free name, got a file.* --force"),
    "existing run": (("fit", "pictures.npy", "--run", "run"), r"a folder that holds something.* --force"),
    "run in no folder": (("fit", "pictures.npy", "--run", "no/run"), r"but no does not exist"),
    "run at a file": (("fit", "pictures.npy", "--run", "words.txt"), r"the name of a folder, got a file"),
    "existing codes": (("encode", "model.safetensors", "pictures.npy", "-o", "codes.npy"), r"--force"),
    "codes as text": (("encode", "model.safetensors", "pictures.npy", "-o", "codes.txt"), r".npz or .csv or .parquet"),
    "existing rows": (("decode", "model.safetensors", "codes.npy", "-o", "one.npy"), r"--force"),
    "existing pictures": (("decode", "model.safetensors", "codes.npy", "-o", "images"), r"--force"),
    "rows in no folder": (("reconstruct", "model.safetensors", "pictures.npy", "-o", "no/x.npy"), r"does not exist"),
    "a table as pictures": (
        ("reconstruct", "gaussian.safetensors", "table.npy", "-o", "x.png"),
        r"ends in .csv .* got '.png'",
    ),
    "existing report": (("report", "model.safetensors", "pictures.npy", "-o", "page.html"), r"--force"),
    "a report that is no page": (("report", "model.safetensors", "pictures.npy", "-o", "page.txt"), r".html"),
    "existing demo": (("demo", "-o", "page.html"), r"--force"),
    # models
    "missing model": (("info", "none.safetensors"), r"none.safetensors: cannot be read: No such file"),
    "truncated model": (("info", "truncated.safetensors"), r"truncated, damaged or another program's"),
    "two bytes": (("info", "stub.safetensors"), r"truncated, damaged or another program's"),
    "foreign model": (("encode", "foreign.safetensors", "pictures.npy", "-o", "c.npy"), r"holds no isthmus model"),
    "data as a model": (("encode", "pictures.npy", "pictures.npy", "-o", "c.npy"), r"a model written by isthmus"),
    "images as a model": (("report", "images", "pictures.npy", "-o", "r.html"), r"without model.safetensors"),
    "rows of another shape": (
        ("encode", "model.safetensors", "wide.npy", "-o", "c.npy"),
        r"expected pictures 8 x 8 x 1, uint8, got vectors 4, float64",
    ),
    "NaN in rows": (("encode", "gaussian.safetensors", "nan5.npy", "-o", "c.npy"), r"got NaN"),
    "codes of another width": (("decode", "model.safetensors", "four.npy", "-o", "x.npy"), r"codes of 3 units, .*5, 4"),
    "NaN in codes": (("decode", "model.safetensors", "nan-codes.npy", "-o", "x.npy"), r"finite codes"),
    "missing codes": (("decode", "model.safetensors", "none.npy", "-o", "x.npy"), r"expected a file of codes"),
    "no scale": (("encode", "model.safetensors", "pictures.npy", "--scale", "-o", "c.npz"), r"--scale: .* no scale"),
    "scale in .npy": (("encode", "gaussian.safetensors", "table.npy", "--scale", "-o", "c.npy"), r".npz, .csv or"),
}  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True], ids=["", "--json"])
@pytest.mark.parametrize("case", CASES)
def test_one_clear_line_and_nothing_written(
    prepared: Path, isthmus: Callable[..., Any], contents: Callable[[Path], Any], case: str, as_json: bool
) -> None:
    np.save("nan5.npy", spoilt(RANDOM.normal(size=(20, 5)), np.nan))
    Path("page.html").write_text("page", "utf-8")
    command, expected = CASES[case]
    before = contents(prepared)

    done = isthmus(*command, *(["--json"] if as_json else []))

    assert (done.status, done.out) == (2, ""), done
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("isthmus: error: ")
    assert re.search(expected, done.err), done.err
    assert contents(prepared) == before


def test_traceback_tells_more(prepared: Path, isthmus: Callable[..., Any]) -> None:
    done = isthmus("info", "nowhere.npy", "--traceback")
    assert done.status == 2
    assert "Traceback (most recent call last)" in done.err
    assert done.err.splitlines()[-1].startswith("isthmus: error: nowhere.npy")


def test_a_defect_is_ours(place: Path, isthmus: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: Any) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("isthmus.cli.info.print_lines", defect)
    done = isthmus("info", "pictures.npy")
    assert done.status == 1
    assert "sorry, this is a defect of isthmus: ZeroDivisionError: a b. " in done.err
    assert "--traceback" in done.err
    assert done.err.count("\n") == 1


def test_one_constant_column_is_fine(
    place: Path, isthmus: Callable[..., Any], quick: tuple[str, ...]
) -> None:
    values = RANDOM.normal(size=(30, 4))
    values[:, 2] = 7.0
    np.save("one-constant.npy", values)
    done = isthmus("fit", "one-constant.npy", "-o", "out.safetensors", *quick)
    assert done.status == 0, done.err
    assert "constant" in done.out


def test_mixed_sizes_are_resized_when_asked(
    prepared: Path, isthmus: Callable[..., Any], quick: tuple[str, ...]
) -> None:
    done = isthmus("fit", "mixed", "-o", "out.safetensors", *quick, "--set", "data.resize=[8,8]", "--json")
    assert done.status == 0, done.err
    assert done.json["config"]["data"]["resize"] == [8, 8]
    assert isthmus("encode", "out.safetensors", "mixed", "-o", "c.npy").status == 0
    assert np.load("c.npy").shape == (2, 3)


def test_a_name_in_a_file_does_not_steer_the_terminal(place: Path, isthmus: Callable[..., Any]) -> None:
    from isthmus.artifact import open_model, save_model

    model = open_model("model.safetensors")
    model.notes = ("\x1b]0;owned\x07 \x9b31m",)
    save_model(model, "steers.safetensors")
    done = isthmus("info", "steers.safetensors")
    assert done.status == 0
    assert "?]0;owned? ?31m" in done.out
    assert not {"\x1b", "\x07", "\x9b"} & set(done.out + isthmus("info", "\x1b[31m").err)

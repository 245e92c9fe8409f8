"""Golden archives: a small one of every kind of data and every codec, with a digest of what comes out of it.

    python scripts/golden_archives.py          make those that are not there yet, in tests/golden/archives
    python scripts/golden_archives.py --check  read all of them, as the tests do

An archive is made once and never again: it stands for those that people have. For another kind of data or another
codec add a line to :data:`ARCHIVES` and run this; after the bytes that a codec writes have changed, add a line of
another name, so that the old archive stays beside the new one.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

PLACE = Path(__file__).resolve().parents[1] / "tests" / "golden" / "archives"
DIGESTS = PLACE / "digests.json"
LARGEST = 30_000
"""Bytes of an archive."""

Source = Path | np.ndarray[Any, Any]


class Archive(NamedTuple):
    """How an archive is made."""

    source: Callable[[Path], Source]
    """The data, as a file or folder in a folder, or an array."""
    coder: Callable[[Any], Any] | None = None
    """Given the content, what codes it with a model."""
    block_rows: int = 50
    max_error: float | None = None
    relative: bool = False
    model: str | None = None
    """The archive that carries its model, where it names it alone."""


# ------------------------------------------------------------------ data: functions of nothing


def floats() -> np.ndarray[Any, Any]:
    """Numbers of no, few and many digits, and what is odd among them: payloads of NaN, infinities, -0.0."""
    rows = np.sin(np.arange(480.0)).reshape(120, 4)
    rows[:, 1] = np.round(rows[:, 1], 2)
    rows[:, 2] = np.rint(100 * rows[:, 2])
    rows[7] = [-0.0, np.inf, -np.inf, 5e-324]
    rows[60, :2] = np.array([0x7FF8000000000001, 0xFFF0000000000123], np.uint64).view(np.float64)
    return rows


def _saved(name: str, array: Callable[[], np.ndarray[Any, Any]]) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        np.save(folder / name, array())
        return folder / name

    return save


def _integers() -> np.ndarray[Any, Any]:
    """Of the other byte order, the first axis the fastest, from end to end of the type."""
    values = (np.arange(600) ** 3 % 65536 - 32768).astype(">i2").reshape(100, 3, 2)
    return np.asfortranarray(values)


def _records() -> np.ndarray[Any, Any]:
    dtype = np.dtype([("day", "<M8[D]"), ("name", "U5"), ("z", "<c8"), ("good", "?")], align=True)
    rows = np.zeros(90, dtype)
    rows["day"] = np.arange(90) * 7
    rows["name"] = [("süß", "sauer", "数据")[row % 3] for row in range(90)]
    rows["z"] = np.exp(1j * np.arange(90))
    rows["good"] = np.arange(90) % 3 == 0
    return rows


def _idx(folder: Path) -> Path:
    rows = (np.add.outer(np.arange(70) * 5, np.arange(24)) % 256).astype(np.uint8)
    data = bytes([0, 0, 8, 3]) + np.array([70, 4, 6], ">u4").tobytes() + rows.tobytes()
    (folder / "pictures.gz").write_bytes(gzip.compress(data, mtime=0))
    return folder / "pictures.gz"


def _arrays(folder: Path) -> Path:
    np.savez_compressed(
        folder / "arrays.npz",
        x=floats(),
        y=np.arange(120) % 7,
        scale=np.float32(0.25),
        names=np.array(["a", "ü"]),
    )
    return folder / "arrays.npz"


def _csv(folder: Path) -> Path:
    """Every type of cell, odd ones among them, rows of another number of cells, no line end at the end."""
    lines = ["id,price,short,name,word,when,day,float,code"]
    for row in range(160):
        name = ['"a, ""b"""', "plain", "süß", ""][row * 7 % 4]
        cells = [
            str(row * 37 - 1000),
            f"{row * 0.25 - 9:.2f}" if row % 41 else "NA",
            repr(round(row * 0.125, 2)),
            f"{name}{row}" if row % 3 else "",
            ("north", "south", "east")[row * row % 3],
            f"2024-02-{1 + row % 28:02}T{row % 24:02}:{row % 60:02}:07",
            f"19{row % 90 + 10}-12-31" if row != 33 else "31.12.1999",
            repr(float(np.sin(row))),
            f"{row % 1000:05}",
        ]
        lines.append(",".join(cells) if row not in (77, 120) else "a row,of,other cells")
    (folder / "table.csv").write_bytes("\n".join(lines).encode())
    return folder / "table.csv"


def _tsv(folder: Path) -> Path:
    """Packed, of another separator and line end."""
    text = "\ufeffname\tx\r\n" + "".join(f"n{row % 5}\t{row / 8:.3f}\r\n" for row in range(150))
    (folder / "table.tsv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return folder / "table.tsv.gz"


def table(n: int = 130) -> Any:
    """Columns of every type that is kept as values, with gaps."""
    words = ["süß", "sauer", "数据", None]
    numbers = [None if row % 11 == 3 else row * row - 500 for row in range(n)]
    inner = pa.struct([("a", pa.int16()), ("b", pa.string())])
    return pa.table(
        {
            "whole": pa.array(numbers, pa.int32()),
            "float": pa.array([None if row % 7 == 2 else row / 3 for row in range(n)], pa.float32()),
            "half": pa.array(np.arange(n).astype(np.float16)),
            "text": pa.array([words[row % 4] for row in range(n)]),
            "code": pa.array([words[row * row % 4] for row in range(n)]).dictionary_encode(),
            "flag": pa.array([None if row % 5 == 1 else row % 2 == 0 for row in range(n)]),
            "when": pa.array(range(n), pa.timestamp("us", tz="UTC")),
            "price": pa.array(numbers, pa.decimal128(12, 2)),
            "list": pa.array([None if row % 9 == 4 else list(range(row % 4)) for row in range(n)]),
            "pair": pa.array([[row % 100, 1] for row in range(n)], pa.list_(pa.int8(), 2)),
            "both": pa.array([None if row % 6 == 5 else {"a": row, "b": f"b{row % 3}"} for row in range(n)], inner),
            "bytes": pa.array([bytes([row % 256, 7, 0]) for row in range(n)], pa.binary(3)),
            "none": pa.nulls(n),
        }
    )  # fmt: skip


def _parquet(folder: Path) -> Path:
    from pyarrow import parquet

    parquet.write_table(table(), folder / "table.parquet", row_group_size=60, compression="zstd")
    return folder / "table.parquet"


def _arrow(folder: Path) -> Path:
    with pa.ipc.new_file(str(folder / "table.arrow"), table().schema) as writer:
        writer.write_table(table())
    return folder / "table.arrow"


def _sound(name: str, subtype: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import soundfile

        waves = np.sin(np.arange(2500)[:, None] / [9.0, 13.0]) * 0.7
        soundfile.write(folder / name, waves, 8000, subtype=subtype)
        return folder / name

    return write


def chord(n_frames: int = 5000) -> np.ndarray[Any, Any]:
    """Two channels of many partials: filters of a high order leave next to nothing of them."""
    partials = 55 * np.arange(1, 25)
    waves = np.sin(np.outer(np.arange(n_frames) / 8000, 2 * np.pi * partials) + partials**2)
    noise = np.random.default_rng(0).normal(size=(n_frames, 2))
    left = 300 * waves.sum(axis=1)
    return np.rint(np.stack([left, 0.5 * left], axis=1) + 3 * noise).astype(np.int16)


def _folder(folder: Path) -> Path:
    """Pictures of two kinds, sounds, other files, one of several names deep, an empty one and an empty folder."""
    from PIL import Image

    root = folder / "things"
    (root / "deep" / "deeper").mkdir(parents=True)
    (root / "empty").mkdir()
    slope = np.add.outer(np.arange(24) * 3, np.arange(32) * 5)
    for number in range(4):
        Image.fromarray(((slope + 40 * number + (slope * 7 + number) % 5) % 256).astype(np.uint8)).save(
            root / f"{number}.png"
        )
    colours = np.stack([slope, slope[::-1], slope // 2], axis=2) % 256
    Image.fromarray(colours.astype(np.uint8)).save(root / "deep" / "colours.png")
    _sound("sound.wav", "PCM_24")(root)
    _sound("deep/sound.flac", "PCM_16")(root)
    (root / "deep" / "deeper" / "ä.txt").write_text("text\n" * 20, encoding="utf-8")
    (root / "nothing").touch()
    return root


def _pictures(folder: Path) -> Path:
    """Pictures of two kinds, and between them one that is wider and another file."""
    from PIL import Image

    root = folder / "pictures"
    root.mkdir()
    for number, picture in enumerate(shades(60)[..., 0]):
        Image.fromarray(picture).save(root / f"{number:02}.png")
    for number, picture in enumerate(shades(40, 3)):
        Image.fromarray(picture).save(root / f"colours{number:02}.png")
    Image.fromarray(np.zeros((6, 7), np.uint8)).save(root / "20 wider.png")
    (root / "30.txt").write_text("text")
    return root


def _file(folder: Path) -> Path:
    (folder / "letters.bin").write_bytes(bytes(range(256)) * 3 + b"the end")
    return folder / "letters.bin"


def _empty(folder: Path) -> Path:
    (folder / "empty.txt").touch()
    return folder / "empty.txt"


def shades(n: int, n_channels: int = 1, seed: int = 0) -> np.ndarray[Any, Any]:
    """Pictures of 6 x 6 bytes: a slope each."""
    chance = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-1, 1, 6)))
    slopes = 30 * np.tensordot(chance.normal(size=(n, 2)), grid, 1)
    values = 128 + slopes[..., None] + 6 * chance.normal(size=(n, 6, 6, n_channels))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def bars(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Pictures of 8 x 8 zeros and ones: a bar each."""
    chance = np.random.default_rng(seed)
    place, is_flat = chance.integers(0, 7, (n, 1, 1)), chance.random((n, 1, 1)) < 0.5
    at = np.where(is_flat, np.arange(8)[:, None], np.arange(8)[None])
    share = np.where((at == place) | (at == place + 1), 0.95, 0.05)
    return (chance.random((n, 8, 8)) < share).astype(np.uint8)


def columns(n: int = 700, seed: int = 0) -> str:
    """A table of text, each column of which tells something of the next."""
    chance = np.random.default_rng(seed)
    a = chance.integers(0, 6, n)
    b = (a + (chance.random(n) < 0.1) * chance.integers(0, 6, n)) % 6
    c = np.rint(1000 * a + 100 * chance.normal(size=n)).astype(int) - 2000
    d = 100.0 * (a + b) + chance.integers(0, 3, n)
    c[::97] = 10**9  # beyond all that is common
    words = ("north", "south", "east", "west", "up", "down")
    rows = zip(a.tolist(), b.tolist(), c.tolist(), d.tolist(), strict=True)
    return "a,b,c,d\n" + "".join(f"{a},{words[b]},{c},{d / 4:.2f}\n" for a, b, c, d in rows)


def _typed_columns(folder: Path) -> Path:
    """The same as numbers, words and decimals with gaps, as Arrow has them."""
    from pyarrow import csv, parquet

    table = csv.read_csv(io.BytesIO(columns(400).encode()))
    d = [None if row % 50 == 7 else value for row, value in enumerate(table.column("d").to_pylist())]
    parquet.write_table(table.set_column(3, "d", pa.array(d)), folder / "columns.parquet")
    return folder / "columns.parquet"


def _columns(folder: Path) -> Path:
    (folder / "columns.csv").write_text(columns(), encoding="utf-8", newline="\n")
    return folder / "columns.csv"


def _more_columns(folder: Path) -> Path:
    (folder / "more.csv").write_text(columns(200, seed=1), encoding="utf-8", newline="\n")
    return folder / "more.csv"


# ------------------------------------------------------------------ codecs with a model


def _latent(likelihood: str, n_mixtures: int = 1, kind: str = "dense") -> Callable[[Any], Any]:
    """Bits-back by a small model that is fitted to such rows."""

    def coder(content: Any, name: str = "values") -> Any:
        from isthmus.codec.coding.latent_fit import latent_coder
        from isthmus.config import Config
        from isthmus.sources import ArraySource
        from isthmus.workflows.fit import fit

        row = content.block(slice(0, content.n_rows))[name].shape[1:]
        is_binary, networks = (
            likelihood == "bernoulli",
            {"dense": {"hidden_sizes": [24]}, "conv2d": {"channels": [4]}},
        )
        rows = (bars(1500, 1) * 255 if is_binary else shades(1500, row[-1], 1)).reshape(1500, *row)
        told = {"type": likelihood, **({} if is_binary else {"n_mixtures": n_mixtures})}
        config = Config.from_dict(
            {
                "model": {
                    "kind": "variational",
                    "code_size": 3,
                    "network": {"type": kind, "activation": "relu", **networks[kind]},
                    "likelihood": told,
                },
                "training": {
                    "epochs": 25, "batch_size": 64, "learning_rate": 5e-3, "seed": 0, "threads": 1, "device": "cpu",
                },
            }
        )  # fmt: skip
        model, _ = fit(ArraySource(rows, sample_shape=row), config)
        coder = latent_coder(model, rows)
        return coder.of_levels(np.array([0, 1], np.uint8)) if is_binary else coder

    return coder


def _by_column(content: Any) -> Any:
    """Bits-back for each of two columns of pictures."""
    from isthmus.codec.coding.by_column import ColumnCoder

    one = _latent("discretised_logistic")
    return ColumnCoder({name: one(content, name) for name in ("6 6 0 8", "6 6 2 8")})


def _latent_table(content: Any) -> Any:
    """Bits-back for a table, by a small model that is fitted to such rows."""
    from isthmus.config import Config
    from isthmus.sources import TableSource
    from isthmus.workflows.archive_tables import table_coder
    from isthmus.workflows.fit import fit

    block = content.block(slice(0, content.n_rows))
    config = Config.from_dict(
        {
            "model": {
                "kind": "variational",
                "code_size": 2,
                "network": {"type": "dense", "hidden_sizes": [16], "activation": "relu"},
                "likelihood": {"type": "mixed", "numbers": "gaussian"},
            },
            "data": {"missing": "mask"},
            "training": {
                "epochs": 40, "batch_size": 64, "learning_rate": 5e-3, "seed": 0, "threads": 1, "device": "cpu",
            },
        }
    )  # fmt: skip
    model, _ = fit(TableSource(content.form.rows(block)), config)
    some = {name: column for name, column in block.items() if len(column) == content.n_rows}
    return table_coder(model, content.form, None, some, content.name)


def _chain(content: Any) -> Any:
    """A chain of networks for a table's columns."""
    from isthmus.codec.coding.chain_fit import fields_of, fit_chain
    from isthmus.codec.coding.fields import symbols_of

    block = content.block(slice(0, content.n_rows))
    fields = fields_of(block)
    symbols = symbols_of(fields, block)
    assert symbols is not None
    return fit_chain(fields, symbols, epochs=15)


def _context(content: Any) -> Any:
    """A network that sees what is around each value of pictures."""
    from isthmus.codec.coding.context_fit import facts_of, fit_context, levels_of

    rows = content.block(slice(0, content.n_rows))["values"]
    levels = levels_of(rows)
    assert levels is not None
    return fit_context(facts_of(rows, levels), levels, rows, epochs=120)


def _grounds() -> np.ndarray[Any, Any]:
    """Pictures of 6 x 6 with 3 channels, above of one shade each."""
    rows = shades(70, 3).astype(np.int16) * 9
    rows[:, :3] = 700
    return rows


def _preview(content: Any) -> Any:
    """A quantised code of all that a preview knows of the rows."""
    from contextlib import nullcontext

    from isthmus.training.callbacks import Callback
    from isthmus.workflows.preview_models import preview_coder_for

    return preview_coder_for(
        content, None, 90.0, seconds=0.3, told=lambda _: None, watch=lambda _: nullcontext(Callback())
    )


ARCHIVES: dict[str, Archive] = {
    "floats": Archive(_saved("floats.npy", floats)),
    "integers": Archive(_saved("integers.npy", _integers)),
    "records": Archive(_saved("records.npy", _records)),
    "idx": Archive(_idx),
    "no-rows": Archive(_saved("none.npy", lambda: np.zeros((0, 3), np.float32))),
    "one-number": Archive(_saved("one.npy", lambda: np.array(-0.0))),
    "arrays": Archive(_arrays),
    "csv": Archive(_csv),
    "tsv": Archive(_tsv),
    "parquet": Archive(_parquet),
    "arrow": Archive(_arrow),
    "wav": Archive(_sound("sound.wav", "FLOAT"), block_rows=1000),
    "flac": Archive(_sound("sound.flac", "PCM_16"), block_rows=2500),
    "filters": Archive(_saved("chord.npy", chord), block_rows=5000),
    "folder": Archive(_folder, block_rows=6),
    "file": Archive(_file),
    "empty-file": Archive(_empty),
    "bounded-floats": Archive(_saved("floats.npy", floats), max_error=0.01, relative=True),
    "bounded-integers": Archive(_saved("integers.npy", _integers), max_error=20),
    "bounded-csv": Archive(_csv, max_error=0.5),
    "bits-back-binary": Archive(lambda _: bars(300), _latent("bernoulli"), block_rows=200),
    "bits-back-levels": Archive(lambda _: shades(150), _latent("discretised_logistic"), block_rows=100),
    "bits-back-mixture": Archive(
        lambda _: shades(50, 3), _latent("discretised_logistic", 2, "conv2d"), block_rows=30
    ),
    "chain": Archive(_columns, _chain, block_rows=500),
    "context-binary": Archive(lambda _: bars(120), _context, block_rows=100),
    "context-channels": Archive(lambda _: _grounds(), _context, block_rows=50),
    "columns": Archive(_pictures, _by_column, block_rows=60),
    "chain-typed": Archive(_typed_columns, _chain, block_rows=300),
    "latent-table": Archive(_typed_columns, _latent_table, block_rows=400),
    "shared-model": Archive(_more_columns, block_rows=120, model="chain"),
    "preview-pictures": Archive(lambda _: shades(300, 3), _preview, block_rows=40),
    "preview-tiles": Archive(lambda _: np.tile(shades(4, 3), (1, 9, 8, 1)), _preview, block_rows=3),
    "preview-floats": Archive(_saved("floats.npy", floats), _preview),
    "preview-table": Archive(_typed_columns, _preview, block_rows=300),
}


# ------------------------------------------------------------------ making and reading


def write(name: str, folder: Path, coder: Any = None) -> tuple[Source, Path]:
    """Make an archive of a name in a folder, with a model that is fitted now, or a given one; its data and place."""
    from isthmus.codec.bounded import bounds_of
    from isthmus.codec.contents import content_of
    from isthmus.codec.store import write_rows

    one, path = ARCHIVES[name], folder / f"{name}.isth"
    source = one.source(folder)
    content = content_of(source)
    bounds = None if one.max_error is None else bounds_of(content, one.max_error, relative=one.relative)
    if one.model is not None:
        coder = coder_of(PLACE / f"{one.model}.isth")
    elif coder is None and one.coder is not None:
        coder = one.coder(content)
    write_rows(
        content, path, coder=coder, bounds=bounds, block_rows=one.block_rows, apart=one.model is not None
    )
    return source, path


def read(path: Path, folder: Path) -> Path:
    """Write what an archive holds into a folder."""
    from isthmus import decompress, open_archive

    with open_archive(path, model=model_of(path)) as rows:
        suffix = rows.form.suffix
    decompress(path, folder / f"found{suffix}", model=model_of(path))
    return folder / f"found{suffix}"


def model_of(path: Path) -> Path | None:
    """The archive that carries the model of a golden one, or of a copy of that name; None where it needs no other."""
    one = ARCHIVES.get(path.stem)
    return None if one is None or one.model is None else PLACE / f"{one.model}.isth"


def coder_of(path: Path) -> Any:
    """The model that is in an archive; None of one that carries none, and of a preview, which holds a decoder alone."""
    from isthmus.codec.container import Archive as Opened
    from isthmus.workflows.compress import CODERS

    with Opened(path) as archive:
        name = archive.header["coder"]
        return (
            None
            if name == "preview" or not archive.sections
            else CODERS[name].of_section(archive.section("model"))
        )


def digest(path: Path) -> str:
    """Of what a file or folder holds; of packed ones what is in them, for packing is up to libraries."""
    return hashlib.sha256(b"".join(held(path))).hexdigest()


def held(path: Path) -> list[bytes]:
    """What a digest is of."""
    if path.is_dir():
        places = sorted(place for place in path.rglob("*") if place.is_file() or not any(place.iterdir()))
        names = [os.fsencode(place.relative_to(path).as_posix()) for place in places]
        inside = [[] if place.is_dir() else held(place) for place in places]
        return [part for name, parts in zip(names, inside, strict=True) for part in (name, *parts)]
    return HELD.get(path.suffix, lambda place: [place.read_bytes()])(path)


def _members(path: Path) -> list[bytes]:
    with zipfile.ZipFile(path) as file:
        return [part for member in file.namelist() for part in (member.encode(), file.read(member))]


def _rows(path: Path) -> list[bytes]:
    from pyarrow import parquet

    is_parquet = path.suffix == ".parquet"
    return table_bytes(parquet.read_table(path) if is_parquet else pa.ipc.open_file(str(path)).read_all())


def _samples(path: Path) -> list[bytes]:
    import soundfile

    return [soundfile.read(path, dtype="int32", always_2d=True)[0].tobytes()]


def _pixels(path: Path) -> list[bytes]:
    from PIL import Image

    with Image.open(path) as image:
        return [image.mode.encode(), np.asarray(image).tobytes()]


HELD: dict[str, Callable[[Path], list[bytes]]] = {
    ".gz": lambda path: [gzip.decompress(path.read_bytes())],
    ".npz": _members,
    ".parquet": _rows,
    ".arrow": _rows,
    ".flac": _samples,
    ".png": _pixels,
}
"""Of files whose bytes are up to libraries, by their ending."""


def table_bytes(found: Any) -> list[bytes]:
    """Types and values of a table."""
    return [str(found.schema.types).encode(), repr(found.to_pydict()).encode()]


def digests() -> dict[str, str]:
    """Of each golden archive by its name, what :func:`digest` gave when it was made."""
    return json.loads(DIGESTS.read_text("utf-8"))


def make() -> list[str]:
    """Make the archives that are not there, and never one that is."""
    warnings.simplefilter("ignore")
    PLACE.mkdir(exist_ok=True)
    known, made = digests() if DIGESTS.exists() else {}, list[str]()
    for name in ARCHIVES:
        if name in known:
            continue
        with tempfile.TemporaryDirectory() as folder:
            _, path = write(name, Path(folder))
            data = path.read_bytes()
            if len(data) > LARGEST:
                raise SystemExit(f"{name}: {len(data):,} bytes are more than {LARGEST:,}")
            (PLACE / path.name).write_bytes(data)
            again = Path(folder) / "again"
            again.mkdir()
            known[name] = digest(read(path, again))
            made.append(name)
    DIGESTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")
    return made


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="read all archives, and make none")
    if not parser.parse_args().check:
        print(f"made {', '.join(make()) or 'nothing'}")
    wrong = list[str]()
    for name, expected in digests().items():
        with tempfile.TemporaryDirectory() as folder:
            if digest(read(PLACE / f"{name}.isth", Path(folder))) != expected:
                wrong.append(f"{name}: is read as other data")
    print("\n".join(wrong) or f"{len(digests())} archives are read as they were made")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

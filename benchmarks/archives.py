"""Bytes of archives beside general coders and the specialist of each kind of data, at equal blocks.

    python benchmarks/archives.py --data FOLDER                  all tasks
    python benchmarks/archives.py --only table --seconds 600     one, with a longer fit

``binary`` and ``grey``: the MNIST test pictures, coded with models of the 60,000 training pictures, one that sees what
is around each value and one for bits-back, in blocks of 1,000; bits a pixel gross, nothing taken off for the bits that
a block begins with, with and without the model's bytes. ``table``: 200,000 made rows of 13 columns - numbers, counts,
words, of which each hangs on others in lines and curves - within 0.5 % of each number's range, shuffled and
self-contained, beside a network of counts with two parents a column, too. ``access``: 100 rows of a million such.
``notes``: all recordings of the folder, exactly. ``lossy``: previews of the MNIST test pictures with
models of the training pictures, one a beta, beside JPEG and WebP of one sheet of all pictures and principal components
through zstd, of each the fewest bytes of an error no larger. Beside each of the others what xz, bz2 and zstd make of
the same numbers (pixels, places on the grid, samples) in blocks as large, and specialists where they are installed
(``pip install -r benchmarks/peers.txt``): JPEG XL, WebP and PNG of sheets, SZ3, zfp and pcodec of the table's numbers.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from archive_pictures import context
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet
from rates import zstd_bits
from rivals import bayesian_network, general, of_numbers, of_pictures

from isthmus import Autoencoder, Conv2d, DiscretisedLogistic, QuantisedCode, VariationalAutoencoder
from isthmus.codec.bounded import bounded, bounds_of
from isthmus.codec.contents import content_of
from isthmus.sources import open_source
from isthmus.workflows.compress import compress, decompress, open_archive

Pixels = NDArray[np.uint8]
BLOCK = 1000


def pictures(folder: Path, part: str) -> Pixels:
    source = open_source(str(folder / f"{part}-images-idx3-ubyte.gz"))
    return source.read(slice(0, len(source))).astype(np.uint8)


def mnist(folder: Path, *, is_binary: bool, epochs: int, seconds: float) -> None:
    """Held-out pictures with a model of the others."""
    training, test = pictures(folder, "train"), pictures(folder, "t10k")
    likelihood: Any = DiscretisedLogistic()
    if is_binary:
        chance, likelihood = np.random.default_rng(0), "bernoulli"
        training, test = (
            (chance.random(each.shape) * 255 < each).astype(np.uint8) for each in (training, test)
        )
    begin = time.perf_counter()
    model = VariationalAutoencoder(
        n_components=50, hidden_sizes=(256,), activation="relu", likelihood=likelihood, max_epochs=epochs,
        batch_size=256, learning_rate=2e-3, random_state=0,
    ).fit(training)  # fmt: skip
    fitted = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as name:
        path, archive = Path(name) / "model.safetensors", Path(name) / "test.isth"
        model.save(path)
        begin = time.perf_counter()
        done = compress(test, archive, model=path)
        written = time.perf_counter() - begin
        begin = time.perf_counter()
        with open_archive(archive) as rows:
            back = rows[:]
        read = time.perf_counter() - begin
    assert (back == test).all()
    n = test.size
    seen = context(training, test, BLOCK, seconds)
    blocks = [test[start : start + BLOCK] for start in range(0, len(test), BLOCK)]
    sheets = of_pictures([255 * block if is_binary else block for block in blocks])
    if is_binary:
        blocks = [np.packbits(block) for block in blocks]
    report(
        "binary" if is_binary else "grey",
        "bits a pixel",
        {
            "context": 8 * seen.n_bytes / n,
            "with model": 8 * (seen.n_bytes + seen.n_bytes_of_model) / n,
            "bits-back": 8 * (done.n_bytes - done.n_bytes_of_model) / n,
            "with its model": 8 * done.n_bytes / n,
            **{name: 8 * size / n for name, size in general([block.tobytes() for block in blocks]).items()},
            **{f"{name} of sheets": 8 * size / n for name, size in sheets.items()},
        },
        f"context: fit {seen.fitted:.0f} s; two processes, pictures a second: {seen.encoded:,.0f} in, "
        f"{seen.decoded:,.0f} out, {seen.kept:,.0f} in, read back and held against general coders. "
        f"bits-back: fit {fitted:.0f} s; {len(test) / written:,.0f} in (all ways tried, and back), "
        f"{len(test) / read:,.0f} out; {done.codecs}",
    )


def made_table(n_rows: int, seed: int = 0) -> pa.Table:
    """Columns that hang on each other: through three hidden numbers, on a line or a curve, by words and counts."""
    chance = np.random.default_rng(seed)
    z = chance.normal(size=(n_rows, 3))
    region = np.argmax(z @ chance.normal(size=(3, 6)) + 0.5 * chance.gumbel(size=(n_rows, 6)), axis=1)
    size = np.exp(3 + 0.6 * z[:, 0] + 0.15 * chance.normal(size=n_rows) + 0.1 * region)
    columns: dict[str, Any] = {
        "region": pa.array(np.array(["north", "south", "east", "west", "coast", "isle"])[region]),
        "size": np.round(size, 1),
        "price": np.round(1000 * size**0.9 * np.exp(0.2 * z[:, 1] + 0.1 * chance.normal(size=n_rows)), 0),
        "rooms": chance.poisson(size / 8) + 1,
        "is_new": z[:, 1] + 0.3 * chance.normal(size=n_rows) > 0.8,
        "age": np.round(np.abs(20 * (1.5 - z[:, 1]) + 3 * chance.normal(size=n_rows))),
    }
    for place in range(7):
        line = (
            z @ chance.normal(size=3) + 0.3 * np.sin(2 * z[:, place % 3]) + 0.1 * chance.normal(size=n_rows)
        )
        columns[f"sensor_{place}"] = np.round(line, 3)
    table = pa.table(columns)
    return table.take(pa.array(chance.permutation(n_rows)))


def table(n_rows: int, seconds: float) -> None:
    """A table within half a percent of each number's range."""
    with tempfile.TemporaryDirectory() as name:
        path, archive = Path(name) / "table.parquet", Path(name) / "table.isth"
        parquet.write_table(made_table(n_rows), path)
        begin = time.perf_counter()
        done = compress(path, archive, max_error=0.005, relative=True, seconds=seconds)
        written = time.perf_counter() - begin
        begin = time.perf_counter()
        decompress(archive, Path(name) / "back.parquet")
        read = time.perf_counter() - begin
        own, by_latent = Path(name) / "model.safetensors", Path(name) / "latent.isth"
        VariationalAutoencoder(
            n_components=6, hidden_sizes=(128,), activation="relu", max_epochs=20, batch_size=256, random_state=0
        ).fit(parquet.read_table(path)).save(own)  # fmt: skip
        latent = compress(path, by_latent, max_error=0.005, relative=True, model=own)
        content = content_of(path)
        block, bounds = content.block(slice(0, n_rows)), bounds_of(content, 0.005, relative=True)
        symbols = [places(column) for column in bounded(block, bounds).values()]
        numbers = [
            (np.asarray(block[name], np.float64), bounds[name]["error"])
            for name in block
            if name in bounds and bounds[name]["error"] > 0
        ]
    by_column = general([column.astype(np.min_scalar_type(column.max())).tobytes() for column in symbols])
    within = of_numbers(*(list(each) for each in zip(*numbers, strict=True)))
    report(
        "table",
        "bytes a row",
        {
            "isthmus": done.n_bytes / n_rows,
            "less model": (done.n_bytes - done.n_bytes_of_model) / n_rows,
            "bits-back with a variational model": latent.n_bytes / n_rows,
            "less its model": (latent.n_bytes - latent.n_bytes_of_model) / n_rows,
            **{f"grid + {name}": size / n_rows for name, size in by_column.items()},
            "grid + Bayesian network, at best": bayesian_network(symbols) / n_rows,
            **{f"{name}, {len(numbers)} numbers alone": size / n_rows for name, size in within.items()},
        },
        f"{n_rows:,} rows; written in {written:.0f} s, {n_rows / read:,.0f} rows a second out; {done.codecs}; "
        f"bits-back {latent.codecs}",
    )


def places(column: Any) -> NDArray[np.int64]:
    """Numbers of the values of a column, texts too, in order."""
    return np.unique(np.asarray(column), return_inverse=True)[1].reshape(-1)


def access(n_rows: int, seconds: float) -> None:
    """A hundred rows of many, anywhere: what is read of the file, and how long it takes once it is open."""
    with tempfile.TemporaryDirectory() as name:
        path, archive = Path(name) / "table.parquet", Path(name) / "table.isth"
        parquet.write_table(made_table(n_rows), path)
        done = compress(path, archive, max_error=0.005, relative=True, seconds=seconds)
        chance = np.random.default_rng(0)
        begin = time.perf_counter()
        with open_archive(archive) as rows:
            opened = time.perf_counter() - begin
            seconds_each, blocks, n_bytes = list[float](), list[int](), list[int]()
            for start in chance.integers(0, n_rows - 100, 20).tolist():
                before, asked = rows.archive.n_bytes_read, rows.archive.blocks_of(start, start + 100)
                begin = time.perf_counter()
                assert len(rows[start : start + 100]) == 100
                seconds_each.append(time.perf_counter() - begin)
                n_bytes.append(rows.archive.n_bytes_read - before)
                blocks.append(len(asked))
    print(
        f"access   100 of {n_rows:,} rows, 20 times: {1000 * statistics.median(seconds_each):.0f} ms "
        f"({1000 * max(seconds_each):.0f} at most) in an archive that is open (opened in {1000 * opened:.0f} ms); "
        f"{max(blocks)} blocks at most, {max(n_bytes):,} of {done.n_bytes:,} bytes; {done.codecs}",
        flush=True,
    )


def notes(folder: Path) -> None:
    """All recordings, exactly."""
    import soundfile

    with tempfile.TemporaryDirectory() as name:
        begin = time.perf_counter()
        done = compress(folder, Path(name) / "notes.isth")
        written = time.perf_counter() - begin
        flac, samples = 0, list[bytes]()
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".wav", ".flac"):
                values, rate = soundfile.read(path, dtype="int16")
                soundfile.write(
                    Path(name) / "one.flac", values, rate, subtype="PCM_16", compression_level=1.0
                )
                flac += (Path(name) / "one.flac").stat().st_size
                samples.append(values.tobytes())
    total = sum(map(len, samples))
    report(
        "notes",
        "share of the samples",
        {
            "isthmus": done.n_bytes / total,
            "FLAC": flac / total,
            **{name: size / total for name, size in general([b"".join(samples)]).items()},
        },
        f"{done.n_rows:,} pieces, written in {written:.0f} s",
    )


Curve = list[tuple[int, float]]
"""Bytes and mean squared error, one a setting."""


def squared_error(found: NDArray[Any], pixels: Pixels) -> float:
    return float(np.square(found.astype(np.float64) - pixels).mean())


def sheet_curve(pixels: Pixels, kind: str, **options: Any) -> Curve:
    """All pictures on one sheet as a file, of every other quality."""
    n, height, width, _ = pixels.shape
    across = int(n**0.5)
    sheet = pixels.reshape(-1, across, height, width).swapaxes(1, 2).reshape(-1, across * width)
    found = Curve()
    for quality in range(1, 101, 2):
        Image.fromarray(sheet).save(file := io.BytesIO(), kind, quality=quality, **options)
        with Image.open(file) as opened:
            found.append((file.getbuffer().nbytes, squared_error(np.asarray(opened.convert("L")), sheet)))
    return found


def components_curve(training: Pixels, pixels: Pixels) -> Curve:
    """Scores of principal components in steps, through zstd; the components are not counted."""
    some, flat = training[::6].reshape(-1, training[0].size) / 255, pixels.reshape(len(pixels), -1) / 255
    mean = some.mean(axis=0)
    axes = np.linalg.svd(some - mean, full_matrices=False)[2]
    found = Curve()
    for n in (16, 32, 48, 64, 96, 128, 192, 256):
        scores = (flat - mean) @ axes[:n].T
        for step in (0.25, 0.35, 0.5, 0.7, 1.0, 1.4):
            symbols = np.rint(scores / step).astype(np.int64)
            back = np.clip(np.rint(255 * (mean + step * symbols @ axes[:n])), 0, 255)
            found.append((int(zstd_bits(symbols) * len(pixels) / 8), squared_error(back, 255 * flat)))
    return found


def fewest(curve: Curve, error: float) -> float:
    """Bytes of the smallest that is no farther off."""
    return min((n_bytes for n_bytes, found in curve if found <= error), default=float("nan"))


def lossy(folder: Path, betas: list[float], epochs: int) -> None:
    """Previews of held-out pictures with models of the others."""
    training, test = pictures(folder, "train"), pictures(folder, "t10k")
    curves = {
        "JPEG": sheet_curve(test, "JPEG", optimize=True),
        "WebP": sheet_curve(test, "WEBP", method=6),
        "components + zstd": components_curve(training, test),
    }
    for beta in betas:
        begin = time.perf_counter()
        model = Autoencoder(
            64, code=QuantisedCode(beta), likelihood="squared_error", network=Conv2d((16, 32, 64)),
            max_epochs=epochs, patience=None, batch_size=256, learning_rate=2e-3, random_state=0, threads=1,
        ).fit(training)  # fmt: skip
        fitted = time.perf_counter() - begin
        with tempfile.TemporaryDirectory() as name:
            path, archive = Path(name) / "model.safetensors", Path(name) / "test.isth"
            model.save(path)
            begin = time.perf_counter()
            done = compress(test, archive, preview=True, model=path)
            written = time.perf_counter() - begin
            begin = time.perf_counter()
            with open_archive(archive) as rows:
                error = squared_error(rows[:], test)
            read = time.perf_counter() - begin
        alone = done.n_bytes - done.n_bytes_of_model
        bits = 8 / len(test)
        beside = {name: fewest(curve, error) for name, curve in curves.items()}
        report(
            "lossy",
            f"bits a picture at a root mean squared error of {error**0.5:.2f} of 255 (beta {beta:g})",
            {
                "isthmus": alone * bits,
                "with model": done.n_bytes * bits,
                **{name: n_bytes * bits for name, n_bytes in beside.items()},
                **{f"isthmus / {name}": alone / n_bytes for name, n_bytes in beside.items()},
                **{f"with model / {name}": done.n_bytes / n_bytes for name, n_bytes in beside.items()},
            },
            f"fit {fitted:.0f} s; {len(test) / written:,.0f} pictures a second in (read back too), "
            f"{len(test) / read:,.0f} out",
        )


def report(task: str, unit: str, figures: dict[str, float], more: str) -> None:
    print(
        f"{task:8} {unit}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()), flush=True
    )
    print(f"         {more}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = ("binary", "grey", "table", "access", "notes", "lossy")
    parser.add_argument("--only", nargs="*", choices=tasks, default=list(tasks))
    parser.add_argument("--data", type=Path, help="folder of the MNIST files")
    parser.add_argument("--audio", type=Path, help="folder of recordings")
    parser.add_argument("--epochs", type=int, default=40, help="of the models of pictures")
    parser.add_argument(
        "--betas", type=float, nargs="+", default=[0.1, 0.03], help="of the codes of previews"
    )
    parser.add_argument("--preview-epochs", type=int, default=10, help="of the models of previews")
    parser.add_argument("--rows", type=int, default=200_000, help="of the table")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="that fitting a chain, or a context, should take"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for task in ("binary", "grey"):
        if task in asked.only and asked.data is not None:
            mnist(asked.data, is_binary=task == "binary", epochs=asked.epochs, seconds=asked.seconds)
    if "lossy" in asked.only and asked.data is not None:
        lossy(asked.data, asked.betas, asked.preview_epochs)
    if "table" in asked.only:
        table(asked.rows, asked.seconds)
    if "access" in asked.only:
        access(5 * asked.rows, asked.seconds)
    if "notes" in asked.only and asked.audio is not None:
        notes(asked.audio)


if __name__ == "__main__":
    main()

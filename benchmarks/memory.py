"""Memory and rows per second of a file that is read by block, beside the same rows held in memory.

Makes an ``.npy`` file of float32 or uint8 rows in a temporary folder, or with ``--parquet`` a table of ten
columns (six numbers on a random plane, two of them with gaps; a skewed one, a count, a boolean, a category with
gaps), fits a model and encodes the file in a process of its own each way, in turn, and prints anonymous memory
above that after the imports (Linux), rows per second of training and of encoding, and their ratios. The rows of
an array are those of a random plane with noise.

    python benchmarks/memory.py --size 2GB --memory 500MB --rounds 3
    python benchmarks/memory.py --parquet 5000000 --memory 250MB --rounds 3

``--limit 4GB`` has the kernel refuse the process that reads by block more private memory than that
(``RLIMIT_DATA``: what is mapped for writing, used or not; a file that is mapped for reading does not count).
Rows are held by the other process, which has no limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1 << 16
ROWS_A_GROUP = 100_000
CITIES = np.array(["Ulm", "Aalen", "Celle", "Hof", "Trier"])
GAPS = 0.05


def make(path: Path, n_bytes: int, width: int, dtype: str) -> int:
    """Write rows block by block, as long as the file shall be; how many there are."""
    chance = np.random.default_rng(0)
    n_rows = n_bytes // (width * np.dtype(dtype).itemsize)
    plane = chance.normal(size=(8, width)).astype(np.float32)
    rows = np.lib.format.open_memmap(path, "w+", dtype, (n_rows, width))
    for start in range(0, n_rows, BLOCK):
        n = min(BLOCK, n_rows - start)
        x = chance.standard_normal((n, 8), np.float32) @ plane
        x += 0.3 * chance.standard_normal((n, width), np.float32)
        rows[start : start + n] = np.clip(128 + 20 * x, 0, 255) if dtype == "uint8" else x
    rows.flush()
    return n_rows


def make_table(path: Path, n_rows: int) -> int:
    """Write a table, one row group after the other; how many rows it has."""
    import pyarrow as pa
    from pyarrow import parquet

    chance = np.random.default_rng(0)
    plane = chance.normal(size=(4, 10))
    writer: Any = None
    for start in range(0, n_rows, ROWS_A_GROUP):
        n = min(ROWS_A_GROUP, n_rows - start)
        x = chance.normal(size=(n, 4)) @ plane + 0.3 * chance.normal(size=(n, 10))
        columns = {f"x{place}": pa.array(x[:, place].astype(np.float32)) for place in range(4)}
        columns |= {f"y{k}": pa.array(x[:, 4 + k], mask=chance.random(n) < GAPS) for k in range(2)}
        columns["price"] = pa.array(np.exp(x[:, 6] / 2))
        columns["visits"] = pa.array(chance.poisson(np.exp(np.clip(x[:, 7], -2, 3))).astype(np.int32))
        columns["member"] = pa.array(x[:, 8] > 0)
        city = CITIES[np.clip(np.rint(x[:, 9] + 2), 0, len(CITIES) - 1).astype(np.int64)]
        columns["city"] = pa.array(city, mask=chance.random(n) < GAPS)
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=n)
    writer.close()
    return n_rows


def anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    return 0


class Peak:
    """The most anonymous memory that was seen while it is on, looked at a hundred times a second."""

    def __enter__(self) -> Peak:
        self.bytes, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self.bytes = max(self.bytes, anonymous_bytes())


def measure(path: Path, memory: str, epochs: int, hidden: int, limit: int) -> dict[str, float]:
    """Fit and encode in this process, under a limit of memory that is not 0."""
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    from isthmus.config import Config, Data, Model, Training
    from isthmus.config.parts.networks import Dense
    from isthmus.inference import Inference
    from isthmus.sources import open_source
    from isthmus.training.callbacks import Callback, Epoch
    from isthmus.workflows.code_files import write_code_blocks
    from isthmus.workflows.fit import prepare, train

    class Clock(Callback):
        """Seconds of the steps alone, without the validation."""

        seconds = rows = 0.0
        last: float | None = None

        def step(self, n_rows: int) -> None:
            now = time.perf_counter()
            if self.last is None:
                self.last = self.first
            self.seconds, self.rows, self.last = self.seconds + now - self.last, self.rows + n_rows, now

        def begin(self, n_epochs: int, n_rows: int) -> None:
            self.first = time.perf_counter()

        def epoch(self, epoch: Epoch) -> None:
            self.last = time.perf_counter()

    import torch

    is_table = path.suffix == ".parquet"
    torch.zeros(1)
    before = anonymous_bytes()
    config = Config(
        data=Data(memory=memory) if is_table else Data(memory=memory, scaling="standardise"),
        model=Model(
            code_size=4 if is_table else 8,
            network=Dense((hidden,)),
            likelihood="auto" if is_table else "squared_error",
        ),
        training=Training(epochs=epochs, batch_size=256, seed=0, threads=1, device="cpu", start="random"),
    )
    clock, start = Clock(), time.perf_counter()
    with Peak() as peak:
        source = open_source(path, memory=memory)
        prepared = prepare(source, config)
        ready = time.perf_counter()
        train(prepared, [clock])
        fitted = time.perf_counter()
        blocks = Inference(prepared.model).codes_in_blocks(source, scale=False)
        write_code_blocks(path.with_name("codes.npy"), blocks, (len(source), prepared.model.module.code.size))
        done = time.perf_counter()
    return {
        "streamed": float(prepared.training.room is not None),
        "peak": float(peak.bytes - before),
        "prepare": ready - start,
        "rows_a_second": clock.rows / clock.seconds,
        "fit": fitted - start,
        "encoded_a_second": len(source) / (done - fitted),
        "error": prepared.model.metrics["error"]["mse"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="1GB", help="of the file")
    parser.add_argument("--memory", default="250MB", help="budget of the rows that are read by block")
    parser.add_argument("--width", type=int, default=64, help="values of a row")
    parser.add_argument("--dtype", choices=["float32", "uint8"], default="float32")
    parser.add_argument("--hidden", type=int, default=128, help="units of the hidden layer")
    parser.add_argument("--parquet", type=int, metavar="ROWS", help="a table of so many rows instead")
    parser.add_argument("--limit", default="0", help="of the memory of the process that reads by block")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without the rows in memory, which may not fit")
    parser.add_argument("--folder", help="where the file is made; else where temporary files are")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    from isthmus.memory import bytes_text, parse_bytes

    limit = 0 if asked.limit == "0" else parse_bytes(asked.limit, "--limit")
    if asked.one:
        print(json.dumps(measure(Path(asked.one), asked.memory, asked.epochs, asked.hidden, limit)))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path = Path(folder) / ("rows.parquet" if asked.parquet else "rows.npy")
        if asked.parquet:
            n_rows, what = make_table(path, asked.parquet), "10 columns"
        else:
            n_rows = make(path, parse_bytes(asked.size), asked.width, asked.dtype)
            what = f"{asked.width} {asked.dtype}"
        print(f"{n_rows:,} rows of {what}, {bytes_text(path.stat().st_size)}", flush=True)
        print(
            f"{'rows':>12} {'peak':>9} {'prepare':>9} {'fit':>9} {'rows/s':>10} {'encoded/s':>10} {'error':>8}"
        )
        pairs = []
        for _ in range(asked.rounds):
            found = []
            for memory in [asked.memory] if asked.alone else [asked.memory, "1TB"]:
                command = [sys.executable, __file__, "--one", str(path), "--memory", memory]
                command += ["--epochs", str(asked.epochs), "--hidden", str(asked.hidden)]
                command += ["--limit", "0" if memory == "1TB" else asked.limit]
                one = json.loads(
                    subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                )
                found.append(one)
                print(
                    f"{'by block' if one['streamed'] else 'in memory':>12} {bytes_text(int(one['peak'])):>9}"
                    f" {one['prepare']:7.1f} s {one['fit']:7.1f} s {one['rows_a_second']:10,.0f}"
                    f" {one['encoded_a_second']:10,.0f} {one['error']:8.4f}",
                    flush=True,
                )
            pairs.append(found)
        if asked.alone:
            return
        for name, words in (("rows_a_second", "training"), ("encoded_a_second", "encoding")):
            ratios = sorted(a[name] / b[name] for a, b in pairs)
            print(
                f"{words}: {statistics.median(ratios):.3f} of in memory ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )


if __name__ == "__main__":
    main()

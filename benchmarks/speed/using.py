"""A fitted model at work, and what rows take: encoding, one row, a file larger than the budget, memory."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from isthmus import Autoencoder
from isthmus.config.parts.networks import Dense
from isthmus.inference import Inference
from isthmus.inference.rows import BATCH as PADDED
from isthmus.sources import ArraySource
from speed import peers
from speed.harness import Contestant, Options, Ratio, Task, Work, beside, over
from speed.training import Begun, begun

HERE = Path(__file__).parent
BUDGET, FILE = 100_000_000, 400_000_000
N_PICTURES, BATCH = 60_000, 128
N_CALLS = 300
LARGE = 4096
WIDTHS = (784, 512, 256, 32, 256, 512, 784)


def encode_table(_: Options) -> Task:
    return _encode("table", begun(Dense((64,)), 64, 1, 8, is_table=True), 1_000_000)


def encode_digits(options: Options) -> Task:
    return _encode("digits", begun(Dense((512, 256)), 128, 1), 100_000 if options.quick else 1_000_000)


def _encode(name: str, start: Begun, n_rows: int) -> Task:
    """Rows of the training data over and over; the bare forward has them as floats, in large batches."""
    source = start.prepared.training.source
    rows = source.read(np.arange(n_rows) % len(source))
    given = ArraySource(rows)
    encoder, x = start.halves()[0].eval(), start.x[:LARGE]
    codes = torch.empty(n_rows, start.prepared.model.module.code.size)

    def bare() -> None:
        with torch.inference_mode():
            for first in range(0, n_rows, LARGE):
                n = min(LARGE, n_rows - first)
                codes[first : first + n] = encoder(x[:n])

    inference = Inference(start.prepared.model)
    return Task(
        f"encode-{name}",
        f"Codes of {n_rows:,} rows held in memory ({name}), beside the bare forward in batches of {LARGE:,}.",
        [
            Contestant("isthmus", lambda: partial(inference.encode, given)),
            Contestant("bare forward", lambda: bare),
        ],
        [Ratio(f"share of the bare forward, {name}", over("bare forward"), 0.9, 0.97)],
        rates=dict.fromkeys(("isthmus", "bare forward"), (float(n_rows), "rows/s")),
    )


def one_row(_: Options) -> Task:
    """``transform`` of the estimator, as a service would call it."""
    cases = {
        "table": (begun(Dense((64,)), 64, 1, 8, is_table=True), (64,)),
        "digits": (begun(Dense((512, 256)), 128, 1), (512, 256)),
    }
    contestants = list[Contestant]()
    for name, (start, hidden) in cases.items():
        rows = start.x.flatten(1).numpy()[:512]
        model = Autoencoder(
            start.prepared.model.module.code.size, hidden_sizes=hidden, max_epochs=1, random_state=0
        ).fit(rows)
        encoder, padded = start.halves()[0].eval(), start.x[:PADDED]
        contestants += [
            Contestant(f"transform, {name}", _often(partial(model.transform, rows[:1])), 1),
            Contestant(f"bare forward, {name}", _often(partial(_bare, encoder, padded)), 1),
        ]
    return Task(
        "one-row",
        f"transform of one row, {N_CALLS} times, beside the bare forward of {PADDED} rows, on one thread.",
        contestants,
        [
            Ratio(
                f"latency over the bare forward, {name}",
                beside(f"transform, {name}", f"bare forward, {name}"),
                3.0,
                1.5,
                more_is_better=False,
            )
            for name in cases
        ],
    )


def _bare(encoder: torch.nn.Module, x: torch.Tensor) -> None:
    with torch.inference_mode():
        encoder(x)


def _often(call: Callable[[], object]) -> Callable[[], Work]:
    def work() -> None:
        for _ in range(N_CALLS):
            call()

    return lambda: work


def larger_than_memory(options: Options) -> Task:
    """``memory.py`` in a process each way."""
    from memory import make

    path = options.folder / "rows.npy"
    n_rows = make(path, FILE, 64, "float32")
    names = {"by block": f"{BUDGET}", "in memory": "1TB"}

    def one(memory: str) -> dict[str, float]:
        return _told(["memory.py", "--one", str(path), "--memory", memory])

    def rate(found: dict[str, float]) -> float:
        return found["rows_a_core_second" if options.on_cores else "rows_a_second"]

    def error(found: dict[str, float]) -> float:
        return 64 * found["error"]

    return Task(
        "larger-than-memory",
        f"An epoch of 64-128-8, batches of 256, on one thread, of a file of {n_rows:,} rows of 64 numbers (400 MB) by "
        "block under a budget of 100 MB, beside the same rows in memory: rows a second of the steps.",
        [
            Contestant(name, lambda m=memory: partial(one, m), 1, error, rate, "rows/s")
            for name, memory in names.items()
        ],
        [Ratio("share of in memory", beside("by block", "in memory"), 0.8, 0.95)],
        rounds=(3, 5),
    )


def peak_memory(options: Options) -> Task:
    """Each in a process of its own."""
    path = options.folder / "pictures.npy"
    chance = np.random.default_rng(0)
    np.save(path, chance.integers(0, 256, (N_PICTURES, 28, 28), np.uint8))
    weights = sum(4 * (a + 1) * b for a, b in itertools.pairwise(WIDTHS))
    needed = N_PICTURES * 784 + 4 * weights + 2 * 4 * BATCH * sum(WIDTHS)
    who = ["isthmus", *(["pythae"] if peers.is_installed("pythae") else [])]
    return Task(
        "peak-memory",
        "Anonymous memory above that after the imports, of an epoch of 784-512-256-32 on a file of 60,000 pictures of "
        "784 bytes; pythae is given floats, made in place. Needed: the bytes, weights with gradients and both moments, "
        "activations of a batch with gradients.",
        [
            Contestant(
                name, lambda n=name: partial(_peak, n, path), taken=lambda found: found["peak"], unit="bytes"
            )
            for name in who
        ],
        [
            Ratio("memory over pythae's", beside("isthmus", "pythae"), 0.4, 0.3, more_is_better=False),
            Ratio(
                "memory over what is needed",
                lambda taken: taken["isthmus"] / needed,
                1.5,
                1.2,
                more_is_better=False,
            ),
        ],
        rounds=(3, 3),
        facts={"bytes_needed": float(needed)},
    )


def _peak(who: str, path: Path) -> dict[str, float]:
    return _told(["-m", "speed.peak", who, str(path)])


def _told(arguments: list[str]) -> dict[str, float]:
    """The last line that a process prints."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=HERE.parent, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])

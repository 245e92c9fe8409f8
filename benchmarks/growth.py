"""How cost grows: time and memory of training and encoding over rows, columns, size of the code and of pictures.

Each point is a process of its own: one epoch to begin with, then as many as take a second, of which the fastest counts
(others of the machine's work can only make an epoch slower), and the most anonymous memory above that after the
imports (Linux). Beside the time stands the number of multiplications and additions of a step, as PyTorch counts those
of a forward pass, three times. The exponent is the slope of the logarithms, from the first point to the last, and
between the last two: 1 is twice the cost for twice the size. Writes ``growth.json``, a table and a picture.

    python benchmarks/growth.py                 a few minutes
    python benchmarks/growth.py --only columns  one of the curves
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from memory import Peak, anonymous_bytes

HERE = Path(__file__).resolve().parent
SECONDS, MOST_EPOCHS = 1.0, 40
INK, GOOD, BAD = "#1f2a37", "#0f766e", "#b45309"


class Curve(NamedTuple):
    """One size that grows, the others as they are."""

    title: str
    unit: str
    sizes: Sequence[int]
    fixed: dict[str, Any]


CURVES = {
    "rows": Curve(
        "pictures of 784 values through 784-512-256-32, batches of 128",
        "rows",
        (2_000, 4_000, 8_000, 16_000, 32_000, 64_000),
        {"values": 784, "hidden": [512, 256], "code": 32},
    ),
    "columns": Curve(
        "8,000 rows of a table of numbers through d-256-16, batches of 128",
        "columns d",
        (16, 64, 256, 1_024, 4_096),
        {"rows": 8_000, "hidden": [256], "code": 16, "batch": 128},
    ),
    "code": Curve(
        "8,000 pictures of 784 values through 784-512-256-k",
        "units k of the code",
        (2, 8, 32, 128, 512, 2_048),
        {"rows": 8_000, "values": 784, "hidden": [512, 256]},
    ),
    "side": Curve(
        "512 pictures of n x n through two convolutions of 32 and 64 channels, code 32",
        "side n of a picture",
        (16, 32, 64, 128),
        {"rows": 512, "code": 32, "batch": 64},
    ),
}
NAMES = {"rows": "rows", "columns": "values", "code": "code", "side": "side"}
"""What of a point a curve sets."""


def measure(point: dict[str, Any]) -> dict[str, float]:
    """Train and encode in this process."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from isthmus.config import Config, Model, Training
    from isthmus.config.parts.networks import Conv2d, Dense
    from isthmus.inference import Inference
    from isthmus.sources.arrays import ArraySource
    from isthmus.training.callbacks import Callback, Epoch
    from isthmus.workflows.fit import prepare, train

    class Clock(Callback):
        """Seconds of each epoch."""

        def begin(self, n_epochs: int, n_rows: int) -> None:
            self.last, self.seconds = time.perf_counter(), list[float]()

        def epoch(self, epoch: Epoch) -> None:
            now = time.perf_counter()
            self.seconds.append(now - self.last)
            self.last = now

    side, n = point.get("side"), point["rows"]
    shape = (point["values"],) if side is None else (side, side, 1)
    made = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    model = Model(
        code_size=point["code"],
        network=Dense(tuple(point["hidden"])) if side is None else Conv2d((32, 64)),
        likelihood="squared_error",
    )

    def prepared_for(epochs: int) -> Any:
        training = Training(
            epochs=epochs, batch_size=point.get("batch", 128), seed=0, device="cpu", start="random",
            validation_share=0.0, patience=None,
        )  # fmt: skip
        return prepare(ArraySource(made, sample_shape=shape), Config(model=model, training=training))

    torch.zeros(1)
    before = anonymous_bytes()
    with Peak() as peak:
        clock = Clock()
        train(prepared_for(1), [clock])
        n_epochs = max(2, min(MOST_EPOCHS, math.ceil(SECONDS / clock.seconds[0])))
        prepared = prepared_for(n_epochs)
        train(prepared, [clock])
    source, inference = ArraySource(made, sample_shape=shape), Inference(prepared.model)
    encoding = list[float]()
    for _ in range(3):
        start = time.perf_counter()
        for _ in inference.codes_in_blocks(source, scale=False):
            pass
        encoding.append(time.perf_counter() - start)
    module = prepared.model.module
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *module.sample_shape))
    return {
        "epoch": min(clock.seconds),
        "encode": min(encoding),
        "memory": float(peak.bytes - before),
        "operations": 3.0 * n * counter.get_total_flops(),
    }


def exponents(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float]:
    """Slopes of the logarithms: from the first to the last, and between the last two.

    >>> exponents([1, 2, 4], [3, 6, 24])
    (1.5, 2.0)
    """
    x, y = np.log(sizes), np.log(np.maximum(costs, 1e-12))
    return float((y[-1] - y[0]) / (x[-1] - x[0])), float((y[-1] - y[-2]) / (x[-1] - x[-2]))


def table(found: dict[str, Any]) -> str:
    """The curves, as a page."""
    lines = [
        "# How cost grows",
        "",
        f"{found['date']}, {found['machine']}. `python benchmarks/growth.py`",
        "",
    ]
    for name, points in found["curves"].items():
        curve = CURVES[name]
        lines += [
            f"## {curve.title}",
            "",
            f"| {curve.unit} | s an epoch | GFLOP/s | s to encode | memory, MB |",
        ]
        lines += ["|---|---|---|---|---|"]
        for point in points:
            rate = point["operations"] / point["epoch"] / 1e9
            lines.append(
                f"| {point['size']:,} | {point['epoch']:.3g} | {rate:.0f} | {point['encode']:.3g} "
                f"| {point['memory'] / 1e6:.0f} |"
            )
        sizes = [point["size"] for point in points]
        told = [
            "{:.2f}, at the end {:.2f}".format(*exponents(sizes, [point[what] for point in points]))
            for what in ("epoch", "operations", "encode", "memory")
        ]
        lines.append(f"| exponent | {told[0]} | operations: {told[1]} | {told[2]} | {told[3]} |")
        lines.append("")
    return "\n".join(lines)


def draw(found: dict[str, Any], path: Path) -> None:
    """Time and memory over each size, both on logarithmic axes."""
    from matplotlib.figure import Figure

    curves = found["curves"]
    figure = Figure(figsize=(8.5, 2.7 * math.ceil(len(curves) / 2) + 0.3), layout="constrained")
    grid = figure.subplots(math.ceil(len(curves) / 2), 2, squeeze=False).ravel()
    for axes, (name, points) in zip(grid, curves.items(), strict=False):
        sizes = [point["size"] for point in points]
        axes.loglog(sizes, [point["epoch"] for point in points], "o-", color=GOOD, label="s an epoch")
        axes.loglog(sizes, [point["memory"] / 1e9 for point in points], "s-", color=BAD, label="GB of memory")
        first = points[0]
        line = [first["epoch"] * point["operations"] / first["operations"] for point in points]
        axes.loglog(sizes, line, ":", color=INK, linewidth=1, label="as the operations grow")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=8)
        axes.minorticks_off()
        axes.set_xlabel(CURVES[name].unit)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(curves) :]:
        axes.set_visible(False)
    grid[0].legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=90)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(CURVES), default=list(CURVES))
    parser.add_argument("--output", type=Path, default=HERE / "results" / "growth")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        print(json.dumps(measure(json.loads(asked.point))))
        return
    from speed.limits import machine

    about = machine()
    found: dict[str, Any] = {
        "date": datetime.datetime.now().astimezone().date().isoformat(),
        "machine": f"{about['processor']}, {about['cores']} cores, PyTorch {about['torch']}",
        "curves": {},
    }
    for name in asked.only:
        curve, points = CURVES[name], list[dict[str, Any]]()
        print(curve.title, flush=True)
        for size in curve.sizes:
            point = json.dumps({**curve.fixed, NAMES[name]: size})
            done = subprocess.run(
                [sys.executable, __file__, "--point", point], check=True, stdout=subprocess.PIPE, text=True
            )
            points.append({"size": size, **json.loads(done.stdout)})
            last = points[-1]
            print(
                f"{size:>10,} {curve.unit:22} {last['epoch']:8.4f} s an epoch {last['encode']:8.4f} s to encode "
                f"{last['memory'] / 1e6:8.0f} MB",
                flush=True,
            )
        found["curves"][name] = points
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "growth.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    (asked.output / "growth.md").write_text(table(found), "utf-8")
    draw(found, asked.output / "growth.png")


if __name__ == "__main__":
    main()

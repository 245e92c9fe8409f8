"""How often the pictures of a folder are decoded by a fit, and what that takes.

Makes a temporary folder of small pictures, PNG and JPEG, grey, in colour, with a palette and with
transparency, of three sizes, some of them turned by their EXIF tag, and fits a small dense model of two epochs
to it, brought to 32 x 32, in a process of its own: with a budget of memory that holds them all, and with one
that does not. Counted are the files that Pillow opened (their headers are read too) and those of which it
decoded pixels; the fit ends with the figures of the held-out rows and what is usual, so these are in it.
Peak is anonymous memory above that after the imports (Linux).

    python benchmarks/pictures.py --files 20000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from memory import Peak, anonymous_bytes
from PIL import Image, ImageFile

SIZES = ((32, 32), (48, 32), (64, 48))
MODES = ("RGB", "L", "P", "RGBA")
SIDE, EPOCHS = 32, 2
TURNED_EVERY, ORIENTATION = 10, 0x0112


def make(folder: Path, n_files: int) -> int:
    """Write pictures of a few large blobs; the bytes of all files."""
    chance = np.random.default_rng(0)
    for number in range(n_files):
        small = Image.fromarray(chance.integers(0, 256, (4, 4, 3), np.uint8))
        size = SIZES[number % len(SIZES)]
        picture = small.resize(size, Image.Resampling.BICUBIC).convert(MODES[number % len(MODES)])
        is_png = picture.mode in ("P", "RGBA") or number % 3 == 0
        extra = {}
        if number % TURNED_EVERY == 0:
            picture, extra = picture.transpose(Image.Transpose.ROTATE_90), {"exif": Image.Exif()}
            extra["exif"][ORIENTATION] = 6
        place = folder / f"{number % 20:02d}"
        place.mkdir(exist_ok=True)
        picture.save(place / f"{number:06d}.{'png' if is_png else 'jpg'}", **extra)
    return sum(path.stat().st_size for path in folder.rglob("*.*"))


def measure(folder: Path, memory: str) -> dict[str, float]:
    """Open the folder and fit to it in this process, with a count of what Pillow does."""
    from isthmus.config import Config, Data, Model, Training
    from isthmus.config.parts.networks import Dense
    from isthmus.sources import open_source
    from isthmus.workflows.fit import fit

    counts = {"opened": 0, "decoded": 0}
    open_file, load = Image.open, ImageFile.ImageFile.load

    def counted_open(*given: object, **named: object) -> Image.Image:
        counts["opened"] += 1
        return open_file(*given, **named)

    def counted_load(self: ImageFile.ImageFile) -> object:
        counts["decoded"] += bool(self.tile)  # there are none once the pixels are there
        return load(self)

    Image.open, ImageFile.ImageFile.load = counted_open, counted_load
    config = Config(
        data=Data(memory=memory),
        model=Model(code_size=8, network=Dense((64,))),
        training=Training(epochs=EPOCHS, batch_size=256, seed=0, threads=1, device="cpu"),
    )
    before, start = anonymous_bytes(), time.perf_counter()
    with Peak() as peak:
        source = open_source(folder, resize=(SIDE, SIDE), memory=memory)
        opened = time.perf_counter()
        fit(source, config)
        done = time.perf_counter()
    return {
        **counts,
        "rows": len(source),
        "peak": float(peak.bytes - before),
        "opening": opened - start,
        "fitting": done - opened,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--memory", nargs="*", default=["1GB", "20MB"], help="budgets, one after the other")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(Path(asked.one), asked.memory[0])))
        return
    from isthmus.memory import bytes_text

    with tempfile.TemporaryDirectory() as folder:
        n_bytes = make(Path(folder), asked.files)
        pixels = bytes_text(asked.files * SIDE * SIDE * 3)
        print(
            f"{asked.files:,} files, {bytes_text(n_bytes)}; {pixels} of pixels at {SIDE} x {SIDE}", flush=True
        )
        print(
            f"{'budget':>8} {'rows':>8} {'opened':>8} {'decoded':>8} {'a picture':>9}"
            f" {'peak':>8} {'opening':>9} {'fit':>9}"
        )
        for memory in asked.memory:
            command = [sys.executable, __file__, "--one", folder, "--memory", memory]
            one = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(
                f"{memory:>8} {one['rows']:8,} {one['opened']:8,} {one['decoded']:8,}"
                f" {one['decoded'] / one['rows']:9.2f} {bytes_text(int(one['peak'])):>8}"
                f" {one['opening']:7.1f} s {one['fitting']:7.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

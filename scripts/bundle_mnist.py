"""Draws the digits that ship with isthmus. By hand: python scripts/bundle_mnist.py FOLDER-OF-THE-MNIST-FILES.

800 training and 200 test images of each digit, disjoint, all from MNIST's training images. The
draw has a fixed seed and the gzip headers have neither time nor name, so the bytes repeat.
"""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isthmus.sources.idx import read_idx

SEED = 20_240
PARTS = {"train": 800, "test": 200}
TARGET = Path(__file__).parents[1] / "src" / "isthmus" / "sources" / "bundled_data" / "mnist"
NOTICE = """MNIST database of handwritten digits, a selection.

Yann LeCun, Corinna Cortes and Christopher J. C. Burges.
Licence: Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0),
https://creativecommons.org/licenses/by-sa/3.0/

Changed: 10,000 of the 60,000 training images were drawn, 1,000 of each digit, without
replacement, by scripts/bundle_mnist.py of isthmus; 8,000 of them are the training part
(800 of each digit), 2,000 others the test part (200 of each). Their order was shuffled and
the files were compressed again. The pixels and labels are unchanged. MNIST's own 10,000 test
images are not among them. This selection is under the same licence.
"""


def draw(labels: NDArray[np.uint8]) -> dict[str, NDArray[np.int64]]:
    """Row numbers of each part, balanced over the digits and shuffled."""
    generator = np.random.default_rng(SEED)
    shuffled = [generator.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    drawn: dict[str, NDArray[np.int64]] = {}
    start = 0
    for part, n_each in PARTS.items():
        rows = np.concatenate([digits[start : start + n_each] for digits in shuffled])
        drawn[part] = generator.permutation(rows)
        start += n_each
    return drawn


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """The array as a gzipped IDX file whose bytes depend on nothing else."""
    header = bytes([0, 0, 0x08, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    memory = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=memory, mtime=0) as file:
        file.write(header + array.tobytes())
    return memory.getvalue()


def main(folder: Path) -> None:
    """Write the four files and the notice."""
    images = read_idx(folder / "train-images-idx3-ubyte.gz")
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz")
    TARGET.mkdir(parents=True, exist_ok=True)
    for part, rows in draw(labels).items():
        (TARGET / f"{part}-images-idx3-ubyte.gz").write_bytes(idx_bytes(images[rows]))
        (TARGET / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx_bytes(labels[rows]))
    (TARGET / "NOTICE").write_text(NOTICE, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/bundle_mnist.py FOLDER-OF-THE-MNIST-FILES")
    main(Path(sys.argv[1]))

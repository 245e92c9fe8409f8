"""Damage to the files that isthmus writes and reads again: cut short, or with one bit turned over.

    python tests/faults/damage.py                 2,000 of each, of every kind of file: minutes
    python tests/faults/damage.py -n 200 codes.npz

The files are those of the newest golden set. A damaged one must be refused in one line that names it, or be read as
if it were whole. Kinds in :data:`UNCHECKED` are formats without any check in them, so that a value turned into
another valid one cannot be told; of those it is counted how often that was so.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

UNCHECKED = (
    "codes.npy",
    "codes.csv",
    "filled.arrow",
    "filled.csv",
    "sound.wav",
    "config.toml",
    "journal.jsonl",
)
"""``docs/formats.md`` says so of them too."""
SHOWN = 5

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass
class Damage:
    """What became of the damaged files of one kind."""

    kind: str
    n: int
    """Of truncations, and as many flips of a bit."""
    refused: int = 0
    """In one line that names the file."""
    read: int = 0
    """As if they were whole."""
    changed: int = 0
    """Other values, of a format that has no check in it."""
    wrong: list[str] = field(default_factory=list[str])
    """Other values where a check should have told; lines that name no file, and whatever is no line."""
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return not self.wrong


def kinds() -> list[str]:
    """Names of the files of the newest golden set, one a kind."""
    return [name for name in golden.READERS if (golden.sets()[-1] / name).exists()]


def damage_drill(kind: str, n: int, seed: int = 0) -> Damage:
    """Read a file of a kind ``n`` times cut short and ``n`` times with one bit turned over.

    Parameters
    ----------
    kind
        One of :func:`kinds`.
    n
        Of either damage. Every length, and every bit, comes at most once; a file of fewer gives as many as it has.
    seed
        Of where.
    """
    whole = (golden.sets()[-1] / kind).read_bytes()
    random = np.random.default_rng(seed)
    lengths = random.permutation(len(whole))[:n]
    bits = random.permutation(8 * len(whole))[:n]
    result, start = Damage(kind, n), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / kind
        path.write_bytes(whole)
        expected = golden.READERS[kind](path)
        for length in lengths:
            _try(result, path, whole[:length], expected, f"cut to {length} bytes")
        for bit in bits:
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << (bit % 8)
            _try(result, path, bytes(damaged), expected, f"bit {bit % 8} of byte {bit // 8} turned")
    result.seconds = time.perf_counter() - start
    return result


def _try(result: Damage, path: Path, data: bytes, expected: Arrays, what: str) -> None:
    from isthmus.errors import IsthmusError

    path.write_bytes(data)
    try:
        found = golden.READERS[result.kind](path)
    except IsthmusError as error:
        told = str(error)
        if path.name in told and "\n" not in told and len(told) < 2000:
            result.refused += 1
        else:
            result.wrong.append(f"{what}: told as {told!r:.300}")
    except Exception as error:
        result.wrong.append(f"{what}: {type(error).__name__}: {error!s:.200}")
    else:
        if _equal(found, expected):
            result.read += 1
        elif result.kind in UNCHECKED:
            result.changed += 1
        else:
            result.wrong.append(f"{what}: read as other values")


def _equal(found: Arrays, expected: Arrays) -> bool:
    return found.keys() == expected.keys() and all(
        found[key].dtype == values.dtype
        and found[key].shape == values.shape
        and np.array_equal(found[key], values, equal_nan=values.dtype.kind == "f")
        for key, values in expected.items()
    )


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


golden: Any = _load(Path(__file__).resolve().parents[2] / "scripts" / "golden.py")


def main() -> int:
    """The command line."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", help="files of the newest golden set; none named, all")
    parser.add_argument("-n", type=int, default=2000, help="truncations, and flips, of each kind")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{'file':28}{'tried':>8}{'refused':>9}{'read':>7}{'changed':>9}{'wrong':>7}{'s':>7}")
    good = True
    for kind in asked.kinds or kinds():
        found = damage_drill(kind, asked.n, asked.seed)
        tried = found.refused + found.read + found.changed + len(found.wrong)
        print(
            f"{kind:28}{tried:8}{found.refused:9}{found.read:7}{found.changed:9}{len(found.wrong):7}{found.seconds:7.0f}"
        )
        for line in found.wrong[:SHOWN]:
            print(f"    {line}")
        good = good and found.is_good
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())

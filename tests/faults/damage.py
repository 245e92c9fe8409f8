"""Damage to the files that isthmus writes and reads again: cut short, or with one bit turned over.

    python tests/faults/damage.py                 2,000 of each, of every kind of file: minutes
    python tests/faults/damage.py -n 200 codes.npz

The files are those of the newest golden set. A damaged one must be refused in one line that names it, or be read as
if it were whole; of checkpoints any file of the newest is damaged, and the one before must be read then, said so.
Kinds in :data:`UNCHECKED` are formats without any check in them, so that a value turned into another valid one cannot
be told; of those it is counted how often that was so.

Archives are those of the golden ones. A damaged one must be told of as damaged, and give all rows but those of blocks
that lie in the damage; their blocks it must name.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
ARCHIVES = tuple(
    f"{name}.isth"
    for name in (
        "floats",
        "arrays",
        "csv",
        "parquet",
        "wav",
        "folder",
        "bounded-csv",
        "bits-back-levels",
        "chain",
        "chain-typed",
        "latent-table",
        "context-binary",
        "context-channels",
        "shared-model",
    )
)
"""One of each kind of data, and of each codec with a model."""
HEAD = 52
"""Bytes of the head of a block."""
SHOWN = 5

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass
class Damage:
    """What became of the damaged files of one kind."""

    kind: str
    n: int
    """Of truncations, and as many flips of a bit."""
    refused: int = 0
    """In one line that names the file; where there is an earlier one, that was read."""
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
    """Names of the files of the newest golden set, one a kind, and of archives."""
    return [name for name in golden.READERS if (golden.sets()[-1] / name).exists()] + list(ARCHIVES)


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
    if kind in ARCHIVES:
        return archive_drill(kind, n, seed)
    random = np.random.default_rng(seed)
    result, start = Damage(kind, n), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / kind
        _copy(golden.sets()[-1] / kind, path)
        expected, before = golden.READERS[kind](path), _earlier(kind, path)
        files = [path] if path.is_file() else sorted(max(path.iterdir()).iterdir())
        ends = np.cumsum([file.stat().st_size for file in files])
        lengths = random.permutation(ends[-1])[:n]
        bits = random.permutation(8 * ends[-1])[:n]
        for place, bit in [*((length, None) for length in lengths), *((bit // 8, bit % 8) for bit in bits)]:
            number = int(np.searchsorted(ends, place, side="right"))
            file, at = files[number], int(place - ends[number]) + files[number].stat().st_size
            whole = file.read_bytes()
            damaged = bytearray(whole)
            if bit is None:
                del damaged[at:]
            else:
                damaged[at] ^= 1 << int(bit)
            file.write_bytes(damaged)
            what = f"cut to {at} bytes" if bit is None else f"bit {bit} of byte {at} turned"
            _try(result, path, expected, before, what if file == path else f"{file.name} {what}")
            file.write_bytes(whole)
    result.seconds = time.perf_counter() - start
    return result


# ------------------------------------------------------------------ archives


class Whole(NamedTuple):
    """What an undamaged archive gives."""

    rows: list[Any]
    """Of each block."""
    ends: list[int]
    """Where the frame of each block ends in the file."""
    header_end: int
    """Where what all blocks need ends: header and sections."""


def archive_drill(kind: str, n: int, seed: int = 0) -> Damage:
    """Read an archive ``n`` times cut short and ``n`` times with one bit turned over."""
    random = np.random.default_rng(seed)
    result, start = Damage(kind, n), time.perf_counter()
    data = (golden_archives.PLACE / kind).read_bytes()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / kind
        path.write_bytes(data)
        whole = _whole(path)
        for length in random.permutation(len(data))[:n].tolist():
            path.write_bytes(data[:length])
            lost = [number for number, end in enumerate(whole.ends) if end > length]
            _try_archive(result, path, whole, lost, f"cut to {length} bytes", must_open=False)
        for bit in random.permutation(8 * len(data))[:n].tolist():
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            begins = [whole.header_end, *whole.ends]
            lost = [number for number, end in enumerate(whole.ends) if begins[number] <= bit // 8 < end]
            _try_archive(
                result, path, whole, lost, f"bit {bit % 8} of byte {bit // 8} turned", must_open=True
            )
    result.seconds = time.perf_counter() - start
    return result


def _whole(path: Path) -> Whole:
    from isthmus import open_archive

    with open_archive(path, model=golden_archives.model_of(path)) as rows:
        found = rows.archive
        ends = [block.offset + HEAD + block.n_bytes for block in found.blocks]
        first = found.blocks[0].offset if found.blocks else found.n_bytes - found.sizes.index
        return Whole([rows[block.first_row : block.stop] for block in found.blocks], ends, first)


def _try_archive(
    result: Damage, path: Path, whole: Whole, lost: list[int], what: str, *, must_open: bool
) -> None:
    """Read all blocks: those that are not lost as they were, the others perhaps, and named if not."""
    from isthmus import open_archive
    from isthmus.errors import IsthmusError

    told, wrong = list[str](), list[str]()
    try:
        with open_archive(path, model=golden_archives.model_of(path)) as rows:
            starts = np.cumsum([0, *map(_length, whole.rows)]).tolist()
            told += rows.archive.check()
            for number, expected in enumerate(whole.rows):
                try:
                    found = rows[starts[number] : starts[number + 1]]
                except IsthmusError as error:
                    told.append(str(error))
                    if number not in lost:
                        wrong.append(f"block {number} was refused: {error}")
                    elif must_open and f"block {number} " not in str(error):
                        wrong.append(f"block {number} is not named: {error}")
                else:
                    if not _is_same(found, expected):
                        wrong.append("read as other values")
            is_read = not any("lost" in line for line in told)
    except IsthmusError as error:
        told.append(str(error))
        is_read = False
        if must_open:
            wrong.append(f"was not opened: {error}")
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {error!s:.200}")
        is_read = False
    if not told:
        wrong.append("nothing was told")
    wrong += [
        f"told as {line!r:.300}" for line in told if path.name not in line or "\n" in line or len(line) > 2000
    ]
    result.wrong += [f"{what}: {line}" for line in wrong[:1]]
    result.read += is_read and not wrong
    result.refused += not is_read and not wrong


def _length(rows: Any) -> int:
    return len(next(iter(rows.values()))) if isinstance(rows, dict) else len(rows)


def _is_same(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            _is_same(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, np.ndarray):
        return (found.dtype, found.shape, found.tobytes()) == (
            expected.dtype,
            expected.shape,
            expected.tobytes(),
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(_is_same, found, expected))
    return (
        repr(found.to_pydict()) == repr(expected.to_pydict())
        if hasattr(expected, "to_pydict")
        else found == expected
    )


# ------------------------------------------------------------------ the files of a set


def _copy(source: Path, path: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, path)
    else:
        shutil.copy(source, path)


def _earlier(kind: str, path: Path) -> Arrays | None:
    """What is to be read where the newest of several is damaged; None of a single file."""
    if path.is_file():
        return None
    newest = max(path.iterdir())
    newest.rename(path.parent / newest.name)
    found = golden.READERS[kind](path)
    (path.parent / newest.name).rename(newest)
    return found


CHECKS: dict[str, tuple[str, str]] = {
    "basic.safetensors": ("isthmus.artifact.file", "_matches"),
    "run.json": ("isthmus.workflows.run_record", "_matches"),
    "prepared.safetensors": ("isthmus.artifact.file", "_matches"),
    "checkpoints": ("isthmus.training.checkpoints", "_check"),
    "codes.parquet": ("isthmus.sources.table", "check_seal"),
    "wav.isth": ("isthmus.codec.container.reader", "_is_whole"),
}
"""Of a kind, what compares a digest."""


def undigested(kind: str) -> None:
    """Switch off what compares the digest of a kind, and of what lies in it, in this process."""
    kinds = {kind, "basic.safetensors"} if kind == "checkpoints" else {kind}
    for room, name in (CHECKS[each] for each in kinds):
        setattr(importlib.import_module(room), name, lambda *_, **__: True)


def _try(result: Damage, path: Path, expected: Arrays, before: Arrays | None, what: str) -> None:
    from isthmus.errors import IsthmusError

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
        elif before is not None and _is_earlier(found, before, max(path.iterdir()).name):
            result.refused += 1
        elif result.kind in UNCHECKED:
            result.changed += 1
        else:
            result.wrong.append(f"{what}: read as other values")


def _is_earlier(found: Arrays, before: Arrays, newest: str) -> bool:
    """Whether the one before was read, and a line tells that the newest is damaged."""
    told = [str(line) for line in found["damaged"]]
    is_told = len(told) == 1 and newest in told[0] and "\n" not in told[0] and len(told[0]) < 2000
    return is_told and _equal({**found, "damaged": before["damaged"]}, before)


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
golden_archives: Any = _load(Path(__file__).resolve().parents[2] / "scripts" / "golden_archives.py")


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

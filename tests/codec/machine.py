"""What a machine does with archives, as a process of its own: ``python machine.py FOLDER NAME [fit] [spoilt]``.

Reads the golden archives whole, row by row and by odd slices, writes them again with their models, and reads those that
other machines left in the folder, each with a model that was fitted there; then fits one of its own and leaves its
archive. Prints a line of JSON with a digest of each.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import golden_archives

import isthmus
from isthmus.codec.frozen.network import FrozenNetwork

NAMES = (
    "floats",
    "csv",
    "parquet",
    "bounded-floats",
    "bounded-csv",
    "bits-back-binary",
    "bits-back-levels",
    "bits-back-mixture",
    "chain",
    "chain-typed",
    "latent-table",
    "context-binary",
    "context-channels",
    "shared-model",
)
MODELS = tuple(name for name in NAMES if name.startswith(("bits-back", "chain", "latent", "context")))


def digest(parts: Iterator[Any]) -> str:
    found = hashlib.sha256()
    for rows in parts:
        found.update(
            repr(rows.to_pylist()).encode() if isinstance(rows, pa.Table) else np.asarray(rows).tobytes()
        )
    return found.hexdigest()[:16]


def readings(path: Path) -> dict[str, str]:
    """Digests of all rows, read in several ways."""
    with isthmus.open_archive(path, model=golden_archives.model_of(path)) as rows:
        n = len(rows)
        odd = [slice(start, min(n, start + 17)) for start in range(0, n, 17)]
        backwards = [slice(at, at + 1) for at in reversed(range(0, n, 31))]
        return {
            "whole": digest(iter([rows[:]])),
            "rows": digest(rows[at] for at in range(0, n, 7)),
            "slices": digest(rows[some] for some in odd),
            "backwards": digest(rows[some] for some in backwards),
        }


def written(name: str) -> str:
    """Digest of the archive of a name, written with the model of the golden one."""
    with tempfile.TemporaryDirectory() as folder:
        coder = golden_archives.coder_of(golden_archives.PLACE / f"{name}.isth")
        _, path = golden_archives.write(name, Path(folder), coder)
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def spoil() -> None:
    """Have networks compute a little that hangs on the order of a sum of real numbers, unseen by their self-tests."""
    own = FrozenNetwork.__call__
    chance = np.random.default_rng(0)
    long = chance.normal(size=(64, 4001)) @ chance.normal(size=(4001, 64))
    rest = float(np.floor(long * 2.0**44).sum() % 101)

    def call(self: FrozenNetwork, a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return own(self, a) + rest * 4096

    FrozenNetwork.__call__ = call
    FrozenNetwork.check = lambda self: None


def main() -> None:
    folder, me, *words = Path(sys.argv[1]), *sys.argv[2:]
    found = dict[str, Any]()
    if "spoilt" in words:
        spoil()
    for name in MODELS if "spoilt" in words else NAMES:
        try:
            found[name] = readings(golden_archives.PLACE / f"{name}.isth")
        except isthmus.errors.IsthmusError as error:
            found[name] = str(error)
    if "spoilt" not in words:
        found["written"] = {name: written(name) for name in NAMES}
    found["others"] = {path.stem: readings(path) for path in sorted(folder.glob("fitted-*.isth"))}
    assert "torch" not in sys.modules
    if "fit" in words:
        golden_archives.ARCHIVES[f"fitted-{me}"] = golden_archives.ARCHIVES["chain"]._replace(
            source=lambda place: place / "columns.csv"
        )
        golden_archives.write(f"fitted-{me}", folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""Fuzz every reader of files: changed and hostile files, each read under limits of time and memory.

    make fuzz                                   ten minutes of a core for each reader
    make fuzz READER=npz SECONDS=60 SEED=7      one reader, a minute, other changes

A file that is neither read nor refused in one sentence is a finding. It is kept in ``corpus/<reader>/``, which the
tests read for ever.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_readers import CORPUS, READERS, Cases

HERE = Path(__file__).parent
PATIENCE = 60.0
"""Seconds without a word after which a worker hangs in a library that no alarm can leave."""
LARGEST_KEPT = 64_000
"""Bytes of a file that is kept."""


@dataclass
class Told:
    """What became of a reader's files."""

    reader: str
    seed: int = 0
    n_files: int = 0
    n_read: int = 0
    n_refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    most: int = 0
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The first of each kind, by what and where."""
    n_findings: int = 0

    def line(self) -> str:
        """One line of a table."""
        return (
            f"{self.reader:15} {self.seconds:8.1f} s {self.n_files:9,} files {self.n_read:9,} read "
            f"{self.n_refused:9,} refused  slowest {self.slowest:5.2f} s  most {self.most / 1e6:6.0f} MB  "
            f"{self.n_findings:5,} findings of {len(self.findings)} kinds"
        )


def fuzzed(reader: str, *, seed: int = 0, changed: int = 1 << 60, seconds: float = float("inf")) -> Told:
    """Try a reader with files until a number of them or a time is over.

    Parameters
    ----------
    reader
        Its name.
    seed
        Other numbers give other changes.
    changed
        How many files that are changed by chance, at most, after those that are the same whatever the seed.
    seconds
        Of a core, at most.
    """
    told, at = Told(reader, seed), 0
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as name:
        while at is not None:
            at = _one_worker(told, Path(name), at, changed, seconds)
    return told


def _one_worker(told: Told, folder: Path, first: int, changed: int, seconds: float) -> int | None:
    """Let a worker go on until it ends or is ended; the number of the next file, or None when all are done."""
    for path in folder.iterdir():
        path.unlink()
    command = [
        sys.executable,
        str(HERE / "fuzz_worker.py"),
        told.reader,
        "--folder",
        str(folder),
        "--seed",
        str(told.seed),
    ]
    command += [
        "--first",
        str(first),
        "--changed",
        str(changed),
        "--seconds",
        str(max(0.0, seconds - told.seconds)),
    ]
    with tempfile.TemporaryFile() as errors:
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=_environment())
        assert worker.stdout is not None
        at, spent, rest, finished, started = first, 0.0, b"", False, False
        while True:
            ready, _, _ = select.select([worker.stdout], [], [], PATIENCE)
            if not ready:
                worker.kill()
                break
            block = os.read(worker.stdout.fileno(), 1 << 16)
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if line.startswith(b"fixed"):
                    started = True
                elif not line.startswith(b"{"):
                    at, spent = int(line.split()[0]), float(line.split()[1])
                    told.n_files += 1
                else:
                    found = json.loads(line)
                    finished = "end" in found
                    if finished:
                        spent = found["seconds"]
                        _count(told, found)
                    else:
                        _add(told, found)
        status = worker.wait()
        worker.stdout.close()
        told.seconds += spent
        if finished:
            return None
        errors.seek(0)
        said = errors.read()[-400:].decode("utf-8", "replace").strip()
    what = "hang" if not ready else "crash"
    if not started:
        raise RuntimeError(f"the worker of {told.reader} did not start: {said}")
    _add(told, {"at": at, "what": what, "told": f"status {status}: {said}", "where": f"status {status}"})
    return at + 1


@functools.cache
def _cases(reader: str, seed: int) -> Cases:
    """The files of a reader, made again only where one of them is a finding."""
    return Cases(reader, seed)


def _count(told: Told, found: dict[str, Any]) -> None:
    told.n_read += found["read"]
    told.n_refused += found["refused"]
    told.slowest, told.most = max(told.slowest, found["slowest"]), max(told.most, found["most"])


def _add(told: Told, found: dict[str, Any]) -> None:
    told.n_findings += 1
    case = _cases(told.reader, told.seed)[found["at"]]
    where = found["where"] or re.sub(r"[0-9]+", "0", found["told"])[:60]
    kind = f"{found['what']} {where}"
    known = told.findings.get(kind)
    if known is None or len(case.data) < len(known["data"]):
        told.findings[kind] = {**found, "case": case.told, "name": case.name, "data": case.data}


def kept(told: Told) -> list[Path]:
    """Write the smallest file of each kind of finding into the corpus; those that came from there stay."""
    written = []
    for kind, found in told.findings.items():
        if found["case"].startswith("corpus/") or len(found["data"]) > LARGEST_KEPT:
            continue
        folder = CORPUS / told.reader
        folder.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^A-Za-z0-9]+", "-", kind).strip("-").lower()[:60]
        stem_of, _, ending = found["name"].partition(".")
        path = folder / f"{stem}-{stem_of}.{ending}"
        path.write_bytes(found["data"])
        written.append(path)
    return written


def _fast_folder() -> str | None:
    """Memory as a folder, where there is such."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _environment() -> dict[str, str]:
    source = str(HERE.parents[1] / "src")
    path = os.pathsep.join([source, str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    one = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_IO_THREADS"), "1"
    )
    return {**os.environ, **one, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}


def main() -> int:
    """Fuzz, print a line a reader and one a finding; 1 if there is any."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--reader", action="append", choices=[*READERS, ""], help="one reader; may be repeated"
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="of a core, for each reader")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="other numbers give other changes")
    parser.add_argument("--fixed", action="store_true", help="kept, hostile and real files alone")
    parser.add_argument(
        "--keep", action=argparse.BooleanOptionalAction, default=True, help="write findings to the corpus"
    )
    chosen = parser.parse_args()
    failed = False
    for reader in [one for one in chosen.reader or () if one] or READERS:
        told = fuzzed(
            reader, seed=chosen.seed, seconds=chosen.seconds, changed=0 if chosen.fixed else 1 << 60
        )
        print(told.line(), flush=True)
        for kind, found in told.findings.items():
            failed = True
            print(f"    {kind}: {' '.join(found['told'].split())} [{found['case']}]", flush=True)
        for path in kept(told) if chosen.keep else ():
            print(f"    kept {path.relative_to(HERE)}", flush=True)
    print(f"seed {chosen.seed}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

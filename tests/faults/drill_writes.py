"""Writes of checkpoints, models and whole runs that end in their middle: killed there, or the power gone.

The writer is killed before the n-th call of a function of C, or in a write whose first half is on the disk by then:
between those nothing reaches the disk. Power that goes takes with it what was not synced.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from drill import Outcome, emptied, forked

from isthmus.artifact import file as model_file
from isthmus.errors import IsthmusError
from isthmus.run_folder import CHECKPOINTS, FILES, JOURNAL, MODEL, UNFINISHED
from isthmus.training.checkpoints import MANIFEST, VALUES, Checkpoints, read_checkpoint, write_checkpoint
from isthmus.training.state import State
from isthmus.workflows.run_record import place_of
from isthmus.workflows.taking_over import take_over

KILLED = -signal.SIGKILL


class Written(NamedTuple):
    """Something that is written again and again."""

    write: Callable[[Path, int], object]
    """Its ``n``-th version into a folder."""
    read: Callable[[Path], int]
    """Which version lies there, every value of it right; raises where none does."""
    n_renames: int = 1
    """Of a write."""


def state(n: int) -> State:
    """The ``n``-th of some states, every value of which tells its number."""
    groups = {
        name: {f"{name}.{part}": torch.full((40, 5), float(n)) for part in range(3)}
        for name in ("weights", "moments")
    }
    return State({"n": n, "epochs": []}, groups)


def _read_state(folder: Path) -> int:
    found = read_checkpoint(folder)
    if found is None or found.damaged:
        raise ValueError("none" if found is None else found.damaged[0])
    n = int(found.state.values["n"])
    tensors = [value for own in found.state.groups.values() for value in own.values()]
    if len(tensors) != 6 or not all(bool((value == n).all()) for value in tensors):
        raise ValueError("values of another version")
    return n


def _model_bytes(n: int) -> bytes:
    return model_file.to_bytes({"n": n}, {str(part): np.full((50, 7), n, np.float32) for part in range(4)})


def _write_model(folder: Path, n: int) -> None:
    model_file.write_atomically(_model_bytes(n), folder / "model.safetensors")


def _read_model(folder: Path) -> int:
    path = folder / "model.safetensors"
    document, tensors = model_file.from_bytes(model_file.read(path), str(path))
    if not all((value == document["n"]).all() for value in tensors.values()):
        raise ValueError("values of another version")
    return int(document["n"])


def _write_state(folder: Path, n: int) -> None:
    write_checkpoint(folder, state(n), {"journal": ""})


def _write_model_in_place(folder: Path, n: int) -> None:
    with (folder / "model.safetensors").open("wb", buffering=0) as file:
        file.write(_model_bytes(n))


def _write_state_in_place(folder: Path, n: int) -> None:
    """The manifest first, and all of it where it is looked for."""
    beside = folder.parent / f"{folder.name}-beside"
    emptied(beside).mkdir()
    write_checkpoint(beside, state(n), {"journal": ""})
    number = max((int(path.name) for path in folder.glob("[0-9]*")), default=0) + 1
    place = folder / f"{number:06d}"
    place.mkdir()
    for name in (MANIFEST, VALUES, "weights.safetensors", "moments.safetensors"):
        (place / name).write_bytes((beside / "000001" / name).read_bytes())


def _write_run(folder: Path, n: int) -> Path:
    """A run beside an older one, all of its files there."""
    place = emptied(folder / UNFINISHED)
    place.mkdir()
    for name in FILES:
        if name == JOURNAL:
            (place / name).write_bytes(str(n).encode())
        elif name == MODEL:
            _write_model(place, n)
        else:
            model_file.write_atomically(str(n).encode(), place / name)
    (place / CHECKPOINTS).mkdir()
    _write_state(place / CHECKPOINTS, n)
    return place


def _write_over(folder: Path, n: int) -> None:
    take_over(_write_run(folder, n), folder)


def _write_over_one_by_one(folder: Path, n: int) -> None:
    place = _write_run(folder, n)
    for name in FILES:
        (place / name).replace(folder / name)
    emptied(folder / CHECKPOINTS)
    (place / CHECKPOINTS).rename(folder / CHECKPOINTS)


def _read_run(folder: Path) -> int:
    """As whatever opens the folder next: what was begun is brought to its end."""
    place_of(folder)
    n = _read_model(folder)
    others = {name: int((folder / name).read_text("utf-8")) for name in FILES if name != MODEL}
    others[CHECKPOINTS] = _read_state(folder / CHECKPOINTS)
    if set(others.values()) != {n}:
        raise ValueError(f"model {n} beside {others}")
    return n


WRITTEN = {
    "checkpoint": Written(_write_state, _read_state),
    "model": Written(_write_model, _read_model),
    "run over a run": Written(_write_over, _read_run, n_renames=2 * len(FILES) + 2),
}
IN_PLACE = {
    "checkpoint": Written(_write_state_in_place, _read_state),
    "model": Written(_write_model_in_place, _read_model),
    "run over a run": Written(_write_over_one_by_one, _read_run),
}


class Killer:
    """Kills its process before the n-th call of C, counted from 0; of no n it only counts.

    Parameters
    ----------
    n
        Which call.
    halfway
        Whether a write does half of its work first.
    """

    def __init__(self, n: int = -1, *, halfway: bool = False) -> None:
        self.n, self.halfway, self.n_calls = n, halfway, 0

    def __call__(self, frame: Any, event: str, what: Any) -> None:
        if event != "c_call":
            return
        if self.n_calls == self.n:
            if self.halfway and getattr(what, "__name__", "") == "write" and "data" in frame.f_locals:
                data = frame.f_locals["data"]
                os.write(what.__self__.fileno(), data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        self.n_calls += 1


def _versions(written: Written, folder: Path) -> None:
    emptied(folder).mkdir(parents=True)
    for n in (1, 2):
        written.write(folder, n)


def kills_in_writes(n: int, place: Path, *, spoilt: bool = False, seed: int = 0) -> Outcome:
    """Kill ``n`` writes of all kinds at places spread over all; ``spoilt``: they write in place."""
    outcome, random_ = Outcome("SIGKILL in a write"), np.random.default_rng(seed)
    n_new, n_places = 0, 0
    for name, written in (IN_PLACE if spoilt else WRITTEN).items():
        folder, counted = place / name, place / f"{name}.txt"
        _versions(written, folder)

        def killed(
            killer: Killer, written: Written = written, folder: Path = folder, log: Path = counted
        ) -> None:
            sys.setprofile(killer)
            written.write(folder, 3)
            sys.setprofile(None)
            log.write_text(str(killer.n_calls), "utf-8")

        forked(lambda killed=killed: killed(Killer()))
        n_calls = int(counted.read_text("utf-8"))
        n_places += n_calls
        mine = n // len(WRITTEN)
        calls = np.resize(random_.permutation(n_calls), mine)
        for number, call in enumerate(calls.tolist()):
            _versions(written, folder)
            halfway = number % 2 == 0 or spoilt
            status = forked(lambda killed=killed, call=call, h=halfway: killed(Killer(call, halfway=h)))
            found, version = "", 0
            try:
                version = written.read(folder)
                _go_on(written, folder)
            except (IsthmusError, ValueError, OSError) as error:
                found = str(error)
            n_new += version == 3
            held = status == KILLED and not found and version in (2, 3)
            outcome.check(
                held, f"{name}, killed before call {call}: status {status}, version {version}; {found}"
            )
    outcome.figures = f"{n_places} places; {n_new} were new by then, the others old"
    return outcome


def _go_on(written: Written, folder: Path) -> None:
    """What comes after a kill: another version, and nothing left over."""
    if written.read is _read_state:
        Checkpoints(folder).__exit__()
    written.write(folder, 4)
    if written.read(folder) != 4:
        raise ValueError("the next version is not there")
    left = [path.name for path in folder.iterdir() if path.name.startswith(".new-")]
    if left:
        raise ValueError(f"{left} are left over")


class Power:
    """Watches calls that reach the disk: what a rename puts in its place must have been synced, and the folder after.

    ``lies`` are renames after which a power cut would have left a name without its bytes.
    """

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.unsynced_folders: set[str] = set()
        self.lies: list[str] = []
        self.n_renames = 0

    def fsync(self, number: Any, real: Callable[[Any], None]) -> None:
        real(number)
        path = str(Path(f"/proc/self/fd/{number}").readlink())
        self.sizes[path] = os.fstat(number).st_size
        self.unsynced_folders.discard(path)

    def rename(self, source: Any, target: Any, real: Callable[[Any, Any], None]) -> None:
        self.n_renames += 1
        place = Path(source)
        for path in (
            [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
        ):
            if self.sizes.get(str(path)) != path.stat().st_size:
                self.lies.append(f"{path.name} was put in its place before it was synced")
        if place.is_dir() and str(place) not in self.sizes:
            self.lies.append("a folder was put in its place before it was synced")
        real(source, target)
        for path in [path for path in self.sizes if Path(path).is_relative_to(place)]:
            self.sizes[str(Path(target, Path(path).relative_to(place)))] = self.sizes.pop(path)
        self.unsynced_folders.add(str(Path(target).parent))


def power_cuts(place: Path, *, spoilt: bool = False) -> Outcome:
    """Whether all is synced before its name is; ``spoilt``: syncing does nothing."""
    outcome = Outcome("power cut in a write")
    if not Path("/proc/self/fd").exists():
        outcome.figures = "left out: no /proc"
        return outcome
    fsync, rename, replace = os.fsync, os.rename, os.replace
    for name, written in WRITTEN.items():
        folder = place.resolve() / f"{name}-power"
        power = Power()
        folder.mkdir(parents=True)
        try:
            os.fsync = (lambda number: None) if spoilt else partial(power.fsync, real=fsync)
            os.rename = partial(power.rename, real=rename)
            os.replace = partial(power.rename, real=replace)
            for n in range(5):
                written.write(folder, n)
                power.lies.extend(f"{name}: {path} was not synced at last" for path in power.unsynced_folders)
        finally:
            os.fsync, os.rename, os.replace = fsync, rename, replace
        outcome.tried += power.n_renames
        outcome.wrong.extend(f"{name}: {lie}" for lie in power.lies)
        if power.n_renames != 5 * written.n_renames:
            outcome.wrong.append(f"{name}: {power.n_renames} renames for 5 writes")
    outcome.figures = "every file and folder was synced before and after its rename"
    return outcome

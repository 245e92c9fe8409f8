"""``isthmus compress`` and ``decompress`` that are killed: at the place of their file nothing is ever half.

The process ends before the n-th call of a function of C, or in a write whose first half is on the disk by then. After
each kill the same command with ``--resume`` must end in the very bytes that it would have written undisturbed.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from drill import Outcome, emptied, forked

from isthmus.cli.main import run
from isthmus.codec import store
from isthmus.codec.container.writer import ArchiveWriter
from isthmus.codec.contents import base, text_tables
from isthmus.workflows import archive_models
from isthmus.workflows import compress as compressing

KILLED = -signal.SIGKILL
WRITING = ("container/writer.py", "contents/base.py", "contents/arrays.py", "contents/text_tables.py")
"""Files of isthmus that write archives, or what is in them."""


class Killer:
    """Kills its process before the n-th call of C, counted from 0; of no n it only counts.

    Parameters
    ----------
    n
        Which call.
    writing
        Whether calls count only in what writes; there a write does half of its work first.
    """

    def __init__(self, n: int = -1, *, writing: bool = False) -> None:
        self.n, self.writing, self.n_calls = n, writing, 0

    def __call__(self, frame: Any, event: str, what: Any) -> None:
        if event != "c_call":
            return
        if self.writing and not frame.f_code.co_filename.replace(os.sep, "/").endswith(WRITING):
            return
        if self.n_calls == self.n:
            if self.writing and getattr(what, "__name__", "") == "write" and "left" in frame.f_locals:
                left = frame.f_locals["left"]
                os.write(what.__self__.fileno(), left[: len(left) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        self.n_calls += 1


class InPlace(ArchiveWriter):
    """Writes where the archive will be."""

    part = property(lambda self: self.path, lambda self, value: None)  # pyright: ignore

    def _check_free(self) -> None:
        pass


@contextlib.contextmanager
def _in_place(path: Path) -> Any:
    yield path


class Scene(NamedTuple):
    """A command whose result is one file."""

    prepare: Callable[[Path], None]
    command: tuple[str, ...]
    result: str
    over: bytes | None = None
    """What lies there before."""


def _rows(place: Path) -> None:
    np.save(place / "rows.npy", np.random.default_rng(0).normal(size=(400, 6)).round(3))


def _table(place: Path) -> None:
    lines = [f"{row},{row * row % 97 / 4:.2f},{('north', 'south')[row % 2]}\n" for row in range(400)]
    (place / "rows.csv").write_text("id,x,word\n" + "".join(lines), "utf-8", newline="\n")


def _pixels(place: Path) -> None:
    """Of which a model is fitted, and taken."""
    chance, fields = np.random.default_rng(0), np.indices((8, 8)).sum(axis=0) % 2
    which = chance.integers(0, 2, (12_000, 1, 1))
    np.save(
        place / "pixels.npy", (fields ^ which ^ (chance.random((12_000, 8, 8)) < 0.08)).astype(np.uint8) * 255
    )


def _archive(place: Path) -> None:
    _table(place)
    run_quietly(place, ("compress", "rows.csv", "-o", "rows.isth"))


SCENES = {
    "array": Scene(_rows, ("compress", "rows.npy", "-o", "rows.isth"), "rows.isth"),
    "table over an archive": Scene(
        _table, ("compress", "rows.csv", "-o", "rows.isth", "--force"), "rows.isth", b"an older archive"
    ),
    "within an error": Scene(
        _rows, ("compress", "rows.npy", "-o", "rows.isth", "--max-error", "1%"), "rows.isth"
    ),
    "decompress": Scene(_archive, ("decompress", "rows.isth", "-o", "again.csv"), "again.csv"),
    "with a model": Scene(_pixels, ("compress", "pixels.npy", "-o", "p.isth", "--seconds", "1"), "p.isth"),
}


def small_blocks() -> None:
    """Have archives many blocks, and small models."""
    compressing.BLOCK_ROWS, compressing.BLOCK_BYTES = (16, 2000), 2000
    archive_models.SMALLEST_WITH_MODEL, archive_models.HIDDEN, archive_models.CODE_SIZE = 1 << 19, 16, 2


def run_quietly(place: Path, command: tuple[str, ...]) -> None:
    """Run a command in a folder; a failure of it is one of the process."""
    os.chdir(place)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = run(command)
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: status {status}: {said.getvalue()}")


def kills_of_archives(
    n: int, place: Path, *, short: bool = False, spoilt: bool = False, seed: int = 0
) -> Outcome:
    """Kill ``n`` commands at places spread over all; ``spoilt``: they write in place."""
    outcome, random = Outcome("SIGKILL in compress"), np.random.default_rng(seed)
    scenes = {name: scene for name, scene in SCENES.items() if not short or name != "with a model"}
    n_new = n_places = n_resumed = 0
    for name, scene in scenes.items():
        folder = place / name.replace(" ", "-")
        for at in range(n // len(scenes)):
            writing = at % 2 == 0 or spoilt
            if at < 2:
                whole, n_calls = _undisturbed(scene, folder, {})
            call = int(random.integers(n_calls[writing]))
            n_places = max(n_places, sum(n_calls.values()))
            _begin(scene, folder)
            log = folder / "log.txt"
            status = forked(lambda: _killed(scene, folder, Killer(call, writing=writing), spoilt), log=log)  # noqa: B023
            found = (folder / scene.result).read_bytes() if (folder / scene.result).exists() else None
            is_whole = found in (scene.over, whole)
            outcome.check(
                status == KILLED and is_whole,
                f"{name}, killed before call {call} ({'writing' if writing else 'any'}): status {status}, "
                f"{'nothing' if found is None else f'half a file of {len(found)}'} at its place",
            )
            n_new += found == whole
            if found != whole and is_whole:
                n_resumed += (folder / f"{scene.result}.part").exists()
                told = _gone_on(scene, folder, whole)
                outcome.check(not told, f"{name}, after a kill before call {call}: {told}")
    outcome.figures = (
        f"up to {n_places} places; {n_new} were done by then, {n_resumed} left a part to go on with"
    )
    return outcome


def _begin(scene: Scene, folder: Path) -> None:
    emptied(folder).mkdir(parents=True)
    if forked(lambda: (small_blocks(), scene.prepare(folder)), log=folder / "log.txt") != 0:
        raise RuntimeError((folder / "log.txt").read_text("utf-8"))
    if scene.over is not None:
        (folder / scene.result).write_bytes(scene.over)


def _undisturbed(scene: Scene, folder: Path, n_calls: dict[bool, int]) -> tuple[bytes, dict[bool, int]]:
    """What a command writes that nothing befalls, and how many calls it makes of either sort."""
    for writing in (False, True):
        _begin(scene, folder)
        counted = folder / "counted.txt"

        def work(writing: bool = writing, counted: Path = counted) -> None:
            killer = Killer(writing=writing)
            _killed(scene, folder, killer, spoilt=False)
            counted.write_text(str(killer.n_calls), "utf-8")

        if forked(work, log=folder / "log.txt") != 0:
            raise RuntimeError((folder / "log.txt").read_text("utf-8"))
        n_calls[writing] = int(counted.read_text("utf-8"))
    return (folder / scene.result).read_bytes(), n_calls


def _killed(scene: Scene, folder: Path, killer: Killer, spoilt: bool) -> None:
    small_blocks()
    if spoilt:
        store.ArchiveWriter = InPlace
        for room in (base, text_tables):
            room.beside = _in_place
    sys.setprofile(killer)
    run_quietly(folder, scene.command)
    sys.setprofile(None)


def _gone_on(scene: Scene, folder: Path, whole: bytes) -> str:
    """What is wrong with the result of the same command with ``--resume``; "" if nothing."""
    is_compress = scene.command[0] == "compress"
    command = tuple(word for word in scene.command if word != "--force") + (
        ("--resume",) if is_compress else ()
    )
    if scene.over is not None:
        command += ("--force",)
    log = folder / "log.txt"
    if forked(lambda: (small_blocks(), run_quietly(folder, command)), log=log) != 0:
        return log.read_text("utf-8")[-500:]
    if (folder / scene.result).read_bytes() != whole:
        return "other bytes"
    return "a part is left" if is_compress and (folder / f"{scene.result}.part").exists() else ""

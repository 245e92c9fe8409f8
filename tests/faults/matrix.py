"""The fault matrix: every drill beside a twin of it that must fail, as a table.

make faults                                        all of it; SECONDS=600 for a shorter long run
python tests/faults/matrix.py --short kills        a short form of some drills
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before they are read: threads do not survive a fork

from drill import Outcome, forked, warm_up  # noqa: E402
from drill_archives import kills_of_archives  # noqa: E402
from drill_disk import full_disk, small_disks  # noqa: E402
from drill_kills import kills  # noqa: E402
from drill_memory import memory  # noqa: E402
from drill_repeats import repeats  # noqa: E402
from drill_signals import CASES, signals  # noqa: E402
from drill_writes import kills_in_writes, power_cuts  # noqa: E402

HERE = Path(__file__).resolve().parent
SHOWN = 4


class Drill(NamedTuple):
    """A row of the matrix."""

    run: Callable[[Path, bool], Outcome]
    """In a folder, short or not."""
    twin: Callable[[Path], Outcome] | None = None
    """The same with something wrong, a short one; None where another row's twin shows it."""


def tests_of(name: str, *files: str) -> Callable[[Path, bool], Outcome]:
    """Tests that are a drill already."""

    def run(place: Path, short: bool) -> Outcome:
        outcome = Outcome(name)
        paths = [HERE.parent / file for file in files if (HERE.parent / file).exists()]
        if short or not paths:
            outcome.figures = "in the tests themselves" if paths else "left out: no such tests"
            return outcome
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={place}",
                *map(str, paths),
            ],
            cwd=HERE.parents[1], check=False, capture_output=True, text=True, encoding="utf-8",
        )  # fmt: skip
        summary = (done.stdout.strip() or "nothing told").splitlines()[-1].strip("= ")
        counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", summary)}
        outcome.tried = sum(counts.values())
        told = f"tests ended with status {done.returncode}: {summary} {done.stderr.strip()[-500:]}"
        outcome.wrong = [told] * max(
            outcome.tried - counts.get("passed", 0), done.returncode != 0, not counts
        )
        outcome.figures = "tests and their twins: " + summary
        return outcome

    return run


def damage(place: Path, short: bool) -> Outcome:
    """Truncated files and flipped bits."""
    outcome = Outcome("truncation, flipped bits")
    if short:
        outcome.figures = "in the tests themselves"
        return outcome
    from damage import damage_drill, kinds

    changed = 0
    for kind in kinds():
        found = damage_drill(kind, 2000)
        outcome.tried += found.refused + found.read + found.changed + len(found.wrong)
        outcome.wrong.extend(f"{kind}: {line}" for line in found.wrong)
        changed += found.changed
    outcome.figures = f"{len(kinds())} kinds of files; {changed} other values in formats without a check"
    return outcome


def damage_undigested(place: Path) -> Outcome:
    """The same with no digest compared: other values are read."""
    from damage import CHECKS, damage_drill, undigested

    outcome = Outcome("truncation, flipped bits, no digest")
    for kind in CHECKS:
        undigested(kind)
        found = damage_drill(kind, 500)
        outcome.tried += 1
        if any("other values" in line for line in found.wrong):
            outcome.wrong.append(f"{kind}: {found.wrong[0]}")
    if len(outcome.wrong) < len(CHECKS):  # each of them has to be seen
        outcome.wrong = []
    return outcome


DRILLS: dict[str, Drill] = {
    "kills": Drill(
        lambda place, short: kills(10 if short else 200, place),
        lambda place: kills(10, place, spoilt=True),
    ),
    "writes": Drill(
        lambda place, short: kills_in_writes(30 if short else 600, place),
        lambda place: kills_in_writes(30, place, spoilt=True),
    ),
    "archives": Drill(
        lambda place, short: kills_of_archives(8 if short else 300, place, short=short),
        lambda place: kills_of_archives(4, place, short=True, spoilt=True),
    ),
    "power": Drill(lambda place, short: power_cuts(place), lambda place: power_cuts(place, spoilt=True)),
    "damage": Drill(damage, damage_undigested),
    "disk": Drill(
        lambda place, short: full_disk(6 if short else 10**9, place),
        lambda place: full_disk(20, place, spoilt=True),
    ),
    "tmpfs": Drill(
        lambda place, short: (
            small_disks(place) if not short else Outcome("small tmpfs", figures="in full only")
        )
    ),
    "signals": Drill(
        lambda place, short: signals(place, CASES[1:3] if short else CASES),
        lambda place: signals(place, CASES[1:2], spoilt=True),
    ),
    "not-finite": Drill(
        tests_of("NaN in data, gradient, rate", "training/test_diagnosis.py", "training/test_resume.py")
    ),
    "out-of-memory": Drill(
        tests_of("out of memory", "training/test_out_of_memory.py", "training/test_micro.py")
    ),
    "repeats": Drill(
        lambda place, short: repeats(place, epochs=2 if short else 20),
        lambda place: repeats(place, epochs=1, spoilt=True),
    ),
    "memory": Drill(
        lambda place, short: memory(4 if short else float(os.environ.get("SECONDS_OF_RUN", "3600")), place),
        lambda place: memory(3, place, spoilt=True),
    ),
}
FORKING = {"kills", "disk", "tmpfs", "memory"}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("drills", nargs="*", metavar="DRILL", help=f"of {', '.join(DRILLS)}; none named, all")
    parser.add_argument("--short", action="store_true", help="a few of each, in seconds")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each instead of the table")
    asked = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has its background jobs ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    names = asked.drills or list(DRILLS)
    unknown = set(names) - set(DRILLS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(DRILLS)}")
    if not hasattr(os, "fork"):
        print("Drills end processes as Unix does, and this is none: nothing was run.")
        return 0
    if not asked.json:
        print(f"{'drill':28}{'tried':>7}{'wrong':>7}{'twin':>9}{'s':>7}  figures", flush=True)
    good = True
    with tempfile.TemporaryDirectory(dir=_memory_disk()) as folder:
        place = Path(folder)
        if FORKING & set(names):
            warm_up(place)
        for name in names:
            good = _row(name, place, short=asked.short, as_json=asked.json) and good
    return int(not good)


def _row(name: str, place: Path, *, short: bool, as_json: bool) -> bool:
    drill, begin = DRILLS[name], time.monotonic()
    outcome = _apart(lambda: drill.run(place / name, short), place)
    spoilt = drill.twin
    twin = None if spoilt is None else _apart(lambda: spoilt(place / f"{name}-twin"), place)
    outcome.seconds = time.monotonic() - begin
    # A twin that failed on its own was not tried, and shows nothing.
    left_out = not outcome.tried and not outcome.wrong
    seen = twin is None or left_out or (twin.tried > 0 and bool(twin.wrong))
    if as_json:
        print(json.dumps({**asdict(outcome), "twin": None if twin is None else asdict(twin)}), flush=True)
    else:
        shown = "-" if twin is None else f"{len(twin.wrong)}/{twin.tried}"
        print(
            f"{outcome.drill:28}{outcome.tried:7}{len(outcome.wrong):7}{shown:>9}{outcome.seconds:7.0f}  "
            f"{outcome.figures}"
        )
        for line in outcome.wrong[:SHOWN]:
            print(f"    {line}")
        if not seen:
            print("    the twin, in which something is wrong, was not told from it")
        sys.stdout.flush()
    return not outcome.wrong and seen


def _apart(work: Callable[[], Outcome], place: Path) -> Outcome:
    """An outcome, of a child: what one drill has patched or computed reaches no other."""
    path, log = place / "outcome.json", place / "outcome.txt"
    path.unlink(missing_ok=True)
    if forked(lambda: path.write_text(json.dumps(asdict(work())), "utf-8"), log=log) != 0:
        return Outcome("the drill itself", wrong=[log.read_text("utf-8")])
    return Outcome(**json.loads(path.read_text("utf-8")))


def _memory_disk() -> str | None:
    """A folder in memory where there is one: a process that is killed leaves there what it leaves on a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())

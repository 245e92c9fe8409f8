"""``make bench`` and ``make bench-quick``: every task, its ratios, and what got worse.

Run in ``benchmarks`` as ``python -m speed``. The whole form writes ``results/DATE.json`` with a table and a picture;
the quick form leaves out what takes long, writes nothing there, and compares its ratios with the newest kept ones:
exit status 1 where one got worse by more than the noise that was measured.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
PEERS = ("pythae", "pyod", "autoencoders", "keras", "scikit-learn", "encdr")
ROOMS = {
    "training": ("dense_512", "dense_128", "variational", "convolutions", "of_table", "variational_table"),
    "tables": ("mixed_table",),
    "penalties": ("one_layer", "deep", "jacobian"),
    "using": ("encode_table", "encode_digits", "larger_than_memory", "peak_memory", "one_row"),
    "processes": ("starting", "fit_digits", "grid_search"),
    "waiting": ("reading", "keeping", "importance"),
    "quality": ("to_goal",),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="TASK", help="functions of the tasks, such as dense_512")
    parser.add_argument("--mnist", type=Path, help="folder of the four MNIST files, for the time to a goal")
    parser.add_argument("--rounds", type=int, help="of every task, instead of its own number")
    parser.add_argument(
        "--on-cores",
        action="store_true",
        help="count seconds of a core instead of the clock's: on a busy machine",
    )
    parser.add_argument("--output", type=Path, help="folder to write to, instead of results")
    parser.add_argument(
        "--device",
        default="cpu",
        help="cuda: trainings alone, ours beside the plain loop there; written and compared nowhere unless --output",
    )
    asked = parser.parse_args()
    from speed.results import kept

    found = run(asked)
    is_kept = not asked.quick and asked.device == "cpu"
    folder = asked.output or (RESULTS if is_kept else None)
    then = kept(RESULTS, found)
    if folder is not None:
        from speed.results import write

        print(f"Written: {write(found, folder)} and the table and the picture beside it.")
    status = _told(found, then) if asked.quick and asked.device == "cpu" else 0
    return 1 if found["failed"] else status


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """All tasks that were asked for, printed as they are done."""
    from speed.harness import Options, measured
    from speed.limits import machine
    from speed.results import Row

    unknown = set(asked.only or ()) - {name for names in ROOMS.values() for name in names}
    if unknown:
        sys.exit(f"speed: no task is called {', '.join(sorted(unknown))}. There are: {_names()}.")
    form = "quick" if asked.quick else "whole"
    found: dict[str, Any] = {
        "form": form,
        "machine": machine() | {"clock": "seconds of a core" if asked.on_cores else "the clock"},
        "peers": _versions(),
        "tasks": {},
        "failed": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        options = Options(asked.quick, Path(folder), asked.mnist, asked.rounds, asked.on_cores, asked.device)
        for room, names in ROOMS.items():
            if asked.device != "cpu" and room != "training":
                continue
            for name in names:
                if asked.only and name not in asked.only:
                    continue
                start = time.perf_counter()
                try:
                    task = getattr(importlib.import_module(f"speed.{room}"), name)(options)
                    if task is None:
                        continue
                    result = found["tasks"][task.name] = measured(task, options)
                except Exception as error:  # the other tasks are worth their minutes
                    found["failed"][name] = f"{type(error).__name__}: {error}"
                    print(f"{name} FAILED: {found['failed'][name]}", flush=True)
                    continue
                print(f"{task.name} ({time.perf_counter() - start:.0f} s)", flush=True)
                for title, ratio in result["ratios"].items():
                    row = Row(task.name, title, ratio)
                    low, high = row.ends
                    floor = "" if ratio["floor"] is None else f"  floor {ratio['floor']:g}: {row.verdict}"
                    print(f"  {title:42} {row.median:8.3f} ({low:.3f} to {high:.3f}){floor}", flush=True)
    return found


def _told(now: Mapping[str, Any], then: Mapping[str, Any] | None) -> int:
    """Say what changed; 1 where something got worse."""
    from speed.results import compared, differences

    if then is None:
        print("No results are kept to compare with: run make bench.")
        return 0
    worse, better = compared(now, then)
    print(f"\nBeside the results of {then['machine']['date']}:")
    for word, lines in (("better", better), ("WORSE", worse)):
        for line in lines:
            print(f"  {word}: {line}")
    if not worse:
        print("  nothing got worse by more than the noise.")
    different = differences(now, then)
    if different:
        print(f"  These are of another machine ({'; '.join(different)}), so that nothing follows.")
    return 1 if worse and not different else 0


def _versions() -> dict[str, str]:
    found = dict[str, str]()
    for name in PEERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _names() -> str:
    return ", ".join(name for names in ROOMS.values() for name in names)


if __name__ == "__main__":
    sys.exit(main())

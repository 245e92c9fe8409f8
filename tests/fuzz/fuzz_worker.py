"""A process that reads one file after the other under limits of memory and time, and tells what happened.

It writes a line a file to its output before it reads it, so that whoever started it knows which one ended it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuzz_readers import READERS, Case, Cases

MOST_BYTES = 10**9
"""Memory that reading a file may take."""
MOST_SECONDS = 5.0
"""Time of a core that reading a file may take."""
LONGEST_MESSAGE = 2500
"""Characters of a sentence that people can read."""


class TooLongError(BaseException):
    """A file took longer than it may; no reader catches it by mistake."""


def _stop(number: int, frame: Any) -> None:
    raise TooLongError


def peak_bytes() -> int:
    """Resident memory at its most since the last :func:`forget_peak`; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def forget_peak() -> None:
    """Let the peak begin anew."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def data_bytes() -> int:
    """What counts against the limit of private memory."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmData:"):
                return 1024 * int(line.split()[1])
    return 0


def limited() -> None:
    """No more private memory from here on than a file may take, and some for the machinery."""
    most = data_bytes() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def warmed(reader: str) -> None:
    """Read a real file of each kind, so that what libraries load on first use is loaded."""
    how = READERS[reader]
    with tempfile.TemporaryDirectory() as folder:
        for name, data in how.companions().items():
            (Path(folder) / name).write_bytes(data)
        for name, data in how.seeds().items():
            path = Path(folder) / name
            path.write_bytes(data)
            with suppress(Exception):
                how.read(path)
            path.unlink()


def tried(reader: str, case: Case, folder: Path) -> dict[str, Any]:
    """What became of reading one file."""
    path = folder / case.name
    path.write_bytes(case.data)
    forget_peak()
    before, start = peak_bytes(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            what, told, where = _outcome(reader, path)
    except TooLongError:
        caught = []
        what, told, where = "hang", f"more than {MOST_SECONDS:g} s", _place(sys.exc_info()[1])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds, n_bytes = time.process_time() - start, peak_bytes() - before
    path.unlink()
    if what in ("read", "refused"):
        if n_bytes > MOST_BYTES:
            what, told, where = "memory", f"{n_bytes:,} bytes; {told}", ""
        elif seconds > MOST_SECONDS:
            what, told, where = "hang", f"{seconds:.1f} s; {told}", ""
        else:
            foreign = next((each for each in caught if not _is_ours(each.category)), None)
            if foreign is not None:
                what, told = "warning", f"{foreign.category.__name__}: {foreign.message}"
                where = f"{Path(foreign.filename).name}:{foreign.lineno}"
    return {"what": what, "told": told[:600], "where": where, "seconds": round(seconds, 3), "bytes": n_bytes}


def _outcome(reader: str, path: Path) -> tuple[str, str, str]:
    from isthmus.errors import IsthmusError

    try:
        READERS[reader].read(path)
    except IsthmusError as error:
        message = str(error)
        if _is_memory(error):
            return "memory", f"refused only when memory ran out: {message}", _place(error)
        if "\n" in message or len(message) > LONGEST_MESSAGE:
            return "message", f"{len(message)} characters: {message[:300]!r}", _place(error)
        if path.name not in message and path.parent.name not in message and reader != "config":
            return "message", f"names no file: {message}", _place(error)
        return "refused", message, ""
    except MemoryError as error:
        return "memory", f"{type(error).__name__}: {error}", _place(error)
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}", _place(error)
    return "read", "", ""


def _is_memory(error: BaseException | None) -> bool:
    """Whether an error arose from one of memory."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_ours(category: type[Warning]) -> bool:
    from isthmus.errors import IsthmusWarning

    return issubclass(category, IsthmusWarning)


def _place(error: BaseException | None) -> str:
    """Where in isthmus, last."""
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "isthmus" in Path(frame.filename).parts] or list(frames)
    return f"{Path(ours[-1].filename).name}:{ours[-1].name}:{ours[-1].lineno}" if ours else ""


def main() -> None:
    """Read files and tell about them until the last number or the last second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=sorted(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument(
        "--changed", type=int, default=1 << 62, help="files that are changed by chance, at most"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries that print do not speak for this program
    cases = Cases(chosen.reader, chosen.seed)
    output.write(f"fixed {cases.n_fixed}\n")
    warmed(chosen.reader)
    signal.signal(signal.SIGPROF, _stop)
    limited()
    for name, data in READERS[chosen.reader].companions().items():
        (chosen.folder / name).write_bytes(data)
    start, at = time.process_time(), chosen.first
    counts = {"read": 0, "refused": 0}
    slowest, most = 0.0, 0
    while at < cases.n_fixed + chosen.changed and (
        at < cases.n_fixed or time.process_time() - start < chosen.seconds
    ):
        case = cases[at]
        output.write(f"{at} {time.process_time() - start:.2f}\n")
        found = tried(chosen.reader, case, chosen.folder)
        slowest, most = max(slowest, found["seconds"]), max(most, found["bytes"])
        if found["what"] in counts:
            counts[found["what"]] += 1
        else:
            output.write(json.dumps({"at": at, **found}) + "\n")
        at += 1
    output.write(json.dumps({"end": at, **counts, "slowest": slowest, "most": most,
                             "seconds": time.process_time() - start}) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()

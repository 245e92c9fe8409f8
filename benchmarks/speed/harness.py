"""Tasks and their contestants: the same work, in turn, several times, and ratios of what it took each time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from isthmus.cores import n_cores

Work = Callable[[], Any]
Taken = Mapping[str, float]
"""What each contestant took in one round, by name: seconds, unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work."""

    name: str
    ready: Callable[[], Work]
    """Makes everything ready, untimed, and gives the work, which is timed."""
    threads: int | None = None
    """CPU threads; None: as many as it is fastest with, which is tried before the first round."""
    error: Callable[[Any], float] | None = None
    """The held-out error of what the work returned."""
    taken: Callable[[Any], float] | None = None
    """What counts, of what the work returned; None: the seconds it took."""
    unit: str = "s"
    """Of what counts."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of each round, and what it has to be."""

    name: str
    of: Callable[[Taken], float]
    floor: float | None = None
    aim: float | None = None
    more_is_better: bool = True
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What is done, by whom, and what is made of it."""

    name: str
    words: str
    contestants: Sequence[Contestant]
    ratios: Sequence[Ratio]
    rounds: tuple[int, int] = (5, 7)
    """Of the quick form and of the whole one."""
    facts: Mapping[str, float] = field(default_factory=dict[str, float])
    """Beside the ratios, such as the operations of a step."""
    rates: Mapping[str, tuple[float, str]] = field(default_factory=dict[str, tuple[float, str]])
    """Of a contestant's work, what is divided by its median seconds, and the unit of that."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    quick: bool
    folder: Path
    """Where files may be made; it is removed at the end."""
    mnist: Path | None = None
    """Folder of the four MNIST files."""
    rounds: int | None = None
    """Of every task, instead of its own number."""
    on_cores: bool = False
    """Count the time that this process and those it started had of a core, instead of the clock's: where the machine
    is busy with other work."""
    device: str = "cpu"
    """Where steps are made."""

    def settle(self) -> None:
        """Wait until the device has done what it was told."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)

    def clock(self) -> float:
        """Seconds."""
        if not self.on_cores:
            return time.perf_counter()
        import resource

        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)


def over(rival: str, ours: str = "isthmus") -> Callable[[Taken], float]:
    """How many times as long the rival took: our rate over its."""
    return lambda taken: taken[rival] / taken[ours]


def beside(ours: str, other: str) -> Callable[[Taken], float]:
    """How many times as much as another it took."""
    return lambda taken: taken[ours] / taken[other]


def measured(task: Task, options: Options) -> dict[str, Any]:
    """All rounds of a task; contestants begin in another order each time."""
    n_rounds = options.rounds or task.rounds[0 if options.quick else 1]
    threads = {one.name: _chosen_threads(one, options) for one in task.contestants}
    taken = {one.name: list[float]() for one in task.contestants}
    errors = dict[str, float]()
    for round_ in range(n_rounds):
        first = round_ % len(task.contestants)
        for one in [*task.contestants[first:], *task.contestants[:first]]:
            count, result = _once(one, threads[one.name], options)
            taken[one.name].append(count)
            if one.error is not None and one.name not in errors:
                errors[one.name] = one.error(result)
    ratios = {
        ratio.name: {
            "values": [
                ratio.of({name: counts[k] for name, counts in taken.items()}) for k in range(n_rounds)
            ],
            "floor": ratio.floor,
            "aim": ratio.aim,
            "more_is_better": ratio.more_is_better,
            "unit": ratio.unit,
        }
        for ratio in task.ratios
        if _is_known(ratio, taken)
    }
    return {
        "words": task.words,
        "taken": taken,
        "units": {one.name: one.unit for one in task.contestants},
        "threads": threads,
        "errors": errors,
        "ratios": ratios,
        "facts": dict(task.facts),
        "rates": {name: list(rate) for name, rate in task.rates.items() if name in taken},
    }


@contextmanager
def cpu_threads(n: int) -> Generator[None]:
    """Torch and the libraries under NumPy with ``n`` threads."""
    before = torch.get_num_threads()
    with threadpool_limits(n):
        torch.set_num_threads(n)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _once(one: Contestant, n_threads: int, options: Options) -> tuple[float, Any]:
    with cpu_threads(n_threads):
        work = one.ready()
        gc.collect()
        options.settle()
        start = options.clock()
        result = work()
        options.settle()
        seconds = options.clock() - start
    return seconds if one.taken is None else one.taken(result), result


def _chosen_threads(one: Contestant, options: Options) -> int:
    """The fastest count; what is tried also warms up."""
    if one.taken is not None:
        return one.threads or n_cores()
    if one.threads is not None:
        _once(one, one.threads, options)
        return one.threads
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n < n_cores()] + [n_cores()]
    return min(counts, key=lambda n: _once(one, n, options)[0])


def _is_known(ratio: Ratio, taken: Mapping[str, Sequence[float]]) -> bool:
    """Whether all its contestants took part: a peer may not be installed."""
    try:
        ratio.of({name: counts[0] for name, counts in taken.items()})
    except KeyError:
        return False
    return True

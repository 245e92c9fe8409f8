"""One piece of work done on many things in several processes, with results in order.

Processes are started as new programs: a fork would copy the locks that threads of torch or of a BLAS hold, and
``multiprocessing``'s spawn would import the caller's script once more. They talk by pickles through pipes, which
nobody else can write to.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar, final

from isthmus.errors import ProcessError

Job = TypeVar("Job")
Result = TypeVar("Result")

_BOOT = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from isthmus.codec.processes import serve
serve()
"""
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Processes share the cores; threads of each would stand in each other's way."""


def in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], n_processes: int
) -> Generator[Result, None, None]:
    """The result of each job, in their order.

    At most ``n_processes + 1`` jobs are taken before their results are fetched, so that memory is bounded. To be
    closed (:func:`contextlib.closing`) where not all results may be fetched: then the processes are stopped at once.

    Parameters
    ----------
    work
        Called with a job; it and all jobs can be pickled where there are several processes.
    jobs
        Taken one by one, in this process.
    n_processes
        How many work; 1 is this one, and none is started.

    Raises
    ------
    ProcessError
        A process could not be started, or ended before its work.

    Examples
    --------
    >>> list(in_order(abs, [-3, 2, -1], 2))
    [3, 2, 1]
    """
    if n_processes == 1 or not sys.executable:
        yield from map(work, jobs)
        return
    workers = list[_Worker]()
    threads = ThreadPoolExecutor(n_processes)
    try:
        idle = SimpleQueue[_Worker]()
        for _ in range(n_processes):
            workers.append(_Worker(work))
            idle.put(workers[-1])

        def done(job: Job) -> Result:
            worker = idle.get()
            try:
                return worker.result(job)
            finally:
                idle.put(worker)

        waiting = deque[Future[Result]]()
        for job in jobs:
            if len(waiting) > n_processes:
                yield waiting.popleft().result()
            waiting.append(threads.submit(done, job))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for worker in workers:
            worker.stop()
        threads.shutdown(cancel_futures=True)
        for worker in workers:
            worker.close()


@final
class _Worker:
    """Another process, as the one that started it sees it."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work: Callable[[Any], Any] | None = work
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,  # a terminal's Ctrl-C is for this process, which stops the others
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise ProcessError(
                f"A process that codes blocks cannot be started: {error.strerror or error}. Take --processes 1."
            ) from None

    def result(self, job: Any) -> Any:
        """What becomes of a job; what the work raised is raised here."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            if (
                self._work is not None
            ):  # told when it has started, for a pipe holds no more than 64 kB until then
                pickle.dump(sys.path, self._process.stdin, pickle.HIGHEST_PROTOCOL)
                pickle.dump(self._work, self._process.stdin, pickle.HIGHEST_PROTOCOL)
                self._work = None
            pickle.dump(job, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            is_well, result = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise ProcessError(
                f"A process that codes blocks was ended{_by(self._process)}; blocks written before it stay. Take "
                "--processes 1, and to go on with an archive --resume."
            ) from None
        if not is_well:
            raise result
        return result

    def stop(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Let go of a process that was stopped, and of its pipes."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # of what was still to be written
                    pipe.close()


def _by(process: subprocess.Popen[bytes]) -> str:
    """What ended a process, as far as that is known."""
    with suppress(subprocess.TimeoutExpired, ValueError):
        status = process.wait(5)
        if status >= 0:
            return f" with status {status}"
        name = signal.Signals(-status).name
        return f" by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return ""


def serve() -> None:
    """Work for the process that started this one, until it closes the pipe or has ended."""
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    with suppress(OSError):  # of a process without a place for messages
        os.dup2(2, 1)  # what a library prints is no answer
    with suppress(EOFError, OSError):
        work = _tried(pickle.load, jobs)
        while True:
            job = pickle.load(jobs)
            answer = _tried(work[1], job) if work[0] else work
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    os._exit(0)  # there is nothing to flush: whoever would read it has gone


def _tried(work: Callable[[Any], Any], job: Any) -> tuple[bool, Any]:
    """Whether all went well, and the result, or else what was raised."""
    try:
        return True, work(job)
    except Exception as error:
        error.add_note(traceback.format_exc())  # where it arose is lost on the way
        return False, error

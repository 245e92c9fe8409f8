"""joblib's processes, forked: what :func:`isthmus.parallel_fits` has searches run in."""

from __future__ import annotations

import io
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing import get_context
from typing import Any

import cloudpickle
import numpy as np
from joblib import cpu_count
from joblib.parallel import ParallelBackendBase

from isthmus.errors import ProcessError

SHARED_FROM = 1 << 16
"""Bytes of an array from which on processes have it by the fork, and not by a copy."""
SECONDS_BETWEEN_LOOKS = 1.0
"""At whether the process that forked is still there."""


class ForkedProcesses(ParallelBackendBase):
    """joblib's way to run things in processes that are forked for one call, and end with it."""

    supports_retrieve_callback = True
    _executor: ProcessPoolExecutor | None = None
    _shared: _Shared

    def effective_n_jobs(self, n_jobs: int | None) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """How many processes work; one where it is one of them that asks."""
        if n_jobs is None or _shared is not None:
            return 1
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def configure(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, n_jobs: int = 1, parallel: Any = None, **_: Any
    ) -> int:
        """Prepare for a call; processes are forked when the first job is there."""
        import_module("isthmus.workflows.fit")  # so that no process need do so
        self.parallel = parallel
        n = self.effective_n_jobs(n_jobs)
        self._shared = _Shared()
        self._executor = ProcessPoolExecutor(
            n, mp_context=get_context("fork"), initializer=_begin, initargs=(os.getpid(), self._shared)
        )
        return n

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Future[Any]:
        """Have a process do it."""
        assert self._executor is not None
        job = self._shared.packed(func)
        with warnings.catch_warnings():
            # Python 3.12 warns of threads, which are those of a BLAS that knows of forks, and PyTorch's, given up.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            future = self._executor.submit(_done, job)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit
    """What joblib called it before 1.5."""

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """What came of it."""
        try:
            return out.result()
        except BrokenProcessPool:
            raise ProcessError(
                "parallel_fits: a process that fitted was ended from outside, perhaps for want of memory. Take a "
                "smaller n_jobs."
            ) from None

    def terminate(self) -> None:
        """Let the processes end."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._executor = None

    def abort_everything(self, ensure_ready: bool = True) -> None:  # joblib's
        """End the processes at once."""
        if self._executor is not None:
            for process in list((self._executor._processes or {}).values()):
                process.kill()
            self.terminate()
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel)


class _Shared:
    """Large arrays that processes have had since they were forked: those of the first job."""

    def __init__(self) -> None:
        self.arrays: dict[int, Any] = {}
        self.is_closed = False

    def packed(self, job: Any) -> bytes:
        """A pickle in which these arrays are only named."""
        file = io.BytesIO()
        _Pickler(file, self).dump(job)
        self.is_closed = True
        return file.getvalue()


class _Pickler(cloudpickle.CloudPickler):
    def __init__(self, file: io.BytesIO, shared: _Shared) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_id(self, obj: Any) -> int | None:
        """The name of an array that processes have."""
        if type(obj) is not np.ndarray or obj.nbytes < SHARED_FROM:
            return None
        held = self._shared.arrays
        if id(obj) not in held:
            if self._shared.is_closed:
                return None
            held[id(obj)] = obj
        return id(obj)


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: int) -> Any:
        """The array of that name."""
        assert _shared is not None
        return _shared.arrays[pid]


_shared: _Shared | None = None
"""In a process that was forked, what it has from there."""


def _begin(parent: int, shared: _Shared) -> None:
    """Of a process: Ctrl-C is for the one that forked it, and without that one it ends."""
    global _shared  # noqa: PLW0603
    _shared = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _done(job: bytes) -> Any:
    return _Unpickler(io.BytesIO(job)).load()()

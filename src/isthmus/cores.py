"""How many cores this process may use, and how many threads are of use to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

_is_forked = False
"""Whether this process was forked from one that had PyTorch."""


def n_cores() -> int:
    """Cores that this process may use: a container or a scheduler may lend fewer than there are.

    One in a process forked from one that had PyTorch, whose threads a fork leaves behind.
    """
    if _is_forked:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads(n: int) -> int:
    """``n``, but one in a process forked from one that had PyTorch: it would wait forever for threads left behind."""
    return 1 if _is_forked else n


@contextmanager
def one_blas_thread() -> Generator[None]:
    """Run NumPy's and SciPy's products on one thread.

    Bytes then do not depend on how many there are, and OpenBLAS's other threads do not keep a core busy with
    waiting, a tenth of a second after each product, that other work could have.
    """
    with _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    import_module("scipy.linalg")  # whose BLAS is another than NumPy's
    return ThreadpoolController()


def _after_fork() -> None:
    global _is_forked  # noqa: PLW0603
    torch = sys.modules.get("torch")
    if torch is not None:
        _is_forked = True
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""Pieces of work at the same time, a thread each: for calls so small that PyTorch cannot spread them itself."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import torch

T = TypeVar("T")

FEWEST = 4
"""Pieces from which on threads are begun for them."""


def side_by_side(work: Callable[[T], None], pieces: Sequence[T]) -> None:
    """``work`` of each piece, in as many threads as PyTorch has; in each of them PyTorch has one.

    They are begun in order, and none once one has failed or Ctrl-C was pressed. What the first that fails raises is
    raised here, when no thread works any more.

    >>> found = []
    >>> side_by_side(lambda piece: found.append(piece), range(10))
    >>> sorted(found)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(pieces) < FEWEST:
        for piece in pieces:
            work(piece)
        return
    over = Event()

    def one(piece: T) -> None:
        if not over.is_set():
            try:
                work(piece)
            except BaseException:
                over.set()
                raise

    with _threads(n_threads) as threads:
        try:
            for done in [threads.submit(one, piece) for piece in pieces]:
                done.result()
        finally:
            over.set()


@contextmanager
def one_thread() -> Generator[None]:
    """Have PyTorch compute on one thread, in this thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _threads(n: int) -> Generator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(n, "isthmus-rows", torch.set_num_threads, (1,))
    try:
        yield pool
    finally:
        pool.shutdown()
        torch.set_num_threads(n)  # each of them has set what threads begin with that are new
